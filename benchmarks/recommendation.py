"""The recommenders beside Surprise and implicit; ratios are the peer's time over ours, so more is better.

``SKML_DATA=folder SKML_ML100K=path python benchmarks/recommendation.py [word ...]`` runs the parts that are named, all
without words: explicit, implicit, sgd, recommend, encoding, memory, growth. Jester is read from the first folder;
MovieLens-100k from the second path, its folder or its file u.data; what is absent is left out. Peers that are not
installed are skipped. The word "quick" makes everything small, to see that it runs. "cpu" is the ratio of the
processor's time, for a machine that does other things as well. Set OPENBLAS_NUM_THREADS=1: implicit asks for it, and
without it runs on the threads of OpenBLAS beside its own.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _bench import real_data, row
from sklearn.model_selection import KFold

from skml.recommendation import MatrixFactorization, NeighborhoodFilter
from skml.recommendation.als import Plan, als_steps, initial_factors
from skml.recommendation.ids import encode
from skml.recommendation.ratings import Ratings

try:
    import surprise
except ImportError:
    surprise = None
try:
    from implicit.als import AlternatingLeastSquares
except ImportError:
    AlternatingLeastSquares = None

QUICK = "quick" in sys.argv
REPEAT = 1 if QUICK else 3
N_THREADS = 2
WIDTHS = (44, 10, 10, 8, 8, 28)


def small(n):
    """Return a size, less of it if it shall be quick."""
    return max(50, n // 50) if QUICK else n


def clocked(function):
    """Return the seconds on the wall, those of the processor, and what a call returns."""
    start = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - start[0], time.process_time() - start[1], result


def in_turn(ours, peer, repeat=REPEAT):
    """Return medians of both times on the wall, and both ratios, over alternating runs; and the last results."""
    runs = [(clocked(ours), clocked(peer)) for _ in range(repeat)]
    wall, cpu = (np.median([[mine[k], theirs[k]] for mine, theirs in runs], axis=0) for k in (0, 1))
    return (*wall, wall[1] / wall[0], cpu[1] / cpu[0]), *(run[2] for run in runs[-1])


# ------------------------------------------------------------------------------------------------------- data


def jester():
    """Return users and items, and ratings from -10 to 10; None where there is no data."""
    held = real_data("jester1.npz")
    if held is None:
        return None
    X, y = np.column_stack([held["user"], held["item"]]).astype(np.int32), held["rating"].astype(np.float64)
    kept = X[:, 0] < small(25_000)
    return X[kept], y[kept]


def movielens():
    """Return users and items, and ratings from 1 to 5; None where there is no data."""
    path = pathlib.Path(os.environ.get("SKML_ML100K") or "no such folder")
    path = path / "u.data" if path.is_dir() else path
    if not path.exists():
        return None
    table = np.loadtxt(path, dtype=np.int64)
    table = table[: len(table) // 10] if QUICK else table
    return table[:, :2].astype(np.int32), table[:, 2].astype(np.float64)


def generated(n, m, size):
    """Return confidences of n users and m items with popularity by a power law, as CSR of float32."""
    rng = np.random.default_rng(0)
    shares = [np.cumsum(p / p.sum()) for p in (rng.lognormal(0, 0.8, n), (np.arange(m) + 20.0) ** -0.9)]
    users, items = (np.searchsorted(p, rng.random(int(1.35 * size))).clip(0, len(p) - 1) for p in shares)
    pairs = np.unique(users * m + rng.permutation(m)[items])
    pairs = np.sort(rng.permutation(pairs)[:size])
    data = rng.integers(2, 11, len(pairs)).astype(np.float32)
    return sp.csr_matrix((data, (pairs // m, pairs % m)), shape=(n, m))


def large():
    """Return the large generated problem."""
    return generated(small(100_000), small(20_000), small(10_000_000) // (10 if QUICK else 1))


def implicit_problems():
    """Yield (name, confidences)."""
    if (data := jester()) is not None:
        X, y = data
        yield "Jester", sp.csr_matrix((1 + np.abs(y).astype(np.float32), (X[:, 0], X[:, 1])))
    R = large()
    yield f"{R.shape[0]} x {R.shape[1]}, {R.nnz}", R


def interactions_of(R):
    """Return the rows of a matrix as user, item and rating."""
    users = np.repeat(np.arange(R.shape[0], dtype=np.int32), np.diff(R.indptr))
    return np.column_stack([users, R.indices.astype(np.int32)]), R.data


# --------------------------------------------------------------------------------------------------- explicit

# Chosen on a fifth of the training part of the first fold (Jester), or on generated ratings like those (MovieLens,
# which was not at hand).
TUNED = {
    "Jester": [
        MatrixFactorization(),
        MatrixFactorization(20, weighted_alpha=True, alpha={"users": 0.2, "items": 0.2, "biases": 0.02}),
        NeighborhoodFilter(),
        NeighborhoodFilter(baseline=(6.0, 1.0), n_neighbors=20, damping=0.15),
        NeighborhoodFilter(solver="ease", baseline=(8.0, 1.0)),
    ],
    "MovieLens-100k": [
        MatrixFactorization(),
        MatrixFactorization(weighted_alpha=True),
        MatrixFactorization(100, solver="sgd", max_iter=100),
        NeighborhoodFilter(),
        NeighborhoodFilter(kind="item", negative=True),
        NeighborhoodFilter(kind="user", negative=True, damping=0.3),
    ],
}
RANGES = {"Jester": (-10.0, 10.0), "MovieLens-100k": (1.0, 5.0)}
PUBLISHED = {"SVD": 0.934, "SVD++": 0.919, "kNNBaseline": 0.931, "NMF": 0.963}  # MovieLens-100k, other folds


def explicit():
    """Print RMSE and MAE over folds of interactions, predictions cut to the range of ratings."""
    row("explicit, 5 folds", "RMSE", "MAE", "fit s", "predict", "folds", widths=WIDTHS)
    for name, load in (("Jester", jester), ("MovieLens-100k", movielens)):
        data = load()
        if data is None:
            print(f"{name} is not here: it could not be measured")
            continue
        print(f"{name}, {len(data[1])} ratings")
        folds = list(KFold(5, shuffle=True, random_state=0).split(data[0]))[: 1 if QUICK else 5]
        for model in TUNED[name]:
            row(plain(model), *over_folds(with_threads(model), data, folds, RANGES[name]), widths=WIDTHS)
        for model in surprise_models(name):
            some = folds[:1] if name == "Jester" else folds
            row(f"Surprise {model.name}", *over_folds(model, data, some, RANGES[name]), widths=WIDTHS)
    print("Surprise publishes for MovieLens-100k, RMSE:", PUBLISHED)


def plain(model):
    """Return a model's name and parameters on one line."""
    return " ".join(str(model).split())


