"""Language models on the text of Python's own help, beside how well the last letters alone tell the next one."""

import collections
import math
import pydoc_data.topics

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from sklearn.callback import ProgressBar

from skml import RNNLanguageModel, TransformerLanguageModel
from skml.vision import HistoryDisplay

N_LETTERS, HELD = 100_000, 10_000
ORDER = 2
LONG = {"batch_size": 8, "learning_rate": "cosine", "learning_rate_init": 0.005}


def n_gram_bits(text, held):
    """Return the bits a letter takes after the last ones, by counts to which a share of shorter contexts is added."""
    counts = [collections.defaultdict(collections.Counter) for _ in range(ORDER + 1)]
    for i in range(ORDER, len(text)):
        for k, of in enumerate(counts):
            of[text[i - k : i]][text[i]] += 1
    bits, n = 0.0, len(set(text)) + 1
    for i in range(ORDER, len(held)):
        p = 1 / n
        for k, of in enumerate(counts):
            seen = of.get(held[i - k : i], {})
            p = (seen.get(held[i], 0) + 2 * p) / (sum(seen.values()) + 2)
        bits -= math.log2(p)
    return bits / (len(held) - ORDER)


def visit(pictures, timed):
    """Return rows of (what, score, skml, seconds, peer, seconds)."""
    text = "".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    text, held = text[HELD : HELD + N_LETTERS], text[:HELD]
    peer, peer_seconds = timed(lambda: n_gram_bits(text, held))
    models = {
        "LSTM": RNNLanguageModel("lstm", hidden_size=96, batch_size=16, max_iter=5, random_state=0),
        "transformer": TransformerLanguageModel(2, n_heads=4, embedding_size=64, max_iter=8, random_state=0, **LONG),
    }
    rows, figure = [], plt.figure(figsize=(6, 4), layout="constrained")
    for name, model in models.items():
        _, seconds = timed(lambda model=model: model.set_callbacks(ProgressBar()).fit([text]))
        bits = model.bits_per_character([held])
        rows.append((f"{name}, help of Python ({ORDER + 1}-grams)", "bits a letter", bits, seconds, peer, peer_seconds))
        line = model.generate("The ", 60, strategy="sample", temperature=0.7, random_state=0)
        print(f"{name} writes: {('The ' + line)!r}")
    HistoryDisplay.from_estimator(models["LSTM"], figures=["loss"], ax=figure.subplots())
    figure.savefig(pictures / "language.png", dpi=120)
    plt.close(figure)
    return rows
