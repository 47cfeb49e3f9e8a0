"""Small networks: compiled equals twin for any sizes and threads; wrong arguments are refused."""

import numpy as np
import pytest

from skml import _kernels
from skml._kernels import actors
from skml._kernels.reference import actors as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [
    ((4, 64, 64, 2), 40),
    ((3, 5, 7, 2), 130),
    ((2, 1), 1),
    ((70, 33, 2), 530),
    ((4, 64, 64, 1), 0),
    ((1, 17, 16), 7),
]
NOTHING = np.empty((0, 0), dtype=np.uint8)


def network(rng, dtype, sizes, n):
    """Return rows, parameters, sizes, and room for outputs and gradients."""
    table = np.array(sizes, dtype=np.int32)
    w = rng.normal(size=int((table[:-1] + 1) @ table[1:])).astype(dtype) / np.sqrt(max(sizes))
    x = rng.normal(size=(n, sizes[0])).astype(dtype)
    return x, w.astype(dtype), table, np.full(n * int(table[1:].sum()), np.nan, dtype)


def close(found, expected, dtype):
    # sums of at most some hundred products of numbers near 1, layer upon layer
    bound = 500 * np.finfo(dtype).eps * max(1, np.abs(expected).max(initial=0))
    assert np.abs(found - expected).max(initial=0) <= bound


@each_dtype
@pytest.mark.parametrize(("sizes", "n"), SIZES)
@pytest.mark.parametrize("activation", [0, 1, 2, 4, 5])
def test_forward_and_backward_are_the_twins(rng, dtype, sizes, n, activation):
    x, w, table, y = network(rng, dtype, sizes, n)
    ys, gs = [], []
    for module, n_threads in ((twin, 1), (actors, 1), (actors, 2), (actors, 3)):
        out, g = y.copy(), np.full_like(w, np.nan)
        module.forward(x, w, table, activation, out, n_threads)
        # the slopes of relu jump where a sum is 0: both go on from the same outputs
        out = ys[0] if ys else out
        dz = np.cos(np.arange(n * sizes[-1])).reshape(n, sizes[-1]).astype(dtype)
        module.backward(x, w, table, activation, out, dz, g, n_threads)
        ys.append(out if not ys else None)
        gs.append(g)
    for g in gs[1:]:
        close(g, gs[0], dtype)
        np.testing.assert_array_equal(g, gs[1])
    outs = []
    for module, n_threads in ((twin, 1), (actors, 1), (actors, 2), (actors, 3)):
        out = y.copy()
        module.forward(x, w, table, activation, out, n_threads)
        outs.append(out)
    for out in outs[1:]:
        close(out, outs[0], dtype)
        np.testing.assert_array_equal(out, outs[1])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="BLAS's bits depend on the rows beside")
@each_dtype
@pytest.mark.parametrize("activation", [1, 4, 5])
def test_how_rows_are_batched_shows_in_no_bit(rng, dtype, activation):
    x, w, table, y = network(rng, dtype, (5, 30, 21, 3), 150)
    actors.forward(x, w, table, activation, y, 2)
    together = y[-150 * 3 :].reshape(150, 3)
    for start, end in ((0, 1), (7, 8), (20, 33), (100, 150)):
        some = np.empty((end - start) * 54, dtype)
        actors.forward(x[start:end], w, table, activation, some, 1)
        np.testing.assert_array_equal(some[-(end - start) * 3 :].reshape(-1, 3), together[start:end])


