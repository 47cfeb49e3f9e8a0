"""Twin of sums.pyx: exact sums of rows per cluster, in plain NumPy."""

import numpy as np


def move_sums(X, weights, rows, before, after, mode, scale, fine, high, low, n_threads):
    """Keep exact fixed-point sums of weight * x per cluster while rows change clusters."""
    if not len(rows) == len(before) == len(after):
        raise ValueError("rows, before and after must agree in length.")
    values = X[rows].astype(np.float64)
    if mode:
        values = np.where(np.isnan(values), 0, values if mode == 1 else 1)
    values = values * (weights[rows, None] if len(weights) else 1) * scale
    whole = np.rint(values)
    parts = np.rint((values - whole) * fine)
    for clusters, sign in ((after, 1), (before, -1)):
        for total, terms in ((high, whole), (low, parts)):
            np.add.at(total, clusters[clusters >= 0], sign * terms[clusters >= 0].astype(np.int64))
