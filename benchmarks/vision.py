"""ConvClassifier beside PyTorch on the CPU, and on MNIST beside scikit-learn's MLPClassifier; 2 threads each.

``SKML_THREADS=1`` takes one thread and its processor time instead, which others' load disturbs little.

``SKML_DATA=folder python benchmarks/vision.py [network] [mnist] [mlp]``: "network" needs torch, the others
``mnist_train.npz`` in the folder; what is absent is left out. Ratios above 1 are in our favour. Of MNIST's 60,000
training images the last 10,000 are held out.
"""

import os
import sys
import time

import numpy as np
from _bench import compare, real_data, row
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from skml import ConvClassifier
from skml._kernels import blas_threads
from skml.network import Adam, CrossEntropy, Job, Mode, Plan, Program
from skml.network.training import step
from skml.vision.architectures import Body, body_layers, with_head
from skml.vision.running import threads_for

try:
    import torch
except ModuleNotFoundError:
    torch = None

THREADS, BATCH = int(os.environ.get("SKML_THREADS", "2")), 64
CLOCK = time.process_time if THREADS == 1 else time.perf_counter
CASES = {"(16, 32) @ 28x28x1": ((16, 32), (28, 28, 1)), "(32, 64, 128) @ 32x32x3": ((32, 64, 128), (32, 32, 3))}


def program_of(filters, shape):
    """Return the network that ConvClassifier makes of its defaults, but for the filters."""
    return Program(with_head(body_layers(Body(filters=filters), shape), shape, 10), shape, seed=0)


def peer_of(program, filters, shape):
    """Return the same network in torch, with the same weights."""
    layers, C = [], shape[2]
    for F in filters:
        layers += [torch.nn.Conv2d(C, F, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        C = F
    rest = (shape[0] >> len(filters), shape[1] >> len(filters), C)
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(int(np.prod(rest)), 10))
    ours = {name: np.array(value) for name, value in program.parameters.items()}
    last = list(ours)[-2]
    ours[last] = ours[last].reshape(*rest, 10).transpose(2, 0, 1, 3).reshape(-1, 10)  # channels first
    weights = [w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T for w in ours.values()]
    with torch.no_grad():
        for parameter, w in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(w)))
    return model.to(memory_format=torch.channels_last)


def batches_of(shape, n, rng):
    """Return n batches of images and classes that can be learnt."""
    wave = rng.normal(size=(10, *shape))
    found = []
    for _ in range(n):
        y = rng.integers(10, size=BATCH).astype(np.int32)
        found.append(((wave[y] + rng.normal(size=(BATCH, *shape))).astype(np.float32), y))
    return found


def trainers(program, model, batches):
    """Return two functions that take a step on each batch and return the losses."""
    plan = Plan(CrossEntropy(), Adam(), n_threads=THREADS)
    job, moments, count = Job(program, None, plan), plan.optimizer.moments(program.parameters.flat), [0]
    images = [torch.from_numpy(np.moveaxis(x, -1, 1)) for x, _ in batches]  # channels last in memory
    labels = [torch.from_numpy(y.astype(np.int64)) for _, y in batches]
    optimizer, criterion = torch.optim.Adam(model.parameters(), fused=True), torch.nn.CrossEntropyLoss()

    @blas_threads(1)  # as the estimators do: BLAS's own threads would spin beside those of the kernels
    def ours():
        losses = []
        for x, y in batches:
            total, n = step(job, (x, y, None), moments, (0, count[0], 10**9))
            count[0] += 1
            losses.append(total / n)
        return losses

    def peer():
        losses = []
        for x, y in zip(images, labels):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return ours, peer


def networks():
    """Print a line each for training, inference, and the distance between the loss curves."""
    torch.set_num_threads(THREADS)
    for name, (filters, shape) in CASES.items():
        rng = np.random.default_rng(0)
        program = program_of(filters, shape)
        model = peer_of(program, filters, shape)
        ours, peer = trainers(program, model, batches_of(shape, 100, rng))
        apart = np.abs(np.subtract(ours(), peer()))
        row(f"{name} loss curves apart", float(apart.max()), "", "")
        few = batches_of(shape, 20, rng)
        ours, peer = trainers(program, model, few)
        print_rate(f"{name} training", BATCH * len(few), side_by_side(ours, peer))
        print_rate(f"{name} inference", BATCH * len(few), side_by_side(*predictors(program, model, few)))
        one = [(x[:1], y[:1]) for x, y in few[:1]] * 100
        print_rate(f"{name} batch of one", 100, side_by_side(*predictors(program, model, one)))


def predictors(program, model, batches):
    """Return two functions that run the network on each batch."""
    images = [torch.from_numpy(np.moveaxis(x, -1, 1)) for x, _ in batches]
    work = len(batches[0][0]) * program.network.cost(program.shape)
    mode = Mode(n_threads=threads_for(THREADS, work))

    @blas_threads(1)
    def ours():
        for x, _ in batches:
            program.forward(x, mode)

    @torch.inference_mode()
    def peer():
        for x in images:
            model(x)

    return ours, peer


def estimators():
    """Print a line for the estimator itself with one row, beside a bare network of torch."""
    filters, shape = CASES["(16, 32) @ 28x28x1"]
    ((x, y),) = batches_of(shape, 1, np.random.default_rng(0))
    classifier = ConvClassifier(max_iter=1, image_shape=shape, n_jobs=THREADS).fit(x.reshape(len(x), -1), y)
    rows = [x[:1].reshape(1, -1)] * 100
    program = classifier.pool_.program
    _, peer = predictors(program, peer_of(program, filters, shape).eval(), [(x[:1], y)] * 100)
    ours = side_by_side(lambda: [classifier.predict_proba(one) for one in rows], peer)
    print_rate("predict_proba of one row", 100, ours)


def side_by_side(ours, peer):
    """Return the medians of both and of their ratio, warm."""
    ours(), peer()
    return compare(ours, peer, repeat=7, clock=CLOCK)


def print_rate(name, n, times):
    """Print images per second and the ratio."""
    ours, theirs, ratio = times
    row(name, f"{n / ours:,.0f}/s", f"{n / theirs:,.0f}/s", ratio)


def mnist():
    """Print accuracy on held-out images and the time of a fit."""
    found = real_data("mnist_train.npz")
    X, y = found["X"], found["y"]
    settings = {
        "defaults": {},
        "one_cycle": {"learning_rate": "one_cycle", "learning_rate_init": 5e-3, "max_iter": 8},
    }
    for name, params in settings.items():
        score(f"MNIST {name}", ConvClassifier(**params, random_state=0, n_jobs=THREADS), X, y)
    if "mlp" in sys.argv[1:]:
        score("MNIST MLPClassifier", MLPClassifier(random_state=0), X.astype(np.float32) / 255, y)


def score(name, classifier, X, y):
    """Fit on all but the last 10,000 rows and print time and accuracy."""
    start = CLOCK()
    classifier.fit(X[:-10_000], y[:-10_000])
    taken = CLOCK() - start
    row(name, f"{taken:.1f} s", f"{classifier.score(X[-10_000:], y[-10_000:]):.4f}", "")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["network", "mnist"]
    row("what", "ours", "peer", "ratio")
    with threadpool_limits(THREADS):
        if torch is not None and "network" in wanted:
            networks()
            estimators()
        if real_data("mnist_train.npz") is not None and {"mnist", "mlp"} & set(wanted):
            mnist()
