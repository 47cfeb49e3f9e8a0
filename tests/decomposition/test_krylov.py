"""Block Krylov iteration on spectra that are hard for it: steep, of low rank, with many equal values."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from skml.decomposition import PCA, eigenpairs, spectral

SPECTRA = {
    "low rank": np.where(np.arange(600) < 5, 10.0, 0.0),
    "steep": 10.0 ** -np.minimum(np.arange(600) / 10, 8),
    "low rank and noise": np.where(np.arange(600) < 5, 10.0, 1e-4),
    "copies": np.r_[9.0, [8.0] * 30, [7.0] * 40, [1.0] * 529],
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("sparse", [False, True])
def test_iterating_finds_small_and_repeated_values(monkeypatch, rng, seed, spectrum, sparse):
    monkeypatch.setattr(spectral, "EXACT", 0)
    size = 600
    A, B = rng.standard_normal((size + 1, size)), rng.standard_normal((size, size))
    U, V = np.linalg.qr(A - A.mean(axis=0))[0], np.linalg.qr(B)[0]
    X = (U * SPECTRA[spectrum]) @ V.T
    model = PCA(50, svd_solver="auto" if sparse else "randomized", random_state=seed)
    found = model.fit(sp.csr_array(X) if sparse else X).singular_values_
    expected = SPECTRA[spectrum][:50]
    assert_allclose(found, expected, rtol=2e-4, atol=2e-8 * expected[0])


def test_every_copy_of_a_value_is_found_in_sparse_data(rng, seed):
    # Counts of categories: many are equal, and each is an eigenvalue.
    levels = 2000
    codes = np.repeat(np.arange(levels), rng.permutation(np.r_[40, [30] * 12, [20] * 40, [3] * (levels - 53)]))
    X = sp.csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)))
    found = PCA(40, random_state=seed).fit(X).explained_variance_ * (len(codes) - 1)
    covariance = np.diag(np.bincount(codes)) - np.outer(np.bincount(codes), np.bincount(codes)) / len(codes)
    assert_allclose(found, np.linalg.eigvalsh(covariance)[:-41:-1], rtol=1e-6)


def test_equal_eigenvalues_are_all_there(monkeypatch):
    # LAPACK's solver for a few eigenvalues may return fewer where they are equal.
    monkeypatch.setattr(eigenpairs.sl, "eigh", lambda A, **_: (np.ones(3), np.eye(len(A))[:, :3]))
    values, vectors = eigenpairs.leading_eigenpairs(np.diag(np.r_[np.ones(50), 2.0]), 5)
    assert_allclose(values, [2, 1, 1, 1, 1])
    assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-12)