def with_threads(model):
    """Return a model that runs on our threads and, where it draws anything, draws the same each time."""
    params = {"n_jobs": N_THREADS, "random_state": 0}
    return model.set_params(**{name: value for name, value in params.items() if name in model.get_params()})


def over_folds(model, data, folds, span):
    """Return the mean RMSE and MAE, the seconds of a fit and of predictions, and the number of folds."""
    (X, y), found = data, []
    for train, test in folds:
        fit_time, _, fitted = clocked(lambda: model.fit(X[train], y[train]))  # noqa: B023
        time_of_test, _, said = clocked(lambda: fitted.predict(X[test]))  # noqa: B023
        errors = np.clip(said, *span) - y[test]
        found.append((np.sqrt(np.mean(errors**2)), np.mean(np.abs(errors)), fit_time, time_of_test))
    rmse, mae, *times = map(float, np.mean(found, axis=0))
    return f"{rmse:.4f}", f"{mae:.4f}", *times, len(found)


class Peer:
    """A model of Surprise behind the methods that ours have."""

    def __init__(self, model, name):
        self.model, self.name = model, name

    def fit(self, X, y):
        """Return the model, fitted to interactions."""
        self.model.fit(trainset_of(X, y))
        return self

    def predict(self, X):
        """Return predictions, one by one as Surprise makes them."""
        return np.array([self.model.predict(user, item).est for user, item in X.tolist()])


