"""Bags of any estimators: what scikit-learn calls bagging."""

import inspect
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils import check_array, get_tags
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter, validate_data

from skml._sklearn import HasMethods
from skml.base import check_sparse_structure, chunk_slices, require_memory
from skml.ensemble.labels import balancing_weights
from skml.ensemble.sampling import draw_copies, generator, out_of_bag

CONSTRAINTS = [HasMethods(["fit", "predict"])]


@dataclass(frozen=True)
class Members:
    """Fitted members and what they need to be asked.

    Attributes
    ----------
    estimators : tuple of estimators
        Fitted.
    columns : tuple of ndarray or None
        The columns that each was given; None for all.
    first : ndarray of shape (n_outputs + 1,) or None
        The first class of each output, and the number of all; None for numbers.
    hard : bool
        Whether a member votes for one class even if it knows probabilities.
    width : int
        The number of classes, or of outputs.
    begin : int
        The number of the first member, as errors count them.
    """

    estimators: tuple
    columns: tuple
    first: np.ndarray | None
    hard: bool
    width: int
    begin: int = 0

    @property
    def n_members(self):
        """The number of members."""
        return len(self.estimators)

    def joined(self, others):
        """Return one model of this and others."""
        estimators = self.estimators + tuple(one for other in others for one in other.estimators)
        return replace(self, estimators=estimators, columns=self.columns + tuple(c for o in others for c in o.columns))

    def means(self, X, n_threads):
        """Return what the members say of rows, on average."""
        total = np.zeros((n_rows(X), self.width))
        for values in self._answers(X, n_threads):
            total += values
        return total / self.n_members

    def of_members(self, X, n_threads):
        """Yield slices of rows and what each member says of them: (n_chunk, n_members, n_columns)."""
        for rows in chunk_slices(n_rows(X), 16 * self.n_members * self.width):
            yield rows, np.stack(list(self._answers(take(X, rows), n_threads)), axis=1)

    def staged(self, X, n_threads):
        """Yield the mean of what the first members say, after each member."""
        total = np.zeros((n_rows(X), self.width))
        for i, values in enumerate(self._answers(X, n_threads)):
            total += values
            yield total / (i + 1)

    def voting(self, first):
        """Return the model whose members vote for one class of each output."""
        return replace(self, hard=True)

    def _answers(self, X, n_threads):
        parallel = Parallel(n_jobs=n_threads, prefer="threads", return_as="generator")
        return parallel(delayed(self._ask)(i, X) for i in range(self.n_members))

    def _ask(self, i, X):
        """Return what a member says of rows; errors name it."""
        estimator, columns = self.estimators[i], self.columns[i]
        try:
            return self._said(estimator, X if columns is None else pick(X, columns))
        except MemoryError:
            raise
        except Exception as error:
            who = f"Member {self.begin + i}, {type(estimator).__name__},"
            raise _kind(error)(f"{who} could not be asked: {error}") from error

    def _said(self, estimator, X):
        n = n_rows(X)
        if self.first is None:
            return _numbers(estimator.predict(X), (n, self.width), "predict").reshape(n, self.width)
        out = np.zeros((n, self.width))
        sizes = np.diff(self.first)
        shares = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") and not self.hard else None
        known = getattr(estimator, "classes_", None)
        if shares is not None and known is not None:
            shares, known = (shares, known) if isinstance(shares, list) else ([shares], [known])
            if len(shares) != len(sizes) or len(known) != len(sizes):
                raise ValueError(f"predict_proba gives shares of {len(shares)} outputs, not {len(sizes)}")
            for o, (share, classes) in enumerate(zip(shares, known)):
                classes = _class_numbers(classes, sizes[o], "classes_")
                out[:, self.first[o] + classes] = _numbers(share, (n, len(classes)), "predict_proba")
            return out
        said = np.asarray(estimator.predict(X))
        if said.size != n * len(sizes) or len(said) != n:
            raise ValueError(f"predict gives shape {said.shape} for {n} rows and {len(sizes)} outputs")
        for o, classes in enumerate(said.reshape(n, len(sizes)).T):
            out[np.arange(n), self.first[o] + _class_numbers(classes, sizes[o], "predict")] = 1.0
        return out


def _kind(error):
    """Return the kind of error to raise for one of a member."""
    return ValueError if isinstance(error, (ValueError, TypeError)) else RuntimeError


