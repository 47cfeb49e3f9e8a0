"""Checkpoints beside the package ``transformers``: the same logits, tokens and texts from a folder, both ways."""

import json
from pydoc_data import topics

import numpy as np
import pytest

from skml import BPETokenizer, TransformerLanguageModel
from skml.language.scoring import begun
from skml.network import Decoder, Mode

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")

TEXT = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))[:60_000]
SHAPE = {"vocab_size": 400, "n_positions": 48, "n_embd": 32, "n_layer": 3, "n_head": 4}
CASES = {
    "plain": {},
    "exact gelu, another epsilon, narrow": {"activation_function": "gelu", "layer_norm_epsilon": 1e-3, "n_inner": 50},
    "own head": {"tie_word_embeddings": False},
    "scores as they are": {"scale_attn_weights": False},
    "scores by layer": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "room for more tokens": {"vocab_size": 411, "activation_function": "gelu_pytorch_tanh"},
}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(400, special_tokens=("<|endoftext|>", "<|endoftext|>")).fit([TEXT])


def their_model(seed, **other):
    """Return a GPT-2 of theirs with random weights, large enough that its activations bend."""
    settings = {**SHAPE, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, **other}
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def their_folder(folder, model, tokenizer, **options):
    model.save_pretrained(folder, **options)
    tokenizer.save(folder)
    return folder


def passages(rng, n=6, longest=120):
    """Return pieces of a text, which are of fewer tokens than the context."""
    starts = rng.integers(0, len(TEXT) - longest, n)
    return [TEXT[start : start + int(m)] for start, m in zip(starts, rng.integers(1, longest, n))]


def our_logits(model, ids):
    """Return the logits after each token."""
    states = np.concatenate([piece.states for piece in model.reader_.pieces([ids])])
    return model.reader_.logits(states)


def their_logits(model, ids):
    with torch.inference_mode():
        return model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].numpy()


def largest_difference(ours, theirs, texts):
    found = 0.0
    for ids in begun([ours.tokenizer_.encode(text) for text in texts], ours.coder_):
        ids = ids[: SHAPE["n_positions"]]
        expected = their_logits(theirs, ids)
        assert np.abs(expected).max() > 0.5  # logits of a size that differences mean something
        found = max(found, np.abs(our_logits(ours, ids) - expected).max())
        stepwise = Decoder(ours.reader_.program.network, ours.reader_.program.parameters, B=1).feed(ids[None])
        found = max(found, np.abs(stepwise[0] - expected[-1]).max())
    return found


@pytest.mark.parametrize("case", CASES)
def test_their_checkpoint_gives_the_same_logits(case, seed, rng, tokenizer, tmp_path, record_property):
    theirs = their_model(seed, **CASES[case])
    ours = TransformerLanguageModel.from_pretrained(their_folder(tmp_path, theirs, tokenizer))
    difference = largest_difference(ours, theirs, passages(rng))
    record_property("difference", difference)
    assert difference < 1e-4


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "20KB"}], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_types_of_numbers_and_files(kind, options, seed, rng, tokenizer, tmp_path):
    theirs = their_model(seed).to(getattr(torch, kind))
    ours = TransformerLanguageModel.from_pretrained(their_folder(tmp_path, theirs, tokenizer, **options))
    n_files = len(list(tmp_path.glob("*.safetensors")))
    assert n_files > 2 if options else n_files == 1
    double = kind == "float64"
    assert ours.reader_.program.dtype == (np.float64 if double else np.float32)
    theirs = theirs.double() if double else theirs.float()
    assert largest_difference(ours, theirs, passages(rng)) < (1e-10 if double else 1e-4)


@pytest.mark.parametrize(
    "settings",
    [{}, {"activation": "gelu_tanh", "mlp_ratio": 1.7, "norm_epsilon": 1e-4}, {"tie_embeddings": False, "n_heads": 4}],
    ids=str,
)
def test_our_checkpoint_gives_the_same_logits(settings, seed, rng, tokenizer, tmp_path, record_property):
    made = {"embedding_size": 32, "context_length": SHAPE["n_positions"], "batch_size": 8, "max_steps": 20}
    ours = TransformerLanguageModel(3, tokenizer=tokenizer, random_state=seed, **made, **settings)
    ours.fit(passages(rng, n=40)).save_pretrained(tmp_path)
    theirs, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    difference = largest_difference(ours, theirs.eval(), passages(rng))
    record_property("difference", difference)
    assert difference < 1e-4


