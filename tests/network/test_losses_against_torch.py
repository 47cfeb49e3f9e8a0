"""The same losses, gradients, steps and rates as PyTorch."""

import numpy as np
import pytest

from skml.network import (
    SGD,
    Adam,
    AdamW,
    binary_cross_entropy,
    clip_gradient,
    cross_entropy,
    huber,
    one_cycle,
    squared,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
B, K = 17, 5


def of_torch(function, z, reduce="sum"):
    at = torch.tensor(z, requires_grad=True)
    value = function(at)
    value.sum().backward()
    return value.detach().numpy(), at.grad.numpy()


def close(ours, theirs, dtype):
    tol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(ours, theirs, rtol=tol, atol=tol)


@each_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(rng, dtype, smoothing):
    z, y = rng.normal(size=(B, K)).astype(dtype) * 3, rng.integers(K, size=B).astype(np.int32)
    target = torch.tensor(y.astype(np.int64))
    losses, dz = cross_entropy(z, y, smoothing=smoothing)
    theirs, _ = of_torch(lambda a: F.cross_entropy(a, target, label_smoothing=smoothing, reduction="none"), z)
    close(losses, theirs, dtype)
    _, grad = of_torch(lambda a: F.cross_entropy(a, target, label_smoothing=smoothing), z)
    close(dz, grad, dtype)


@each_dtype
def test_weights_of_classes(rng, dtype):
    z, y = rng.normal(size=(B, K)).astype(dtype), rng.integers(K, size=B).astype(np.int32)
    w = rng.random(K).astype(dtype)
    _, dz = cross_entropy(z, y, w[y].astype(np.float64))
    target = torch.tensor(y.astype(np.int64))
    close(dz, of_torch(lambda a: F.cross_entropy(a, target, weight=torch.tensor(w)), z)[1], dtype)


@each_dtype
def test_losses_of_numbers(rng, dtype):
    z, y = rng.normal(size=(2, B, K)).astype(dtype) * 2
    labels = (y > 0).astype(dtype)
    pairs = [
        (squared, y, F.mse_loss),
        (lambda a, b: huber(a, b, delta=0.7), y, lambda *a, **k: F.huber_loss(*a, delta=0.7, **k)),
        (binary_cross_entropy, labels, F.binary_cross_entropy_with_logits),
    ]
    for ours, target, theirs in pairs:
        losses, dz = ours(z, target)
        each, _ = of_torch(lambda a, f=theirs, t=target: f(a, torch.tensor(t), reduction="none"), z)
        close(losses, each.mean(axis=1), dtype)
        close(dz, of_torch(lambda a, f=theirs, t=target: f(a, torch.tensor(t)), z)[1], dtype)


@each_dtype
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1, momentum=0.0), lambda p: torch.optim.SGD(p, 0.1)),
        (SGD(0.1, weight_decay=0.01), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
        (SGD(0.1, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        (Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (Adam(0.01, beta1=0.8, weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.999), weight_decay=0.1)),
        (AdamW(0.01, epsilon=0.1), lambda p: torch.optim.AdamW(p, 0.01, eps=0.1)),
    ],
)
def test_optimizers(rng, dtype, ours, theirs):
    w, target = rng.normal(size=(2, 30)).astype(dtype)
    p = torch.tensor(w, requires_grad=True)
    optimizer, moments = theirs([p]), ours.moments(w)
    for t in range(1, 51):
        g = (w - target) * np.arange(1, 31, dtype=dtype) / 10
        ours.update(w, g, moments, t)
        optimizer.zero_grad()
        (((p - torch.tensor(target)) ** 2) * torch.arange(1, 31) / 20).sum().backward()
        optimizer.step()
        close(w, p.detach().numpy(), dtype)


@each_dtype
def test_clipping(rng, dtype):
    g = rng.normal(size=100).astype(dtype)
    p = torch.zeros(100, dtype=torch.tensor(g).dtype, requires_grad=True)
    p.grad = torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_([p], 1.0)
    assert clip_gradient(g, 1.0) == pytest.approx(float(norm), rel=1e-6)
    np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("total", [10, 137])
def test_one_cycle(total):
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], 1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total)
    rates = []
    for _ in range(total):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step() if len(rates) < total else None
    np.testing.assert_allclose([one_cycle(t, total) for t in range(total)], rates, rtol=1e-6, atol=1e-9)
