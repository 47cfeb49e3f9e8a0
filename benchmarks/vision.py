"""Networks beside PyTorch on the CPU, and on MNIST beside scikit-learn's MLPClassifier and PCA; 2 threads each.

``SKML_THREADS=1`` takes one thread and its processor time instead, which others' load disturbs little.

``SKML_DATA=folder python benchmarks/vision.py [network] [curves] [memory] [mnist] [mlp] [autoencoder]``: the first
three need torch, the others ``mnist_train.npz`` in the folder; what is absent is left out. Ratios above 1 favour us,
but of memory, where it is ours over theirs; what is aimed at stands in brackets. Of MNIST's 60,000 training images the
last 10,000 are held out.
"""

import os
import subprocess
import sys
import time

import numpy as np
from _bench import compare, real_data, resident_growth, row
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from skml import ConvAutoencoder, ConvClassifier
from skml._kernels import blas_threads
from skml.network import Adam, CrossEntropy, Job, Plan, Program, for_inference
from skml.network.training import step
from skml.vision.architectures import Body, body_layers, with_head
from skml.vision.running import Runner

try:
    import torch
except ModuleNotFoundError:
    torch = None

THREADS, BATCH = int(os.environ.get("SKML_THREADS", "2")), 64
CLOCK = time.process_time if THREADS == 1 else time.perf_counter
CASES = {"(16, 32) @ 28x28x1": ((16, 32), (28, 28, 1)), "(32, 64, 128) @ 32x32x3": ((32, 64, 128), (32, 32, 3))}


# What is aimed at: training (by case), inference, one row.
TRAINING, INFERENCE, ONE, MEMORY, CURVES = (1.5, 1.0), 1.5, 3, 0.7, 1e-3


def program_of(filters, shape, dtype=np.float32):
    """Return the network that ConvClassifier makes of its defaults, but for the filters."""
    return Program(with_head(body_layers(Body(filters=filters), shape), shape, 10), shape, dtype, seed=0)


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
    return model.to(memory_format=torch.channels_last, dtype=getattr(torch, program.dtype.name))


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
    """Print a line each for training, inference and one row."""
    for (name, (filters, shape)), aim in zip(CASES.items(), TRAINING):
        program, few = program_of(filters, shape), batches_of(shape, 20, np.random.default_rng(0))
        model = peer_of(program, filters, shape)
        print_rate(f"{name} training [{aim}]", BATCH * len(few), side_by_side(*trainers(program, model, few)))
        print_rate(f"{name} inference [{INFERENCE}]", BATCH * len(few), side_by_side(*predictors(program, model, few)))
        one = [(x[:1], y[:1]) for x, y in few[:1]] * 100
        print_rate(f"{name} batch of one [{ONE}]", 100, side_by_side(*predictors(program, model, one)))


def curves():
    """Print how far loss curves of 100 steps, from the same weights and over the same batches, lie apart.

    In float64 that is what two programs differ by. In float32 rounding grows from step to step: torch beside itself,
    with the rows of each batch in reverse, tells how far.
    """
    for name, (filters, shape) in CASES.items():
        found = {}
        for dtype in (np.float64, np.float32):
            batches = [(x.astype(dtype), y) for x, y in batches_of(shape, 100, np.random.default_rng(0))]
            program = program_of(filters, shape, dtype)
            ours, peer = trainers(program, peer_of(program, filters, shape), batches)
            found[dtype] = peer()
            row(f"{name} curves apart, {np.dtype(dtype)} [{CURVES}]", *_apart(ours(), found[dtype]))
        program = program_of(filters, shape)
        turned = [(x[::-1].copy(), y[::-1].copy()) for x, y in batches]
        _, peer = trainers(program, peer_of(program, filters, shape), turned)
        row(f"{name} torch beside itself, rows reversed", *_apart(peer(), found[np.float32]))


def _apart(first, second):
    return f"{np.abs(np.subtract(first, second)).max():.1e}", "", ""


def memory():
    """Print the memory that ten training steps take, beside that before the network was made, each in a process."""
    for name in CASES:
        mib = [_child(name, who) for who in ("ours", "peer")]
        row(f"{name} memory of training [{MEMORY}]", *(f"{m:.0f} MiB" for m in mib), mib[0] / mib[1])