def trainset_of(X, y):
    """Return interactions as Surprise takes them."""
    frame = pd.DataFrame({"user": X[:, 0], "item": X[:, 1], "rating": y})
    return surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(y.min(), y.max()))).build_full_trainset()


def surprise_models(name):
    """Yield the models of Surprise to compare with: at their defaults, for Jester also with a rate that suits it."""
    if surprise is None:
        return
    yield Peer(surprise.SVD(random_state=0), "SVD, defaults")
    if name == "Jester":
        yield Peer(surprise.SVD(random_state=0, n_factors=20, lr_all=0.0015, reg_all=0.2), "SVD(20, .0015, .2)")
    baseline = {"name": "pearson_baseline", "user_based": False}
    yield Peer(surprise.KNNBaseline(sim_options=baseline, verbose=False), "KNNBaseline, items, pearson_baseline")


# --------------------------------------------------------------------------------------------------- implicit

SWEEPS, PENALTY = 3, 5.0  # with less, the peer finds matrices of Jester, k=128, singular


def implicit():
    """Print seconds per iteration; both begin with the same factors, and the peer solves for the same side first."""
    row("implicit, an iteration", "ours s", "peer s", "ratio", "cpu", "objectives", widths=WIDTHS)
    for name, R in implicit_problems():
        for k in (64, 128):
            for inner in ("cg", "cholesky"):
                sweeps(name, R, k, inner)


def sweeps(name, R, k, inner):
    """Print a line: medians per iteration, in turn, and the objectives after as many iterations."""
    penalties = {"user_penalty": PENALTY, "item_penalty": PENALTY}
    plan = Plan(k, implicit=True, inner=inner, max_iter=SWEEPS, n_threads=N_THREADS, tol=None, **penalties)
    ratings = Ratings(R.indptr, R.indices, R.data, None, R.shape[1])
    start = initial_factors(ratings, plan, 0)
    peer = PeerSweeps(R, start, inner) if AlternatingLeastSquares else None
    steps, ours, theirs = als_steps(ratings, start, plan), [], []
    for _ in range(SWEEPS):
        ours.append(clocked(lambda: next(steps).state))
        if peer:
            theirs.append(clocked(peer.sweep)[:2])
    found = ours[-1][2]
    wall, cpu = np.median([times[:2] for times in ours[1:]], axis=0)  # the first also sorts by item
    other, other_cpu = np.median(theirs[1:], axis=0) if peer else (np.nan, np.nan)
    pairs = [(found.users, found.items)] + ([(peer.model.item_factors, peer.model.user_factors)] if peer else [])
    objectives = " ".join(f"{objective(R, *pair):.7g}" for pair in pairs)
    row(f"{name}, k={k}, {inner}", wall, other, other / wall, other_cpu / cpu, objectives, widths=WIDTHS)


class PeerSweeps:
    """The package implicit, given the transpose so that it solves for items first; its regularization is 2 lambda."""

    def __init__(self, R, start, inner):
        options = {"use_cg": inner == "cg", "iterations": 1, "num_threads": N_THREADS}
        self.model = AlternatingLeastSquares(start.users.shape[1], regularization=2 * PENALTY, **options)
        self.model.item_factors, self.model.user_factors = start.users.copy(), start.items.copy()
        self.by_user, self.by_item = R, R.T.tocsr()
        self.by_item.sort_indices()

    def sweep(self):
        """Solve for the items, then for the users."""
        model, options = self.model, {"num_threads": N_THREADS}
        model.solver(self.by_item, model.user_factors, model.item_factors, 2 * PENALTY, **options)
        model.solver(self.by_user, model.item_factors, model.user_factors, 2 * PENALTY, **options)


