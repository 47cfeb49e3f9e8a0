"""Alternating least squares: explicit ratings, implicit confidences, and items that have attributes.

Explicit ratings (Koren, Bell and Volinsky 2009; Zhou et al. 2008)::

    J = 1/2 sum w (r - mean - b_u - b_i - p_u'q_i)^2 + lu sum s_u |p_u|^2 + lv sum s_i |q_i|^2
        + lb (sum s_u b_u^2 + sum s_i b_i^2)

with s = 1, or the row's sum of weights. A bias is one more factor, whose partner on the other side is 1. Implicit
confidences (Hu, Koren and Volinsky 2008)::

    J = 1/2 sum_all c (t - p_u'q_i)^2 + lu |P|^2 + lv |Q|^2,  t = 1 where stored; t = 0, c = 1 elsewhere

Items with attributes x_i: q_i = A'x_i + e_i (the bias alike), and the ridge is on e_i and A: ``lv s_i |q_i|^2`` becomes
``lv s_i |q_i - A'x_i|^2``, and ``la |A|^2`` is added. Items, then A, then users are solved for, each exactly given the
others (or by a few conjugate gradients), so J never increases; and users are always those that fold-in gives.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from skml._kernels import blas_threads
from skml.base import Step, require_memory
from skml.recommendation.factors import Factors
from skml.recommendation.least_squares import (
    RowProblems,
    column_squares,
    counted_noise,
    gram_matrix,
    weight_sums,
)
from skml.recommendation.padding import padded, padded_copy
from skml.recommendation.ratings import Ratings
from skml.recommendation.reconstruction import row_products

_ROWS = 256  # of a product of sparse matrices that are in memory as sparse ones


@dataclass(frozen=True)
class Plan:
    """What to minimise, and how.

    Attributes
    ----------
    n_components : int
        Factors of a user or item.
    implicit : bool
        Whether ratings are confidences.
    fit_bias : bool
        Whether users and items have biases; not where implicit.
    user_penalty, item_penalty, bias_penalty : float
        lu, lv and lb.
    attribute_penalty : float
        la, positive.
    weighted : bool
        Whether the penalties of a row are times its sum of weights (of confidences, where implicit).
    inner : {"cholesky", "cg"}
        Rows solved exactly, or by conjugate gradients that start at the last sweep's.
    cg_steps : int
        How many.
    max_iter : int
        The most sweeps.
    tol : float or None
        Relative decrease of J at which to stop; None never stops early.
    n_threads : int
        Threads to use; no result depends on it.
    bias_unit : float
        What the bias is multiplied with, its partner on the other side: in the units of factors it is no worse to
        conjugate gradients than these.
    """

    n_components: int = 20
    implicit: bool = False
    fit_bias: bool = False
    user_penalty: float = 0.1
    item_penalty: float = 0.1
    bias_penalty: float = 0.1
    attribute_penalty: float = 1.0
    weighted: bool = False
    inner: str = "cholesky"
    cg_steps: int = 3
    max_iter: int = 15
    tol: float | None = 1e-4
    n_threads: int = 1
    bias_unit: float = 1.0

    @property
    def width(self):
        """The length of a row: factors, and the bias."""
        return self.n_components + self.fit_bias

    @property
    def steps(self):
        """Conjugate gradients per row and sweep; 0 means Cholesky."""
        return self.cg_steps if self.inner == "cg" else 0

    def penalties(self, penalty):
        """Return the penalty of each number of a row."""
        return np.append(np.full(self.n_components, penalty), [self.bias_penalty * self.bias_unit**2] * self.fit_bias)


def initial_factors(ratings, plan, seed, mean=0.0):
    """Return random users, items of 0, no biases: where the first sweep starts that solves for items first.

    Users are in the units of the model's, the root of the ratings': in other units the start is the same.

    Parameters
    ----------
    ratings : Ratings
        By user.
    plan : Plan
        The number of factors, and whether there are biases.
    seed : int
        User u's factors depend on it and on u alone.
    mean : float, default=0.0
        Of the model; e.g. that of the ratings.

    Returns
    -------
    start : Factors
        Of the ratings' type.
    """
    dtype, n_users, n_items = ratings.data.dtype, ratings.n_rows, ratings.n_columns
    unit = 1.0 if plan.implicit else math.sqrt(centred(ratings, mean, plan).scale)
    users = counted_noise(seed, n_users, plan.n_components, dtype) * dtype.type(unit)
    return Factors.unbiased(users, np.zeros((n_items, plan.n_components), dtype), mean)


def als_steps(ratings, start, plan, attributes=None, before=np.inf):
    """Alternate: items, the map from attributes, users.

    Parameters
    ----------
    ratings : Ratings
        By user. Where implicit, data times weights are the confidences.
    start : Factors
        Its users, their biases and the mean; items matter to conjugate gradients only, and A to the first sweep.
    plan : Plan
        What to minimise, and how.
    attributes : ndarray or CSR matrix of shape (n_items, n_attributes) or None
        Finite numbers.
    before : float, default=inf
        J at the start, where another run has led to it.

    Yields
    ------
    step : Step
        One per sweep; its state is :class:`Factors`, its metric J, "objective", and "rmse" where explicit.
    """
    alternation = _Alternation(ratings, start, plan, attributes)
    last, n_iter = False, 0
    while not last:
        n_iter += 1
        metrics = alternation.sweep()
        objective = metrics["objective"]
        still = plan.tol is not None and before - objective <= plan.tol * abs(objective)
        last, before = n_iter >= plan.max_iter or still, objective
        yield Step(alternation.factors(), metrics, last)


class _Alternation:
    """Both sides and what a sweep does to them."""

    def __init__(self, ratings, start, plan, attributes):
        targets, self.unit, given = centred(ratings, start.mean, plan), 1.0, plan
        if plan.steps and not plan.implicit:
            targets, plan, self.unit = _in_unit(targets, plan)
        self.plan, self.mean = plan, start.mean
        self.by_user = row_problems(targets, plan, plan.user_penalty)
        self.by_item = row_problems(targets.flipped()[0], plan, plan.item_penalty)
        size, root = (targets.data.dtype.type(unit) for unit in (self.unit, math.sqrt(self.unit)))
        self.users = _joined(start.users / root, start.user_bias / size, plan)
        self.items = _joined(start.items / root, start.item_bias / size, plan)
        if start.motion is not None:
            self.users[:, plan.n_components], self.items[:, plan.n_components] = start.motion[:2]
        self.of_users = gram_matrix(self.users) if plan.implicit else None
        self.prior, self.map = None, None
        if attributes is not None:
            self.map = AttributeMap.of(attributes, self.by_item.scales, given)  # A alone is in the unit: no ratio is
            self.A = self._map_in_unit(start, attributes.shape[1])
            self.prior = padded_copy(_mapped(attributes, self.A), self.items.dtype)
        self.weight = ratings.total_weight
        self.losses = np.empty(len(self.users))

    @property
    def map_units(self):
        """What the columns of A are in, those of factors and that of the bias."""
        plan = self.plan
        return np.append(np.full(plan.n_components, math.sqrt(self.unit)), [self.unit * plan.bias_unit] * plan.fit_bias)

    def _map_in_unit(self, start, n_attributes):
        if start.attributes is None:
            return np.zeros((n_attributes, self.plan.width))
        A = start.attributes / self.map_units
        if start.motion is not None:
            A[:, self.plan.n_components] = start.motion[2]
        return A

    def sweep(self):
        """Solve for items, A and users; return the metrics."""
        plan = self.plan
        solve_side(self.by_item, self.users, self.items, plan, gram=self.of_users, prior=self.prior)
        if self.map is not None:
            self.A = self.map.fit(self.items[:, : plan.width])
            self.prior[:, : plan.width] = self.map.apply(self.A)
        of_items = gram_matrix(self.items) if plan.implicit else None
        solve_side(self.by_user, self.items, self.users, plan, gram=of_items, losses=self.losses)
        loss = self.losses.sum()
        if plan.implicit:
            self.of_users = gram_matrix(self.users)
            # sum_all (p'q)^2 = <P'P, Q'Q>
            return {"objective": float((loss + (self.of_users * of_items).sum()) / 2 + self.penalty())}
        objective, rmse = loss / 2 + self.penalty(), np.sqrt(loss / self.weight)
        return {"objective": float(objective * self.unit**2), "rmse": float(rmse * self.unit)}

    def penalty(self):
        """Return the part of J that is not loss."""
        plan, errors = self.plan, self.items if self.prior is None else self.items - self.prior
        total = plan.penalties(plan.user_penalty) @ column_squares(self.users, self.by_user.scales)[: plan.width]
        total += plan.penalties(plan.item_penalty) @ column_squares(errors, self.by_item.scales)[: plan.width]
        if self.map is None:
            return total
        return total + plan.attribute_penalty * (self.map_units / self.unit) ** 2 @ (self.A**2).sum(axis=0)

    def factors(self):
        """Return the model as it is, in memory of its own."""
        users, user_bias = _parted(self.users, self.plan)
        items, item_bias = _parted(self.items, self.plan)
        plan, motion = self.plan, None
        if plan.bias_unit != 1:
            sides = (self.users, self.items) if self.map is None else (self.users, self.items, self.A)
            motion = tuple(side[:, plan.n_components].copy() for side in sides)
        A = None if self.map is None else self.A * self.map_units
        size, root = (users.dtype.type(unit) for unit in (self.unit, math.sqrt(self.unit)))
        return Factors(users * root, items * root, user_bias * size, item_bias * size, self.mean, A, motion)


def _in_unit(targets, plan):
    """Return targets, a plan and the unit of both: of equal size whatever the ratings are in, as are their factors.

    Squares of squares, which conjugate gradients take, then stay finite. The unit is a power of four, so that factors
    and biases change by powers of two, which is exact.
    """
    unit = 4.0 ** round(math.log(targets.scale, 4))
    penalties = {name: getattr(plan, name) / unit for name in ("user_penalty", "item_penalty")}
    partner = math.sqrt(targets.scale / unit) if plan.fit_bias else 1.0
    plan = replace(plan, **penalties, bias_unit=partner)
    return targets.with_data(targets.data / targets.data.dtype.type(unit)), plan, unit


def centred(ratings, mean, plan):
    """Return what the rows are fitted to: ratings less the mean, or confidences, each of which has its weight in it."""
    if not plan.implicit:
        return ratings.with_data(ratings.data - ratings.data.dtype.type(mean)) if mean else ratings
    if ratings.weights is None:
        return ratings
    return Ratings(ratings.indptr, ratings.indices, ratings.data * ratings.weights, None, ratings.n_columns)


def row_problems(targets, plan, penalty):
    """Return the regressions of one side, whose factors have this penalty."""
    ridge = (2 * plan.penalties(penalty)).astype(targets.data.dtype)
    scales = weight_sums(targets, plan.implicit) if plan.weighted else None
    return RowProblems(targets, ridge, scales, plan.implicit, plan.n_threads)


def solve_side(problems, others, found, plan, *, gram=None, prior=None, losses=None, exactly=False):
    """Solve for the rows of one side, biases and all; `others` is left as it was.

    Parameters
    ----------
    problems : RowProblems
        The side's.
    others, found : ndarray of shape (n_columns, K) and (n_rows, K)
        Factors, then the bias, then zeros.
    plan : Plan
        How.
    gram : ndarray of shape (K, K) or None
        others' others, where implicit.
    prior, losses : ndarray or None
        As in :meth:`RowProblems.solve`.
    exactly : bool, default=False
        Cholesky, whatever the plan says.
    """
    at, shift = plan.n_components, None
    gram = None if gram is None else gram.astype(found.dtype)
    if plan.fit_bias:  # r - mean - b_i = [p, b_u]'[q, 1]
        own = others[:, at].copy()
        shift, others[:, at] = own * own.dtype.type(plan.bias_unit), plan.bias_unit
    steps = 0 if exactly else plan.steps
    try:
        problems.solve(others, found, shift=shift, gram=gram, prior=prior, steps=steps, losses=losses)
    finally:
        if plan.fit_bias:
            others[:, at] = own


def fold_users(ratings, factors, plan):
    """Return factors and biases of users given by their ratings of the model's items.

    Parameters
    ----------
    ratings : Ratings
        By user; its columns are the model's items.
    factors : Factors
        The model, of the ratings' type.
    plan : Plan
        That of the fit.

    Returns
    -------
    users : ndarray of shape (n_users, n_components)
        Zeros for a user without ratings.
    user_bias : ndarray of shape (n_users,)
        Zeros if there are no biases.
    """
    others = _joined(factors.items, factors.item_bias, plan)
    return _folded(centred(ratings, factors.mean, plan), others, plan, plan.user_penalty)


def fold_items(ratings, factors, plan, attributes=None):
    """Return factors and biases of items given by their ratings by the model's users, and perhaps attributes.

    Parameters
    ----------
    ratings : Ratings
        By item; its columns are the model's users.
    factors : Factors
        The model, of the ratings' type.
    plan : Plan
        That of the fit.
    attributes : ndarray or CSR matrix of shape (n_items, n_attributes) or None
        Of these items.

    Returns
    -------
    items : ndarray of shape (n_items, n_components)
        A'x_i for an item without ratings if it has attributes, else zeros.
    item_bias : ndarray of shape (n_items,)
        Zeros if there are no biases.
    """
    others = _joined(factors.users, factors.user_bias, plan)
    prior = None
    if attributes is not None:
        prior = padded_copy(_mapped(attributes, factors.attributes), ratings.data.dtype)
    return _folded(centred(ratings, factors.mean, plan), others, plan, plan.item_penalty, prior)


@blas_threads(1)
def _mapped(attributes, A):
    return attributes @ A


def _folded(targets, others, plan, penalty, prior=None):
    found = padded(targets.n_rows, plan.width, targets.data.dtype)
    gram = gram_matrix(others) if plan.implicit else None
    solve_side(row_problems(targets, plan, penalty), others, found, plan, gram=gram, prior=prior, exactly=True)
    return _parted(found, plan)


def _joined(factors, bias, plan):
    rows = padded(len(factors), plan.width, factors.dtype)
    rows[:, : plan.n_components] = factors
    if plan.fit_bias:
        rows[:, plan.n_components] = bias / bias.dtype.type(plan.bias_unit)
    return rows


def _parted(rows, plan):
    k, unit = plan.n_components, rows.dtype.type(plan.bias_unit)
    return rows[:, :k].copy(), rows[:, k] * unit if plan.fit_bias else np.zeros(len(rows), rows.dtype)


@dataclass(frozen=True)
class AttributeMap:
    """The ridge regression of items on their attributes, with what doesn't depend on the items worked out.

    A minimises ``lv sum s_i |q_i - A'x_i|^2 + la |A|^2``: with S = diag(s) and h = la / lv,
    ``(X'SX + h I) A = X'SQ``; or, if there are fewer items than attributes, ``A = X' (XX' + h S^-1)^-1 Q``.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_items, n_attributes)
        The attributes, in float64.
    left : ndarray or CSR matrix of shape (n_attributes, n_items), or (n_items, n_items)
        X'S, or None for the second form.
    systems : list of (slice, factorisation or None)
        One for the factors, one for the bias; None where that penalty is 0 and A is 0.
    """

    X: object
    left: object
    systems: list

    @classmethod
    def of(cls, X, scales, plan):
        """Work out the systems of a plan."""
        X = X.astype(np.float64)
        scales = np.ones(X.shape[0]) if scales is None else scales.astype(np.float64)
        wide = X.shape[1] > X.shape[0]
        left = None if wide else X.T.multiply(scales).tocsr() if sp.issparse(X) else X.T * scales
        parts = [(slice(0, plan.n_components), plan.item_penalty)]
        parts += [(slice(plan.n_components, None), plan.bias_penalty)] * plan.fit_bias
        penalties = sorted({lv for _, lv in parts if lv > 0})
        size = min(X.shape)
        require_memory(size**2 * 8 * len(penalties), f"The regression on {X.shape[1]} attributes of {X.shape[0]} items")
        pair = (X, X) if wide else (left, X.T.tocsr() if sp.issparse(X) else X.T)
        inner, ridge = _products(*pair, plan.n_threads), plan.attribute_penalty / (scales if wide else 1.0)
        solved = {lv: _factorised(inner if lv == penalties[-1] else inner.copy(), ridge / lv) for lv in penalties}
        return cls(X, left, [(at, solved.get(lv)) for at, lv in parts])

    @blas_threads(1)
    def fit(self, items):
        """Return A, of shape (n_attributes, width), for items of shape (n_items, width)."""
        items = items.astype(np.float64)
        right = items if self.left is None else self.left @ items
        found = np.zeros_like(right)
        for at, system in self.systems:
            if system is not None:
                found[:, at] = scipy.linalg.cho_solve(system, right[:, at])
        return self.X.T @ found if self.left is None else found

    def apply(self, A):
        """Return A'x_i for each item."""
        return _mapped(self.X, A)


def _products(left, right, n_threads):
    """Return left right' as a dense matrix."""
    if not sp.issparse(left):
        return row_products(left, right, n_threads)
    out, turned = np.empty((left.shape[0], right.shape[0])), right.T.tocsr()
    for start in range(0, len(out), _ROWS):
        (left[start : start + _ROWS] @ turned).toarray(out=out[start : start + _ROWS])
    return out


@blas_threads(1)
def _factorised(matrix, ridge):
    """Return the Cholesky factorisation of a symmetric matrix plus a ridge, in its memory."""
    matrix.flat[:: len(matrix) + 1] += ridge
    return scipy.linalg.cho_factor(matrix.T, overwrite_a=True)
