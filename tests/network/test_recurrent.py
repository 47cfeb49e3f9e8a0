"""Recurrent layers: a linear recurrence by hand, gradients by differences, states that go on, and steps one by one."""

import tracemalloc

import numpy as np
import pytest
from _contract.gradients import Run, check_gradients, check_layer

from skml.network import (
    Adam,
    Cell,
    EmbeddedRecurrent,
    Embedding,
    Job,
    Linear,
    Mode,
    Plan,
    Program,
    Recurrent,
    RecurrentStep,
    SequenceCrossEntropy,
    Sequences,
    Sequential,
    Trail,
    recurrent_backward,
    recurrent_forward,
    recurrent_step,
)
from skml.network.training import step

TRAIN = Mode(train=True)
CELLS = [Cell("rnn"), Cell("rnn", "relu"), Cell("rnn", "identity"), Cell("gru"), Cell("lstm")]
each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.name}-{cell.activation}")


def test_linear_recurrence_by_hand():
    """h_t = W_hh h_{t-1} + W_hx x_t for T = 3, the loss L = h_3: all gradients as one writes them down."""
    w_hh, w_hx, x, h_0 = 0.5, 3.0, (1.0, 2.0, -4.0), 8.0
    trail, state = Trail(Cell("rnn", "identity"), (1, 3, 1), np.float64), np.full((1, 1, 1), h_0)
    first = np.full((1, 3), -1, np.int32)  # the sequence goes on from h_0
    inputs = w_hx * np.array(x).reshape(3, 1)
    h = recurrent_forward(inputs, np.full((1, 1), w_hh), np.zeros(1), trail, state, first=first)
    # h_1 = 4 + 3, h_2 = 3.5 + 6, h_3 = 4.75 - 12
    assert h.ravel().tolist() == [7.0, 9.5, -7.25]
    dy, dstate = np.array([0.0, 0.0, 1.0]).reshape(1, 3, 1), np.zeros((1, 1, 1))
    da, dw_hh, db = recurrent_backward(dy, np.full((1, 1), w_hh), trail, dstate, first=first)
    # dL/dh_2 = w, dL/dh_1 = w^2, dL/dh_0 = w^3
    assert da.ravel().tolist() == [0.25, 0.5, 1.0]
    assert dstate.ravel().tolist() == [0.125]
    # dL/dw_hh = h_2 + w h_1 + w^2 h_0
    assert dw_hh.ravel().tolist() == [9.5 + 0.5 * 7 + 0.25 * 8]
    # dL/dw_hx = x_3 + w x_2 + w^2 x_1
    assert da.ravel() @ x == -4 + 0.5 * 2 + 0.25 * 1
    assert db.tolist() == [1.75]


def test_lstm_and_gru_by_hand():
    """Weights of zero: gates of one half, and what the biases say."""
    p = {name: np.zeros((1, 4)) for name in ("weight_ih", "weight_hh")} | {"bias_hh": np.zeros(4)}
    layer, mode, x = Recurrent(1), Mode(), np.zeros((1, 2, 1))
    p["bias_ih"] = np.array([0.0, 0.0, 100.0, 0.0])  # g = 1, all else sigma(0)
    y = layer.forward(x, p, layer.workspace((2, 1), 1, np.float64), mode)
    np.testing.assert_allclose(y.ravel(), [np.tanh(0.5) / 2, np.tanh(0.75) / 2])
    layer = Recurrent(1, "gru")
    p = {name: np.zeros((1, 3)) for name in ("weight_ih", "weight_hh")}
    p |= {"bias_ih": np.array([0.0, 0.0, 0.3]), "bias_hh": np.array([0.0, 0.0, 0.8])}  # n = tanh(0.3 + 0.8 / 2)
    y = layer.forward(x, p, layer.workspace((2, 1), 1, np.float64), mode)
    np.testing.assert_allclose(y.ravel(), [np.tanh(0.7) * 0.5, np.tanh(0.7) * 0.75])


def pair(rng, cell, B=3, T=5, H=4):
    width = cell.n_gates * H
    inputs, w = rng.normal(size=(B * T, width)), rng.normal(size=(H, width)) / 2
    bias, state = rng.normal(size=cell.n_kept * H), rng.normal(size=(cell.n_states, B, H))
    return inputs, w, bias, state