def objective(R, users, items):
    """Return J in float64, for either's factors."""
    P, Q = users.astype(np.float64), items.astype(np.float64)
    total = ((P.T @ P) * (Q.T @ Q)).sum() / 2 + PENALTY * ((P**2).sum() + (Q**2).sum())
    for start in range(0, R.shape[0], 2000):
        part = R[start : start + 2000].tocoo()
        s = np.einsum("ij,ij->i", P[start + part.row], Q[part.col])
        total += (part.data * (1 - s) ** 2 - s**2).sum() / 2
    return total


# -------------------------------------------------------------------------------------------------------- sgd

K = 100  # components


def sgd():
    """Print times of epochs: of the processor on one thread, on the wall on two of ours; and the best RMSE of grids."""
    data = jester() or ratings_like_jester()
    if surprise is None:
        print("Surprise is not installed: SGD could not be compared")
        return
    trainset = trainset_of(*data)
    row(f"sgd, k={K}", "ours", "Surprise", "ratio", widths=WIDTHS)
    for n_jobs in (1, N_THREADS):
        for dtype in (np.float32, np.float64):
            times = [(epoch_of_ours(data, dtype, n_jobs), epoch_of_peer(trainset, n_jobs)) for _ in range(REPEAT)]
            mine, theirs = np.median(times, axis=0)
            row(f"an epoch, {dtype.__name__}, n_jobs={n_jobs}", mine, theirs, theirs / mine, widths=WIDTHS)
    grids(data)


def ratings_like_jester():
    """Return generated ratings of the size of Jester."""
    rng = np.random.default_rng(0)
    n = small(25_000)
    X = np.column_stack(np.nonzero(rng.random((n, 100)) < 0.72)).astype(np.int32)
    truth = rng.normal(size=(n, 5)) @ rng.normal(size=(5, 100))
    return X, truth[X[:, 0], X[:, 1]] + rng.normal(size=len(X))


def factorize(X, y, max_iter, n_jobs=1, **params):
    """Return our model of k components after some epochs."""
    descent = {"solver": "sgd", "max_iter": max_iter, "tol": None, "n_jobs": n_jobs, "random_state": 0}
    return MatrixFactorization(K, **descent, **params).fit(X, y)


def epoch_of_ours(data, dtype, n_jobs):
    """Return seconds: the difference of a longer and a shorter fit, so that what a fit does once doesn't count."""
    X, y = data[0], data[1].astype(dtype)
    longer, shorter = (clocked(lambda: factorize(X, y, n, n_jobs))[n_jobs == 1] for n in (9, 1))  # noqa: B023
    return (longer - shorter) / 8


def epoch_of_peer(trainset, n_jobs):
    """Return seconds, by a difference as well; of the wall if ours has more threads than one."""
    longer, shorter = (
        clocked(lambda: surprise.SVD(n_factors=K, n_epochs=n, random_state=0).fit(trainset))[n_jobs == 1]  # noqa: B023
        for n in (3, 1)
    )
    return (longer - shorter) / 2


