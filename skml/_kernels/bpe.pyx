"""Byte-level byte-pair encoding: pieces of text, merges learned from them, and texts as tokens."""

import numpy as np

import skml._kernels as _kernels

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

ctypedef int (*breathe_t)() except -1 nogil

cdef extern from "bpe_split.hpp" namespace "skml_bpe" nogil:
    cdef cppclass Text:
        const uint8_t* bytes
        const uint8_t* classes
        int64_t end
    void split(const Text&, int64_t, uint8_t*) noexcept

cdef extern from "bpe_pairs.hpp" namespace "skml_bpe" nogil:
    cdef cppclass Slot:
        uint64_t key, value
    cdef cppclass Pairs:
        const Slot* slots
        int64_t mask
        int64_t find(uint64_t) noexcept
    uint64_t key_of(int32_t, int32_t) noexcept
    const uint64_t NONE

cdef extern from "bpe_encode.hpp" namespace "skml_bpe" nogil:
    cdef cppclass Model:
        const int32_t* byte_ids
        Pairs pairs
    int encode(const Model&, const uint8_t*, const uint8_t*, const int64_t*, int64_t, int64_t, int32_t*,
               int64_t*) noexcept

cdef extern from "bpe_train.hpp" namespace "skml_bpe" nogil:
    cdef cppclass Pieces:
        const uint8_t* text
        const int64_t* bounds
        const int64_t* counts
        int64_t n
    int64_t train(const Pieces&, const int32_t*, int32_t, int64_t, int64_t, int32_t*, breathe_t) except -1

include "checks.pxi"

cdef enum:
    N_CODES = 0x110000  # code points
    LONG = 1 << 18  # bytes that the documents of a group have together


cdef int _breathe() except -1 nogil:
    """See to signals, and to whoever wants this thread to stop."""
    with gil:
        PyErr_CheckSignals()
        _kernels.breathe()
    return 0


cdef int _check_bounds(const int64_t[::1] bounds, Py_ssize_t n_bytes) except -1:
    cdef Py_ssize_t i
    if bounds.shape[0] == 0 or bounds[0] != 0 or bounds[bounds.shape[0] - 1] != n_bytes:
        raise ValueError(f"bounds must begin with 0 and end with the {n_bytes} bytes of the text.")
    for i in range(bounds.shape[0] - 1):
        if bounds[i] > bounds[i + 1]:
            raise ValueError(f"bounds decreases after entry {i}.")
    return 0


cdef Pairs _pairs(const uint64_t[:, ::1] table) except *:
    cdef Pairs pairs
    cdef Py_ssize_t n = table.shape[0]
    if table.shape[1] != 2 or n < 2 or n & (n - 1):
        raise ValueError(f"table must have a power of two of slots, of two numbers, got {n} x {table.shape[1]}.")
    pairs.slots, pairs.mask = <const Slot*> &table[0, 0], n - 1
    return pairs


cdef int _check_free(const uint64_t[:, ::1] table) except -1:
    """Raise unless a slot is free: else a search might never end."""
    cdef Py_ssize_t i
    for i in range(table.shape[0]):
        if table[i, 0] == NONE:
            return 0
    raise ValueError("table has no free slot.")


cdef int64_t[::1] _groups(const int64_t[::1] bounds):
    """Return where groups of documents begin, and the end; a group is one thread's, and remembers pieces."""
    cdef Py_ssize_t i, n = 0
    cdef int64_t[::1] groups = np.zeros(bounds.shape[0], dtype=np.int64)
    for i in range(1, bounds.shape[0]):
        if bounds[i] - bounds[groups[n]] >= LONG or i == bounds.shape[0] - 1:
            n += 1
            groups[n] = i
    return groups[:n + 1]


cdef inline Text _document(const uint8_t* text, const uint8_t* classes, int64_t end) noexcept nogil:
    cdef Text document
    document.bytes, document.classes, document.end = text, classes, end
    return document


def split_text(
    const uint8_t[::1] text,  # in: documents in UTF-8, one after the other
    const int64_t[::1] bounds,  # in: (n_documents + 1,), where they begin, and the end
    const uint8_t[::1] classes,  # in: (0x110000,), of code points: 1 letter, 2 number, 3 white space, 0 other
    uint8_t[::1] begins,  # out: of each byte, whether a piece begins there
    int n_threads,
):
    """Cut documents into the pieces that GPT-2's pattern finds."""
    cdef Py_ssize_t i, n = bounds.shape[0] - 1
    _check_threads(n_threads)
    _check_bounds(bounds, text.shape[0])
    _same((text.shape[0], begins.shape[0]), "text and begins")
    _same((classes.shape[0], N_CODES), "classes and the code points")
    if text.shape[0] == 0:
        return
    for i in prange(n, nogil=True, num_threads=n_threads, schedule="dynamic"):
        split(_document(&text[0], &classes[0], bounds[i + 1]), bounds[i], &begins[0])


