"""Windows: every token is told once, from what comes before it in its document and nothing else."""

import numpy as np
import pytest

from skml.language.reading import spans, window_start
from skml.language.training import TokenLoss, training_data
from skml.language.windows import lanes, packed, padded, queues, stream_of
from skml.network.blocks import transformer
from skml.network.layers import Mode
from skml.network.program import Program

START, END = 8, 9
CUTS = {
    "packed": lambda stream, T: packed(stream, T),
    "padded": lambda stream, T: padded(stream, T),
    "lanes-1": lambda stream, T: lanes(stream, T, 1),
    "lanes-3": lambda stream, T: lanes(stream, T, 3),
    "queues-2": lambda stream, T: queues(stream, T, 2),
    "queues-9": lambda stream, T: queues(stream, T, 9),
}


def documents(rng, longest=17):
    return [rng.integers(0, 8, rng.integers(0, longest)).astype(np.int32) for _ in range(7)]


def told(windows):
    """Return all (token, target) pairs."""
    there = windows.targets >= 0
    return sorted(zip(windows.X[:, 0][there].tolist(), windows.targets[there].tolist()))


def test_a_stream_by_hand():
    stream = stream_of([np.array([1, 2], np.int32), np.array([], np.int32)], np.array([1.0, 2.0]), START, END)
    assert stream.tokens.tolist() == [START, 1, 2, START]
    assert stream.targets.tolist() == [1, 2, END, END]
    assert stream.start.tolist() == [0, 0, 0, 3]
    assert stream.weights.tolist() == [1, 1, 1, 2]
    windows = packed(stream, 3)
    assert windows.X[:, 0].tolist() == [[START, 1, 2], [START, 0, 0]]
    assert windows.targets.tolist() == [[1, 2, END], [END, -1, -1]]
    assert padded(stream, 2).targets.tolist() == [[1, 2], [END, -1], [END, -1]]
    assert padded(stream, 2).X[:, 1].tolist() == [[0, 0], [0, 0], [0, 0]]
    assert packed(stream, 5).X[0, 1].tolist() == [0, 0, 0, 3, 0]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("T", [1, 2, 5, 40])
def test_every_token_is_told_once(cut, T, rng):
    sequences, weights = documents(rng), rng.integers(1, 4, 7) * 1.0
    stream = stream_of(sequences, weights, START, END)
    windows = CUTS[cut](stream, T)
    assert windows.X.shape[1:] == (2, T)
    assert told(windows) == sorted(zip(stream.tokens.tolist(), stream.targets.tolist()))
    assert np.isclose(windows.weights.sum(), stream.weights.sum())
    assert ((windows.X[:, 1] <= np.arange(T)) & (windows.X[:, 1] >= -1)).all()


def read_like_a_cell(windows, B):
    """Return, for each told token, the tokens that a cell remembers: rows of batches go on where `first` lets them."""
    memory, found = [[] for _ in range(B)], []
    for i, (row, targets) in enumerate(zip(windows.X, windows.targets)):
        for t, (token, first, target) in enumerate(zip(*row, targets)):
            memory[i % B] = [token] if first == t else [*memory[i % B], token]
            if target >= 0:
                found.append((tuple(memory[i % B]), target))
    return sorted(found)


@pytest.mark.parametrize("T", [1, 3, 8])
@pytest.mark.parametrize("B", [1, 2, 5])
def test_a_cell_remembers_the_document_so_far(T, B, rng):
    sequences = documents(rng)
    stream = stream_of(sequences, np.ones(7), START, END)
    whole = [(START, *ids.tolist()) for ids in sequences]
    expected = sorted((one[: t + 1], (*one[1:], END)[t]) for one in whole for t in range(len(one)))
    assert read_like_a_cell(queues(stream, T, B), B) == expected
    found = read_like_a_cell(lanes(stream, T, B), B)
    assert len(found) == len(expected)
    if B == 1:
        assert found == expected
    # a lane that begins in the midst of a document knows less, and never anything else
    every = {one[s : t + 1] for one in whole for t in range(len(one)) for s in range(t + 1)}
    assert all(memory in every for memory, _ in found)
    assert sum(memory[0] != START for memory, _ in found) <= (B - 1) * 17


def test_packed_windows_and_padded_ones_have_the_same_loss_and_gradient(rng):
    sequences = [rng.integers(0, 8, n).astype(np.int32) for n in (2, 1, 0, 3, 2)]
    stream = stream_of(sequences, rng.integers(1, 4, 5) * 1.0, START, END)
    network = transformer(10, 16, n_layers=2, n_heads=2, width=8)
    gradients, losses = [], []
    for windows in (packed(stream, 16), padded(stream, 4)):
        program, data = Program(network, windows.X.shape[1:], np.float64, seed=1), training_data(windows)
        mode, loss = Mode(train=True), TokenLoss()
        weights = loss.weights(data.y, None)
        found, dz = loss(program.forward(windows.X.astype(float), mode), data.y, weights)
        program.backward(dz, mode)
        losses.append(found @ weights / weights.sum())
        gradients.append(program.gradients.flat.copy())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_spans_cover_each_moment_once_with_the_window_that_writing_would_have(length):
    for stride in range(1, length + 1):
        for n in range(1, 23):
            found = spans(n, length, stride)
            told = [t for start, stop, skip in found for t in range(start + skip, stop)]
            assert told == list(range(n))
            for start, stop, skip in found:
                assert stop - start <= length
                assert all(window_start(t + 1, length, stride) == start for t in range(start + skip, stop))