@each_cell
@pytest.mark.parametrize("with_first", [False, True])
def test_gradients_of_the_pair(rng, cell, with_first):
    """All of them, that at the first state too."""
    inputs, w, bias, state = pair(rng, cell)
    first = rng.integers(-1, 5, size=(3, 5)).astype(np.int32) if with_first else None
    trail, last = Trail(cell, (3, 5, 4), np.float64), rng.normal(size=state.shape)

    def forward():
        end = state.copy()
        y = recurrent_forward(inputs, w, bias, trail, end, first=first)
        return np.concatenate([y.ravel(), end.ravel()])

    found = forward()
    dy, dstate = rng.normal(size=60), last.copy()
    dinputs, dw, dbias = recurrent_backward(dy.reshape(3, 5, 4), w, trail, dstate, first=first)
    assert found.shape == (60 + state.size,)
    gradients = [dinputs.copy(), dw.copy(), dbias.copy(), dstate.copy()]
    check_gradients(forward, [inputs, w, bias, state], gradients, np.concatenate([dy, last.ravel()]), rng)


@each_cell
def test_gradients_of_the_layers(rng, cell):
    first = np.minimum(rng.integers(0, 6, size=(3, 6)), np.arange(6)).astype(np.int32)
    for mode in (TRAIN, Mode(train=True, first=first, n_threads=2)):
        check_layer(Recurrent(4, cell.name, cell.activation), (6, 3), rng, mode=mode)
        for n_codes in (5, 100):  # fewer than there are moments, and more
            layer = EmbeddedRecurrent(n_codes, 3, 4, cell.name, cell.activation)
            check_layer(layer, (6,), rng, x=rng.integers(n_codes, size=(3, 6)), mode=mode)


@each_cell
@pytest.mark.parametrize("n_codes", [5, 100])
def test_embedded_is_an_embedding_and_a_recurrent_layer(rng, cell, n_codes):
    one = Run(EmbeddedRecurrent(n_codes, 3, 4, cell.name, cell.activation), (6,), 3)
    two = Run(Sequential([Embedding(n_codes, 3), Recurrent(4, cell.name, cell.activation)]), (6,), 3)
    two.parameters.flat[:] = one.parameters.flat
    x, dy = rng.integers(n_codes, size=(3, 6)).astype(np.int32), rng.normal(size=(3, 6, 4))
    np.testing.assert_allclose(one.forward(x, TRAIN), two.forward(x, TRAIN), rtol=1e-12, atol=1e-12)
    one.backward(dy, TRAIN), two.backward(dy, TRAIN)
    np.testing.assert_allclose(one.gradients.flat, two.gradients.flat, rtol=1e-11, atol=1e-11)
    assert one.layer.cost((6,)) == two.layer.cost((6,))


@each_cell
def test_packed_documents_are_those_alone(rng, cell):
    run = Run(Recurrent(4, cell.name, cell.activation), (7, 3), 2)
    x = rng.normal(size=(2, 7, 3))
    first = np.array([[0, 0, 0, 3, 3, 3, 3], [0, 1, 1, 1, 1, 5, 5]], np.int32)
    found = run.forward(x, Mode(first=first)).copy()
    for row, start, end in [(0, 0, 3), (0, 3, 7), (1, 0, 1), (1, 1, 5), (1, 5, 7)]:
        alone = np.zeros((1, 7, 3))
        alone[0, : end - start] = x[row, start:end]
        y = run.forward(alone, Mode())[0, : end - start]
        np.testing.assert_allclose(found[row, start:end], y, rtol=1e-12, atol=1e-12)


@each_cell
@pytest.mark.parametrize("train", [False, True])
def test_rows_in_parts_are_the_rows_in_one_piece(rng, cell, train):
    """What is carried on is the state; smaller batches carry that of their rows."""
    x = rng.normal(size=(3, 8, 2))
    whole = Run(Recurrent(4, cell.name, cell.activation), (8, 2), 3)
    parts = Run(Recurrent(4, cell.name, cell.activation, carry=3), (4, 2), 5)
    parts.parameters.flat[:] = whole.parameters.flat
    first = np.zeros((3, 4), np.int32)
    ours = [parts.forward(x[:, :4].copy(), Mode(train=train, first=first)).copy()]
    kept = parts.states.flat.copy()
    parts.forward(x[:, 4:].copy(), Mode(train=not train, first=first))  # which disturbs nothing
    if train:
        assert np.array_equal(parts.states.flat, kept)
        assert kept.any()
    ours.append(parts.forward(x[:2, 4:].copy(), Mode(train=train, first=first[:2] - 4)).copy())
    expected = whole.forward(x, Mode(train=train))
    np.testing.assert_allclose(ours[0], expected[:, :4], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], expected[:2, 4:], rtol=1e-12, atol=1e-12)


