"""Matrix factorization: every solver through both doors, folding in, going on, and what does not go together."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas
import pytest
import scipy.sparse as sp
from _contract.listening import Listener
from sklearn.base import clone
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from threadpoolctl import threadpool_limits

from skml import MatrixFactorization, base
from skml._sklearn import InvalidParameterError
from skml.base import Step
from skml.recommendation import als, descent, interactions, solvers
from skml.recommendation.noise import noise_deviation
from skml.recommendation.ratings import Ratings

EXPLICIT = {
    "als": {"solver": "als"},
    "als-weighted": {"solver": "als", "weighted_alpha": True},
    "als-cg": {"solver": "als", "inner": "cg"},
    "als-svd": {"solver": "als", "init": "svd", "fit_bias": False},
    "sgd": {"solver": "sgd", "max_iter": 100},
    "sgd-svd": {"solver": "sgd", "weighted_alpha": True, "init": "svd", "average": 5, "learning_rate": "invscaling"},
    "svd": {"solver": "svd"},
    "ccd": {"solver": "ccd"},
    "ccd-nonnegative": {"solver": "ccd", "constraint": "nonnegative"},
    "ccd-orthogonal": {"solver": "ccd", "constraint": "orthogonal"},
}
IMPLICIT = {
    "als": {"solver": "als"},
    "als-confidence": {"solver": "als", "confidence": 5.0, "inner": "cg"},
    "bpr": {"solver": "sgd", "loss": "bpr"},
    "logistic": {"solver": "sgd", "loss": "logistic"},
}
each_explicit = pytest.mark.parametrize("kind", EXPLICIT)
each_implicit = pytest.mark.parametrize("kind", IMPLICIT)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def model_of(kind, table=EXPLICIT, **params):
    return MatrixFactorization(**{"n_components": 3, "random_state": 0, **table[kind], **params})


def drawn(rng, shape=(60, 40), share=0.5, noise=0.1):
    """Return positive ratings of rank 2 with biases, and NaN."""
    U, V = (rng.normal(size=(n, 2)) for n in shape)
    R = 10 + U @ V.T + rng.normal(size=(shape[0], 1)) + rng.normal(size=shape[1]) + noise * rng.normal(size=shape)
    known = rng.random(shape) < share
    known[np.arange(shape[0]), np.arange(shape[0]) % shape[1]] = True
    return np.where(known, np.maximum(R, 0.5), np.nan)


def checkerboard(n=12):
    """Return who likes what: users like items of their own parity, but for one each that they have not seen."""
    likes = np.add.outer(np.arange(n), np.arange(n)) % 2 == 0
    unseen = np.zeros_like(likes)
    unseen[np.arange(n), (np.arange(n) + 2 * (np.arange(n) // 2)) % n] = True
    return likes, unseen & likes


# ------------------------------------------------------------------------------------------ what is learned


@each_explicit
def test_ratings_that_were_hidden_are_found(rng, kind):
    R = drawn(rng, (100, 80), share=0.7)
    hidden = (rng.random(R.shape) < 0.1) & ~np.isnan(R)
    X, y = interactions(np.where(hidden, np.nan, R))
    k = 4 if kind in ("als-svd", "ccd-nonnegative") else 2  # two more where there are no biases
    alpha = 0.01 if kind in ("als-weighted", "sgd-svd", "ccd-orthogonal") else 0.3  # per rating, or on whole sizes
    model = model_of(kind, n_components=k, alpha=alpha).fit(X, y)
    asked, said = interactions(np.where(hidden, R, np.nan))
    error = np.sqrt(np.mean((model.predict(asked) - said) ** 2))
    assert error < 0.3 * said.std()
    assert model.user_factors_.shape == (100, k)
    assert model.components_.shape == (k, 80)


@each_explicit
def test_both_doors_give_one_model(rng, kind):
    R = drawn(rng)
    X, y = interactions(R)
    order = rng.permutation(len(y))
    by_rows, by_matrix = model_of(kind).fit(X[order], y[order]), model_of(kind).fit(R)
    by_sparse = model_of(kind).fit(sp.coo_array((y, X.T), shape=R.shape))
    for name in ("user_factors_", "item_factors_", "user_bias_", "item_bias_"):
        np.testing.assert_array_equal(getattr(by_rows, name), getattr(by_matrix, name))
        np.testing.assert_array_equal(getattr(by_rows, name), getattr(by_sparse, name))
    assert by_matrix.score(R) > 0.5


@each_explicit
def test_inverse_transform_gives_predictions(rng, kind):
    R = drawn(rng)
    X, y = interactions(R)
    model = model_of(kind).fit(X, y)
    U = model.transform(X)
    assert U.shape[1] == 3 + model.user_bias_.any() == len(model.get_feature_names_out())
    said = model.inverse_transform(U)[np.arange(len(X)), np.searchsorted(model.item_ids_, X[:, 1])]
    np.testing.assert_allclose(said, model.predict(X), rtol=1e-12)
    assert not model.transform([[777, 0]]).any()


@each_explicit
def test_the_objective_never_increases(rng, kind):
    history = model_of(kind, tol=None, max_iter=25, learning_rate="cosine").fit(drawn(rng)).history_["objective"]
    assert len(history) == 25
    if kind.startswith("sgd"):
        assert history[-1] < history[0]
    else:
        assert np.all(np.diff(history) <= 1e-12 * np.array(history[1:]))


@pytest.mark.parametrize("fit_bias", [False, True])
@pytest.mark.parametrize("solver", ["als", "ccd"])
def test_the_objective_is_as_written(rng, solver, fit_bias):
    R, alpha = drawn(rng), {"users": 0.3, "items": 0.4, "biases": 0.7}
    model = model_of(solver, alpha=alpha, fit_bias=fit_bias).fit(R)
    said = model.user_factors_ @ model.components_ + model.user_bias_[:, None] + model.item_bias_ + model.mean_
    error = np.nansum((R - said) ** 2)
    size = 0.3 * np.sum(model.user_factors_**2) + 0.4 * np.sum(model.item_factors_**2)
    size += 0.7 * (np.sum(model.user_bias_**2) + np.sum(model.item_bias_**2))
    assert model.history_["objective"][-1] == pytest.approx(error / 2 + size)
    assert model.history_["rmse"][-1] == pytest.approx(np.sqrt(error / np.sum(~np.isnan(R))))
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(error))
    assert model.mean_ == pytest.approx(np.nanmean(R))
    assert model.user_bias_.any() == fit_bias


def test_the_error_of_confidences_counts_all_pairs(rng):
    C = sp.random_array((30, 20), density=0.3, rng=rng, data_sampler=lambda size: 1 + rng.random(size), format="csr")
    model = MatrixFactorization(3, feedback="implicit", random_state=0).fit(C)
    weights = np.where(C.toarray() > 0, C.toarray(), 1)
    error = np.sum(weights * ((C.toarray() > 0) - model.user_factors_ @ model.components_) ** 2)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(error))


def test_solvers_agree_at_the_minimum(rng):
    # Of limited rank there are several minima. One of lower rank than allowed is that of the convex problem, the least
    # of all (Haeffele & Vidal 2015); at this penalty, twice which is above the singular values of the noise, it is so.
    R = drawn(rng, noise=0.5)
    params = {"alpha": 4.0, "max_iter": 3000, "tol": 1e-13, "fit_bias": False, "n_components": 8}
    models = [model_of(solver, **params).fit(R) for solver in ("als", "ccd", "svd")]
    for model in models:
        sizes = np.linalg.svd(model.user_factors_ @ model.components_, compute_uv=False)
        assert sizes[7] < 1e-3 * sizes[0]
    ends = [model.history_["objective"][-1] for model in models]
    np.testing.assert_allclose(ends, ends[0], rtol=1e-6)


def test_plain_svd_is_that_of_scipy(rng):
    R = drawn(rng, share=1.1)
    model = model_of("svd", alpha=0.0, fit_bias=False, global_mean=False).fit(R)
    U, s, Vt = sp.linalg.svds(R, 3)
    np.testing.assert_allclose(np.linalg.norm(model.user_factors_, axis=0), s[::-1])
    np.testing.assert_allclose(np.abs(model.components_), np.abs(Vt[::-1]), atol=1e-9)
    np.testing.assert_allclose(model.inverse_transform(model.transform(R)), (U * s) @ Vt, atol=1e-8)
    assert model.n_iter_ == 1


@pytest.mark.parametrize("solver", ["svd", "ccd"])
def test_item_factors_are_orthonormal(rng, solver):
    model = model_of("ccd-orthogonal" if solver == "ccd" else "svd", alpha=0.1).fit(drawn(rng))
    np.testing.assert_allclose(model.components_ @ model.item_factors_, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("complete", [True, False])
def test_sklearn_8447_non_negative_factors_of_incomplete_data(rng, complete):
    # scikit-learn#8447: NMF does not take NaN. Complete data: our loss is no more than its; else known parts are found.
    W, H = rng.uniform(0, 1, (60, 4)), rng.uniform(0, 1, (4, 30))
    W[:20], H[:, :12] = np.repeat(np.eye(4), 5, axis=0), np.repeat(np.eye(4), 3, axis=1)
    R = W @ H + 0.01 * rng.uniform(0, 1, (60, 30))
    params = {"alpha": 0.0, "max_iter": 5000, "tol": 1e-10, "init": "svd", "n_components": 4}
    model = model_of("ccd-nonnegative", **params)
    if complete:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            peer = NMF(4, max_iter=20000, tol=1e-8).fit(R)
        assert model.fit(R).reconstruction_err_ <= peer.reconstruction_err_ * (1 + 1e-4)
    else:
        holes = rng.random(R.shape) < 0.2
        model.fit(np.where(holes, np.nan, R))
        said = model.user_factors_ @ model.components_
        assert np.sqrt(np.mean((said - R)[holes] ** 2)) < 0.1
    assert model.user_factors_.min() >= 0
    assert model.item_factors_.min() >= 0


def test_other_units_are_the_same_model(rng):
    R = drawn(rng)
    for kind in ("als", "als-weighted", "svd", "sgd", "ccd-orthogonal"):
        one, ten = (model_of(kind, tol=1e-9, max_iter=400).fit(ratings) for ratings in (R, 10 * R - 30))
        np.testing.assert_allclose(10 * one.inverse_transform(one.transform(R)) - 30,
                                   ten.inverse_transform(ten.transform(10 * R - 30)), rtol=1e-3)  # fmt: skip


@each_implicit
def test_a_checkerboard_is_completed(kind):
    likes, unseen = checkerboard()
    X = np.argwhere(likes & ~unseen)
    model = model_of(kind, IMPLICIT, n_components=2, feedback="implicit").fit(X)
    best = model.recommend(n=1, return_scores=False)[:, 0]
    assert likes[np.arange(12), best].all()
    history = np.flatnonzero(likes[0])[:3]
    folded = model.recommend(histories=[history.tolist(), []], n=2, return_scores=False)
    assert likes[0, folded[0]].all()
    assert model.score(np.argwhere(unseen)) > 0.9


@each_explicit
def test_context_is_taken_off_first(rng, kind):
    X, y = interactions(drawn(rng))
    x = rng.normal(size=len(y))
    model = model_of(kind).fit(np.c_[X, x], y + 2 * x)
    assert model.coef_ == pytest.approx(2, abs=0.2)
    shifted = model.predict(np.c_[X, x + 1]) - model.predict(np.c_[X, x])
    np.testing.assert_allclose(shifted, model.coef_[0])


# --------------------------------------------------------------------------------------------------- fold-in


@pytest.mark.parametrize("params", [{}, {"inner": "cg"}, {"weighted_alpha": True}, {"fit_bias": False}], ids=str)
@pytest.mark.parametrize("feedback", ["explicit", "implicit"])
def test_a_user_folded_in_has_the_fitted_factor(rng, params, feedback):
    # Surprise#208, implicit#31: people who were not in training.
    if feedback == "implicit" and "fit_bias" in params:
        params = {"confidence": 3.0}
    R = sp.csr_array(np.nan_to_num(drawn(rng)))
    model = MatrixFactorization(3, feedback=feedback, random_state=0, max_iter=2000, tol=1e-15, **params).fit(R)
    U = model.transform(R)
    np.testing.assert_allclose(U[:, :3], model.user_factors_, atol=1e-6)
    np.testing.assert_allclose(U[:, 3:].sum(axis=1), model.user_bias_, atol=1e-6)


@pytest.mark.parametrize("kind", ["svd", "ccd", "ccd-nonnegative", "ccd-orthogonal"])
def test_fold_in_of_other_solvers_is_exact_at_convergence(rng, kind):
    R = drawn(rng, noise=0.5)
    model = model_of(kind, alpha={"users": 0.5, "items": 0.5}, max_iter=3000, tol=1e-14).fit(R)
    np.testing.assert_allclose(model.transform(R)[:, :3], model.user_factors_, atol=1e-4)


@pytest.mark.parametrize("kind", ["bpr", "logistic"])
def test_fold_in_under_a_ranking_loss_is_a_minimum(rng, kind):
    X = np.argwhere(~np.isnan(drawn(rng)))
    model = model_of(kind, IMPLICIT, feedback="implicit").fit(X)
    items, parts = model.explain(X[0, 0], 5)
    assert set(items) == set(X[X[:, 0] == X[0, 0], 1])
    state = model._fold(model._ratings)[0]
    score = state[:3] @ model.item_factors_[5] + (state[3] if kind == "logistic" else 0)
    assert parts.sum() == pytest.approx(score, abs=1e-6)


@each_explicit
def test_reasons_add_up_to_the_score(rng, kind):
    R = drawn(rng)
    model = model_of(kind, alpha=0.5).fit(R)
    _, parts = model.explain(3, 7)
    state = model.transform(R)[3]
    bias = 0 if kind == "svd" else state[3:].sum()
    assert parts.sum() == pytest.approx(state[:3] @ model.item_factors_[7] + bias, rel=1e-6)


def test_reasons_of_confidences_add_up(rng):
    C = sp.csr_array(np.nan_to_num(drawn(rng)))
    for params in ({}, {"weighted_alpha": True}, {"confidence": 2.0}):
        model = MatrixFactorization(3, feedback="implicit", random_state=0, **params).fit(C)
        assert model.explain(3, 7)[1].sum() == pytest.approx(model.predict([[3, 7]])[0])


# ----------------------------------------------------------------------------------------- unknown, going on


def test_what_is_unknown_has_the_bias_that_is_known(rng):
    X, y = interactions(drawn(rng))
    model = model_of("als").fit(X, y)
    said = model.predict([[0, 999], [999, 0], [999, 999]])
    expected = model.mean_ + np.array([model.user_bias_[0], model.item_bias_[0], 0])
    np.testing.assert_allclose(said, expected)
    assert np.isnan(model.set_params(handle_unknown="nan").predict([[0, 999]])).all()
    assert model.set_params(handle_unknown="mean").predict([[0, 999]])[0] == model.mean_


@pytest.mark.parametrize("kind", ["als", "als-cg", "svd", "ccd", "sgd", "ccd-nonnegative"])
def test_partial_fit_goes_on_and_ends_where_fit_does(rng, kind, monkeypatch):
    X, y = interactions(drawn(rng, noise=0.5))
    first = (X[:, 0] < 50) & (X[:, 1] < 35)
    params = {"alpha": 1.0, "tol": None if kind == "sgd" else 1e-9, "max_iter": 300}
    model = model_of(kind, **params).fit(X[first], y[first])
    short = clone(model).set_params(max_iter=2, tol=None).fit(X[first], y[first])
    model.partial_fit(X[~first], y[~first])
    whole = model_of(kind, **params).fit(X, y)
    # There are several minima, near each other: of 36 seeds at most 0.6 % apart.
    assert model.history_["objective"][-1] <= whole.history_["objective"][-1] * 1.1
    assert model.user_factors_.shape == (60, 3)
    np.testing.assert_array_equal(model.item_ids_, whole.item_ids_)
    # It starts from the factors there are; those who are new are folded in.
    starts, cls, old = [], type(short._solver_of(short._ratings)), short._factors
    steps = cls.steps
    monkeypatch.setattr(cls, "steps", lambda self, *args: starts.append(args[1]) or steps(self, *args))
    short.partial_fit(X[~first], y[~first])
    for now, before in zip((starts[0].users, starts[0].items), (old.users, old.items)):
        np.testing.assert_array_equal(now[: len(before)], before)
        assert now[len(before) :].any(axis=1).all()


def test_partial_fit_begins_where_there_is_nothing(rng):
    X, y = interactions(drawn(rng))
    a, b = model_of("als").partial_fit(X, y), model_of("als").fit(X, y)
    np.testing.assert_array_equal(a.user_factors_, b.user_factors_)


@pytest.mark.parametrize("kind", ["bpr", "logistic"])
def test_partial_fit_under_a_ranking_loss(rng, kind):
    X = np.argwhere(~np.isnan(drawn(rng)))
    model = model_of(kind, IMPLICIT, feedback="implicit").fit(X[X[:, 1] < 35])
    model.partial_fit(X[X[:, 1] >= 35])
    assert model.item_factors_.shape == (40, 3)
    assert np.isfinite(model.user_factors_).all()


FITTED = "user_factors_", "item_factors_", "user_bias_", "item_bias_"


def assert_same_fit(one, other):
    assert one.history_ == other.history_
    assert one.n_iter_ == other.n_iter_ == len(one.history_["objective"])
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("early_stopping", [False, True])
@each_explicit
def test_a_fit_cut_short_and_continued_is_the_uninterrupted_one(rng, kind, early_stopping, dtype):
    R = drawn(rng, noise=1.0).astype(dtype)
    params = {"learning_rate": "invscaling", "tol": None, "early_stopping": early_stopping, "average": 0}
    whole = model_of(kind, **{**params, "max_iter": 9}).fit(R)
    for n_iter in (1, 2, 5):
        short = model_of(kind, **{**params, "max_iter": n_iter, "warm_start": True}).fit(R)
        resumed = pickle.loads(pickle.dumps(short)).set_params(max_iter=9).fit(R)
        assert_same_fit(resumed, whole)
        assert_same_fit(resumed.fit(R), whole)  # there is nothing to do


class Cut(Listener):
    """A callback that ends a fit after so many steps."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_fit_task_end(self, estimator, context):
        return context.parent is not None and context.task_id + 1 == self.n_steps


