"""The network of ConvClassifier beside the same one in PyTorch: from the same weights and batches, the same losses."""

import numpy as np
import pytest

from skml.network import Adam, CrossEntropy, Job, Plan, Program
from skml.network.training import step
from skml.vision.architectures import Body, body_layers, with_head

torch = pytest.importorskip("torch")

SHAPE, FILTERS, CLASSES, BATCH, STEPS = (12, 8, 2), (5, 7), 3, 16, 100


def peer_of(program, dtype):
    """Return the same network in torch, with the same weights."""
    layers, C = [], SHAPE[2]
    for F in FILTERS:
        layers += [torch.nn.Conv2d(C, F, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        C = F
    H, W = SHAPE[0] // 4, SHAPE[1] // 4
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(H * W * C, CLASSES))
    *filters, w, b = (np.array(value) for value in program.parameters.values())
    w = w.reshape(H, W, C, CLASSES).transpose(3, 2, 0, 1).reshape(CLASSES, -1)  # channels first
    weights = [*(f.transpose(3, 2, 0, 1) if f.ndim == 4 else f for f in filters), w, b]
    model = model.to(dtype)
    with torch.no_grad():
        for parameter, found in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(found)))
    return model


@pytest.fixture(autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.mark.parametrize(("dtype", "apart"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_the_loss_curve_is_that_of_torch(rng, dtype, apart):
    X = rng.normal(size=(STEPS, BATCH, *SHAPE)).astype(dtype)
    y = (X[:, :, :6].mean(axis=(2, 3, 4)) > 0).astype(np.int32) + (X.mean(axis=(2, 3, 4)) > 0)
    program = Program(with_head(body_layers(Body(filters=FILTERS), SHAPE), SHAPE, CLASSES), SHAPE, dtype, seed=1)
    model = peer_of(program, torch.float64 if dtype == np.float64 else torch.float32)
    optimizer, criterion = torch.optim.Adam(model.parameters()), torch.nn.CrossEntropyLoss()
    job = Job(program, None, Plan(CrossEntropy(), Adam()))
    moments = job.plan.optimizer.moments(program.parameters.flat)
    ours, theirs = [], []
    for t in range(STEPS):
        total, n = step(job, (X[t], y[t], None), moments, (0, t, STEPS))
        ours.append(total / n)
        optimizer.zero_grad()
        loss = criterion(model(torch.from_numpy(X[t]).permute(0, 3, 1, 2)), torch.from_numpy(y[t].astype(np.int64)))
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, atol=apart)
    assert np.ptp(ours) > 0.05