def train_merges(
    const uint8_t[::1] text,  # in: distinct pieces, one after the other
    const int64_t[::1] bounds,  # in: (n_pieces + 1,), where they begin, and the end
    const int64_t[::1] counts,  # in: (n_pieces,), how often each occurs
    const int32_t[::1] byte_ids,  # in: (256,), the tokens of bytes, below first_id
    int32_t first_id,  # the token of the first merge
    int64_t least,  # how often a pair must occur
    int32_t[:, ::1] merges,  # out: (most, 2), the pairs in the order in which they are merged
):
    """Merge the most frequent pair of neighbours again and again, the smaller tokens of equals; return how often.

    A pair that spells a token which is there already is passed over.
    """
    cdef Pieces pieces
    cdef int64_t n_merges, most = merges.shape[0]
    _check_bounds(bounds, text.shape[0])
    _same((bounds.shape[0] - 1, counts.shape[0]), "the pieces and counts")
    _same((byte_ids.shape[0], 256), "byte_ids and the bytes")
    _check_indices(byte_ids, "byte_ids", 0, first_id)
    if merges.shape[1] != 2 or text.shape[0] >= 2**31 - 1 or first_id + most >= 2**31 - 1 or least < 1:
        raise ValueError("merges must be pairs, least positive, and the text and the tokens fewer than 2^31.")
    if text.shape[0] == 0 or most == 0:
        return 0
    pieces.text, pieces.bounds, pieces.counts, pieces.n = &text[0], &bounds[0], &counts[0], counts.shape[0]
    with nogil:
        n_merges = train(pieces, &byte_ids[0], first_id, most, least, &merges[0, 0], _breathe)
    if n_merges < 0:
        raise MemoryError("There is too little memory to learn merges from that much text.")
    return n_merges


def hash_pairs(
    const int32_t[:, ::1] pairs,  # in: (n, 2), distinct
    const int32_t[::1] tokens,  # in: (n,), what they become
    uint64_t[:, ::1] table,  # out: (a power of two from 2 n up, 2), pairs and rank << 32 | token
):
    """Fill a hash table of merges; a pair's rank is its row."""
    cdef Py_ssize_t i, n = pairs.shape[0], at
    cdef Pairs slots = _pairs(table)
    _same((n, tokens.shape[0]), "pairs and tokens")
    if pairs.shape[1] != 2 or table.shape[0] < 2 * n:
        raise ValueError("pairs must be pairs, and the table have two slots for each.")
    table[:, :] = NONE
    for i in range(n):
        at = slots.find(key_of(pairs[i, 0], pairs[i, 1]))
        table[at, 0], table[at, 1] = key_of(pairs[i, 0], pairs[i, 1]), key_of(<int32_t> i, tokens[i])


def encode_pieces(
    const uint8_t[::1] text,  # in: documents, one after the other
    const int64_t[::1] bounds,  # in: (n_documents + 1,), where they begin, and the end
    const uint8_t[::1] begins,  # in: of each byte, whether a piece begins there
    const int32_t[::1] byte_ids,  # in: (256,), the tokens of bytes
    const uint64_t[:, ::1] table,  # in: of `hash_pairs`
    int32_t[::1] ids,  # out: (n_bytes,), the tokens of a document from where its first byte is
    int64_t[::1] lengths,  # out: (n_documents,), how many these are
    int n_threads,
):
    """Merge the bytes of each piece, the pair of the lowest rank first, the leftmost of equals."""
    cdef Py_ssize_t k, n = lengths.shape[0], n_groups
    cdef Model model
    cdef int failed = 0
    _check_threads(n_threads)
    _check_bounds(bounds, text.shape[0])
    _same((bounds.shape[0] - 1, n), "the documents and lengths")
    _same((text.shape[0], begins.shape[0], ids.shape[0]), "text, begins and ids")
    _same((byte_ids.shape[0], 256), "byte_ids and the bytes")
    _check_free(table)
    model.pairs, model.byte_ids = _pairs(table), &byte_ids[0]
    lengths[:] = 0
    if text.shape[0] == 0:
        return
    cdef int64_t[::1] groups = _groups(bounds)
    n_groups = groups.shape[0] - 1
    for k in prange(n_groups, nogil=True, num_threads=n_threads, schedule="dynamic"):
        failed |= encode(model, &text[0], &begins[0], &bounds[0], groups[k], groups[k + 1], &ids[0], &lengths[0])
    if failed:
        raise MemoryError("There is too little memory to encode a long piece of text.")