@pytest.mark.parametrize("learning_rate", ["cosine", "adaptive"])
@pytest.mark.parametrize("n_steps", [2, 4, 6])
def test_a_mean_of_epochs_that_was_cut_goes_on(rng, learning_rate, n_steps):
    R = drawn(rng, noise=1.0)
    params = {"max_iter": 8, "average": 5, "learning_rate": learning_rate, "warm_start": True}
    whole, cut = model_of("sgd", **params).fit(R), model_of("sgd", **params)
    cut.set_callbacks(Cut(n_steps)).fit(R)
    assert cut.n_iter_ == n_steps
    assert_same_fit(cut.set_callbacks().fit(R), whole)


@each_explicit
def test_other_data_is_another_fit_from_these_factors(rng, kind):
    R = drawn(rng)
    X, y = interactions(R)
    kept = (X[:, 0] % 7 > 0) | (X[:, 1] % 3 > 0)
    model = model_of(kind, max_iter=20, warm_start=True).fit(X, y)
    model.set_params(max_iter=15).fit(X[kept], y[kept])
    fresh = model_of(kind, max_iter=15).fit(X[kept], y[kept])
    assert model.n_iter_ <= 15
    assert not np.array_equal(model.item_factors_, fresh.item_factors_)
    assert model.reconstruction_err_ < 1.5 * fresh.reconstruction_err_
    assert len(model.history_["objective"]) == model.n_iter_


