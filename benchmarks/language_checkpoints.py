"""A GPT-2 of random weights, here and in transformers: the same folder, the same greedy texts, tokens a second.

``python benchmarks/language_checkpoints.py``; needs torch, transformers and safetensors. SKML_THREADS sets the threads
of both. Ratios above 1 are in our favour.
"""

import os
import string
import tempfile
from functools import partial

from _bench import compare, row

from skml import BPETokenizer, TransformerLanguageModel

try:
    import torch
    import transformers
except ModuleNotFoundError:
    torch = None

THREADS, SENTENCE = int(os.environ.get("SKML_THREADS", "2")), "It was a dark and stormy night. "
# layers, heads, channels, tokens in the vocabulary
CASES = {"4 x 128": (4, 4, 128, 512), "6 x 256": (6, 8, 256, 512), "6 x 256, GPT-2's tokens": (6, 8, 256, 50257)}
# sentences in the prompt, tokens to write
TASKS = {"256 tokens": (1, 256), "a long prompt, 16 tokens": (16, 16)}


def their_model(case):
    """Return a GPT-2 that never ends a text by itself."""
    n_layer, n_head, n_embd, vocab_size = case
    sizes = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, "vocab_size": vocab_size, "n_positions": 512}
    torch.manual_seed(0)
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.transformer.ln_f.bias[0], model.transformer.wte.weight[:, 0] = 50.0, 0.1
        model.transformer.wte.weight[0, 0] = -2.0  # so that the end's logit is 100 lower
    return model


def their_text(model, ids, n_new):
    """Return the tokens that theirs writes after some."""
    given = torch.tensor([ids])
    mask = torch.ones_like(given)
    written = model.generate(given, attention_mask=mask, max_new_tokens=n_new, do_sample=False, use_cache=True)
    return written[0, len(ids) :].tolist()


def main():
    """Print the ratios."""
    row("", "ours", "peer", "ratio")
    if torch is None:
        return
    torch.set_num_threads(THREADS)
    transformers.logging.set_verbosity_error()
    tokenizer = BPETokenizer(280, special_tokens=("<|endoftext|>", "<|endoftext|>")).fit([string.printable, SENTENCE])
    for name, case in CASES.items():
        theirs = their_model(case)
        with tempfile.TemporaryDirectory() as folder:
            theirs.save_pretrained(folder)
            tokenizer.save(folder)
            ours = TransformerLanguageModel.from_pretrained(folder).set_params(n_jobs=THREADS)
        for task, (n, n_new) in TASKS.items():
            ids = [0, *tokenizer.encode(SENTENCE * n).tolist()]
            mine, peer = partial(ours.generate, SENTENCE * n, n_new), partial(their_text, theirs, ids, n_new)
            known = [i for i in peer() if i < tokenizer.n_tokens_]
            if mine() != tokenizer.decode(known):
                row(f"{name}: texts differ", "", "", "")
            times = compare(mine, peer)
            row(f"{name}: {task}", n_new / times[0], n_new / times[1], times[2])


if __name__ == "__main__":
    main()
