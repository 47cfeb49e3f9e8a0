"""Gradients against finite differences, for functions and for layers."""

import numpy as np

from skml.network import Mode, initialize

FEW = 40  # entries that are tried of a large array


STEPS = (1e-5, 1e-8)  # the second where a kink, such as that of relu, lies within the first


def check_gradients(function, arrays, gradients, dy, rng, tol=1e-6):
    """Compare gradients with central differences in float64.

    ``function()`` computes y from `arrays`, which are changed in place; `gradients` are those of sum(dy * y).
    """
    for array, gradient in zip(arrays, gradients):
        assert array.dtype == gradient.dtype == np.float64
        assert array.shape == gradient.shape
        scale = max(1.0, abs(gradient).max())
        for at in tried(array, rng):
            for step in STEPS:
                slope = _slope(function, array, at, dy, step)
                if abs(slope - gradient[at]) <= tol * scale:
                    break
            assert abs(slope - gradient[at]) <= tol * scale, (at, slope, gradient[at])


def _slope(function, array, at, dy, step):
    """Return a central difference of sum(dy * function())."""
    kept, found = array[at], []
    for moved in (kept + step, kept - step):
        array[at] = moved
        found.append((dy * function()).sum())
    array[at] = kept
    return (found[0] - found[1]) / (2 * step)


def tried(array, rng):
    """Return the indices of all entries of an array, or of some of a large one."""
    flat = np.arange(array.size) if array.size <= FEW else rng.choice(array.size, FEW, replace=False)
    return [tuple(int(i) for i in np.unravel_index(one, array.shape)) for one in flat]


class Run:
    """A layer with parameters, states and buffers, for tests."""

    def __init__(self, layer, shape, B, dtype=np.float64, seed=0):
        generator = np.random.default_rng(seed)
        self.layer, self.shape = layer, shape
        self.parameters = initialize(layer.specs(shape), dtype, generator)
        self.states = initialize(layer.states(shape), dtype, generator)
        self.gradients = self.parameters.like()
        self.p, self.g = merged(self.parameters.tree(), self.states.tree()), self.gradients.tree()
        self.space = layer.workspace(shape, B, dtype)

    def forward(self, x, mode):
        return self.layer.forward(x, self.p, self.space, mode)

    def backward(self, dy, mode, need_dx=True):
        return self.layer.backward(dy, self.p, self.g, self.space, mode, need_dx)


def merged(tree, other):
    """Return a tree that holds what both hold."""
    for name, value in other.items():
        tree[name] = merged(tree.get(name, {}), value) if isinstance(value, dict) else value
    return tree


def check_layer(layer, shape, rng, x=None, mode=None, B=3, spare=2, tol=1e-6):
    """Compare all gradients of a layer with differences, in a space with room for `spare` more samples."""
    mode = mode or Mode(train=True, seed=3, step=5)
    run = Run(layer, shape, B + spare, seed=int(rng.integers(2**31)))
    x = rng.normal(size=(B, *shape)) if x is None else x
    run.parameters.flat += 0.1 * rng.normal(size=run.parameters.count)
    kept = run.states.flat.copy()

    def forward():
        run.states.flat[:] = kept  # what depends on states depends on the same ones
        return run.forward(x, mode)

    y = forward()
    assert y.shape == (B, *layer.output_shape(shape))
    assert y.dtype == np.float64
    dy = rng.normal(size=y.shape)
    run.gradients.flat[:] = np.nan  # gradients are written, not added
    given = dy.copy()
    dx = run.backward(dy, mode)
    assert np.array_equal(dy, given), "dy was changed"
    arrays, gradients = list(run.parameters.values()), [g.copy() for g in run.gradients.values()]
    if x.dtype == np.float64:
        assert dx.shape == x.shape
        arrays, gradients = [x, *arrays], [dx.copy(), *gradients]
    if gradients:
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        check_gradients(forward, arrays, gradients, dy, rng, tol=tol)
    forward()
    without = run.backward(dy, mode, need_dx=False)
    assert without is None
    of_parameters = gradients[len(gradients) - len(run.gradients) :]
    assert all(np.array_equal(a, b) for a, b in zip(run.gradients.values(), of_parameters))
    return run
