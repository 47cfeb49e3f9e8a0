"""KMeansPP against hand-computed clusterings, Lloyd's own answer, and scikit-learn."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from skml import KMeansPP

ALGORITHMS = ("hamerly", "exponion", "yinyang", "elkan", "auto")


def fitted(X, k, **params):
    return KMeansPP(k, n_init=1, init=X[:k].copy(), **params).fit(X)


def same_bits(a, b):
    return (
        a.n_iter_ == b.n_iter_
        and np.array_equal(a.labels_, b.labels_)
        and np.array_equal(a.cluster_centers_, b.cluster_centers_)
        and a.inertia_ == b.inertia_
    )


def test_weighted_points_on_a_line_by_hand():
    X = np.array([[0.0, 0], [0.5, 0], [0.5, 1], [1, 1]])
    kmeans = KMeansPP(2, init=[[0, 0], [1, 1]]).fit(X, sample_weight=[3, 1, 1, 3])
    np.testing.assert_array_equal(kmeans.labels_, [0, 0, 1, 1])
    np.testing.assert_array_equal(kmeans.cluster_centers_, [[0.125, 0], [0.875, 1]])
    assert kmeans.inertia_ == 0.375
    assert kmeans.n_iter_ == 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3000, 1, 7), (4000, 2, 40), (3000, 8, 33), (1500, 40, 25), (800, 120, 60)])
def test_every_algorithm_gives_lloyds_bits(rng, algorithm, dtype, shape):
    n, d, k = shape
    for offset in (0.0, 1e4):
        X = (rng.normal(size=(n, d)) + offset).astype(dtype)
        assert same_bits(fitted(X, k, algorithm=algorithm), fitted(X, k, algorithm="lloyd"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_gives_lloyds_bits_where_ties_abound(rng, algorithm):
    for d in (3, 40):
        X = rng.integers(0, 5, size=(2000, d)).astype(np.float32)
        X = np.concatenate([np.unique(X, axis=0)[:30], X])
        assert same_bits(fitted(X, 30, algorithm=algorithm), fitted(X, 30, algorithm="lloyd"))


def test_the_same_stop_as_scikit_learn(rng):
    X = make_blobs(2000, 10, centers=8, random_state=int(rng.integers(1000)))[0]
    for tol in (1e-2, 1e-4, 0):
        ours, theirs = (cls(8, init=X[:8], n_init=1, tol=tol).fit(X) for cls in (KMeansPP, KMeans))
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
