"""Labels of rows become codes, and classes may weigh differently."""

from dataclasses import dataclass
from numbers import Number

import numpy as np
import scipy.sparse as sp
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target


@dataclass(frozen=True)
class Labels:
    """Labels of rows.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Ascending; of several labels at a time their numbers.
    y : ndarray of shape (n,), int32, or (n, n_labels), float32
        Codes, or a 1 for each label that holds.
    multilabel : bool
        Whether several may hold.
    """

    classes: np.ndarray
    y: np.ndarray
    multilabel: bool


def labels_of(y, X, weights, name, classes=None):
    """Validate labels.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_labels)
        As the user gave them.
    X : ndarray of shape (n, n_features)
        The rows.
    weights : ndarray of shape (n,) or None
        Of the rows; classes of weight 0 are none.
    name : str
        Of the estimator, for errors.
    classes : array-like or None, default=None
        All that there may be; None takes those of y.

    Returns
    -------
    labels : Labels
        Of the rows.

    Raises
    ------
    ValueError
        If there is one class only, a label is unknown or missing, or y is no labels at all.
    """
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    y = y.toarray() if sp.issparse(y) else y
    check_consistent_length(X, y)
    if isinstance(y, (list, tuple)) and 0 < sum(isinstance(label, str) for label in y) < len(y):
        raise _several_types(y)  # NumPy would make words of all
    kind = _kind_of(y)
    if kind == "multilabel-indicator":
        return _several(np.asarray(y), name, classes)
    if kind == "multiclass-multioutput":
        raise ValueError(f"{name} takes one class per row, or a column of 0 and 1 for each label; got both at once.")
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    kept = np.arange(len(y)) if weights is None else np.flatnonzero(weights > 0)
    found = _distinct(y[kept])
    classes = found if classes is None else _distinct(column_or_1d(classes))
    if (unknown := np.setdiff1d(found, classes)).size:
        raise ValueError(f"y holds {unknown[:1].tolist()[0]!r}, none of the classes {classes.tolist()}.")
    if len(classes) < 2:
        raise ValueError(f"{name} needs rows of at least two classes; y has one class, {classes[:1].tolist()[0]!r}.")
    codes = np.zeros(len(y), dtype=np.int32)
    codes[kept] = np.searchsorted(classes, y[kept])
    return Labels(classes, codes, False)


def _several(y, name, classes):
    n = y.shape[1]
    if classes is not None and len(classes) != n:
        raise ValueError(f"y has {n} labels (columns), but {name} knows {len(classes)}.")
    return Labels(np.arange(n), y.astype(np.float32), True)


def _kind_of(y):
    """Return what scikit-learn calls the type of labels that it takes."""
    try:
        with np.errstate(invalid="ignore"):  # NaN is refused in words later
            check_classification_targets(y)
            return type_of_target(y, input_name="y")
    except TypeError:
        raise _several_types(y) from None
    except ValueError:
        if _are_of_several_types(y):  # numbers among others, of which scikit-learn says that they are a regression's
            raise _several_types(y) from None
        raise


def _are_of_several_types(y):
    y = np.asarray(y)
    kinds = {Number if isinstance(label, Number) else type(label) for label in y.ravel()} if y.dtype == object else ()
    return len(kinds) > 1


def _distinct(labels):
    try:
        return np.unique(labels)
    except TypeError:
        raise _several_types(labels) from None


def _several_types(labels):
    labels = np.asarray(labels, dtype=object).ravel()
    kinds = sorted({type(label).__name__ for label in labels})
    return ValueError(f"y holds labels of several types, {', '.join(kinds)}; use one, and none that is missing.")


def codes_of(y, classes, n, name="y"):
    """Return the codes of labels that the user names: one for all of n rows, or one each.

    Parameters
    ----------
    y : label or array-like of shape (n,)
        Among `classes`.
    classes : ndarray of shape (n_classes,)
        Ascending.
    n : int
        How many rows there are.
    name : str, default="y"
        Of the parameter, for errors.

    Returns
    -------
    codes : ndarray of shape (n,), int
        Of the rows.

    Raises
    ------
    ValueError
        If a label is unknown, or there are more or fewer than rows.
    """
    y = np.full(n, y) if np.ndim(y) == 0 else column_or_1d(y)
    if len(y) != n:
        raise ValueError(f"{name} has {len(y)} entries for {n} rows of X.")
    codes = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    if (unknown := classes[codes] != y).any():
        raise ValueError(f"{name} holds {y[unknown].tolist()[0]!r}, none of {classes.tolist()}.")
    return codes


def weights_of_classes(class_weight, labels, weights):
    """Return the weights of classes that the user asks for.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        As the user gave it.
    labels : Labels
        Of the rows.
    weights : ndarray of shape (n,) or None
        Of the rows.

    Returns
    -------
    of_class : ndarray of shape (n_classes,) or None
        None if `class_weight` is None.

    Raises
    ------
    ValueError
        If several labels may hold, a class in the dict is unknown, or a weight is negative or not finite.
    """
    if class_weight is None:
        return None
    if labels.multilabel:
        raise ValueError("class_weight needs one class per row; weight the rows by sample_weight.")
    weights = np.ones(len(labels.y)) if weights is None else weights
    if isinstance(class_weight, dict):
        known = labels.classes.tolist()
        if unknown := [label for label in class_weight if label not in known]:
            raise ValueError(f"class_weight names the classes {unknown}, which y does not have.")
        of_class = np.array([class_weight.get(label, 1.0) for label in known], dtype=np.float64)
    else:
        kept = weights > 0
        y, there = labels.y[kept], np.unique(labels.y[kept])
        of_class = np.ones(len(labels.classes))
        of_class[there] = compute_class_weight(class_weight, classes=there, y=y, sample_weight=weights[kept])
    if not (np.isfinite(of_class).all() and (of_class >= 0).all() and (of_class[labels.y] * weights).any()):
        raise ValueError(f"class_weight must be finite, non-negative, and positive for some rows; got {class_weight}.")
    return of_class


def class_weighted(of_class, y, weights):
    """Return the weights of rows with those of their classes multiplied in.

    Parameters
    ----------
    of_class : ndarray of shape (n_classes,) or None
        The weights of classes.
    y : ndarray of shape (n,), int
        The codes of the rows.
    weights : ndarray of shape (n,) or None
        Of the rows.

    Returns
    -------
    weights : ndarray of shape (n,) or None
        None if both are.
    """
    if of_class is None:
        return weights
    return of_class[y] if weights is None else weights * of_class[y]
