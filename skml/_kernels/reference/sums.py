"""Twin of sums.pyx: exact sums of rows per cluster, in plain NumPy."""

import numpy as np


def move_sums(X, weights, before, after, mode, scale, fine, high, low, n_threads):
    """Keep exact fixed-point sums of weight * x and of weights per cluster; return how many rows changed theirs."""
    if not len(X) == len(before) == len(after):
        raise ValueError("X, before and after must agree in length.")
    rows = np.flatnonzero(before != after)
    values = np.column_stack([X[rows].astype(np.float64), np.ones(len(rows))])
    if mode:
        values = np.where(np.isnan(values), 0, values if mode == 1 else 1)
    values = values * (weights[rows, None] if len(weights) else 1) * scale
    whole = np.rint(values)
    parts = np.rint((values - whole) * fine)
    for clusters, sign in ((after[rows], 1), (before[rows], -1)):
        for total, terms in ((high, whole), (low, parts)):
            np.add.at(total, clusters[clusters >= 0], sign * terms[clusters >= 0].astype(np.int64))
    return len(rows)
