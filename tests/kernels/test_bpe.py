"""The kernels of byte-pair encoding against their twins, and what the entries refuse."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skml import _kernels
from skml._kernels import bpe
from skml._kernels.reference import bpe as twin
from skml.language.bpe import character_classes

ALPHABETS = (
    "a",
    "ab",
    "ab '",
    "abc xyz 019 'st're'll",
    " \t\n\r\u00a0\u2003a'",
    "é\u0301ñ日本٣½²😀🇩🇪\ud800\udfff a1.'",
)
BYTE_IDS = np.random.default_rng(0).permutation(256).astype(np.int32)


def documents(rng, alphabet, n, longest=40):
    return ["".join(rng.choice(list(alphabet), rng.integers(0, longest + 1))) for _ in range(n)]


def joined(texts):
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    bounds = np.append(0, np.cumsum([len(one) for one in data])).astype(np.int64)
    return np.frombuffer(b"".join(data), np.uint8), bounds


def split(module, text, bounds, n_threads=1):
    begins = np.full(len(text), 7, dtype=np.uint8)
    module.split_text(text, bounds, character_classes(), begins, n_threads)
    return begins


def train(module, text, bounds, counts, most, least=1):
    merges = np.zeros((most, 2), dtype=np.int32)
    n = module.train_merges(text, bounds, counts, BYTE_IDS, 256, least, merges)
    return merges[:n]


def table_of(module, merges, tokens):
    table = np.empty((max(2, 1 << (2 * len(merges)).bit_length()), 2), dtype=np.uint64)
    module.hash_pairs(merges, tokens, table)
    return table


def encode(module, text, bounds, begins, table, n_threads=1):
    ids, lengths = np.full(len(text), -1, dtype=np.int32), np.empty(len(bounds) - 1, dtype=np.int64)
    module.encode_pieces(text, bounds, begins, BYTE_IDS, table, ids, lengths, n_threads)
    return [ids[start : start + n].tolist() for start, n in zip(bounds, lengths)]


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("n", [0, 1, 7, 60])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_pieces_as_the_twin(rng, alphabet, n, n_threads):
    text, bounds = joined(documents(rng, alphabet, n))
    assert_array_equal(split(bpe, text, bounds, n_threads), split(twin, text, bounds))


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("n", [0, 1, 12])
@pytest.mark.parametrize("least", [1, 3])
def test_merges_as_the_twin(rng, alphabet, n, least):
    text, bounds = joined(documents(rng, alphabet, n))
    counts = rng.integers(1, 5, n)
    ours, theirs = (train(module, text, bounds, counts, 40, least) for module in (bpe, twin))
    assert_array_equal(ours, theirs)


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("longest", [3, 30, 300])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_tokens_as_the_twin(rng, alphabet, longest, n_threads):
    text, bounds = joined(documents(rng, alphabet, 25, longest))
    begins = split(twin, text, bounds)
    merges = train(twin, text, bounds, np.ones(25, dtype=np.int64), 30)
    # ranks of any order, as broken files may have them: a merge may come before what it needs
    shuffled = rng.permutation(len(merges))
    tables = [table_of(bpe, merges, np.arange(256, 256 + len(merges), dtype=np.int32))]
    tables += [table_of(bpe, merges[shuffled], (256 + shuffled).astype(np.int32))]
    for table in tables:
        for where in (begins, (rng.uniform(size=len(text)) < 0.02).astype(np.uint8)):
            ours = encode(bpe, text, bounds, where, table, n_threads)
            assert ours == encode(twin, text, bounds, where, table)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_tables_as_the_twin(rng, n):
    pairs = np.stack(np.unravel_index(rng.choice(300 * 300, n, replace=False), (300, 300)), axis=1).astype(np.int32)
    tokens = rng.integers(0, 2**31 - 1, n).astype(np.int32)
    table = table_of(bpe, pairs, tokens)
    assert_array_equal(table, table_of(twin, pairs, tokens))
    found = {(int(key) >> 32, int(key) % 2**32): int(value) for key, value in table if key != 2**64 - 1}
    assert found == {
        tuple(pair): rank << 32 | token for rank, (pair, token) in enumerate(zip(pairs.tolist(), tokens.tolist()))
    }


def test_pieces_met_before_have_the_same_tokens(rng):
    # long documents remember pieces, short ones do not
    words = documents(rng, "abcd", 300, 18)
    texts = [" ".join(rng.choice(words, 4000))]
    text, bounds = joined(texts)
    begins = split(bpe, text, bounds)
    counts = np.ones(1, dtype=np.int64)
    merges = train(bpe, text, bounds, counts, 60)
    table = table_of(bpe, merges, np.arange(256, 256 + len(merges), dtype=np.int32))
    (whole,) = encode(bpe, text, bounds, begins, table)
    edges = np.append(np.flatnonzero(begins), len(text)).astype(np.int64)
    assert len(text) > 2**13
    assert whole == [token for start, end in zip(edges, edges[1:]) for token in alone(text[start:end], table)]


def alone(piece, table):
    bounds = np.array([0, len(piece)], dtype=np.int64)
    return encode(bpe, piece, bounds, np.zeros(len(piece), np.uint8), table)[0]


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="it is for twins")
def test_a_long_piece_is_no_trouble():
    # a search for each merge would take hours
    n = 2**20
    text, bounds = np.full(n, 97, dtype=np.uint8), np.array([0, n], dtype=np.int64)
    merges = train(bpe, text, bounds, np.ones(1, dtype=np.int64), 20)
    table = table_of(bpe, merges, np.arange(256, 276, dtype=np.int32))
    assert encode(bpe, text, bounds, split(bpe, text, bounds), table) == [[275]]


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin reads text alone")
def test_bytes_that_are_no_text_are_cut_somewhere(rng):
    for n in (1, 2, 50):
        text = np.frombuffer(rng.bytes(n), np.uint8)
        for bounds in ([0, n], [0, n // 2, n]):
            begins = split(bpe, text, np.array(bounds, dtype=np.int64))
            assert set(begins.tolist()) <= {0, 1}
            assert all(begins[i] for i, j in zip(bounds, bounds[1:]) if i < j)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin is not told to stop")
def test_learning_stops_when_it_is_told_to(rng):
    text, bounds = joined(documents(rng, "abc", 50))
    told = threading.Event()
    told.set()
    with _kernels.stoppable(told), pytest.raises(_kernels.Stopped):
        train(bpe, text, bounds, np.ones(50, dtype=np.int64), 40)


def refused(function, *arguments):
    with pytest.raises(ValueError):
        function(*arguments)


@pytest.mark.parametrize("bounds", [[], [0], [1, 4], [0, 3], [0, 5], [0, 3, 2, 4], [0, -1, 4]])
def test_bounds_that_are_none_are_refused(bounds):
    text, bounds = np.full(4, 97, dtype=np.uint8), np.array(bounds, dtype=np.int64)
    counts = np.ones(max(0, len(bounds) - 1), dtype=np.int64)
    refused(split, bpe, text, bounds)
    refused(train, bpe, text, bounds, counts, 2)
    refused(encode, bpe, text, bounds, np.ones(4, np.uint8), np.full((2, 2), 2**64 - 1, dtype=np.uint64))


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
def test_the_entries_refuse_what_does_not_fit():
    text, bounds, byte = np.full(4, 97, dtype=np.uint8), np.array([0, 4]), np.ones(4, dtype=np.uint8)
    classes, counts, merges = character_classes(), np.ones(1, dtype=np.int64), np.zeros((2, 2), dtype=np.int32)
    refused(bpe.split_text, text, bounds, classes[:-1], byte.copy(), 1)
    refused(bpe.split_text, text, bounds, classes, byte[:3].copy(), 1)
    refused(bpe.split_text, text, bounds, classes, byte.copy(), 0)
    refused(bpe.train_merges, text, bounds, counts[:0], BYTE_IDS, 256, 1, merges)
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS[:255], 256, 1, merges)
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS, 255, 1, merges)
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS - np.int32(1), 256, 1, merges)
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS, 256, 0, merges)
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS, 256, 1, np.zeros((2, 3), dtype=np.int32))
    refused(bpe.train_merges, text, bounds, counts, BYTE_IDS, 2**31 - 2, 1, merges)
    for shape in ((0, 2), (1, 2), (3, 2), (2, 2), (4, 3)):
        refused(bpe.hash_pairs, merges, np.zeros(2, np.int32), np.zeros(shape, dtype=np.uint64))
    refused(bpe.hash_pairs, merges, np.zeros(1, np.int32), np.zeros((4, 2), dtype=np.uint64))
    free, full = np.full((2, 2), 2**64 - 1, dtype=np.uint64), np.zeros((2, 2), dtype=np.uint64)
    ids, lengths = np.zeros(4, dtype=np.int32), np.zeros(1, dtype=np.int64)
    refused(bpe.encode_pieces, text, bounds, byte, BYTE_IDS, full, ids, lengths, 1)
    refused(bpe.encode_pieces, text, bounds, byte, BYTE_IDS[:9], free, ids, lengths, 1)
    refused(bpe.encode_pieces, text, bounds, byte[:3], BYTE_IDS, free, ids, lengths, 1)
    refused(bpe.encode_pieces, text, bounds, byte, BYTE_IDS, free, ids[:3], lengths, 1)
    refused(bpe.encode_pieces, text, bounds, byte, BYTE_IDS, free, ids, lengths[:0], 1)
    refused(bpe.encode_pieces, text, bounds, byte, BYTE_IDS, free, ids, lengths, 0)