def test_tokens_are_the_same(rng, tokenizer, tmp_path):
    their_folder(tmp_path, their_model(0), tokenizer)
    ours = TransformerLanguageModel.from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path / "again")
    for folder in (tmp_path, tmp_path / "again"):
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        for text in [*passages(rng, 30), "naïve 🙂\n\n  two", ""]:
            assert ours.tokenizer_.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"]
    assert len(theirs) == ours.tokenizer_.n_tokens_
    assert (theirs.bos_token_id, theirs.eos_token_id) == (ours.coder_.start, ours.coder_.end) == (0, 0)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_greedy_texts_are_the_same(n_jobs, seed, rng, tokenizer, tmp_path):
    theirs = their_model(seed).double()
    ours = TransformerLanguageModel.from_pretrained(their_folder(tmp_path, theirs, tokenizer)).set_params(n_jobs=n_jobs)
    for prompt in passages(rng, 4, longest=40):
        ids = begun([ours.tokenizer_.encode(prompt)], ours.coder_)[0]
        room = SHAPE["n_positions"] - len(ids)
        given = torch.from_numpy(ids.astype(np.int64))[None]
        mask = torch.ones_like(given)
        written = theirs.generate(given, attention_mask=mask, max_new_tokens=room, do_sample=False, pad_token_id=0)
        said = written[0, len(ids) :].tolist()
        said = said[: said.index(0)] if 0 in said else said
        assert ours.generate(prompt, max_new_tokens=room) == ours.tokenizer_.decode(said)


def test_a_file_of_old_versions_without_a_prefix_and_with_masks(seed, rng, tokenizer, tmp_path):
    theirs = their_model(seed)
    arrays = {name.removeprefix("transformer."): a.numpy() for name, a in theirs.state_dict().items()}
    T = SHAPE["n_positions"]
    for i in range(SHAPE["n_layer"]):
        arrays[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, T, T), np.uint8))
        arrays[f"h.{i}.attn.masked_bias"] = np.float32(-1e4)
    their_folder(tmp_path, theirs, tokenizer)
    safetensors.save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, tmp_path / "model.safetensors")
    ours = TransformerLanguageModel.from_pretrained(tmp_path)
    assert largest_difference(ours, theirs, passages(rng)) < 1e-4
    assert "lm_head.weight" in arrays  # which is wte.weight once more


def test_the_gradient_is_theirs(seed, rng, tokenizer, tmp_path):
    theirs = their_model(seed, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0).double()
    ours = TransformerLanguageModel.from_pretrained(their_folder(tmp_path, theirs, tokenizer))
    program, ids = ours.reader_.program, rng.integers(0, 400, 20)
    whole = type(program)(program.network, (19,), np.float64)
    whole.parameters.flat[:] = program.parameters.flat
    z = whole.forward(ids[None, :-1].astype(np.int32), Mode(train=True))
    p = np.exp(z - z.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    p[0, np.arange(19), ids[1:]] -= 1
    whole.backward(p / 19, Mode(train=True))
    given = torch.from_numpy(ids)[None]
    logits = theirs(given).logits[0, :-1]  # their own loss is of float32
    torch.nn.functional.cross_entropy(logits, given[0, 1:]).backward()
    slopes = {name.removeprefix("transformer."): one.grad.numpy() for name, one in theirs.named_parameters()}
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(gradient, slopes[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_what_is_said_of_the_configuration(seed, tokenizer, tmp_path):
    ours = TransformerLanguageModel.from_pretrained(their_folder(tmp_path, their_model(seed), tokenizer))
    ours.save_pretrained(tmp_path / "again")
    first, again = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, tmp_path / "again"))
    assert again.pop("n_inner") == 4 * SHAPE["n_embd"]
    assert first.pop("n_inner") is None
    assert (first.pop("attn_pdrop"), again.pop("attn_pdrop")) == (0.1, 0.0)
    assert {name: first[name] for name in again} == again