def test_the_gradient_of_the_first_rows_alone(rng):
    x, w, table, y = network(rng, np.float64, (3, 8, 2), 9)
    dz, g, few = rng.normal(size=(9, 2)), np.empty_like(w), np.empty_like(w)
    for module in (twin, actors):
        module.forward(x, w, table, 4, y, 1)
        module.backward(x, w, table, 4, y, dz[:4], few, 1)
        dz[4:] = 0
        module.backward(x, w, table, 4, y, dz, g, 1)
        np.testing.assert_allclose(few, g, rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", [0, 4, 5])
def test_the_gradient_is_that_of_finite_differences(rng, activation):
    x, w, table, y = network(rng, np.float64, (3, 6, 5, 2), 4)
    dz, g = rng.normal(size=(4, 2)), np.empty_like(w)
    actors.forward(x, w, table, activation, y, 1)
    actors.backward(x, w, table, activation, y, dz, g, 1)

    def objective(parameters):
        actors.forward(x, parameters, table, activation, y, 1)
        return (y[-8:].reshape(4, 2) * dz).sum()

    step = 1e-6
    for i in rng.choice(len(w), size=12, replace=False):
        ahead, behind = w.copy(), w.copy()
        ahead[i], behind[i] = w[i] + step, w[i] - step
        assert abs((objective(ahead) - objective(behind)) / (2 * step) - g[i]) < 1e-7


# ---------------------------------------------------------------------------------------------- choices


def masks(rng, n, n_actions):
    allowed = (rng.random((n, n_actions)) < 0.5).astype(np.uint8)
    allowed[np.arange(n), rng.integers(n_actions, size=n)] = 1
    return allowed


@each_dtype
@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_the_twins(rng, dtype, masked):
    z = (rng.normal(size=(23, 5)) * 5).astype(dtype)
    z[0] = [900, -900, 0, 0, 0]
    allowed = masks(rng, 23, 5) if masked else NOTHING
    actions = np.array([rng.choice(np.flatnonzero(row)) for row in allowed] if masked else rng.integers(5, size=23))
    weights, bonus, found = rng.normal(size=23), rng.random(23), []
    for module in (twin, actors):
        dz, figures = np.full_like(z, np.nan), np.full((23, 3), np.nan)
        module.slopes(z, actions.astype(np.int32), allowed, weights, bonus, dz, figures)
        found.append((dz, figures))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=0, atol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_those_of_finite_differences(rng, masked):
    z, allowed = rng.normal(size=(6, 4)), masks(rng, 6, 4) if masked else NOTHING
    actions = np.array([np.flatnonzero(row)[0] for row in allowed] if masked else rng.integers(4, size=6), np.int32)
    weights, bonus = rng.normal(size=6), rng.random(6)
    dz, figures = np.empty_like(z), np.empty((6, 3))
    actors.slopes(z, actions, allowed, weights, bonus, dz, figures)

    def objective(logits):
        spare, said = np.empty_like(z), np.empty((6, 3))
        actors.slopes(logits, actions, allowed, weights, bonus, spare, said)
        return -(weights @ said[:, 0]) - bonus @ said[:, 1]

    for i in range(6):
        for k in range(4):
            ahead, behind = z.copy(), z.copy()
            ahead[i, k] += 1e-5
            behind[i, k] -= 1e-5
            assert abs((objective(ahead) - objective(behind)) / 2e-5 - dz[i, k]) < 1e-8


def test_actions_are_drawn_with_their_probabilities(rng):
    z = np.log([[0.1, 0.6, 0.3]])
    counts, drawn = np.zeros(3), np.empty(1, np.int32)
    for step in range(4000):
        actors.act(z, NOTHING, 5, step, drawn)
        counts[drawn[0]] += 1
    # five deviations of a binomial share; and draws are the same in every run
    assert np.all(np.abs(counts / 4000 - np.exp(z[0])) < 5 * np.sqrt(0.25 / 4000))


@each_dtype
def test_acting_is_the_twins(rng, dtype):
    z, allowed = rng.normal(size=(50, 6)).astype(dtype), masks(rng, 50, 6)
    for mask in (NOTHING, allowed):
        found = np.empty((2, 50), np.int32)
        for module, drawn in zip((twin, actors), found):
            module.act(z, mask, 2**63 + 11, 2**40, drawn)
        np.testing.assert_array_equal(found[0], found[1])
    assert allowed[np.arange(50), found[1]].all()


# ------------------------------------------------------------------------------------------ advantages


@pytest.mark.parametrize(("T", "N"), [(1, 1), (7, 3), (0, 2), (3, 0)])
def test_advantages_are_the_twins(rng, T, N):
    reward, value, after = rng.normal(size=(3, T, N))
    terminated, ended = (rng.random((2, T, N)) < 0.3).astype(np.uint8)
    found = np.full((2, T, N), np.nan)
    for module, out in zip((twin, actors), found):
        module.advantages(reward, value, after, terminated, ended, 0.9, 0.7, out)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-13)


# ------------------------------------------------------------------------------------------- refusals


def refused(function, good, bad):
    function(*good)
    for at, value in bad:
        with pytest.raises(ValueError):
            function(*[value if i == at else argument for i, argument in enumerate(good)])


@pytest.mark.parametrize("module", [actors, twin])
def test_what_does_not_fit_is_refused(rng, module):
    x, w, table, y = network(rng, np.float64, (3, 4, 2), 5)
    threads = [] if module is twin else [(5, 0)]
    bad = [(0, x[:4]), (0, np.ones((5, 2))), (1, w[1:]), (2, table[:1]), (2, table * 0), (3, 3), (3, 6), (4, y[1:])]
    refused(module.forward, [x, w, table, 4, y, 1], [*bad, *threads])
    dz, g = np.ones((5, 2)), np.empty_like(w)
    bad = [(0, x[:4]), (1, w[1:]), (2, table[:2]), (3, -1), (4, y[1:]), (5, np.ones((6, 2))), (5, np.ones((5, 3)))]
    refused(module.backward, [x, w, table, 4, y, dz, g, 1], [*bad, (6, g[1:])])
    z, actions, ones = np.ones((4, 3)), np.zeros(4, np.int32), np.ones(4)
    none, shut = np.ones((4, 3), np.uint8), np.zeros((4, 3), np.uint8)
    refused(module.act, [z, none, 0, 0, actions], [(1, none[:3]), (1, shut), (4, actions[:3]), (0, np.ones((4, 0)))])
    bad = [(1, actions[:3]), (1, actions + 3), (1, actions - 1), (2, shut), (3, ones[:3]), (4, ones[:3])]
    bad += [(5, np.ones((4, 2))), (6, np.ones((4, 2)))]
    refused(module.slopes, [z, actions, none, ones, ones, np.ones((4, 3)), np.ones((4, 3))], bad)
    a, flags = np.ones((4, 3)), np.zeros((4, 3), np.uint8)
    good = [a, a, a, flags, flags, 0.9, 0.9, np.empty((4, 3))]
    refused(module.advantages, good, [(i, good[i][:3]) for i in (0, 1, 2, 3, 4, 7)])
