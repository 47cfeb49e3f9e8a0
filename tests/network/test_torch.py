"""Outputs and gradients are PyTorch's, in float32 to 1e-5 of their size."""

import numpy as np
import pytest
from _contract.gradients import Run

from skml.network import (
    Activation,
    BatchNormalization,
    Convolution,
    Embedding,
    Flatten,
    GlobalPooling,
    LayerNormalization,
    Linear,
    Mode,
    Pooling,
    Residual,
    Sequential,
    Softmax,
    TransposedConvolution,
    Upsampling,
    convolution,
    softmax_backward,
    softmax_forward,
)

torch = pytest.importorskip("torch")
nn = torch.nn
TRAIN = Mode(train=True, n_threads=2)


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert abs(ours - theirs).max(initial=0) <= 1e-5 * max(1, abs(theirs).max(initial=0))


def channels_first(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def compare(rng, layer, theirs, shape, B=4, mode=TRAIN):
    """Compare a layer with a function of (images of channels first, our parameters as tensors)."""
    run = Run(layer, shape, B + 1, np.float32, seed=int(rng.integers(2**31)))
    run.parameters.flat += 0.1 * rng.normal(size=run.parameters.count).astype(np.float32)
    x = rng.normal(size=(B, *shape)).astype(np.float32)
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in run.parameters.items()}
    given = torch.tensor(x, requires_grad=True)
    found = theirs(given.movedim(-1, 1), tensors)
    found = found.movedim(1, -1) if found.ndim == 4 else found
    y = run.forward(x, mode)
    close(y, found)
    dy = rng.normal(size=y.shape).astype(np.float32)
    found.backward(torch.from_numpy(dy))
    close(run.backward(dy, mode), given.grad)
    for name, tensor in tensors.items():
        close(run.gradients[name], tensor.grad)
    return run


def filters(w):
    return w.permute(3, 2, 0, 1)


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(rng, activation):
    compare(rng, Activation(activation), lambda x, p: ACTIVATIONS[activation](x), (5, 6, 3))


def test_softmax(rng):
    x, dp = rng.normal(size=(2, 6, 7)).astype(np.float32)
    given = torch.tensor(x, requires_grad=True)
    found = torch.softmax(given, dim=1)
    p = softmax_forward(x)
    close(p, found)
    found.backward(torch.from_numpy(dp))
    close(softmax_backward(dp, p), given.grad)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_linear(rng, activation):
    def theirs(x, p):
        return ACTIVATIONS[activation](x @ p["weight"] + p["bias"])

    compare(rng, Linear(7, activation), theirs, (33,))


def test_embedding(rng):
    run, codes = Run(Embedding(9, 4), (5,), 3, np.float32), rng.integers(9, size=(3, 5))
    w = torch.tensor(run.parameters["weight"], requires_grad=True)
    found = nn.functional.embedding(torch.from_numpy(codes), w)
    y = run.forward(codes, TRAIN)
    close(y, found)
    dy = rng.normal(size=y.shape).astype(np.float32)
    found.backward(torch.from_numpy(dy))
    run.backward(dy, TRAIN)
    close(run.gradients["weight"], w.grad)