@each_explicit
@pytest.mark.parametrize("renamed", [(1, 0), (0, 1), (1, 1)], ids=["users", "items", "both"])
def test_others_of_the_same_ratings_are_another_fit(rng, kind, renamed):
    X, y = interactions(drawn(rng))
    model = model_of(kind, max_iter=60, warm_start=True).fit(X, y)
    new = X + 1000 * np.array(renamed)
    fresh = clone(model).fit(new, y)
    model.fit(new, y)
    np.testing.assert_array_equal(model.user_ids_, fresh.user_ids_)
    np.testing.assert_array_equal(model.item_ids_, fresh.item_ids_)
    if all(renamed):
        assert_same_fit(model, fresh)  # nothing is left to start from
    # Nobody is without factors, and predictions are about as good.
    assert model.user_factors_.any(axis=1).all()
    assert model.reconstruction_err_ < 1.5 * fresh.reconstruction_err_


@pytest.mark.parametrize("kind", ["als", "als-cg", "sgd", "svd", "ccd"])
def test_one_who_is_renamed_is_folded_in(rng, kind):
    X, y = interactions(drawn(rng))
    model = model_of(kind, max_iter=30, warm_start=True).fit(X, y)
    X[X[:, 0] == 3, 0] = 777
    model.fit(X, y)
    assert model.user_ids_[-1] == 777
    assert model.user_factors_[-1].any()
    new = X[:, 0] == 777
    assert np.mean((model.predict(X[new]) - y[new]) ** 2) < np.mean((y[new] - y.mean()) ** 2)