@each_cell
@pytest.mark.parametrize("by_code", [False, True])
def test_steps_are_the_sequence(rng, cell, by_code):
    layer = EmbeddedRecurrent(6, 3, 4, *_of(cell)) if by_code else Recurrent(4, *_of(cell))
    run = Run(layer, (5,) if by_code else (5, 3), 2, np.float32)
    x = rng.integers(6, size=(2, 5)).astype(np.int32) if by_code else rng.normal(size=(2, 5, 3)).astype(np.float32)
    expected, ahead = run.forward(x, Mode()), RecurrentStep(run.p, cell, by_code)
    state, found = ahead.start(2), []
    for t in range(5):
        found.append(recurrent_step(x[:, t], ahead, state))
        assert np.array_equal(found[-1], state[0])
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-4, atol=1e-5)


def _of(cell):
    return cell.name, cell.activation


def test_an_lstm_remembers_at_first():
    bias = Program(Recurrent(3), (2, 2)).parameters["bias_ih"]
    assert bias.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    weights = Program(Recurrent(16, "gru"), (2, 200), seed=1).parameters
    assert all(0.24 < abs(weights[name]).max() <= 0.25 for name in ("weight_ih", "weight_hh"))


def test_bits_do_not_depend_on_threads(rng):
    x = rng.integers(65, size=(32, 16)).astype(np.int32)
    found = []
    for n_threads in (1, 2, 3):
        program, mode = Program(EmbeddedRecurrent(65, 24, 48, "gru"), (16,)), Mode(train=True, n_threads=n_threads)
        y = program.forward(x, mode).copy()
        program.backward(y, mode)
        found.append((y.tobytes(), program.gradients.flat.tobytes()))
    assert len(set(found)) == 1


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("n_codes", [20, 9000])
def test_a_step_allocates_little(rng, cell, n_codes):
    """Once warm, a step makes no array of (B, T, H), and less than that in all: V is larger than H."""
    B, T, H, V = 64, 128, 32, 100
    network = Sequences(Sequential([EmbeddedRecurrent(n_codes, 16, H, cell), Linear(V)]))
    program = Program(network, (T, 2))
    plan = Plan(SequenceCrossEntropy(), Adam())
    job, moments = Job(program, None, plan), plan.optimizer.moments(program.parameters.flat)
    x = np.zeros((B, T, 2), np.float32)
    x[..., 0] = rng.integers(n_codes, size=(B, T))
    y = rng.integers(V, size=(B, T)).astype(np.int32)
    for t in range(2):
        step(job, (x, y, None), moments, (0, t, 9))
    tracemalloc.start()
    step(job, (x, y, None), moments, (0, 2, 9))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * B * T * H


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cell": "elman"}, "cell='elman' is unknown; there are rnn, gru, lstm"),
        ({"cell": "rnn", "activation": "gelu"}, "activation='gelu' is unknown; there are tanh, relu, identity"),
        ({"cell": "gru", "activation": "relu"}, "The activation of cell='gru' is tanh, got 'relu'"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"carry": -1}, "carry at least 0"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(**{"n_hidden": 3, **given})
    with pytest.raises(ValueError, match=message):
        EmbeddedRecurrent(**{"n_codes": 5, "n_embedding": 2, "n_hidden": 3, **given})


def test_what_does_not_fit_is_refused(rng):
    with pytest.raises(ValueError, match="rows of vectors"):
        Recurrent(3).output_shape((4,))
    with pytest.raises(ValueError, match="rows of codes"):
        EmbeddedRecurrent(3, 3, 3).output_shape((4, 2))
    run = Run(Recurrent(3, carry=2), (4, 2), 5)
    with pytest.raises(ValueError, match="carries the states of 2 rows, but the batch has 3"):
        run.forward(rng.normal(size=(3, 4, 2)), TRAIN)
    for n_codes in (4, 100):
        run = Run(EmbeddedRecurrent(n_codes, 3, 3), (4,), 2)
        for bad in (-1, n_codes):
            with pytest.raises(ValueError, match=f"{bad}, outside 0 to {n_codes - 1}"):
                run.forward(np.full((2, 4), bad), TRAIN)
