"""The twin of ``topk``: the best items of rows of scores, but those that are hidden."""

import numpy as np


def top_items(scores, indptr, indices, items, best, n_threads):
    """Write the n items of highest score per row; of equal ones the lower comes first, those of score NaN last."""
    items[:], best[:] = -1, np.nan
    for row, values in enumerate(scores):
        hidden = indices[indptr[row] : indptr[row + 1]]
        order = np.argsort(-values, kind="stable")  # NaN last
        order = order[~np.isin(order, hidden)][: items.shape[1]]
        items[row, : len(order)], best[row, : len(order)] = order, values[order]
