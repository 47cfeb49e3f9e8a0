"""Incremental principal axes: one Spectrum from those of two batches (Ross, Lim, Lin & Yang 2008)."""

import numpy as np
import scipy.linalg as sl

from skml._kernels import blas_threads
from skml.decomposition.spectral import finished, rounding


def merged(first, first_weight, second, second_weight, k):
    """Return the Spectrum of two batches together; exact as long as neither has lost components.

    With the mean difference d the scatter matrices add up as
    ``S1 + S2 + n1 n2 / (n1 + n2) d d'``: that of the stacked rows ``s1 V1'``, ``s2 V2'`` and ``d`` scaled.

    Parameters
    ----------
    first, second : Spectrum
        Of the batches.
    first_weight, second_weight : float
        The number of rows, or the sum of the weights, of each.
    k : int
        How many components to keep.

    Returns
    -------
    spectrum : Spectrum
        Of all rows.
    """
    weight = first_weight + second_weight
    d = second.mean - first.mean
    factor = first_weight * second_weight / weight
    rows = [s.singular_values[:, None] * s.components.astype(np.float64) for s in (first, second)]
    stacked = np.vstack([*rows, np.sqrt(factor) * d])
    with blas_threads(1):
        s, Vt = sl.svd(stacked, full_matrices=False, overwrite_a=True, check_finite=False)[1:]
    components, values = np.zeros((k, len(d))), np.zeros(k)
    components[: len(s)], values[: len(s)] = Vt[:k], s[:k]
    mean = first.mean + (second_weight / weight) * d
    total = first.total + second.total + factor * float(d @ d)
    return finished(mean, components, values, total, rounding(stacked.shape))
