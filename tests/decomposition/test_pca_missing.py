"""PCA with missing values: expectation maximization over the observed entries."""

import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from skml import base
from skml.callback import Checkpoint, TimeBudget
from skml.decomposition import PCA, missing

pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")  # many a test cuts a fit short


def low_rank(rng, n_samples=300, n_features=8, k=2, noise=0.1):
    signal = rng.standard_normal((n_samples, k)) @ (3 * rng.standard_normal((k, n_features)))
    return signal + noise * rng.standard_normal((n_samples, n_features))


def with_gaps(rng, X, share=0.2):
    return np.where(rng.random(X.shape) < share, np.nan, X)


def test_imputes_better_than_means(rng):
    X = low_rank(rng)
    gaps = with_gaps(rng, X)
    pca = PCA(2).fit(gaps)
    imputed = pca.inverse_transform(pca.transform(gaps))
    lost = np.isnan(gaps)
    assert np.mean((imputed - X)[lost] ** 2) < 0.05 * np.mean((X - X.mean(axis=0))[lost] ** 2)
    assert np.all(np.diff(pca.history_["log_likelihood"]) > -1e-7)
    assert pca.n_iter_ == len(pca.history_["log_likelihood"])


def test_em_on_complete_data_is_the_svd(rng):
    X = rng.standard_normal((150, 9)) * np.linspace(1, 2, 9)
    em, svd = PCA(3, svd_solver="em").fit(X), PCA(3, svd_solver="full").fit(X)
    assert_allclose(em.components_, svd.components_, atol=1e-6)
    assert_allclose(em.explained_variance_, svd.explained_variance_, rtol=1e-6)
    assert_allclose(em.noise_variance_, svd.noise_variance_, rtol=1e-6)


def test_em_over_entries_on_complete_data_is_the_svd(rng):
    X = low_rank(rng, n_samples=200, n_features=6)
    weights = np.ones(200)
    start = missing.first_factors(X, weights, 2)
    shaken = start._replace(W=start.W + 0.1 * rng.standard_normal(start.W.shape))
    *_, last = missing.em_steps(X, weights, shaken, 1e-13, 5000)
    spectrum = missing.spectrum_of(last.state, 200.0, 2)
    svd = PCA(2).fit(X)
    assert_allclose(spectrum.singular_values, svd.singular_values_, rtol=1e-6)
    assert_allclose(spectrum.components, svd.components_, atol=1e-6)


def test_likelihood_is_that_of_the_observed_entries(rng):
    X = low_rank(rng, noise=0.5)
    pca = PCA(2).fit(X)
    gaps = with_gaps(rng, X[:20])
    C, ours = pca.get_covariance(), pca.score_samples(gaps)
    for row, value in zip(gaps, ours):
        O = ~np.isnan(row)
        expected = multivariate_normal(pca.mean_[O], C[np.ix_(O, O)]).logpdf(row[O]) if O.any() else 0.0
        assert_allclose(value, expected, rtol=1e-7)


def test_incomplete_rows_get_their_expected_projection(rng):
    X = low_rank(rng, noise=0.5)
    pca = PCA(3).fit(X)
    row = X[:1].copy()
    row[0, 4] = np.nan
    O, C = np.arange(8) != 4, pca.get_covariance()
    filled = X[0].copy()
    filled[4] = pca.mean_[4] + C[4, O] @ np.linalg.solve(C[np.ix_(O, O)], (X[0] - pca.mean_)[O])
    assert_allclose(pca.transform(row), pca.transform(filled[None]), rtol=1e-6)


def test_weights_are_copies(rng):
    gaps, weights = with_gaps(rng, low_rank(rng, 60, 5, 1)), rng.integers(1, 4, 60)
    weighted = PCA(1).fit(gaps, sample_weight=weights)
    copied = PCA(1).fit(np.repeat(gaps, weights, axis=0))
    assert_allclose(weighted.components_, copied.components_, atol=1e-6)
    assert_allclose(weighted.explained_variance_, copied.explained_variance_, rtol=1e-6)


def test_warm_start_continues_to_the_same_bits(rng):
    gaps = with_gaps(rng, low_rank(rng))
    whole = PCA(2, tol=1e-14, max_iter=12).fit(gaps)
    parts = PCA(2, tol=1e-14, max_iter=5, warm_start=True).fit(gaps)
    parts.set_params(max_iter=12).fit(gaps)
    assert np.array_equal(parts.components_, whole.components_)
    assert parts.history_ == whole.history_


def test_a_checkpoint_goes_on_to_the_same_bits(rng, tmp_path):
    gaps, path = with_gaps(rng, low_rank(rng)), tmp_path / "pca.skops"
    whole = PCA(2, tol=1e-14, max_iter=9).fit(gaps)
    PCA(2, tol=1e-14, max_iter=4).set_callbacks(Checkpoint(path)).fit(gaps)
    resumed = Checkpoint.load(path).set_params(warm_start=True, max_iter=9).fit(gaps)
    assert np.array_equal(resumed.components_, whole.components_)
    assert resumed.history_ == whole.history_


