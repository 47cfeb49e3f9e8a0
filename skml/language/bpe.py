"""Byte-level byte-pair encoding (Sennrich et al. 2016) as in GPT-2 (Radford et al. 2019): the core.

A text is bytes, UTF-8; a lone surrogate, which UTF-8 proper doesn't have, is written as the three bytes that its number
would have. GPT-2's pattern cuts the text into pieces, and within a piece neighbours are merged.
"""

import codecs
import functools
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np

from skml._kernels import bpe as kernel

CHUNK = 2**21  # bytes of text that are encoded at a time: a fraction of a second, whatever they are
_PART = 2**18  # bytes of a part of a document
_CUT = re.compile(rb"(?<=[A-Za-z]) ")  # the pattern ends a piece here, whatever comes before and after
_N_CODES = 0x110000
_N_WRITTEN = 0x40000  # from here on there are no letters and no numbers
_LETTER, _NUMBER, _SPACE = 1, 2, 3
# The property White_Space, which the pattern's \s means; the categories alone do not tell, and str.isspace has more.
_SPACES = (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


def _replaced(error):
    """Decode what bytes are no UTF-8: a surrogate as such, anything else as U+FFFD."""
    try:
        return codecs.lookup_error("surrogatepass")(error)
    except UnicodeError:
        return codecs.lookup_error("replace")(error)


codecs.register_error("skml.language", _replaced)


@dataclass(frozen=True)
class Coder:
    """What is needed to encode and decode.

    Attributes
    ----------
    byte_ids : ndarray of shape (256,), int32
        The tokens of the bytes.
    merges : ndarray of shape (n_merges, 2), int32
        The pairs that merge, those of the lowest rank first.
    results : ndarray of shape (n_merges,), int32
        The tokens that they become.
    table : ndarray of shape (n_slots, 2), uint64
        The same as a hash table.
    pieces : tuple of bytes
        What each token spells; special tokens spell nothing.
    """

    byte_ids: np.ndarray
    merges: np.ndarray
    results: np.ndarray
    table: np.ndarray
    pieces: tuple


@functools.cache
def byte_symbols():
    """Return the character that stands for each byte in the files of GPT-2: itself where it can be printed."""
    printed = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printed else next(others)) for byte in range(256))


def alphabet():
    """Return the bytes in the order of the characters that stand for them, which is that of GPT-2's first tokens.

    Returns
    -------
    order : ndarray of shape (256,)
        Of int64.
    """
    return np.argsort(np.array([ord(symbol) for symbol in byte_symbols()]))


@functools.cache
def character_classes():
    r"""Return what the pattern needs to know of each code point: \p{L}, \p{N}, \s or none of these.

    Returns
    -------
    classes : ndarray of shape (1114112,), uint8
        1, 2, 3 and 0; by the Unicode version of Python's :mod:`unicodedata`.
    """
    first = {"L": _LETTER, "N": _NUMBER}
    classes = np.zeros(_N_CODES, dtype=np.uint8)
    categories = map(unicodedata.category, map(chr, range(_N_WRITTEN)))
    classes[:_N_WRITTEN] = [first.get(category[0], 0) for category in categories]
    classes[list(_SPACES)] = _SPACE
    classes.flags.writeable = False
    return classes


def to_bytes(text):
    """Return a text in UTF-8, lone surrogates too."""
    return text.encode("utf-8", "surrogatepass")


def to_text(data):
    """Return the text of UTF-8; what is none becomes U+FFFD, but surrogates."""
    return data.decode("utf-8", "skml.language")


def chunks(documents):
    """Yield parts of documents, about `CHUNK` bytes at a time.

    Parameters
    ----------
    documents : iterable of str
        The texts; long ones are cut where a piece of text ends.

    Yields
    ------
    data : bytes
        The parts in UTF-8, one after the other.
    bounds : ndarray of shape (n_parts + 1,), int64
        Where they begin, and the end.
    firsts : list of bool
        Whether a document begins with each, or goes on.
    """
    waiting, firsts, size = [], [], 0
    for document in documents:
        begin, data = 0, to_bytes(document)
        for end in _ends(data) if len(data) > _PART else (len(data),):
            waiting.append(data[begin:end])
            firsts.append(begin == 0)
            size, begin = size + end - begin, end
            if size >= CHUNK:
                yield *_joined(waiting), firsts
                waiting, firsts, size = [], [], 0
    if waiting:
        yield *_joined(waiting), firsts


def _ends(data):
    """Yield where a document may be cut, every `_PART` bytes or so, and its end."""
    at = _PART
    while cut := _CUT.search(data, at):
        yield cut.start()
        at = cut.start() + _PART
    yield len(data)


