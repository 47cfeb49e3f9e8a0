"""Policy iteration: the values of a policy, a better policy, and again, until no action is better (Howard 1960)."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from skml._kernels import blas_threads, breathe
from skml.base import Step
from skml.reinforcement.bellman import finite_rounding, policy_model, rounding, sweep
from skml.reinforcement.endings import ENDLESS, policy_to_the_end, require_end
from skml.reinforcement.sweeping import evaluated

FEW = 512  # states whose linear system is solved dense
MANY = 4000  # states from which sweeps are quicker than a factorisation that fills up
SWEEPS = 100_000  # of an evaluation, at most


def first_policy(model):
    """Return the pair of the largest reward in each state; with discount 1 one that leads to the end."""
    if model.discount < 1:
        return sweep(model, np.zeros(model.n_states + 1))[1]
    return policy_to_the_end(model)


def solve(model, pairs):
    """Return v with (I - discount P) v = r for the pairs of a policy, by elimination: (n_states + 1,).

    Raises
    ------
    ValueError
        If the system is singular: with discount 1, a policy that never ends. Or if values are beyond float64.
    """
    indptr, indices, data, r = policy_model(model, pairs).table
    has, n = pairs >= 0, len(r)
    P = sp.csr_array((data, indices, indptr), shape=(n, model.n_states + 1))[:, np.append(has, False)]
    try:
        if n <= FEW:
            with blas_threads(1):
                v = np.linalg.solve(np.eye(n) - model.discount * P.toarray(), r)
        else:
            v = splu(sp.csc_array(sp.identity(n) - model.discount * P)).solve(r)
    except (np.linalg.LinAlgError, RuntimeError):
        v = np.full(n, np.nan)
    breathe()
    if not np.isfinite(v).all():
        if model.discount < 1:
            finite_rounding(model, v)
        raise ValueError(ENDLESS)
    values = np.zeros(model.n_states + 1)
    values[:-1][has] = v
    return values


def sweep_solver(model, tol):
    """Return a function that evaluates a policy by sweeps, going on from the values before."""
    last = np.zeros(model.n_states + 1)

    def evaluate(model, pairs):
        nonlocal last
        last = evaluated(model, last, pairs, 0.1 * tol, SWEEPS)
        finite_rounding(model, last)
        return last

    return evaluate


def policy_iteration(model, evaluate, tol, max_iter):
    """Yield (values, pairs) of each policy; an action gives way only to one better by more than `tol`."""
    pairs = first_policy(model)
    for i in range(max_iter):
        if model.discount == 1:
            require_end(model, pairs)
        v = evaluate(model, pairs)
        w, better, _, _ = sweep(model, v)
        gain = w - v
        changed = (gain[:-1] > max(tol, rounding(model, v))) & (better != pairs)
        pairs = np.where(changed, better, pairs).astype(np.int32)
        residual = float(np.abs(gain).max())
        last = not changed.any() or i == max_iter - 1
        yield Step(v, {"residual": residual, "n_changed": int(changed.sum())}, last=bool(last))
        if last:
            return
