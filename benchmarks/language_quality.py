"""What language models of skml know of Shakespeare: nats per character of the last tenth of tinyshakespeare.

``SKML_DATA=folder python benchmarks/language_quality.py [nanogpt] [longer] [lstm]`` reads ``tinyshakespeare.txt`` in
that folder; without it there is nothing to measure. "cut" scores the text in pieces of 64 characters, whose first ones
are told from nothing; "whole" as one document, in which a transformer sees at least half a context. nanoGPT's README
gives 1.88 for the first setting (64 of context, 4 layers, 4 heads, 128 wide, batch 12, 2,000 steps).
"""

import os
import pathlib
import sys
import time

import numpy as np

from skml import RNNLanguageModel, TransformerLanguageModel

PIECE = 64
TRAINING = {"learning_rate": "cosine", "learning_rate_init": 0.003, "random_state": 0}
SIZES = {"n_layers": 4, "n_heads": 4, "embedding_size": 128, "weight_decay": 0.1, "max_iter": 100}
MODELS = {
    "nanogpt": TransformerLanguageModel(context_length=64, batch_size=12, max_steps=2000, **SIZES, **TRAINING),
    "longer": TransformerLanguageModel(
        context_length=128,
        batch_size=32,
        max_steps=4000,
        position="rotary",
        dropout=0.1,
        stride=32,
        **SIZES,
        **TRAINING,
    ),
    "lstm": RNNLanguageModel(
        "lstm",
        hidden_size=256,
        embedding_size=128,
        sequence_length=64,
        batch_size=32,
        max_iter=8,
        dropout=0.2,
        **TRAINING,
    ),
}


def nats(model, documents):
    """Return the mean surprisal of a character; the ends of documents, which are cut anywhere, don't count."""
    told = [surprisal[: len(text)] for surprisal, text in zip(model.surprisal(documents), documents)]
    return np.concatenate(told).mean()


def main(wanted):
    """Fit each model on the first nine tenths, and score it on the rest."""
    folder = os.environ.get("SKML_DATA")
    if not folder:
        print("Set SKML_DATA to the folder of tinyshakespeare.txt.")
        return
    text = pathlib.Path(folder, "tinyshakespeare.txt").read_text()
    learnt, rest = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    pieces = [rest[start : start + PIECE] for start in range(0, len(rest), PIECE)]
    print(f"{'model':<10}{'parameters':>12}{'steps':>8}{'seconds':>9}{'processor':>11}{'cut':>8}{'whole':>8}")
    for name in wanted or MODELS:
        wall, processor = time.perf_counter(), time.process_time()
        model = MODELS[name].fit([learnt])
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        figures = f"{nats(model, pieces):>8.3f}{nats(model, [rest]):>8.3f}"
        print(
            f"{name:<10}{model.n_parameters_:>12}{model.n_steps_:>8}{wall:>9.0f}{processor:>11.0f}{figures}", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