def grids(data):
    """Print the best RMSE of each after 20 epochs, over as many rates and penalties."""
    (X, y), mine, theirs = data, [], []
    held_out = np.random.default_rng(0).random(len(y)) < 0.2
    train, test = (X[~held_out], y[~held_out]), (X[held_out], y[held_out])
    scale = float(y.std())
    for rate in (0.0015,) if QUICK else (0.0007, 0.0015, 0.003):
        for pull in (0.2,) if QUICK else (0.05, 0.1, 0.2):
            # Our rates are in units of the ratings' variance, and Surprise's penalty is 2 lambda: the same points.
            params = {"learning_rate_init": rate * scale**2, "alpha": pull / 2, "weighted_alpha": True}
            ours = factorize(train[0], train[1].astype(np.float32), 20, **params)
            peer = Peer(surprise.SVD(n_factors=K, lr_all=rate, reg_all=pull, random_state=0), "SVD").fit(*train)
            mine.append((cut_rmse(ours, test), rate, pull))
            theirs.append((cut_rmse(peer, test), rate, pull))
    names = "best of the grid: " + ", ".join(f"{rate:g} {pull:g}" for _, rate, pull in (min(mine), min(theirs)))
    ours, peers = min(mine)[0], min(theirs)[0]
    row("RMSE after 20 epochs", f"{ours:.4f}", f"{peers:.4f}", peers / ours, "", names, widths=WIDTHS)


def cut_rmse(model, test):
    """Return the RMSE of predictions cut to the range of ratings, as Surprise does it."""
    X, y = test
    return float(np.sqrt(np.mean((np.clip(model.predict(X), y.min(), y.max()) - y) ** 2)))


# -------------------------------------------------------------------------------------------------- recommend


def recommend():
    """Print the time of ten recommendations for each of all users, the peer having the same factors."""
    row("recommend for all, 10 each", "ours s", "peer s", "ratio", "cpu", "same items", widths=WIDTHS)
    for name, R in implicit_problems():
        for k in (64, 128):
            model = MatrixFactorization(k, feedback="implicit", max_iter=1, tol=None, n_jobs=N_THREADS, random_state=0)
            model.fit(*interactions_of(R))
            if AlternatingLeastSquares is None:
                wall, cpu, _ = clocked(model.recommend)
                row(f"{name}, k={k}", wall, widths=WIDTHS)
                continue
            peer = AlternatingLeastSquares(k, num_threads=N_THREADS)
            peer.user_factors, peer.item_factors = model.user_factors_, model.item_factors_
            users, seen = np.arange(len(model.user_ids_)), seen_of(model)
            times, ours, theirs = in_turn(model.recommend, lambda: peer.recommend(users, seen, N=10))  # noqa: B023
            left = ours[0] >= 0  # who has rated nearly all of Jester has less than ten to be recommended
            same = np.mean((ours[0] == model.item_ids_[np.maximum(theirs[0], 0)])[left])
            row(f"{name}, k={k}", *times, f"{same:.6f}", widths=WIDTHS)


def seen_of(model):
    """Return the matrix of what a model has learned from, in its codes."""
    held = model._ratings
    return sp.csr_matrix((held.data, held.indices, held.indptr), shape=(held.n_rows, held.n_columns))


# --------------------------------------------------------------------------------------------------- encoding


def encoding():
    """Print the time that the ids of many rows take, users and items together."""
    n = small(10_000_000)
    rng = np.random.default_rng(0)
    codes = [rng.integers(size, size=n, dtype=np.int32) for size in (small(100_000), small(20_000))]
    row(f"encoding of {n} rows", "wall s", "cpu s", widths=WIDTHS)
    for name, make in ENCODINGS.items():
        columns = [make(code, prefix) for code, prefix in zip(codes, ("user-", "item-"))]
        wall, cpu, found = clocked(lambda: [encode(column, "ids") for column in columns])  # noqa: B023
        assert all((ids[codes][:1000] == column[:1000]).all() for (ids, codes), column in zip(found, columns))
        row(name, wall, cpu, widths=WIDTHS)


def shared_strings(codes, prefix):
    """Return an array of objects, one for each id, as pandas reads them."""
    return np.array([f"{prefix}{code:06d}" for code in range(codes.max() + 1)], dtype=object)[codes]


def own_strings(codes, prefix):
    """Return an array of objects, one for each row."""
    return np.fromiter((f"{prefix}{code:06d}" for code in codes.tolist()), dtype=object, count=len(codes))


