"""Twin of bpe.pyx: byte-level byte-pair encoding, by the definition."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np

# GPT-2's pattern, for a text in which all letters but those of contractions are L, numbers N, white space other than
# blanks _, and everything else but apostrophes O.
_PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[Lstrevmld]+| ?N+| ?[O']+|[ _]+(?![^ _])|[ _]+")
_NONE = np.uint64(2**64 - 1)


def split_text(text, bounds, classes, begins, n_threads):
    """Cut documents into the pieces that GPT-2's pattern finds."""
    _require_bounds(bounds, text)
    if len(begins) != len(text):
        raise ValueError("text and begins disagree.")
    begins[:] = 0
    for start, end in pairwise(bounds.tolist()):
        document = text[start:end].tobytes().decode("utf-8", "surrogatepass")
        kinds = "".join(c if c in "'strevmld " else "OLN_"[classes[ord(c)]] for c in document)
        sizes = [len(c.encode("utf-8", "surrogatepass")) for c in document]
        places = start + np.cumsum([0, *sizes])
        begins[places[[found.start() for found in _PATTERN.finditer(kinds)]]] = 1


def _require_bounds(bounds, text):
    if len(bounds) == 0 or bounds[0] != 0 or bounds[-1] != len(text) or np.any(np.diff(bounds) < 0):
        raise ValueError("bounds must rise from 0 to the length of the text.")


def train_merges(text, bounds, counts, byte_ids, first_id, least, merges):
    """Merge the most frequent pair of neighbours again and again, the smaller tokens of equals; return how often.

    A pair that spells a token which is there already is passed over.
    """
    _require_bounds(bounds, text)
    if len(bounds) != len(counts) + 1 or len(byte_ids) != 256 or merges.shape[1] != 2 or least < 1:
        raise ValueError("The pieces, their counts and the merges disagree.")
    pieces = [byte_ids[text[start:end]].tolist() for start, end in pairwise(bounds)]
    spelled, passed, n = {int(i): bytes([b]) for b, i in enumerate(byte_ids)}, set(), 0
    while n < len(merges) and (pair := _most_frequent(pieces, counts, passed, least)):
        passed.add(pair)
        word = spelled[pair[0]] + spelled[pair[1]]
        if word not in spelled.values():
            merges[n], spelled[first_id + n] = pair, word
            pieces = [_replaced(piece, pair, first_id + n) for piece in pieces]
            n += 1
    return n


def _most_frequent(pieces, counts, passed, least):
    found = Counter()
    for piece, count in zip(pieces, counts.tolist()):
        for pair in pairwise(piece):
            found[pair] += count
    kept = [(-count, pair) for pair, count in found.items() if count >= least and pair not in passed]
    return min(kept)[1] if kept else None


def _replaced(piece, pair, token):
    out, i = [], 0
    while i < len(piece):
        here = tuple(piece[i : i + 2]) == pair
        out.append(token if here else piece[i])
        i += 1 + here
    return out


def hash_pairs(pairs, tokens, table):
    """Fill a hash table of merges; a pair's rank is its row."""
    if len(pairs) != len(tokens) or pairs.shape[1] != 2 or table.shape[1] != 2 or len(table) < max(2, 2 * len(pairs)):
        raise ValueError("pairs and tokens disagree, or the table is too small.")
    if len(table) & (len(table) - 1):
        raise ValueError("The table must have a power of two of slots.")
    table[:] = _NONE
    for rank, ((left, right), token) in enumerate(zip(pairs.tolist(), tokens.tolist())):
        key = left << 32 | right
        at = key * 0x9E3779B97F4A7C15 % 2**64
        at = (at ^ at >> 32) % len(table)
        while table[at, 0] != _NONE:
            at = (at + 1) % len(table)
        table[at] = key, rank << 32 | token


def encode_pieces(text, bounds, begins, byte_ids, table, ids, lengths, n_threads):
    """Merge the bytes of each piece, the pair of the lowest rank first, the leftmost of equals."""
    _require_bounds(bounds, text)
    if len(bounds) != len(lengths) + 1 or not len(text) == len(begins) == len(ids) or not np.any(table[:, 0] == _NONE):
        raise ValueError("The documents, begins, ids and the table disagree.")
    merges = {tuple(divmod(key, 2**32)): value for key, value in table.tolist() if key != int(_NONE)}
    for d, (start, end) in enumerate(pairwise(bounds.tolist())):
        edges = sorted({start, end, *(start + np.flatnonzero(begins[start:end])).tolist()})
        tokens = [token for i, j in pairwise(edges) for token in _merged(byte_ids[text[i:j]].tolist(), merges)]
        ids[start : start + len(tokens)], lengths[d] = tokens, len(tokens)


def _merged(piece, merges):
    while found := [(merges[pair], i) for i, pair in enumerate(pairwise(piece)) if pair in merges]:
        value, i = min(found)
        piece[i : i + 2] = [value % 2**32]
    return piece
