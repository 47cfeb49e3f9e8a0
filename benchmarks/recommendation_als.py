"""Implicit alternating least squares beside the package implicit: float32, two threads; ratios above 1 favour us.

``SKML_DATA=folder python benchmarks/recommendation_als.py [name ...]`` adds real data where the folder has it; names
pick problems by a part of theirs. Seconds are per iteration; both begin with the same factors, and the peer is given
the transpose, so that both solve for the same side first. Its regularization is twice our penalty. The peer also runs
on the threads of OpenBLAS as well: set OPENBLAS_NUM_THREADS=1, as it asks for.
"""

import sys
import time

import numpy as np
import scipy.sparse as sp
from _bench import real_data, row
from implicit.als import AlternatingLeastSquares

from skml.recommendation.als import Plan, als_steps, initial_factors
from skml.recommendation.ratings import Ratings

SWEEPS, PENALTY = 3, 5.0  # with less, the peer finds matrices of jester, k=128, singular


def generated(n, m, size):
    """Return confidences of n users and m items with popularity by a power law."""
    rng = np.random.default_rng(0)
    shares = [np.cumsum(p / p.sum()) for p in (rng.lognormal(0, 0.8, n), (np.arange(m) + 20.0) ** -0.9)]
    users, items = (np.searchsorted(p, rng.random(int(1.35 * size))).clip(0, len(p) - 1) for p in shares)
    pairs = np.unique(users * m + rng.permutation(m)[items])
    pairs = np.sort(rng.permutation(pairs)[:size])
    data = rng.integers(2, 11, len(pairs)).astype(np.float32)
    return sp.csr_matrix((data, (pairs // m, pairs % m)), shape=(n, m))


def problems():
    """Yield (name, confidences)."""
    held = real_data("jester1.npz")
    if held is not None:
        places = held["user"].astype(np.int32), held["item"].astype(np.int32)
        yield "jester", sp.csr_matrix((1 + np.abs(held["rating"]), places), shape=(24_983, 100))
    yield "1e5 x 2e4", generated(100_000, 20_000, 10_000_000)


def dense_objective(R, users, items):
    """Return J in float64, for either's factors."""
    P, Q = users.astype(np.float64), items.astype(np.float64)
    total = ((P.T @ P) * (Q.T @ Q)).sum() / 2 + PENALTY * ((P**2).sum() + (Q**2).sum())
    for start in range(0, R.shape[0], 2000):
        part = R[start : start + 2000].tocoo()
        s = np.einsum("ij,ij->i", P[start + part.row], Q[part.col])
        total += (part.data * (1 - s) ** 2 - s**2).sum() / 2
    return total


def clocked(function):
    """Return the seconds on the wall, and those of the processor, that a call takes."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


WIDTHS = (42, 9, 9, 9, 9, 40)


def sweeps(name, R, k, cg, n_threads):
    """Print a line: medians per iteration, in turn, and the objectives after as many iterations."""
    inner = "cg" if cg else "cholesky"
    plan = Plan(
        k,
        implicit=True,
        user_penalty=PENALTY,
        item_penalty=PENALTY,
        inner=inner,
        max_iter=SWEEPS,
        n_threads=n_threads,
        tol=None,
    )
    ratings = Ratings(R.indptr, R.indices, R.data, None, R.shape[1])
    start = initial_factors(ratings, plan, 0)
    steps = als_steps(ratings, start, plan)
    peer = AlternatingLeastSquares(k, regularization=2 * PENALTY, use_cg=cg, iterations=1, num_threads=n_threads)
    peer.item_factors, peer.user_factors = start.users.copy(), start.items.copy()
    by_user, by_item, ours, theirs = R, R.T.tocsr(), [], []
    by_item.sort_indices()
    found = []

    def peer_sweep():
        peer.solver(by_item, peer.user_factors, peer.item_factors, 2 * PENALTY, num_threads=n_threads)
        peer.solver(by_user, peer.item_factors, peer.user_factors, 2 * PENALTY, num_threads=n_threads)

    for _ in range(SWEEPS):
        ours.append(clocked(lambda: found.append(next(steps).state)))
        theirs.append(clocked(peer_sweep))
    found = found[-1]
    a, b = (dense_objective(R, *f) for f in ((found.users, found.items), (peer.item_factors, peer.user_factors)))
    wall, cpu = np.median(ours[1:], axis=0)  # the first also sorts by item
    other_wall, other_cpu = np.median(theirs[1:], axis=0)
    row(
        f"{name}, k={k}, {inner}, {n_threads} threads",
        wall,
        other_wall,
        other_wall / wall,
        other_cpu / cpu,
        f"{a:.8g} {b:.8g}",
        widths=WIDTHS,
    )


if __name__ == "__main__":
    row("problem", "ours s", "peer s", "ratio", "cpu", "objectives", widths=WIDTHS)
    for title, confidences in problems():
        if sys.argv[1:] and not any(word in title for word in sys.argv[1:]):
            continue
        for factors in (64, 128):
            for use_cg in (True, False):
                sweeps(title, confidences, factors, use_cg, 2)
