"""The planners beside a sparse NumPy loop and pymdptoolbox; ratios are the peer's time over ours, so more is better.

``python benchmarks/planning.py [word ...]`` runs the parts that are named, all without words: large, peers, algorithms,
growth. All processes are random: 4 actions with 4 next states each, drawn from all states ("random") or the four
neighbours on a grid ("grid"), rewards uniform in [0, 1], discount 0.95, Bellman residual 1e-6. The word "quick" makes
everything small, to see that it runs. "cpu" is the processor's time on one thread, for a machine that does other things
as well. pymdptoolbox is skipped if it isn't installed; its checks, which make matrices dense, and its bound on
the number of iterations, a dense row for every column, are left out.
"""

import sys
import time
from functools import partial
from unittest import mock

import numpy as np
import scipy.sparse as sp
from _bench import compare, peak_memory, row

from skml.reinforcement import FiniteMDP, PolicyIteration, ValueIteration

try:
    from mdptoolbox import mdp as toolbox
except ImportError:
    toolbox = None

QUICK = "quick" in sys.argv
CLOCK = time.process_time if "cpu" in sys.argv else time.perf_counter
A, K, DISCOUNT, TOL = 4, 4, 0.95, 1e-6
ALGORITHMS = ("synchronous", "gauss-seidel", "prioritized", "modified")


def small(n):
    """Return a size, less of it if it shall be quick."""
    return max(100, n // 1000) if QUICK else n


def tables(n_states, kind, seed=0):
    """Return (transitions, rewards, pairs) of a random process; rewards by pair."""
    rng, n = np.random.default_rng(seed), n_states * A
    if kind == "grid":
        side = int(n_states**0.5)
        x, y = np.arange(n_states) % side, np.arange(n_states) // side
        up, down = np.maximum(y - 1, 0) * side + x, np.minimum(y + 1, (n_states - 1) // side) * side + x
        around = np.stack([y * side + np.maximum(x - 1, 0), y * side + np.minimum(x + 1, side - 1), up, down], axis=1)
        columns = np.repeat(np.minimum(around, n_states - 1)[:, None], A, axis=1).ravel()
    else:
        columns = rng.integers(0, n_states, n * K)
    data, indptr = rng.dirichlet(np.ones(K), n).ravel(), np.arange(0, n * K + 1, K)
    T = sp.csr_array((data, columns, indptr), shape=(n, n_states))
    T.sum_duplicates()
    pairs = np.stack([np.repeat(np.arange(n_states), A), np.tile(np.arange(A), n_states)], axis=1)
    return T, rng.random(n), pairs


def process(n_states, kind="random"):
    """Return the process as ours."""
    T, rewards, pairs = tables(n_states, kind)
    return FiniteMDP(T, rewards, DISCOUNT, pairs=pairs, terminal=[])


def loop(T, rewards):
    """Return values by value iteration as one writes it with scipy.sparse, and the number of sweeps."""
    v, n = np.zeros(T.shape[1]), 0
    while True:
        new = (rewards + DISCOUNT * (T @ v)).reshape(-1, A).max(axis=1)
        residual, v, n = np.abs(new - v).max(), new, n + 1
        if residual <= TOL:
            return v, n


def plan(mdp, **params):
    """Return a planner fitted to the residual."""
    return ValueIteration(tol=TOL, **params).fit(mdp)


def residual(T, rewards, v):
    """Return the Bellman residual of values."""
    return float(np.abs((rewards + DISCOUNT * (T @ v)).reshape(-1, A).max(axis=1) - v).max())


def large():
    """Print what a million states take."""
    n_states = small(1_000_000)
    for kind in ("random", "grid"):
        T, rewards, pairs = tables(n_states, kind)
        start = CLOCK()
        mdp = FiniteMDP(T, rewards, DISCOUNT, pairs=pairs, terminal=[])
        built = CLOCK() - start
        ours, peer, ratio = compare(partial(plan, mdp), partial(loop, T, rewards), 1, CLOCK)
        planner = plan(mdp)
        row(f"{n_states} states, {kind}: sparse loop", ours, peer, ratio, f"built in {built:.2f}")
        left, error = residual(T, rewards, planner.value_), np.abs(planner.value_ - loop(T, rewards)[0]).max()
        gap = np.max(planner.value_upper_ - planner.value_lower_)
        row(f"  residual {left:.1e}, certain to {gap:.1e}, loop off by {error:.1e}")
        megabytes = [f"{n / 1e6:.0f} MB" for n in (T.nnz * 12, peak_memory(partial(plan, mdp)))]
        row("  the table, and what a fit adds", *megabytes)


class Unbounded(toolbox.ValueIteration if toolbox else object):
    """pymdptoolbox's value iteration without its bound on the number of iterations."""

    def _boundIter(self, epsilon):
        self.max_iter = 10**6


def peers():
    """Print ratios beside peers on the same process."""
    for n_states in (small(1000), small(20_000), small(200_000)):
        T, rewards, _ = tables(n_states, "random")
        mdp = process(n_states)
        repeat = 3 if n_states > 50_000 else 5
        ours, theirs = partial(plan, mdp), {"sparse loop": partial(loop, T, rewards)}
        if toolbox is not None:
            parts = [sp.csr_matrix(T[a::A]) for a in range(A)]
            theirs["pymdptoolbox"] = partial(run_toolbox, parts, rewards.reshape(-1, A))
        for name, peer in theirs.items():
            row(f"{n_states} states: {name}", *compare(ours, peer, repeat, CLOCK))


def run_toolbox(parts, rewards):
    """Plan with pymdptoolbox until the policy is optimal to the tolerance."""
    with mock.patch("mdptoolbox.mdp._util.check"):
        Unbounded(parts, rewards, DISCOUNT, epsilon=TOL).run()


def algorithms():
    """Print how long each algorithm takes, and in how many iterations."""
    for kind in ("random", "grid"):
        mdp = process(small(100_000), kind)
        planners = [ValueIteration(algorithm=name, tol=TOL) for name in ALGORITHMS]
        for planner in [*planners, PolicyIteration(tol=TOL)]:
            start = CLOCK()
            planner.fit(mdp)
            name = getattr(planner, "algorithm", "policy iteration")
            row(f"{mdp.n_states} states, {kind}: {name}", CLOCK() - start, planner.n_iter_)


def growth():
    """Print the time of one sweep, sparse and dense, as the number of states grows."""
    for n_states in (small(10_000), small(100_000), small(1_000_000)):
        mdp = process(n_states)
        row(f"{n_states} states, sparse: per outcome", sweep_time(mdp) / mdp.transitions.nnz * 1e9, "ns")
    for n_states in (250, 500, 1000):
        T = np.random.default_rng(0).dirichlet(np.ones(n_states), size=(A, n_states))
        mdp = FiniteMDP(T, np.ones(n_states), DISCOUNT)
        row(f"{n_states} states, dense: per outcome", sweep_time(mdp) / mdp.transitions.nnz * 1e9, "ns")


def sweep_time(mdp):
    """Return the time of a sweep: that of eleven less that of one."""
    times = []
    for n in (1, 11):
        planner = ValueIteration(DISCOUNT, horizon=n)
        start = CLOCK()
        planner.fit(mdp)
        times.append(CLOCK() - start)
    return (times[1] - times[0]) / 10


if __name__ == "__main__":
    asked = [word for word in sys.argv[1:] if word not in ("quick", "cpu")]
    row("", "ours", "peer", "ratio")
    for part in (large, peers, algorithms, growth):
        if not asked or part.__name__ in asked:
            part()