def test_a_cut_does_not_show_in_an_adaptive_rate_or_in_patience(rng):
    R = drawn(rng, noise=1.0)
    params = {"learning_rate": "adaptive", "learning_rate_init": 0.2, "tol": 0.02, "n_iter_no_change": 2}
    whole = model_of("sgd", **params, max_iter=100).fit(R)
    assert 3 < whole.n_iter_ < 100
    cut = model_of("sgd", **params, max_iter=whole.n_iter_ - 1, warm_start=True).fit(R)
    for _ in range(2):  # the second time there is nothing to do
        cut.set_params(max_iter=100).fit(R)
        assert cut.n_iter_ == whole.n_iter_
        np.testing.assert_allclose(cut.history_["learning_rate"], whole.history_["learning_rate"])
        np.testing.assert_allclose(cut.item_factors_, whole.item_factors_, rtol=1e-9, atol=1e-12)


def objective_of(model, R):
    """Return J of a model whose penalties are all the same number."""
    said = model.user_factors_ @ model.components_ + model.user_bias_[:, None] + model.item_bias_ + model.mean_
    arrays = model.user_factors_, model.item_factors_, model.user_bias_, model.item_bias_
    return np.nansum((R - said) ** 2) / 2 + model.alpha * sum(np.sum(array**2) for array in arrays)


@pytest.mark.parametrize("changed", [{"alpha": 3.0}, {"solver": "svd"}, {"solver": "ccd", "constraint": "nonnegative"},
                                     {"fit_bias": False}, {"random_state": 1}], ids=str)  # fmt: skip
def test_warm_start_with_other_parameters_is_another_fit(rng, changed):
    R = drawn(rng, noise=0.5)
    X, y = interactions(R)
    params = {"alpha": 0.1, "warm_start": True, "max_iter": 500, "tol": 1e-10}
    model = model_of("als", **params).fit(X, y)
    model.set_params(**changed).fit(X, y)
    fresh = clone(model).fit(X, y)
    assert model.alpha_ == fresh.alpha_
    if "solver" not in changed:
        assert model.history_["objective"][-1] == pytest.approx(objective_of(model, R))
    assert len(model.history_["objective"]) == model.n_iter_ == len(model.history_["rmse"])
    if changed.keys() <= {"alpha", "fit_bias", "random_state"}:
        assert model.history_["objective"][0] < fresh.history_["objective"][0]  # from the old factors
    else:
        np.testing.assert_array_equal(model.item_factors_, fresh.item_factors_)
    if "constraint" in changed:
        assert model.item_factors_.min() >= 0


@pytest.mark.parametrize("random_state", [None, 0])
def test_a_path_of_penalties_is_followed(rng, random_state):
    R = drawn(rng, noise=0.5)
    model = model_of("als", warm_start=True, random_state=random_state, max_iter=1000, tol=1e-10)
    for alpha in (10.0, 3.0, 1.0):
        model.set_params(alpha=alpha)
        before = objective_of(model, R) if hasattr(model, "mean_") else np.inf
        model.fit(R)
        assert model.alpha_["users"] == alpha
        assert model.history_["objective"][0] <= before * (1 + 1e-9)  # it goes down from the factors there are
        assert model.history_["objective"][-1] == pytest.approx(objective_of(model, R))
    n_iter = model.n_iter_
    assert model.fit(R).n_iter_ == n_iter  # has converged, and the seed is that of the fit before


def test_only_new_codes_are_folded_in(rng, monkeypatch):
    X = np.argwhere(~np.isnan(drawn(rng)))
    model = model_of("bpr", IMPLICIT, feedback="implicit", warm_start=True).fit(X[X[:, 1] >= 10])
    seen = []
    fold = solvers.SGD.fold_items
    monkeypatch.setattr(solvers.SGD, "fold_items", lambda self, *args: seen.append(args[0].n_rows) or fold(self, *args))
    model.fit(X)
    assert seen == [10]