def _numbers(values, shape, what):
    """Return what a member says as numbers, if there are as many as there should be, none of them missing."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape and not (shape[1] == 1 and values.shape == shape[:1]):
        raise ValueError(f"{what} gives shape {values.shape}, not {shape}")
    if np.isnan(values).any():
        raise ValueError(f"{what} gives NaN, first for row {np.argwhere(np.isnan(values))[0, 0]}")
    return values


def _class_numbers(classes, n_classes, what):
    """Return the classes that a member names, if they are among the numbers that it was fitted to."""
    classes = np.asarray(classes)
    if classes.dtype.kind not in "biuf" or not np.isin(classes, np.arange(n_classes)).all():
        strange = next(one for one in classes.ravel().tolist() if one not in range(n_classes))
        raise ValueError(f"{what} has {strange!r}, none of the classes 0 to {n_classes - 1} that it was fitted to")
    return classes.astype(int)


def n_rows(X):
    """Return the number of rows of an array, sparse matrix or table."""
    return X.shape[0]


def take(X, rows):
    """Return some rows, of the kind that X is."""
    rows = np.arange(X.shape[0])[rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def pick(X, columns):
    """Return some columns, of the kind that X is."""
    return X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns]


def as_rows(owner, X, reset):
    """Return X as members take it: tables as they are, everything else as an array.

    Parameters
    ----------
    owner : estimator
        Whose features are set or compared.
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        Rows.
    reset : bool
        Whether X defines the features.

    Returns
    -------
    X : DataFrame, ndarray or CSR matrix
        Rows.
    """
    if sp.issparse(X):
        check_sparse_structure(X)
    if not hasattr(X, "columns"):
        X = check_array(X, accept_sparse="csr", dtype=None, ensure_all_finite=False, input_name="X")
    validate_data(owner, X, reset=reset, skip_check_array=True)
    return X


# Parameters that only trees of our own have.
_OF_TREES = (
    *("criterion", "max_depth", "min_samples_split", "min_samples_leaf", "min_weight_fraction_leaf", "max_leaf_nodes"),
    *("min_impurity_decrease", "ccp_alpha", "monotonic_cst", "categorical_features", "max_bins"),
)


def refuse_parameters_of_trees(owner):
    """Raise if parameters are set that only trees of ours know."""
    usual = inspect.signature(type(owner)).parameters
    for name in (name for name in _OF_TREES if name in usual):
        asked, default = getattr(owner, name), usual[name].default
        if asked is not None and not (np.ndim(asked) == 0 and asked == default):
            raise ValueError(f"{name} is for trees of our own; set it in `estimator`, if that knows it.")


def numbers_of(X):
    """Return rows as `distinct_rows` compares them, or None where they are no numbers.

    Parameters
    ----------
    X : DataFrame, ndarray or CSR matrix of shape (n_samples, n_features)
        As members take it.

    Returns
    -------
    numbers : ndarray or CSR matrix of float32 or float64, or None
        Exactly the same values.
    """
    values = X if sp.issparse(X) else np.asarray(X)
    kind = values.dtype.kind
    if kind not in "biuf" or values.dtype.itemsize > 8:
        return None
    if values.dtype in (np.float32, np.float64):
        numbers = values.copy() if sp.issparse(values) else np.ascontiguousarray(values)
    else:
        numbers = values.astype(np.float64, order="C") if not sp.issparse(values) else values.astype(np.float64)
    held = [one.data if sp.issparse(one) else one for one in (numbers, values)]
    if kind in "iu" and np.any(held[0].astype(values.dtype) != held[1]):
        return None  # too large to be told apart
    if sp.issparse(numbers):
        numbers.sum_duplicates()
    return numbers


def rows_of_weight(n, weights):
    """Return what `distinct_rows` does, of rows that can't be compared: each stands for itself.

    Parameters
    ----------
    n : int
        The number of rows.
    weights : ndarray of shape (n,) or None
        Rows of zero weight are left out.

    Returns
    -------
    index, merged, inverse : ndarray
        The rows, their weights, and where each row is among them.
    """
    index = np.arange(n) if weights is None else np.flatnonzero(weights > 0)
    inverse = np.full(n, -1)
    inverse[index] = np.arange(len(index))
    return index, np.ones(n) if weights is None else weights[index].astype(np.float64), inverse


@dataclass(frozen=True)
class Plan:
    """What members are made from.

    Attributes
    ----------
    templates : list of estimators
        Taken in turn.
    X : DataFrame, ndarray or CSR matrix
        All rows.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class numbers, or numbers.
    index : ndarray of shape (n_rows,), int
        Rows of the bags among those of X.
    bagging : Bagging
        How bags are drawn.
    n_columns : int
        How many columns each member is given.
    model : Members
        Without members yet.
    n_threads : int
        How many are made at a time.
    class_weights : ndarray of shape (n_classes,) or None
        What rows of each class weigh more by.
    balanced : bool
        Whether each bag balances its classes by weights of its own.
    """

    templates: list
    X: object
    y: np.ndarray
    index: np.ndarray
    bagging: object
    n_columns: int
    model: Members
    n_threads: int
    class_weights: np.ndarray | None = None
    balanced: bool = False

    table = None

    def make(self, numbers, wanted):
        """Yield the members of some numbers, nothing for importances, and their answers out of bag if wanted."""
        parallel = Parallel(n_jobs=self.n_threads, prefer="threads", return_as="generator")
        return parallel(delayed(self._one)(number, wanted) for number in numbers)

    def metrics(self, member):
        """Return what the history keeps of a member."""
        columns = member.columns[0]
        return {"n_features": self.X.shape[1] if columns is None else len(columns)}

    def ask_again(self, model):
        """Yield the answers of members that were made before."""
        for number in range(model.n_members):
            parts = {"estimators": model.estimators[number : number + 1], "columns": model.columns[number:][:1]}
            one = replace(model, **parts, begin=number)
            yield self._out_of_bag(one, number)

    def _one(self, number, wanted):
        rows, copies, weights = draw_copies(self.bagging, number)
        y = self.y[self.index[rows]]
        if self.class_weights is not None:
            n_classes = len(self.class_weights)
            weights = weights * (balancing_weights(y, weights, n_classes) if self.balanced else self.class_weights)[y]
        rng = generator(self.bagging.entropy ^ 0x5851F42D4C957F2D, number)
        n_features, columns = self.X.shape[1], None
        if self.n_columns < n_features:
            columns = np.sort(rng.permutation(n_features)[: self.n_columns])
        estimator = seeded(clone(self.templates[number % len(self.templates)]), rng.integers)
        try:
            fit_member(estimator, self._bag(rows, columns), y, copies, weights)
        except Exception as error:
            said = f"Bag {number}: {type(estimator).__name__} could not be fitted: {error}"
            raise _kind(error)(said + self._hint(y)) from error
        member = replace(self.model, estimators=(estimator,), columns=(columns,), begin=number)
        return member, np.zeros(n_features), self._out_of_bag(member, number) if wanted else None

    def _hint(self, y):
        """Say what helps against a bag of one class alone, where that is what it was."""
        bagging = self.bagging
        drawn_freely = self.model.first is not None and bagging.bootstrap and bagging.strata is None
        if not drawn_freely or np.ptp(y, axis=0).any():
            return ""
        cure = "sampling='stratified' gives every bag rows of each" if bagging.groups is None else "draw larger bags"
        return f" (The bag holds one class alone; {cure}.)"

    def _bag(self, rows, columns):
        X = take(self.X, self.index[rows])
        return X if columns is None else pick(X, columns)

    def _out_of_bag(self, member, number):
        out, shares = out_of_bag(self.bagging, number)
        if len(out) == 0:
            return out, shares, np.zeros((0, member.width))
        return out, shares, member.means(take(self.X, self.index[out]), 1)


def fit_member(estimator, X, y, copies, weights):
    """Fit a member to its bag: by weights where it takes them, else by repeated rows.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    X : DataFrame, ndarray or CSR matrix of shape (n_bag, n_features)
        The distinct rows of the bag.
    y : ndarray of shape (n_bag,) or (n_bag, n_outputs)
        Their targets.
    copies : ndarray of shape (n_bag,), int
        How often each row is in the bag.
    weights : ndarray of shape (n_bag,)
        What each row weighs, its copies together.
    """
    if has_fit_parameter(estimator, "sample_weight"):
        estimator.fit(X, y, sample_weight=weights)
    elif not np.array_equal(copies, weights):
        raise ValueError(
            "it takes no sample_weight; give it whole-number weights or bags that draw them, and no class_weight"
        )
    elif np.all(copies == 1):
        estimator.fit(X, y)
    else:
        require_memory(8 * int(copies.sum()) * (1 + X.shape[1]), "The copies of the rows")
        again = np.repeat(np.arange(len(copies)), copies)
        estimator.fit(take(X, again), y[again])


def seeded(estimator, draw):
    """Set every random state that an estimator, or a part of it, has.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    draw : callable
        ``draw(most)`` gives a whole number from 0 to below `most`.

    Returns
    -------
    estimator : estimator
        The same.
    """
    names = sorted(name for name in estimator.get_params(deep=True) if name.rpartition("__")[2] == "random_state")
    return estimator.set_params(**{name: int(draw(2**31 - 1)) for name in names}) if names else estimator


def templates(owner, estimator, kind):
    """Return the estimators to take in turn.

    Parameters
    ----------
    owner : estimator
        The ensemble.
    estimator : estimator or list of estimators
        As given.
    kind : "classifier" or "regressor"
        What members must be, if they say what they are.

    Returns
    -------
    templates : list of estimators
        At least one.
    """
    several = _listed(estimator)
    if not several:
        raise ValueError("estimator is an empty list; give at least one.")
    for one in several:
        if inspect.isclass(one) or not hasattr(one, "fit"):
            raise ValueError(f"estimator must be an estimator or a list of them, got {one!r}.")
        if kind_of(one) not in (kind, None):
            raise ValueError(f"{type(owner).__name__} is a {kind}; {type(one).__name__} is none.")
    return several


def kind_of(estimator):
    """Return what an estimator says that it is, "classifier" or "regressor" or another word; None if nothing."""
    return get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None


def _listed(estimator):
    return list(estimator) if isinstance(estimator, (list, tuple)) else [estimator]


def input_tags(estimator):
    """Return what members of other kinds say of the input that they take; nothing of trees of our own."""
    named = [one for one in _listed(estimator) if hasattr(one, "__sklearn_tags__") and not inspect.isclass(one)]
    return [get_tags(one).input_tags for one in named]