@pytest.mark.parametrize("solver", ["auto", "em"])
def test_a_fit_that_did_not_converge_says_so(rng, solver):
    X = rng.standard_normal((60, 20)) if solver == "em" else with_gaps(rng, low_rank(rng))
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=2 iterations") as caught:
        PCA(2, svd_solver=solver, tol=1e-14, max_iter=2).fit(X)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PCA(2, svd_solver=solver).fit(X)
        PCA(2, svd_solver=solver, tol=1e-14).set_callbacks(TimeBudget(1e-9)).fit(X)


@pytest.mark.parametrize("end", [{"tol": 1e-14, "max_iter": 5}, {"tol": 1e-4}])
def test_a_finished_fit_does_not_go_on(rng, end):
    gaps = with_gaps(rng, low_rank(rng))
    pca = PCA(2, warm_start=True, **end).fit(gaps)
    components, history = pca.components_, pca.history_
    pca.fit(gaps)
    assert np.array_equal(pca.components_, components)
    assert pca.history_ == history
    assert pca.n_iter_ == len(history["noise_variance"])
    assert pca.set_params(tol=1e-12, max_iter=1000).fit(gaps).n_iter_ > len(history["noise_variance"])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_complete_data_in_between_ends_a_warm_start(rng, method):
    X = low_rank(rng)
    gaps = with_gaps(rng, X)
    pca = PCA(2, warm_start=True, max_iter=3).fit(gaps)
    getattr(pca, method)(X)
    pca.fit(gaps)
    assert pca.n_iter_ == len(pca.history_["log_likelihood"]) == 3


def test_other_data_is_learnt_from_even_after_the_end(rng):
    first, second = with_gaps(rng, low_rank(rng)), with_gaps(rng, low_rank(rng))
    pca = PCA(2, warm_start=True).fit(first)
    assert not np.allclose(pca.components_, pca.fit(second).components_)


def test_same_bits_for_any_number_of_blas_threads(rng):
    gaps, said = with_gaps(rng, low_rank(rng, 260, 120)), []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            pca = PCA(60, max_iter=2).fit(gaps)
            said.append(pca.components_.tobytes() + pca.transform(gaps).tobytes() + pca.score_samples(gaps).tobytes())
    assert said == said[:1] * 3


@pytest.mark.parametrize("step", ["svd", "solve", "cholesky", "inv", "einsum"])
def test_algebra_runs_on_one_blas_thread(rng, monkeypatch, step):
    home = np if step == "einsum" else np.linalg
    plain, seen = getattr(home, step), []

    def watched(*args, **kwargs):
        seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return plain(*args, **kwargs)

    monkeypatch.setattr(home, step, watched)
    gaps = with_gaps(rng, low_rank(rng))
    with threadpool_limits(2):
        PCA(2, max_iter=2).fit(gaps).transform(gaps)
    assert set(seen) == {1}


def test_memory_is_little_and_asked_for(rng, monkeypatch):
    X = rng.standard_normal((150, 100))
    X[0, 0] = np.nan
    tracemalloc.start()
    pca = PCA(max_iter=1).fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5.5 * 8 * 100**3
    assert pca.transform(X).shape == (150, 100)
    monkeypatch.setattr(base, "_free_memory", lambda: 2**20)
    with pytest.raises(MemoryError, match="each feature would take"):
        PCA().fit(X)
    with pytest.raises(MemoryError, match="loadings would take"):
        pca.transform(X)


def test_empty_rows_and_columns(rng):
    gaps = with_gaps(rng, low_rank(rng))
    gaps[5] = np.nan
    pca = PCA(2).fit(gaps)
    assert_allclose(pca.transform(gaps[5:6]), 0, atol=1e-9)
    gaps[:, 3] = np.nan
    with pytest.raises(ValueError, match="column 3"):
        PCA(2).fit(gaps)
    with pytest.raises(ValueError, match="partial_fit needs complete rows"):
        PCA(2).partial_fit(gaps)


def test_constant_columns_with_gaps():
    holes = np.array([[1, 2.0], [1, np.nan], [1, 2], [np.nan, 2]])
    for X in (holes, np.array([[1, np.nan], [np.nan, 2.0]])):
        pca = PCA(1).fit(X)
        np.testing.assert_array_equal(pca.mean_, [1, 2])
        assert pca.explained_variance_ == 0
        np.testing.assert_array_equal(pca.inverse_transform(pca.transform(holes)), np.tile([1.0, 2], (4, 1)))
        assert np.isfinite(pca.score(holes))


@pytest.mark.parametrize("size", [1e155, 1e-160])
def test_extremes_with_gaps_are_refused(rng, size):
    X = size * rng.uniform(1, 2, (9, 3))
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="multiply X by a constant"):
        PCA(1).fit(X)