@pytest.mark.parametrize("kind", ["als-cg", "sgd", "svd", "ccd"])
def test_what_goes_on_is_kept_where_it_is_asked_for(rng, kind):
    R = drawn(rng, noise=1.0)
    params = {"learning_rate": "invscaling", "tol": None}
    plain, warm = (model_of(kind, max_iter=4, warm_start=warm, **params).fit(R) for warm in (False, True))
    assert len(pickle.dumps(plain)) < len(pickle.dumps(warm))
    assert_same_fit(plain, warm)
    # At its end it is left as it is, and beyond that it is a new fit from these factors.
    plain.set_params(warm_start=True)
    for _ in range(2):
        assert_same_fit(plain.fit(R), warm)
    plain.set_params(max_iter=9).fit(R)
    assert plain.n_iter_ == 9
    fresh = model_of(kind, max_iter=9, **params).fit(R)
    assert not np.array_equal(plain.item_factors_, fresh.item_factors_)
    assert plain.history_["objective"][0] < fresh.history_["objective"][0]
    # One that was stopped before its end goes on as if it had not been.
    cut = model_of(kind, max_iter=9, **params).set_callbacks(Cut(4)).fit(R)
    assert cut.n_iter_ == 4
    resumed = pickle.loads(pickle.dumps(cut.set_callbacks())).set_params(warm_start=True).fit(R)
    assert_same_fit(resumed, fresh)


@each_explicit
def test_a_fit_that_has_ended_has_ended(rng, kind):
    R = drawn(rng)
    model = model_of(kind, warm_start=True, tol=0.9).fit(R)  # as early as can be
    factors, n_iter = model.item_factors_.copy(), model.n_iter_
    for _ in range(2):
        assert model.fit(R).n_iter_ == n_iter
        np.testing.assert_array_equal(model.item_factors_, factors)


UNITS = {**EXPLICIT, "als-cg-unbiased": {"inner": "cg", "fit_bias": False}}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", UNITS)
def test_in_other_units_the_model_is_the_same(rng, kind, dtype):
    X, y = interactions(drawn(rng, noise=0.5))
    X, y = X.astype(np.int32), y.astype(dtype)
    model = model_of(kind, UNITS).fit(X, y)
    said = model.predict(X)
    single = dtype == np.float32
    exactly = "svd" not in kind and "orthogonal" not in kind  # LAPACK has units of its own
    for c in (4.0, 2.0**-20, 2.0**28) if single else (4.0, 2.0**-400, 2.0**470):
        found = model_of(kind, UNITS).fit(X, y * dtype(c))
        np.testing.assert_allclose(found.predict(X) / dtype(c), said, rtol=0 if exactly else 1e-3 if single else 1e-9)
        if exactly:
            np.testing.assert_array_equal(found.user_factors_, model.user_factors_ * dtype(np.sqrt(c)))
    if not single:
        np.testing.assert_allclose(model_of(kind, UNITS).fit(X, y * 1e13).predict(X) / 1e13, said, rtol=1e-9)


@pytest.mark.parametrize("inner", ["cholesky", "cg"])
@pytest.mark.parametrize("fit_bias", [False, True])
def test_in_other_units_a_hybrid_is_the_same(rng, inner, fit_bias):
    X, y, table, _ = hybrid_data(rng)
    # The penalty of attributes is told in units of the ratings.
    params = {"n_components": 4, "random_state": 0, "inner": inner, "fit_bias": fit_bias, "max_iter": 20, "tol": None}
    cold = [[0, 31], [1, 34]]
    answers = []
    for c in (1.0, 4.0**-150, 4.0**150):
        alpha = {"users": c, "items": c, "biases": 1.0, "attributes": c}
        model = MatrixFactorization(**params, alpha=alpha)
        # Biases are in the units of ratings, factors in their roots, so that their penalty is not.
        if fit_bias:
            model.set_params(alpha={**alpha, "attributes": 1e-3 * c})
        answers.append(model.fit(X, y * c, item_features=table).predict(cold) / c)
    if not fit_bias:
        np.testing.assert_array_equal(answers[1], answers[0])
        np.testing.assert_array_equal(answers[2], answers[0])
    for found in answers:
        assert np.isfinite(found).all() and found.any()


@pytest.mark.parametrize("kind", ["als", "als-cg", "sgd", "ccd", "svd"])
def test_ratings_and_weights_that_together_leave_their_type_are_refused(rng, kind):
    X, y = interactions(drawn(rng))
    X = X.astype(np.int32)
    for dtype, size, weight, words in (
        (np.float32, 1e8, 1e24, "too large: .* leaves float32"),
        (np.float64, 1e140, 1e200, "too large: .* leaves float64"),
        (np.float64, 1e-140, 1e-290, "too small: .* leaves float64"),
    ):
        with pytest.raises(ValueError, match=words):
            model_of(kind).fit(X, (y * size).astype(dtype), sample_weight=np.full(len(y), weight))


def test_an_objective_that_is_not_finite_is_told():
    steps = (Step(None, {"objective": value}) for value in (1.0, np.nan))
    with pytest.raises(ValueError, match="beyond float32.* use float64"):
        list(descent.finite(steps, np.dtype(np.float32)))


@pytest.mark.parametrize("kind", ["als", "sgd", "ccd", "svd", "als-weighted"])
def test_tiny_weights_are_weights(rng, kind):
    X, y = interactions(drawn(rng, noise=0.5))
    for weight in (1e-160, 1e-250, 1e200):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            model = model_of(kind).fit(X, y, sample_weight=np.full(len(y), weight))
        assert 0.3 < model.score(X, y) < 1


def test_transform_refuses_whom_it_shall_not_know(rng):
    X, y = interactions(drawn(rng))
    model = model_of("als").fit(X, y)
    assert not model.transform([[999, 0]]).any()
    with pytest.raises(ValueError, match="has not seen"):
        model.set_params(handle_unknown="error").transform([[999, 0]])


@pytest.mark.parametrize("solver", ["sgd", "ccd", "als"])
@pytest.mark.parametrize("init", ["random", "svd"])
def test_the_start_is_the_same_in_either_type(rng, solver, init):
    X, y = interactions(drawn(rng))
    y = y.astype(np.float32)
    params = {"solver": solver, "init": init, "max_iter": 1, "tol": None, "random_state": 0, "alpha": 1.0}
    single, double = (MatrixFactorization(3, **params).fit(X.astype(np.int32), part) for part in (y, y.astype(float)))
    assert (single.item_factors_.dtype, double.item_factors_.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single.predict(X), double.predict(X), atol=1e-2)


def test_partial_fit_keeps_its_type(rng):
    X, y = interactions(drawn(rng).astype(np.float32))
    model = model_of("als", max_iter=200).fit(X.astype(np.float32), y)
    old = model.predict(X)
    model.partial_fit(np.array([[0, 1]], np.int64), np.array([12.0])).predict(X)
    assert model.item_factors_.dtype == model._ratings.data.dtype == np.float32
    assert model.n_iter_ < 20
    assert np.sqrt(np.mean((model.predict(X) - old) ** 2)) < 0.3 * y.std()


