"""Labels: strings, numbers or objects become 0, 1, 2..., and classes may be given weights that balance them."""

import numpy as np

_CURE = "drop those rows, or give them a label of their own."


def numbered(labels, name):
    """Return the distinct labels, ascending, and which of them each one is.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Of one type.
    name : str
        What they are called in errors.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The labels.
    codes : ndarray of shape (n,), int
        ``classes[codes]`` is what was given.

    Raises
    ------
    ValueError
        If labels are missing, or of types that have no common order.
    """
    if labels.dtype.kind == "O":
        absent = [i for i, label in enumerate(labels.tolist()) if _is_absent(label)]
        if absent:
            raise ValueError(
                f"{name} has no label in {len(absent)} rows (None or NaN), the first is row {absent[0]}; {_CURE}"
            )
    elif labels.dtype.kind in "fcmM" and (absent := np.flatnonzero(labels != labels)).size:
        raise ValueError(f"{name} has no label in {absent.size} rows (NaN), the first is row {absent[0]}; {_CURE}")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels.tolist()})
        raise ValueError(f"{name} holds labels of several types, {', '.join(kinds)}; use one.") from None
    return classes, codes.reshape(-1)


def as_given(labels):
    """Return labels; a list of strings some of which are missing as objects, where NumPy would spell "nan"."""
    if isinstance(labels, (list, tuple)) and any(map(_is_absent, labels)):
        return np.array(labels, dtype=object)
    return labels


def balancing_weights(codes, weights, n_classes):
    """Return weights of classes by which all that are there weigh the same; their mean over the rows is 1.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The class of each row.
    weights : ndarray of shape (n,)
        Of the rows.
    n_classes : int
        How many classes there are.

    Returns
    -------
    balancing : ndarray of shape (n_classes,)
        Positive.
    """
    held = np.bincount(codes, weights, minlength=n_classes)
    return held.sum() / (np.count_nonzero(held) * np.where(held > 0, held, 1.0))


def _is_absent(label):
    return (
        label is None or type(label).__name__ in ("NAType", "NaTType") or (isinstance(label, float) and label != label)
    )
