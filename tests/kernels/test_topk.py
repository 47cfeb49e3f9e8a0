"""The best items: compiled equals twin, and the entry refuses what doesn't fit."""

import numpy as np
import pytest
import scipy.sparse as sp

from skml import _kernels
from skml._kernels import topk
from skml._kernels.reference import topk as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_threads = pytest.mark.parametrize("n_threads", [1, 2, 3])


def hidden(rng, m, N, share):
    mask = sp.csr_array(rng.random((m, N)) < share)
    mask.sort_indices()
    return mask.indptr.astype(np.int32), mask.indices.astype(np.int32)


def ask(module, scores, indptr, indices, n, n_threads=1):
    items, best = np.full((len(scores), n), 7, np.int32), np.full((len(scores), n), 7, scores.dtype)
    module.top_items(scores, indptr, indices, items, best, n_threads)
    return items, best


@each_dtype
@each_threads
@pytest.mark.parametrize("n", [0, 1, 5, 64, 1000])
@pytest.mark.parametrize("shape", [(0, 5), (1, 0), (1, 1), (3, 63), (4, 64), (5, 65), (17, 900)])
@pytest.mark.parametrize("kind", ["spread", "ties", "nan", "infinite", "rising", "falling"])
def test_best_are_the_twins(rng, dtype, n_threads, n, shape, kind):
    scores = rng.normal(size=shape)
    scores = {"ties": np.rint(scores), "rising": np.sort(scores), "falling": -np.sort(scores)}.get(kind, scores)
    if kind in ("nan", "infinite"):
        scores[rng.random(shape) < 0.3] = np.nan if kind == "nan" else -np.inf
    scores[rng.random(shape) < 0.02] = np.inf
    scores = scores.astype(dtype)
    for share in (0, 0.3, 1):
        rows = hidden(rng, *shape, share)
        ours, theirs = (ask(module, scores, *rows, n, n_threads) for module in (topk, twin))
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(a, b, strict=True)


def test_of_equal_scores_the_lower_item_comes_first():
    none = np.zeros(2, np.int32), np.empty(0, np.int32)
    for module in (topk, twin):
        items, best = ask(module, np.array([[1.0, 2.0, np.nan, 2.0, 1.0, -0.0, 0.0]]), *none, 8)
        assert items.tolist() == [[1, 3, 0, 4, 5, 6, 2, -1]]
        assert np.isnan(best[0, 6:]).all()


REFUSED = {
    "rows": ({"scores": np.zeros((3, 4))}, "scores, indptr"),
    "width": ({"best": np.zeros((2, 2))}, "items and best"),
    "indptr": ({"indptr": np.array([0, 2, 2], np.int32)}, "CSR"),
    "decreasing": ({"indptr": np.array([0, 5, 3], np.int32)}, "indptr decreases"),
    "outside": ({"indices": np.array([0, 4, 1], np.int32)}, "outside 0 to 3"),
    "negative": ({"indices": np.array([-1, 2, 1], np.int32)}, "outside 0 to 3"),
    "unsorted": ({"indices": np.array([2, 0, 1], np.int32)}, "ascending"),
    "threads": ({"n_threads": 0}, "n_threads"),
    "dtype": ({"best": np.zeros((2, 3), np.float32)}, None),
    "strides": ({"scores": np.zeros((4, 2)).T}, None),
}


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="a twin trusts its caller")
@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_refused(fault):
    changed, message = REFUSED[fault]
    arguments = {
        "scores": np.zeros((2, 4)),
        "indptr": np.array([0, 2, 3], np.int32),
        "indices": np.array([0, 2, 1], np.int32),
        "items": np.zeros((2, 3), np.int32),
        "best": np.zeros((2, 3)),
        "n_threads": 1,
    }
    topk.top_items(**arguments)
    with pytest.raises((ValueError, TypeError), match=message):
        topk.top_items(**{**arguments, **changed})
