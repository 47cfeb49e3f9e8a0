"""Which parameters of matrix factorization go together."""

from numbers import Real

from skml._sklearn import InvalidParameterError
from skml.base import require_memory
from skml.recommendation.solvers import auto_alphas

# How many factors there are at once at least: those worked on, those of the last sweep, and what goes on from them.
_COPIES = {"als": 2, "sgd": 3, "svd": 4, "ccd": 4, "nonnegative": 4, "orthogonal": 2}
KEYS = ("users", "items", "biases", "attributes")
_RANKS = 'feedback="implicit" and solver="sgd"'


def _findings(p, hybrid):
    """Yield whether something is asked for that doesn't exist, and what to do instead."""
    implicit, ranks = p.feedback == "implicit", p.loss != "squared"
    nonnegative = p.constraint == "nonnegative"
    yield (
        p.constraint is not None and p.solver != "ccd",
        f'constraint={p.constraint!r} needs solver="ccd", not {p.solver!r}.',
    )
    yield (
        ranks and not (implicit and p.solver == "sgd"),
        f'loss={p.loss!r} needs {_RANKS}; for ratings use loss="squared".',
    )
    yield (
        implicit and p.solver in ("svd", "ccd"),
        f'solver={p.solver!r} takes explicit ratings; for feedback="implicit" use solver="als", or solver="sgd" with '
        'loss="bpr" or "logistic".',
    )
    yield (
        implicit and p.solver == "sgd" and not ranks,
        'For feedback="implicit", solver="sgd" has loss="bpr" and "logistic"; use one of these, or solver="als".',
    )
    yield (
        p.fit_bias is True and nonnegative,
        'constraint="nonnegative" has no biases; use fit_bias=False, or constraint=None.',
    )
    yield (
        p.fit_bias is True and implicit and not ranks,
        'With feedback="implicit" solver="als" has no biases; use fit_bias=False, or solver="sgd".',
    )
    yield (
        p.global_mean is True and (nonnegative or implicit),
        "global_mean is for explicit ratings without the non-negative constraint; use global_mean=False.",
    )
    yield (
        p.confidence is not None and not implicit,
        'confidence is for feedback="implicit"; for ratings use sample_weight.',
    )
    yield (
        p.weighted_alpha and p.solver == "svd",
        'solver="svd" has one penalty, on singular values; use weighted_alpha=False, or solver="als".',
    )
    yield hybrid and p.solver != "als", f'item_features needs solver="als", not {p.solver!r}.'


def check_combination(estimator, hybrid):
    """Raise a ValueError if a factorisation's parameters ask for what doesn't exist.

    Parameters
    ----------
    estimator : MatrixFactorization
        Whose parameters are valid each by itself.
    hybrid : bool
        Whether there are attributes of items.
    """
    for wrong, words in _findings(estimator, hybrid):
        if wrong:
            raise ValueError(words)
    _check_alpha(estimator.alpha)


def check_size(estimator, ratings):
    """Refuse more components than orthonormal columns can be, or than there is memory for."""
    limits = {"svd": min(ratings.n_rows, ratings.n_columns), "orthogonal": ratings.n_columns}
    for name in (estimator.solver, estimator.constraint):
        if estimator.n_components > limits.get(name, estimator.n_components):
            raise ValueError(
                f"n_components={estimator.n_components} must be at most {limits[name]} with {name!r}, for "
                f"{ratings.n_rows} users and {ratings.n_columns} items."
            )
    k, size = int(estimator.n_components), ratings.data.itemsize
    copies = _COPIES[estimator.constraint or estimator.solver]
    equations = size * k**2 if _has_equations(estimator) else 0  # those of a row, or a Gram matrix
    n_bytes = copies * k * (ratings.n_rows + ratings.n_columns) * size + equations
    require_memory(n_bytes, f"A factorization of {k:,} components")


def _has_equations(p):
    return p.constraint == "orthogonal" or (p.solver == "als" and (p.inner == "cholesky" or p.feedback == "implicit"))


def _check_alpha(alpha):
    if not isinstance(alpha, dict):
        return
    if unknown := [key for key in alpha if key not in KEYS]:
        raise InvalidParameterError(f"alpha has the key {unknown[0]!r}; its keys are {', '.join(map(repr, KEYS))}.")
    for key, value in alpha.items():
        least = "positive" if key == "attributes" else "not negative"
        number = isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < float("inf")
        if not number or (key == "attributes" and value == 0):
            raise InvalidParameterError(f"alpha[{key!r}] must be a number that is {least}, got {value!r}.")


def _kind(estimator):
    if estimator.feedback == "implicit":
        return "implicit" if estimator.loss == "squared" else "ranking"
    if estimator.constraint == "orthogonal":
        return "orthogonal"
    return "weighted" if estimator.weighted_alpha else "explicit"


def resolved_alphas(estimator, ratings):
    """Return the penalties of users, items, biases and attributes for some ratings."""
    alpha = estimator.alpha
    if isinstance(alpha, Real):
        return {**dict.fromkeys(KEYS[:3], float(alpha)), "attributes": 1.0}
    auto = auto_alphas(ratings, _kind(estimator))
    given = alpha if isinstance(alpha, dict) else {}
    return {**auto, **{key: float(value) for key, value in given.items()}}