ENCODINGS = {
    "strings as objects, one for each id": shared_strings,
    "strings as objects, one for each row": own_strings,
    "strings of a fixed width (U11)": lambda codes, prefix: shared_strings(codes, prefix).astype("U11")[:],
    "integers up to 1e12": lambda codes, prefix: codes.astype(np.int64) * 9_999_991,
    "integers": lambda codes, prefix: codes,
}


# ----------------------------------------------------------------------------------------------------- memory

# What a child does; VmHWM is the peak of its own memory (ru_maxrss would begin with that of the parent).
CHILD = """
import sys
import numpy as np
from skml import MatrixFactorization, NeighborhoodFilter
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
X, y = np.load(sys.argv[1]), np.load(sys.argv[2])
y = y if {rated} else None
model = {model}
model.fit(X[:100], None if y is None else y[:100])
before = peak()
model.fit(X, y)
print(peak() - before)
"""

FITS = {
    "als": "MatrixFactorization(max_iter=2, tol=None, n_jobs=2)",
    "als, implicit, y=None": "MatrixFactorization(max_iter=2, tol=None, n_jobs=2, feedback='implicit')",
    "sgd": "MatrixFactorization(solver='sgd', max_iter=2, n_jobs=2)",
    "ccd": "MatrixFactorization(solver='ccd', max_iter=2, tol=None, n_jobs=2)",
    "svd": "MatrixFactorization(solver='svd', max_iter=2, tol=None, n_jobs=2)",
    "neighbours": "NeighborhoodFilter(n_jobs=2)",
}


def memory():
    """Print the peak memory of fits in fresh processes, beyond the interactions that they hold."""
    X, y = interactions_of(large())
    order = np.random.default_rng(1).permutation(len(y))
    row(f"peak of fit, {len(y)} rows", "MB", "bytes/row", widths=WIDTHS)
    with tempfile.TemporaryDirectory() as folder:
        for kind, ids in (("integers", X[order]), ("U7", X[order].astype("U7"))):
            paths = [f"{folder}/X.npy", f"{folder}/y.npy"]
            np.save(paths[0], ids)
            np.save(paths[1], y[order])
            for name, model in FITS.items() if kind == "integers" else list(FITS.items())[:1]:
                kilobytes = peak_of_fit(model, paths, "None" not in name)
                row(f"{name}, ids {kind}", kilobytes / 1e3, kilobytes * 1e3 / len(y), widths=WIDTHS)


def peak_of_fit(model, paths, rated):
    """Return the kilobytes that a fit adds to the peak of a fresh process that holds the data."""
    program = CHILD.format(model=model, rated=rated)
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program, *paths], stdout=subprocess.PIPE, check=True)
    return float(said.stdout) * 1.024


# ----------------------------------------------------------------------------------------------------- growth


def growth():
    """Print the processor time per interaction, of what is done once and of each sweep: linear if it stays."""
    row("growth, ns of cpu per interaction", "once", "a sweep", widths=WIDTHS)
    for size in (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000):
        R = generated(max(50, small(size) // 100), 2000, small(size))
        X, y = interactions_of(R)
        for solver in ("als", "sgd", "ccd"):
            model = MatrixFactorization(solver=solver, tol=None, n_jobs=N_THREADS, random_state=0)
            few, more = (clocked(lambda: model.set_params(max_iter=n).fit(X, y))[1] for n in (1, 4))  # noqa: B023
            sweep = (more - few) / 3
            row(f"{solver}, {len(y)}", *(seconds / len(y) * 1e9 for seconds in (few - sweep, sweep)), widths=WIDTHS)


PARTS = {
    "explicit": explicit,
    "implicit": implicit,
    "sgd": sgd,
    "recommend": recommend,
    "encoding": encoding,
    "memory": memory,
    "growth": growth,
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="sklearn")
    words = [word for word in sys.argv[1:] if word != "quick"]
    if unknown := set(words) - set(PARTS):
        sys.exit(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}, and quick")
    for part in words or PARTS:
        PARTS[part]()
        print()