def _joined(parts):
    bounds = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=bounds[1:])
    return b"".join(parts), bounds


def split(data, bounds, n_threads):
    """Return, for each byte of documents, whether a piece begins there."""
    begins = np.empty(len(data), dtype=np.uint8)
    kernel.split_text(np.frombuffer(data, np.uint8), bounds, character_classes(), begins, n_threads)
    return begins


def count_pieces(documents, n_threads):
    """Count the pieces that documents consist of.

    Parameters
    ----------
    documents : iterable of str
        The texts.
    n_threads : int
        How many threads to use.

    Returns
    -------
    counts : Counter of bytes
        How often each piece occurs.
    """
    counts = Counter()
    for data, bounds, _ in chunks(documents):
        edges = [*np.flatnonzero(split(data, bounds, n_threads)).tolist(), len(data)]
        counts.update(data[start:end] for start, end in zip(edges, edges[1:]))
    return counts


def learn_merges(counts, first_id, n_merges, min_frequency):
    """Learn merges from pieces: the most frequent pair, the smaller tokens of equally frequent ones.

    Parameters
    ----------
    counts : dict of bytes to int
        How often pieces occur.
    first_id : int
        The token of the first merge; those of the bytes are the 256 before it.
    n_merges : int
        How many merges to learn at most.
    min_frequency : int
        How often a pair must occur.

    Returns
    -------
    merges : ndarray of shape (at most n_merges, 2), int32
        The pairs in the order in which they merge.
    """
    pieces = sorted(counts)
    data, bounds = _joined(pieces)
    frequencies = np.array([counts[piece] for piece in pieces], dtype=np.int64)
    merges = np.empty((min(n_merges, len(data)), 2), dtype=np.int32)  # each joins two neighbours at least once
    text, ids = np.frombuffer(data, np.uint8), _byte_ids(first_id - 256)
    n = kernel.train_merges(text, bounds, frequencies, ids, first_id, min_frequency, merges)
    return merges[:n].copy()


def _byte_ids(first):
    """Return the tokens of the bytes, which are the 256 from `first` in the order of the alphabet."""
    ids = np.empty(256, dtype=np.int32)
    ids[alphabet()] = np.arange(first, first + 256)
    return ids


def learned_coder(merges, n_special):
    """Return the coder of learned merges, whose tokens follow those of the bytes, which follow the special ones."""
    results = np.arange(n_special + 256, n_special + 256 + len(merges), dtype=np.int32)
    pieces = [b""] * n_special + [bytes([byte]) for byte in alphabet()]
    for left, right in merges.tolist():
        pieces.append(pieces[left] + pieces[right])
    return make_coder(_byte_ids(n_special), merges, results, pieces)


def make_coder(byte_ids, merges, results, pieces):
    """Return a coder.

    Parameters
    ----------
    byte_ids : ndarray of shape (256,), int32
        The tokens of the bytes.
    merges : ndarray of shape (n_merges, 2), int32
        Pairs of tokens, those of the lowest rank first, each once.
    results : ndarray of shape (n_merges,), int32
        The tokens that they become.
    pieces : list of bytes
        What each token spells.

    Returns
    -------
    coder : Coder
        Ready to encode.
    """
    table = np.empty((max(2, 1 << (2 * len(merges)).bit_length()), 2), dtype=np.uint64)
    kernel.hash_pairs(merges, results, table)
    return Coder(byte_ids, merges, results, table, tuple(pieces))


def encode(coder, documents, n_threads):
    """Return the tokens of documents.

    Parameters
    ----------
    coder : Coder
        The merges.
    documents : iterable of str
        The texts.
    n_threads : int
        How many threads to use; it changes no result.

    Returns
    -------
    ids : list of ndarray of shape (n_tokens,), int32
        Of each document.
    """
    parts, begins_one = [], []
    for data, bounds, firsts in chunks(documents):
        text = np.frombuffer(data, np.uint8)
        ids, lengths = np.empty(len(text), dtype=np.int32), np.empty(len(bounds) - 1, dtype=np.int64)
        begins = split(data, bounds, n_threads)
        kernel.encode_pieces(text, bounds, begins, coder.byte_ids, coder.table, ids, lengths, n_threads)
        parts += [ids[i : i + n].copy() for i, n in zip(bounds.tolist(), lengths.tolist())]
        begins_one += firsts
    if all(begins_one):
        return parts
    starts = [*np.flatnonzero(begins_one).tolist(), len(parts)]
    return [np.concatenate(parts[start:end]) for start, end in zip(starts, starts[1:])]


def decode(coder, ids):
    """Return the text of tokens."""
    pieces = coder.pieces
    return to_text(b"".join([pieces[i] for i in ids.tolist()]))
