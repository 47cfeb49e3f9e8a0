"""skml.language beside its peers. So far: BPETokenizer beside the package ``tokenizers``, where that is installed.

``python benchmarks/language.py`` takes the text of Python's own documentation; with ``SKML_DATA=folder`` also
``tinyshakespeare.txt`` in that folder. Processor time, one thread each; ratios above 1 are in our favour.
"""

import functools
import os
import pathlib
import time
from pydoc_data import topics

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")  # before tokenizers is imported

import _bench  # noqa: E402

from skml import BPETokenizer  # noqa: E402

try:
    import tokenizers
except ImportError:
    tokenizers = None


row = functools.partial(_bench.row, widths=(46, 12, 12, 9, 20))


def texts():
    """Yield (name, text): English of some hundred kB, one long word of it, the same with longer characters, plays."""
    english = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    yield "pydoc topics", english
    yield "a word of 20 000 letters", "".join(filter(str.isalpha, english))[:20_000]
    yield "emoji and accents", english.replace("the", "🙂").replace("e", "é")
    folder = os.environ.get("SKML_DATA")
    path = pathlib.Path(folder, "tinyshakespeare.txt") if folder else None
    if path is not None and path.exists():
        yield "tinyshakespeare", path.read_text()


def trained_peer(text, size):
    """Return a tokenizer of the peer, trained as ours is."""
    peer = tokenizers.Tokenizer(tokenizers.models.BPE())
    peer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": size, "min_frequency": 2, "initial_alphabet": alphabet, "show_progress": False}
    peer.train_from_iterator([text], tokenizers.trainers.BpeTrainer(**options))
    return peer


def speed(ours, peer, megabytes, repeat=5):
    """Return our megabytes per second, theirs, and their ratio; NaN without a peer."""
    mine, theirs, ratio = _bench.compare(ours, peer or (lambda: None), repeat, time.process_time)
    return megabytes / mine, megabytes / theirs if peer else float("nan"), ratio if peer else float("nan")


def byte_pairs(name, text, n_merges):
    """Print a line each for learning merges, for encoding and for decoding."""
    megabytes, size = len(text.encode()) / 1e6, 256 + n_merges
    learn = functools.partial(BPETokenizer(size, special_tokens=None, n_jobs=1).fit, [text])
    ours, peer = learn(), trained_peer(text, size) if tokenizers else None
    ids = ours.encode(text)
    same = "" if peer is None else f"same tokens: {peer.encode(text).ids == ids.tolist()}"
    learns = functools.partial(trained_peer, text, size) if peer else None
    row(f"learn {n_merges} merges, {name}", *speed(learn, learns, megabytes), same)
    encodes = functools.partial(peer.encode, text) if peer else None
    row(f"encode, {n_merges} merges", *speed(functools.partial(ours.encode, text), encodes, megabytes))
    tokens = ids.tolist()
    decodes = functools.partial(peer.decode, tokens) if peer else None
    row(f"decode, {n_merges} merges", *speed(functools.partial(ours.decode, ids), decodes, megabytes))


if __name__ == "__main__":
    row("task and text", "ours MB/s", "peer MB/s", "ratio")
    for title, content in texts():
        for count in (1000, 10_000):
            byte_pairs(title, content, count)