# ------------------------------------------------------------------------------------------- early stopping


@pytest.mark.parametrize("kind", ["als", "sgd", "ccd", "svd", "ccd-nonnegative"])
def test_early_stopping_keeps_the_best(rng, kind):
    R = drawn(rng, noise=2.0)
    params = {"alpha": 1e-3, "n_components": 6, "early_stopping": True, "n_iter_no_change": 3, "max_iter": 60}
    model = model_of(kind, **params).fit(R)
    errors = model.history_["validation_rmse"]
    assert len(errors) < 60
    best = int(np.argmin(errors))
    shorter = model_of(kind, **{**params, "max_iter": best + 1, "learning_rate": "constant"})
    if kind != "sgd":
        np.testing.assert_array_equal(shorter.fit(R).user_factors_, model.user_factors_)
    assert len(errors) - 1 - best <= 3


@pytest.mark.parametrize("kind", ["als", "bpr"])
def test_early_stopping_of_rankings(rng, kind):
    X = np.argwhere(~np.isnan(drawn(rng)))
    params = {"feedback": "implicit", "early_stopping": True, "tol": 0.0, "n_iter_no_change": 3, "max_iter": 30}
    params |= {"learning_rate": "constant"} if kind == "bpr" else {}
    model = model_of(kind, IMPLICIT, **params).fit(X)
    found = model.history_["validation_ndcg"]
    assert all(0 <= value <= 1 for value in found)
    best = int(np.argmax(found))  # the first of equal ones
    assert len(found) - 1 - best == 3 or len(found) == 30  # it ends when none of three has been better
    shorter = model_of(kind, IMPLICIT, **{**params, "max_iter": best + 1}).fit(X)
    np.testing.assert_array_equal(shorter.item_factors_, model.item_factors_)  # and keeps the best


@pytest.mark.parametrize(("solver", "n_components"), [("als", 10**6), ("als", 10**9), ("sgd", 10**9), ("ccd", 10**9)])
def test_factors_that_have_no_room_are_refused(solver, n_components):
    X = np.column_stack([np.arange(60), np.arange(60) % 30])
    with pytest.raises(MemoryError, match="components would take"):
        MatrixFactorization(n_components, solver=solver).fit(X, np.arange(60.0))


def test_huge_numbers_of_steps_are_as_good_as_many(rng):
    X, y = interactions(drawn(rng))
    few, huge = (
        MatrixFactorization(2, inner="cg", cg_steps=n, random_state=0, max_iter=5, tol=None).fit(X, y)
        for n in (6, 10**30)
    )
    np.testing.assert_array_equal(huge.item_factors_, few.item_factors_)
    with pytest.raises(InvalidParameterError):
        model_of("bpr", IMPLICIT, feedback="implicit", n_negatives=10**10).fit(X)


@pytest.mark.parametrize("kind", ["als", "sgd"])
def test_early_stopping_goes_on(rng, kind):
    R = drawn(rng, noise=1.0)
    params = {"alpha": 0.1, "early_stopping": True, "tol": 0.0, "learning_rate": "constant", "n_iter_no_change": 4}
    model = model_of(kind, **params, warm_start=True, max_iter=3).fit(R)
    assert model.n_iter_ == 3
    assert model.fit(R).n_iter_ == 3
    model.set_params(max_iter=40).fit(R)
    whole = model_of(kind, **params, max_iter=40).fit(R)
    np.testing.assert_allclose(model.history_["validation_rmse"], whole.history_["validation_rmse"], rtol=1e-6)
    np.testing.assert_allclose(model.item_factors_, whole.item_factors_, rtol=1e-6, atol=1e-9)
    assert model.fit(R).n_iter_ == whole.n_iter_  # its patience was at an end


def test_early_stopping_needs_something_to_hold_out():
    with pytest.raises(ValueError, match="early_stopping holds out"):
        MatrixFactorization(early_stopping=True).fit([[0, 0], [1, 1]], [1.0, 2.0])


# --------------------------------------------------------------------------------------------------- hybrid


def hybrid_data(rng):
    """Return interactions of 30 items whose factors are their attributes', and 5 more items' attributes and ratings."""
    A, P = rng.normal(size=(35, 3)), rng.normal(size=(80, 3))
    R = P @ A.T + 0.1 * rng.normal(size=(80, 35))
    X, y = interactions(np.where(rng.random((80, 30)) < 0.5, R[:, :30], np.nan))
    return X, y, pandas.DataFrame(A, columns=["a", "b", "c"]), R


def test_items_nobody_has_rated_are_recommended(rng):
    X, y, table, R = hybrid_data(rng)
    model = MatrixFactorization(4, alpha=0.1, random_state=0, fit_bias=False).fit(X, y, item_features=table)
    assert model.item_ids_.tolist() == list(range(35))
    cold = np.array([[user, item] for user in range(80) for item in range(30, 35)])
    said = model.predict(cold)
    assert np.corrcoef(said, R[cold[:, 0], cold[:, 1]])[0, 1] > 0.8
    items = model.recommend(model.user_ids_, n=5, candidates=range(30, 35), return_scores=False)
    assert np.isin(items, range(30, 35)).all()
    assert model.transform(X[:3]).shape == (3, 4)


def test_hybrid_goes_on(rng):
    X, y, table, _ = hybrid_data(rng)
    model = MatrixFactorization(4, alpha=0.1, random_state=0).fit(X, y, item_features=table.iloc[:32])
    new = np.c_[np.arange(10), np.repeat([30, 33], 5)]
    model.partial_fit(new, np.ones(10), item_features=table.iloc[32:])
    assert model.item_ids_.tolist() == [*range(32), 33, 32, 34]
    assert np.isfinite(model.item_factors_).all()
    with pytest.raises(ValueError, match="only if fit had some"):
        MatrixFactorization(2).fit(X, y).partial_fit(X, y, item_features=table)