def _child(name, who):
    call = [sys.executable, __file__, "--memory-of", name, who]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def print_memory_of(name, who):
    """Print the MiB by which this process grows at most while a network is made and trained."""
    filters, shape = CASES[name]
    for some, size in (((4,), (8, 8, 1)), (filters, shape)):  # what libraries load on first use does not count
        batches = batches_of(size, 10, np.random.default_rng(0))
        grown = resident_growth(lambda: _train(who, some, size, batches))  # noqa: B023
    print(grown)


def _train(who, filters, shape, batches):
    program = program_of(filters, shape)
    trainers(program, peer_of(program, filters, shape), batches)[who == "peer"]()


def predictors(program, model, batches):
    """Return two functions that run the network on each batch."""
    images = [torch.from_numpy(np.moveaxis(x, -1, 1)) for x, _ in batches]
    runner = Runner(for_inference(program))
    mode = runner.mode(len(batches[0][0]), THREADS)

    @blas_threads(1)
    def ours():
        for x, _ in batches:
            for start in range(0, len(x), runner.batch):  # as predict does
                runner.program.forward(x[start : start + runner.batch], mode)

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
    print_rate(f"predict_proba of one row [{ONE}]", 100, ours)


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
    one_cycle = {"learning_rate": "one_cycle", "learning_rate_init": 5e-3}
    large = {"filters": (32, 64, 128), "normalization": "batch", "dropout": 0.3, "augment": "shift"}
    settings = {
        "defaults": {},
        "one_cycle, 8 epochs": one_cycle | {"max_iter": 8},
        "one_cycle, 2 epochs": one_cycle | {"max_iter": 2},
        "large, 10 epochs": one_cycle | large | {"max_iter": 10},
    }
    for name, params in settings.items():
        score(f"MNIST {name}", ConvClassifier(**params, random_state=0, n_jobs=THREADS), X, y)
    if "mlp" in sys.argv[1:]:
        score("MNIST MLPClassifier", MLPClassifier(random_state=0), X.astype(np.float32) / 255, y)


def autoencoder():
    """Print the squared error on held-out images, of pixels from 0 to 1, of 32 numbers per image, beside PCA's."""
    X = real_data("mnist_train.npz")["X"][::6]
    train, held = X[:8000], X[8000:]
    error, times = [], []
    for model in (ConvAutoencoder(n_components=32, random_state=0, n_jobs=THREADS), PCA(32, random_state=0)):
        start = CLOCK()
        given = [part if isinstance(model, ConvAutoencoder) else part / 255 for part in (train, held)]
        back = model.fit(given[0]).inverse_transform(model.transform(given[1]))
        times.append(CLOCK() - start)
        error.append(float(np.square(back / (255 if back.max() > 2 else 1) - held / 255).mean()))
    row("MNIST ConvAutoencoder, 32 numbers: error beside PCA's", *(f"{e:.4f}" for e in error), error[1] / error[0])
    row("MNIST ConvAutoencoder, 32 numbers: time", *(f"{t:.1f} s" for t in times), times[1] / times[0])


def score(name, classifier, X, y):
    """Fit on all but the last 10,000 rows and print time and accuracy."""
    start = CLOCK()
    classifier.fit(X[:-10_000], y[:-10_000])
    taken = CLOCK() - start
    row(name, f"{taken:.1f} s", f"{classifier.score(X[-10_000:], y[-10_000:]):.4f}", "")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory-of"]:
        print_memory_of(*sys.argv[2:])
        sys.exit()
    wanted = sys.argv[1:] or ["network", "curves", "memory", "mnist"]
    row("what", "ours", "peer", "ratio")
    with threadpool_limits(THREADS):
        if torch is not None:
            torch.set_num_threads(THREADS)
            if "network" in wanted:
                networks()
                estimators()
            if "curves" in wanted:
                curves()
            if "memory" in wanted:
                memory()
        if real_data("mnist_train.npz") is not None and "autoencoder" in wanted:
            autoencoder()
        if real_data("mnist_train.npz") is not None and {"mnist", "mlp"} & set(wanted):
            mnist()
