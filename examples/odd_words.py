"""Which letters of a sentence surprise a transformer, and what its heads look at when it reads them.

The model is fitted on the sentences of a text that every Python has, its own help.
"""

import pydoc_data.topics
import re

from skml import TransformerLanguageModel

SENTENCE = "The expression is evaluated before the xylophone."


def sentences():
    """Return the sentences of a part of Python's help."""
    text = " ".join(
        pydoc_data.topics.topics[name] for name in ("assignment", "calls", "compound", "exprlists", "function")
    )
    text = re.sub(r"[*\"|`=+]|\s+", " ", text)
    found = re.findall(r"[A-Z][a-z ,]{30,150}\.", re.sub(" +", " ", text))
    return sorted(set(found))


def main():
    """Fit, and look at a sentence."""
    X = sentences()
    settings = {"embedding_size": 64, "n_heads": 4, "batching": "pad", "learning_rate": "cosine"}
    model = TransformerLanguageModel(
        2, context_length=96, learning_rate_init=0.005, max_iter=14, random_state=0, **settings
    )
    model.fit(X)
    print(f"{len(X)} sentences, {model.bits_per_character(X):.2f} bits a letter")
    surprisal = model.surprisal([SENTENCE])[0]
    at = 0
    for word in SENTENCE.split(" "):
        part = surprisal[at : at + len(word)]
        print(f"{word:<14}{part.sum():5.1f} nats  {'#' * round(part.sum())}")
        at += len(word) + 1
    weights = model.attention_weights([SENTENCE], layer=0)[0]
    print("back from the last letter, each head of the first block looks at:")
    for head, row in enumerate(weights[:, -1]):
        seen = sorted(row.argsort()[::-1][:3])
        print(f"  {head}: " + ", ".join(f"{row[i]:.2f} on {('^' + SENTENCE)[i]!r} at {i}" for i in seen))


if __name__ == "__main__":
    main()