CONVOLUTIONS = [
    {"kernel": 3, "padding": "same"},
    {"kernel": 4, "padding": "same"},
    {"kernel": 5, "padding": 1, "stride": 2},
    {"kernel": (1, 3), "padding": (0, 1), "stride": (1, 3)},
    {"kernel": 3, "padding": 2, "dilation": 2, "stride": 2},
    {"kernel": 3, "padding": 1, "groups": 4},
    {"kernel": 2, "padding": 0, "groups": 2, "stride": 2},
    {"kernel": 1, "padding": 0},
    {"kernel": 1, "padding": 0, "stride": 2},
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_convolution(rng, monkeypatch, case, many, activation):
    if many:
        monkeypatch.setattr(convolution, "MANY_FILTERS", 0)  # by columns
    options = {name: value for name, value in case.items() if name != "kernel"}

    def theirs(x, p):
        return ACTIVATIONS[activation](nn.functional.conv2d(x, filters(p["weight"]), p["bias"], **options))

    compare(rng, Convolution(8, activation=activation, **case), theirs, (9, 8, 4))


@pytest.mark.parametrize("case", CONVOLUTIONS[2:], ids=str)
def test_transposed_convolution(rng, case):
    options = {name: value for name, value in case.items() if name != "kernel"}
    small = Convolution(1, **{**case, "groups": 1}).output_shape((9, 8, 1))[:2]
    layer = TransposedConvolution(4, activation="tanh", **case)
    more = tuple(n - m for n, m in zip((9, 8), layer.output_shape((*small, 8))))

    def theirs(x, p):
        spread = nn.functional.conv_transpose2d(x, filters(p["weight"]), p["bias"], output_padding=more, **options)
        return torch.tanh(spread)

    compare(rng, TransposedConvolution(4, activation="tanh", size=(9, 8), **case), theirs, (*small, 8))


@pytest.mark.parametrize("case", [(2, None, 0), (3, 2, 1), (3, 1, 0), ((1, 2), (2, 1), (0, 1))], ids=str)
@pytest.mark.parametrize("kind", ["max", "average", "min"])
def test_pooling(rng, case, kind):
    size, stride, padding = case

    def theirs(x, p):
        if kind == "average":
            return nn.functional.avg_pool2d(x, size, stride, padding, count_include_pad=False)
        sign = 1 if kind == "max" else -1
        return sign * nn.functional.max_pool2d(sign * x, size, stride, padding)

    compare(rng, Pooling(kind, size, stride, padding), theirs, (9, 8, 5))


@pytest.mark.parametrize("kind", ["max", "average"])
def test_global_pooling(rng, kind):
    compare(rng, GlobalPooling(kind), lambda x, p: x.amax((2, 3)) if kind == "max" else x.mean((2, 3)), (5, 7, 3))


@pytest.mark.parametrize("size", [(10, 14), (7, 9), (11, 8)])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_upsampling(rng, size, method):
    def theirs(x, p):
        mode = "nearest-exact" if method == "nearest" else method
        return nn.functional.interpolate(x, size, mode=mode)

    compare(rng, Upsampling(size=size, method=method), theirs, (5, 7, 3))


def test_batch_normalization(rng):
    theirs = nn.BatchNorm2d(3)

    def run_theirs(x, p):
        theirs.weight, theirs.bias = (nn.Parameter(p[name].detach().clone()) for name in ("gamma", "beta"))
        statistics = theirs.running_mean, theirs.running_var
        return torch.relu(nn.functional.batch_norm(x, *statistics, p["gamma"], p["beta"], training=True))

    run = compare(rng, BatchNormalization("relu"), run_theirs, (5, 6, 3))
    close(run.states["running_mean"], theirs.running_mean)
    close(run.states["running_var"], theirs.running_var)

    def at_rest(x, p):
        return nn.functional.batch_norm(x, torch.zeros(3), torch.ones(3), p["gamma"], p["beta"])

    compare(rng, BatchNormalization(), at_rest, (5, 6, 3), mode=Mode())


def test_layer_normalization(rng):
    def theirs(x, p):
        return nn.functional.layer_norm(x.movedim(1, -1), (6,), p["gamma"], p["beta"]).movedim(-1, 1)

    compare(rng, LayerNormalization(), theirs, (4, 5, 6))


@pytest.mark.parametrize("shape", [(7,), (4, 5, 6)])
def test_the_softmax_layer(rng, shape):
    compare(rng, Softmax(), lambda x, p: torch.softmax(x, 1), shape)


def test_a_network(rng):
    network = Sequential(
        [
            Convolution(8, activation="relu"),
            Pooling(),
            Residual([Convolution(8, activation="relu"), Convolution(8)]),
            Activation("relu"),
            Flatten(),
            Linear(5),
        ]
    )

    def theirs(x, p):
        def conv(x, name):
            return nn.functional.conv2d(x, filters(p[f"{name}.weight"]), p[f"{name}.bias"], padding=1)

        x = nn.functional.max_pool2d(torch.relu(conv(x, "0")), 2)
        x = torch.relu(x + conv(torch.relu(conv(x, "2.block.0")), "2.block.1"))
        return x.movedim(1, -1).flatten(1) @ p["5.weight"] + p["5.bias"]

    compare(rng, network, theirs, (8, 8, 3))
