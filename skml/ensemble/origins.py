"""What an ensemble was made from: who adds members to it must give the same."""

import hashlib

import numpy as np
import scipy.sparse as sp

from skml.ensemble.columns import column_values


def origin(rows, y, bagging, settings):
    """Return what must not change between fits, by what the user calls it.

    Parameters
    ----------
    rows : iterable of ndarray
        From :func:`contents`.
    y : ndarray
        Targets.
    bagging : Bagging
        How bags are drawn.
    settings : dict of str to object
        Parameters that count as well.

    Returns
    -------
    origin : dict of str to object
        The data first: where it differs, the rest follows.
    """
    data = fingerprint([*rows, y, bagging.weights, bagging.groups])
    drawn = {"bootstrap": bagging.bootstrap, "max_samples": bagging.size}
    return {"the data (X, y, sample_weight or groups)": data, **drawn, **settings}


def require_same(before, now):
    """Raise ValueError if members can't be added to those of an earlier fit.

    Parameters
    ----------
    before, now : dict of str to object
        From :func:`origin`.
    """
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"fit with warm_start=True cannot go on: {name} is not that of the last fit, which the members so far "
                "were trained with. Give the same again, or fit anew with warm_start=False."
            )


def contents(X):
    """Return rows as arrays to tell whether they are the same.

    Parameters
    ----------
    X : Table, ndarray, CSR matrix or DataFrame
        Rows, binned or as they are.

    Returns
    -------
    parts : list of ndarray
        Numbers or objects.
    """
    if getattr(X, "packed", None) is not None:
        return [*X.packed.rows(), X.zero_codes]
    if hasattr(X, "codes"):
        return [X.by_row if len(X.by_row) else X.codes, X.starts, X.entry_rows, X.entry_codes, X.zero_codes]
    if sp.issparse(X):
        return [X.data, X.indices, X.indptr]
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return [X]
    return [column_values(X, f) for f in range(X.shape[1])]


def fingerprint(parts):
    """Return a hash of arrays, the same in every process.

    Parameters
    ----------
    parts : iterable of ndarray or None
        Numbers, or objects that are told apart by what they print.

    Returns
    -------
    fingerprint : str
        128 bits.
    """
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if part is None or part.dtype.kind == "O":
            printed = "None" if part is None else "\0".join(map(str, part.tolist()))
            found.update(printed.encode(errors="backslashreplace"))
        else:
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
