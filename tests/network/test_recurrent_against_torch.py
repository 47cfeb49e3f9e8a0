"""Recurrent layers and the loss of tokens are PyTorch's, in float32 to 1e-5 of their size."""

import numpy as np
import pytest
from _contract.gradients import Run

from skml.network import Cell, EmbeddedRecurrent, Mode, Recurrent, RecurrentStep, recurrent_step, sequence_cross_entropy

torch = pytest.importorskip("torch")
CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")]
B, T, C, H, V = 5, 9, 7, 19, 11
TRAIN = Mode(train=True, n_threads=2)


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert abs(ours - theirs).max(initial=0) <= 1e-5 * max(1, abs(theirs).max(initial=0))


def peer_of(run, cell, activation, n_in=C):
    """Return torch's module with the same weights."""
    options = {"nonlinearity": activation} if cell == "rnn" else {}
    module = getattr(torch.nn, cell.upper())(n_in, H, batch_first=True, **options)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(run.parameters[name.removesuffix("_l0")].T.copy()))
    return module


def check_weights(run, module):
    for name, parameter in module.named_parameters():
        close(run.gradients[name.removesuffix("_l0")].T, parameter.grad)


def made(layer, shape, rng):
    run = Run(layer, shape, B + 1, np.float32, seed=int(rng.integers(2**31)))
    for name in ("bias_ih", "bias_hh"):
        run.parameters[name][:] += 0.3 * rng.normal(size=run.parameters[name].shape)
    return run


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_recurrent(rng, cell, activation):
    run = made(Recurrent(H, cell, activation), (T, C), rng)
    module = peer_of(run, cell, activation)
    x, dy = rng.normal(size=(B, T, C)).astype(np.float32), rng.normal(size=(B, T, H)).astype(np.float32)
    given = torch.tensor(x, requires_grad=True)
    expected, _ = module(given)
    expected.backward(torch.from_numpy(dy))
    close(run.forward(x, TRAIN), expected)
    close(run.backward(dy, TRAIN), given.grad)
    check_weights(run, module)


@pytest.mark.parametrize(("cell", "activation"), CELLS)
@pytest.mark.parametrize("n_codes", [V, 100])
def test_embedded_recurrent(rng, cell, activation, n_codes):
    run = made(EmbeddedRecurrent(n_codes, C, H, cell, activation), (T,), rng)
    module, vectors = peer_of(run, cell, activation), torch.tensor(run.parameters["embedding"], requires_grad=True)
    x, dy = rng.integers(n_codes, size=(B, T)).astype(np.int32), rng.normal(size=(B, T, H)).astype(np.float32)
    expected, _ = module(torch.nn.functional.embedding(torch.from_numpy(x).long(), vectors))
    expected.backward(torch.from_numpy(dy))
    close(run.forward(x, TRAIN), expected)
    run.backward(dy, TRAIN)
    close(run.gradients["embedding"], vectors.grad)
    check_weights(run, module)


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_steps_and_states(rng, cell, activation):
    run = made(Recurrent(H, cell, activation), (T, C), rng)
    module, ahead = peer_of(run, cell, activation), RecurrentStep(run.p, Cell(cell, activation))
    x, state, theirs = rng.normal(size=(B, 3, C)).astype(np.float32), ahead.start(B), None
    for t in range(3):
        expected, theirs = module(torch.from_numpy(x[:, t : t + 1]), theirs)
        close(recurrent_step(x[:, t], ahead, state), expected[:, 0])
    for ours, other in zip(state, theirs if cell == "lstm" else (theirs,), strict=True):
        close(ours, other[0])


def test_sequence_cross_entropy(rng):
    z, y = rng.normal(size=(B, T, V)).astype(np.float32), rng.integers(-1, V, size=(B, T)).astype(np.int32)
    y[0, 0], given = 3, torch.tensor(z, requires_grad=True)
    rows, targets = given.view(-1, V), torch.from_numpy(y).long().view(-1)
    torch.nn.functional.cross_entropy(rows, targets, ignore_index=-1).backward()
    each = torch.nn.functional.cross_entropy(rows, targets, ignore_index=-1, reduction="none")
    losses, dz = sequence_cross_entropy(z, y)
    close(losses.astype(np.float32).ravel(), each)
    close(dz, given.grad)