@pytest.mark.parametrize("inner", ["cholesky", "cg"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hybrid_continued_is_the_uninterrupted_one(rng, inner, early_stopping, dtype):
    X, y, table, _ = hybrid_data(rng)
    X, y = X.astype(np.int32), y.astype(dtype)
    params = {"n_components": 4, "random_state": 0, "inner": inner, "tol": None, "early_stopping": early_stopping}
    params["n_iter_no_change"] = 20
    model = MatrixFactorization(**params, warm_start=True, max_iter=4).fit(X, y, item_features=table)
    model.set_params(max_iter=8).fit(X, y, item_features=table)
    whole = MatrixFactorization(**params, max_iter=8).fit(X, y, item_features=table)
    assert model.history_ == whole.history_
    np.testing.assert_array_equal(model.item_factors_, whole.item_factors_)
    cold = [[0, 31], [1, 34]]
    np.testing.assert_array_equal(model.predict(cold), whole.predict(cold))
    again = model.predict(cold)
    np.testing.assert_array_equal(model.fit(X, y, item_features=table).predict(cold), again)  # nothing to do
    # Other attributes are another fit.
    model.set_params(max_iter=8).fit(X, y, item_features=table[::-1].set_axis(table.index))
    assert model.n_iter_ == 8
    assert not np.allclose(model.predict(cold), again)


@pytest.mark.parametrize("params", [{"warm_start": True, "alpha": 0.11}, {}], ids=["warm_start", "partial_fit"])
def test_hybrid_starts_where_it_was(rng, params):
    X, y, table, R = hybrid_data(rng)
    model = MatrixFactorization(4, alpha=0.1, random_state=0, max_iter=300, tol=1e-8).fit(X, y, item_features=table)
    before, cold = model.history_["objective"][-1], [[user, item] for user in range(80) for item in range(30, 35)]
    said, old = model.predict(cold), model.predict([[0, 1]])[0]
    if params:
        model.set_params(**params, max_iter=1, tol=None).fit(X, y, item_features=table)
    else:
        model.set_params(max_iter=1, tol=None).partial_fit([[0, 1]], [R[0, 1]])
    # The old factors cost no more than a tenth more, or what is off in the new rating; and a sweep lowers that.
    assert model.history_["objective"][0] < before * 1.1 + (R[0, 1] - old) ** 2
    assert np.sqrt(np.mean((model.predict(cold) - said) ** 2)) < 0.1 * said.std()  # of seventy seeds at most 0.006


def test_partial_fit_with_attributes_brings_items(rng):
    X, y, table, R = hybrid_data(rng)
    model = MatrixFactorization(4, alpha=0.1, random_state=0).fit(X, y, item_features=table.iloc[:30])
    model.partial_fit([[0, 1]], [R[0, 1]], item_features=table.iloc[30:])
    assert model.item_ids_.tolist() == list(range(35))
    cold = np.array([[user, item] for user in range(80) for item in range(30, 35)])
    assert np.corrcoef(model.predict(cold), R[cold[:, 0], cold[:, 1]])[0, 1] > 0.8
    with pytest.raises(ValueError, match="item_features needs solver"):
        model.set_params(solver="svd").partial_fit([[0, 1]], [1.0])


@pytest.mark.parametrize("kind", ["hybrid", "wide", "early", "svd"])
def test_threads_of_blas_do_not_matter(rng, kind):
    X = np.c_[rng.integers(0, 1500, 20000), rng.integers(0, 1200, 20000)]
    y, features = 3 + rng.normal(size=20000), rng.normal(size=(1200, 1300 if kind == "wide" else 70))
    params = {"random_state": 0, "max_iter": 2, "tol": None}
    params |= {"early_stopping": True, "feedback": "implicit"} if kind == "early" else {}
    params |= {"solver": "svd", "warm_start": True} if kind == "svd" else {}
    side = {"item_features": (np.arange(1200), features)} if kind in ("hybrid", "wide") else {}
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            model = MatrixFactorization(32, **params).fit(X, None if kind == "early" else y, **side)
            if kind == "svd":
                model.set_params(alpha=1.0).fit(X, y)
            measured = model.history_.get("validation_ndcg", model._map)
            found.append((model.item_factors_, 0.0 if measured is None else np.array(measured)))
    for one, two in zip(*found):
        np.testing.assert_array_equal(one, two)


def test_a_regression_on_too_many_attributes_is_refused(rng, monkeypatch):
    X, y, table, _ = hybrid_data(rng)
    monkeypatch.setattr(als, "require_memory", lambda n, purpose: base.require_memory(n << 50, purpose))
    with pytest.raises(MemoryError, match="on 3 attributes of 35 items"):
        MatrixFactorization(4, alpha=0.1).fit(X, y, item_features=table)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_attributes", [5, 60])
def test_the_map_from_attributes_is_a_ridge_regression(rng, n_attributes, weighted):
    X, items = rng.normal(size=(35, n_attributes)) * (rng.random((35, n_attributes)) < 0.3), rng.normal(size=(35, 4))
    scales = 1 + rng.random(35) if weighted else None
    S = np.diag(np.ones(35) if scales is None else scales)
    for penalty in (0.4, 0.7):  # a factorisation each, or one for both
        plan = als.Plan(3, fit_bias=True, item_penalty=0.4, bias_penalty=penalty, attribute_penalty=1.5)
        parts = (0.4, slice(0, 3)), (penalty, slice(3, 4))
        expected = [
            np.linalg.solve(X.T @ S @ X + 1.5 / lv * np.eye(n_attributes), X.T @ S @ items[:, at]) for lv, at in parts
        ]
        for given in (X, sp.csr_array(X)):
            found = als.AttributeMap.of(given, scales, plan).fit(items)
            np.testing.assert_allclose(found, np.column_stack(expected), atol=1e-10)


@pytest.mark.parametrize("shape", [(300, 25), (500, 200)])
@pytest.mark.parametrize("noise", [0.6, 2.0])
def test_the_noise_of_ratings_is_estimated(rng, shape, noise):
    U, V = (rng.normal(size=(size, 3)) for size in shape)
    R = np.where(rng.random(shape) < 0.4, 3 + U @ V.T + noise * rng.normal(size=shape), np.nan)
    deviation, spread = noise_deviation(build(R)), np.nanstd(R)
    assert 0.2 * spread <= deviation * (1 + 1e-9)
    assert max(0.2 * spread, 0.5 * noise) <= deviation * (1 + 1e-9) if noise == 2 else deviation < 0.5 * spread
    assert deviation <= 1.2 * noise
    pure = np.where(rng.random(shape) < 0.4, noise * rng.normal(size=shape), np.nan)
    assert noise_deviation(build(pure)) == pytest.approx(noise, rel=0.15)  # of 165 seeds within 0.05
    assert noise_deviation(build(7 - 10 * R)) == pytest.approx(10 * deviation)
    assert noise_deviation(build(R * 2.0**-500)) == deviation * 2.0**-500
    weighted = replace(build(R), weights=rng.uniform(0.5, 2, np.count_nonzero(~np.isnan(R))))
    for c in (2.0**-1000, 2.0**900):
        scaled = replace(weighted, weights=weighted.weights * c)
        assert noise_deviation(scaled) == noise_deviation(weighted)
    assert noise_deviation(build(np.full((4, 3), 2.0))) == 0


def build(R):
    users, items = np.nonzero(~np.isnan(R))
    indptr = np.append(0, np.cumsum(np.sum(~np.isnan(R), axis=1))).astype(np.int32)
    return Ratings(indptr, items.astype(np.int32), R[users, items], None, R.shape[1])


def test_little_work_is_done_by_one_thread():
    few, many = (Ratings(np.zeros(2001, np.int32), None, np.ones(n), None, 500) for n in (20_000, 500_000))
    assert solvers.threads_worth(few, 8, 4) == 1
    assert solvers.threads_worth(many, 20, 4) == 4
    assert solvers.threads_worth(few, 100, 4, "ccd") == 1  # a call does one component
    assert solvers.threads_worth(many, 100, 4, "ccd") == 4


def test_a_matrix_need_not_have_columns_for_all_items(rng):
    X, y, table, _ = hybrid_data(rng)
    R = sp.coo_array((y, X.T), shape=(80, 30)).tocsr()
    by_matrix = MatrixFactorization(4, random_state=0, tol=None).fit(R, item_features=table)
    by_rows = MatrixFactorization(4, random_state=0, tol=None).fit(X, y, item_features=table)
    assert by_matrix.item_ids_.tolist() == by_rows.item_ids_.tolist() == list(range(35))
    U = by_matrix.transform(R)
    assert by_matrix.inverse_transform(U).shape == (80, 35)
    if len(by_rows.user_ids_) == 80:  # else somebody has no ratings, and is no user of interactions
        np.testing.assert_allclose(by_matrix.predict(X), by_rows.predict(X), rtol=1e-9)
        np.testing.assert_allclose(by_matrix.recommend(n=35)[1], by_rows.recommend(n=35)[1], rtol=1e-9)
    wide = sp.coo_array((y, X.T), shape=(80, 35)).tocsr()
    assert MatrixFactorization(4).fit(wide, item_features=table).transform(wide).shape == (80, 5)


# ------------------------------------------------------------------------------------------ model selection


def test_lightfm_107_model_selection_holds_out_interactions(rng):
    X, y = interactions(drawn(rng))
    order = rng.permutation(len(y))
    X, y = X[order], y[order]
    assert np.mean(cross_val_score(MatrixFactorization(2, random_state=0), X, y, cv=3)) > 0.5
    grid = {"alpha": [0.1, 1.0], "solver": ["als", "ccd", "svd"]}
    search = GridSearchCV(MatrixFactorization(2, random_state=0), grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.8


# ------------------------------------------------------------------------------------------------ bad input

WRONG = {
    "constraint": ({"constraint": "nonnegative"}, "needs solver=.ccd"),
    "loss": ({"loss": "bpr"}, "needs feedback=.implicit. and solver=.sgd"),
    "loss-als": ({"loss": "bpr", "feedback": "implicit"}, "needs feedback=.implicit. and solver=.sgd"),
    "implicit-svd": ({"solver": "svd", "feedback": "implicit"}, "use solver=.als"),
    "implicit-ccd": ({"solver": "ccd", "feedback": "implicit"}, "use solver=.als"),
    "implicit-sgd": ({"solver": "sgd", "feedback": "implicit"}, "loss=.bpr"),
    "bias-nonnegative": ({"solver": "ccd", "constraint": "nonnegative", "fit_bias": True}, "no biases"),
    "bias-implicit": ({"feedback": "implicit", "fit_bias": True}, "no biases"),
    "mean-implicit": ({"feedback": "implicit", "global_mean": True}, "global_mean=False"),
    "confidence": ({"confidence": 2.0}, "sample_weight"),
    "weighted-svd": ({"solver": "svd", "weighted_alpha": True}, "weighted_alpha=False"),
    "alpha-key": ({"alpha": {"user": 1.0}}, "its keys are 'users'"),
    "alpha-value": ({"alpha": {"users": -1.0}}, "not negative"),
    "alpha-attributes": ({"alpha": {"attributes": 0}}, "positive"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_told(case):
    params, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        MatrixFactorization(**params).fit([[0, 1], [1, 0]], [1.0, 2.0])


def test_more_errors(rng):
    X, y = interactions(drawn(rng))
    with pytest.raises(ValueError, match="item_features needs solver"):
        model_of("svd").fit(X, y, item_features=np.eye(40))
    with pytest.raises(InvalidParameterError, match="alpha"):
        MatrixFactorization(alpha=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="n_components"):
        model_of("svd", n_components=41).fit(X, y)
    with pytest.raises(ValueError, match="n_components was changed"):
        model_of("als").fit(X, y).set_params(n_components=2).partial_fit(X, y)
    with pytest.raises(ValueError, match="components"):
        model_of("als").fit(X, y).inverse_transform(np.ones((2, 3)))


@each_explicit
def test_little_data_is_learned_from(kind):
    for X, y in (([[0, 0]], [3.0]), ([["a", 1], ["a", 2]], [1.0, 2.0]), ([[0, 5], [1, 5]], [1, 1])):
        model = model_of(kind, n_components=1).fit(X, y)
        assert np.isfinite(model.predict(X)).all()
        assert np.isfinite(model.recommend(n=3, exclude_seen=False)[1][:, 0]).all()


def test_too_few_sweeps_are_told(rng):
    with pytest.warns(ConvergenceWarning, match="did not converge in 2 sweeps"):
        model_of("als", max_iter=2).fit(drawn(rng))
    with warnings.catch_warnings(action="error"):
        model_of("als", max_iter=2, tol=None).fit(drawn(rng))


@pytest.mark.parametrize("kind", [*EXPLICIT])
def test_float32_stays(rng, kind):
    R = drawn(rng).astype(np.float32)
    model = model_of(kind, max_iter=5, tol=None).fit(R)
    values = model.user_factors_, model.item_factors_, model.user_bias_, model.transform(R), model.predict([[0, 0]])
    assert {value.dtype for value in values} == {np.dtype(np.float32)}
    assert model.recommend(n=2)[1].dtype == np.float32
