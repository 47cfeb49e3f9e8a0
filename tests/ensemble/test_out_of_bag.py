"""Out of bag: answers and scores written out by hand, curves, scorers, and forests that end by themselves."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    make_scorer,
    mean_absolute_error,
    r2_score,
)

from skml import BaggingForest, BaggingForestRegressor
from skml.ensemble.oob import OutOfBag, warn_of_rows_never_out
from skml.ensemble.sampling import Bagging, shares_out

QUIET = pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")


def data(rng, n=150):
    X = rng.normal(size=(n, 4))
    return X, (X[:, 0] + 0.7 * rng.normal(size=n) > 0) * 1 + (X[:, 1] > 0.7)


def outside(forest, n):
    """Return whether each row is out of each bag, by the rows that `oob_samples_` names: (n_members, n)."""
    return np.array([np.isin(np.arange(n), rows) for rows in forest.oob_samples_])


def copies_outside(forest, X, y):
    """Return which share of the copies of each row is out of each bag on average: (n_members, n)."""
    copies = np.all(np.column_stack([X, y])[:, None] == np.column_stack([X, y]), axis=2)
    drawn = np.array([np.bincount(rows, minlength=len(X)) for rows in forest.estimators_samples_])
    return (1 - 1 / copies.sum(axis=1)) ** (drawn @ copies)


def means_out_of_bag(forest, X, ask, first=None, out=None):
    """Return the means of what members say of the rows out of their bags."""
    out = (outside(forest, len(X)) if out is None else out)[:first]
    said = np.array([ask(member) for member in list(forest)[:first]])
    with np.errstate(invalid="ignore"):
        return np.einsum("mi,mi...->i...", out, said) / out.sum(axis=0).reshape(-1, *[1] * (said.ndim - 2))


@QUIET
@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_classes_out_of_bag_by_hand(rng, voting, estimator):
    X, y = data(rng)
    labels = np.array(["a", "b", "c"])[y]
    shape = {} if estimator else {"max_depth": 3}
    forest = BaggingForest(estimator, n_estimators=8, voting=voting, oob_score=True, random_state=0, **shape)
    forest.fit(X, labels)

    def ask(member):
        shares = member.predict_proba(X)
        return np.eye(3)[shares.argmax(axis=1)] if voting == "hard" else shares

    expected = means_out_of_bag(forest, X, ask)
    np.testing.assert_allclose(forest.oob_decision_function_, expected, atol=1e-12)
    for first in (3, 8):
        means = means_out_of_bag(forest, X, ask, first)
        known = ~np.isnan(means[:, 0])
        score = accuracy_score(y[known], means[known].round(12).argmax(axis=1))
        assert forest.oob_curve_[first - 1] == pytest.approx(score, abs=0.02)  # ties of votes
    assert forest.oob_score_ == forest.oob_curve_[-1]
    assert forest.history_["oob_score"] == list(forest.oob_curve_)


@QUIET
def test_numbers_out_of_bag_by_hand(rng):
    X, _ = data(rng)
    y = X[:, 0] + 0.1 * rng.normal(size=150)
    forest = BaggingForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    expected = means_out_of_bag(forest, X, lambda tree: tree.predict(X))
    np.testing.assert_allclose(forest.oob_prediction_, expected, atol=1e-12)
    assert forest.oob_score_ == pytest.approx(r2_score(y, expected))
    assert not hasattr(forest, "oob_decision_function_")


@QUIET
def test_several_outputs_out_of_bag(rng):
    X, y = data(rng)
    y = np.column_stack([y, X[:, 2] > 0])
    forest = BaggingForest(n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    assert [shares.shape for shares in forest.oob_decision_function_] == [(150, 3), (150, 2)]
    said = np.column_stack([shares.argmax(axis=1) for shares in forest.oob_decision_function_])
    assert forest.oob_score_ == pytest.approx((said == y).all(axis=1).mean())
    numbers = BaggingForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    assert numbers.oob_prediction_.shape == (150, 2)
    assert numbers.oob_score_ == pytest.approx(r2_score(y, numbers.oob_prediction_))


def test_bags_and_what_is_out_of_them_are_all_rows(rng):
    X, y = data(rng)
    for params in ({}, {"max_samples": 0.3}, {"sampling": "balanced"}):
        forest = BaggingForest(n_estimators=5, random_state=0, **params).fit(X, y)
        for rows, out in zip(forest.estimators_samples_, forest.oob_samples_):
            assert not set(rows) & set(out)
            assert set(rows) | set(out) == set(range(150))


def test_equal_rows_have_one_in_their_place(rng):
    X, y = np.repeat(np.arange(10.0), 3)[:, None], np.repeat(rng.normal(size=10), 3)
    forest = BaggingForestRegressor(n_estimators=5, random_state=0).fit(X, y)
    for rows, out in zip(forest.estimators_samples_, forest.oob_samples_):
        assert len(rows) == 30  # drawn as often as if each row were its own
        assert sorted(X[np.unique(np.append(rows, out)), 0]) == list(range(10))


@pytest.mark.parametrize(("n_copies", "n_draws"), [(1, 0), (1, 2), (2, 0), (2, 3), (3, 2), (4, 4)])
def test_the_share_of_copies_out_of_a_bag_is_that_of_all_ways_to_draw_them(n_copies, n_draws):
    ways = list(itertools.product(range(n_copies), repeat=n_draws))
    missed = np.mean([1 - len(set(way)) / n_copies for way in ways])
    found = shares_out(np.array([[7, n_draws]]), np.array([1.0, n_copies]))
    np.testing.assert_allclose(found, [[0, missed]], rtol=1e-12)


@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_copies_out_of_bag_by_hand(rng, estimator):
    X = rng.integers(3, size=(200, 2)) * 1.0  # few distinct rows, all in nearly every bag
    y = (X.sum(axis=1) + rng.normal(size=200) > 2) * 1
    # A row without copies is in all 40 bags with probability (1 - 1/e)^40 = 1e-8; in all 8 it would be at times.
    forest = BaggingForest(estimator, n_estimators=40, oob_score=True, random_state=0).fit(X, y)
    expected = means_out_of_bag(forest, X, lambda member: member.predict_proba(X), out=copies_outside(forest, X, y))
    np.testing.assert_allclose(forest.oob_decision_function_, expected, atol=1e-12)
    assert forest.oob_score_ == pytest.approx(accuracy_score(y, expected.round(12).argmax(axis=1)))


def test_few_distinct_rows_are_scored_as_where_copies_are_drawn_one_by_one(rng):
    X = rng.integers(3, size=(600, 2)) * 1.0
    y = X[:, 0] + rng.normal(size=600).round(1)
    ours, theirs = (
        kind(max_features=1.0, oob_score=True, random_state=0).fit(X, y)
        for kind in (BaggingForestRegressor, RandomForestRegressor)
    )
    assert ours.oob_score_ == pytest.approx(theirs.oob_score_, abs=0.01)  # seven deviations of what is drawn
    assert len(BaggingForestRegressor(n_estimators="auto", random_state=0).fit(X, y)) < 100


@QUIET
def test_scorers(rng):
    X, y = data(rng)
    y = (y > 0) * 1

    def fitted(oob_score):
        return BaggingForest(n_estimators=15, oob_score=oob_score, random_state=0).fit(X, y)

    forest = fitted(True)
    known = ~np.isnan(forest.oob_decision_function_[:, 0])
    shares, right = forest.oob_decision_function_[known], y[known]
    said = shares.argmax(axis=1)
    assert fitted("accuracy").oob_score_ == pytest.approx(forest.oob_score_)
    assert fitted(accuracy_score).oob_score_ == pytest.approx(forest.oob_score_)
    assert fitted(f1_score).oob_score_ == pytest.approx(f1_score(right, said))
    assert fitted("f1").oob_score_ == pytest.approx(f1_score(right, said))
    assert fitted("neg_log_loss").oob_score_ == pytest.approx(-log_loss(right, shares))
    assert fitted(lambda y_true, y_pred: len(y_true)).oob_score_ == known.sum()


@QUIET
def test_scorers_of_numbers(rng):
    X, _ = data(rng)
    y = X[:, 0] + rng.normal(size=150)

    def fitted(oob_score):
        return BaggingForestRegressor(n_estimators=15, oob_score=oob_score, random_state=0).fit(X, y)

    said = fitted(True).oob_prediction_
    known = ~np.isnan(said)
    error = mean_absolute_error(y[known], said[known])
    assert fitted("neg_mean_absolute_error").oob_score_ == pytest.approx(-error)
    assert fitted(lambda y_true, y_pred: -np.abs(y_true - y_pred).mean()).oob_score_ == pytest.approx(-error)


@pytest.mark.parametrize("oob_score", ["no such scorer", 3, np.array([1])])
def test_bad_scorers(rng, oob_score):
    X, y = data(rng)
    with pytest.raises(ValueError, match="scor"):
        BaggingForest(n_estimators=2, oob_score=oob_score).fit(X, y)


@QUIET
@pytest.mark.filterwarnings("ignore:A whole-number weight k means k copies")
@pytest.mark.parametrize("oob_score", [True, "accuracy", accuracy_score, "balanced_accuracy"])
def test_weights_are_copies_out_of_bag_too(rng, oob_score):
    X, y = data(rng)
    weights = rng.integers(0, 4, size=150)
    copies = np.repeat(np.arange(150), weights)
    forest = BaggingForest(n_estimators=15, oob_score=oob_score, random_state=0)
    weighted = forest.fit(X, y, sample_weight=weights)
    curve, shares = weighted.oob_curve_, weighted.oob_decision_function_
    copied = forest.fit(X[copies], y[copies])
    np.testing.assert_allclose(copied.oob_curve_, curve, rtol=1e-12)
    np.testing.assert_array_equal(copied.oob_decision_function_, shares[copies])


@QUIET
def test_rows_of_no_weight_are_out_of_every_bag(rng):
    X, y = data(rng)
    weights = (rng.random(150) < 0.7) * 1.0
    forest = BaggingForest(n_estimators=15, oob_score=True, random_state=0).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(forest.oob_decision_function_[weights == 0], forest.predict_proba(X[weights == 0]))
    assert all(np.all(weights[rows] > 0) for rows in forest.estimators_samples_)
    assert all(np.all(weights[rows] > 0) for rows in forest.oob_samples_)


def test_rows_that_were_in_all_bags_are_told(rng):
    X, y = data(rng)
    with pytest.warns(UserWarning, match="Some inputs do not have OOB scores"):
        forest = BaggingForest(n_estimators=2, oob_score=True, random_state=0).fit(X, y)
    never = ~outside(forest, 150).any(axis=0)
    assert never.any()
    np.testing.assert_array_equal(np.isnan(forest.oob_decision_function_).all(axis=1), never)


def test_forests_that_end_by_themselves_tell_it_too(rng):
    X, y = data(rng)
    few = {"n_estimators": "auto", "n_iter_no_change": 1, "tol": 10, "random_state": 0}
    for kind in (BaggingForest, BaggingForestRegressor):
        with pytest.warns(UserWarning, match="Some inputs do not have OOB scores.*raise n_iter_no_change") as told:
            assert len(kind(**few).fit(X, y)) == 2
        assert len(told) == 1


def test_forests_that_end_by_themselves_tell_of_copies(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators="auto", n_iter_no_change=30, random_state=0)
    with pytest.warns(UserWarning, match="divide the weights by their mean") as told:
        forest.fit(X, y, sample_weight=np.full(150, 4))
    assert len(told) == 1


def rare(rng, n=400, n_rare=8):
    return rng.normal(size=(n, 3)), np.where(np.arange(n) < n_rare, "rare", "usual")


@pytest.mark.parametrize("params", [{}, {"max_samples": 16}])
def test_balanced_bags_leave_rows_of_each_class_out(rng, params):
    X, y = rare(rng)
    forest = BaggingForest(n_estimators=100, sampling="balanced", oob_score="balanced_accuracy", random_state=0)
    forest.set_params(**params).fit(X, y)
    assert np.isfinite(forest.oob_decision_function_).all()
    right = forest.classes_[forest.oob_decision_function_.argmax(axis=1)] == y
    assert forest.oob_score_ == pytest.approx((right[:8].mean() + right[8:].mean()) / 2)
    assert 0 < forest.oob_score_ < 0.9  # nothing is to be learned: by the usual class alone it would be 1


@pytest.mark.parametrize("params", [{"n_estimators": 30, "oob_score": True}, {"n_estimators": "auto"}])
@pytest.mark.parametrize("metric", [None, "balanced_accuracy", balanced_accuracy_score])
def test_a_class_in_every_bag_is_told_once(rng, params, metric):
    X, y = rare(rng)
    forest = BaggingForest(sampling="balanced", max_samples=800, random_state=0).set_params(**params)
    if metric is not None:
        forest.set_params(oob_score=metric)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        forest.fit(X, y)
    assert np.isnan(forest.oob_decision_function_[:8]).all()
    assert len(told) == 1
    text = str(told[0].message)
    assert "no row of class rare was out of any bag, so oob_score_ is that of other classes" in text
    assert "Each bag draws 400 of the 8 rows of a class, so hardly any is left out; set max_samples=16." in text


def told_of(times, bagging, *labels):
    with pytest.warns(UserWarning, match="Some inputs do not have OOB scores") as told:
        warn_of_rows_never_out(OutOfBag(np.zeros((6, 2)), np.array(times)), bagging, "n_estimators", labels)
    assert len(told) == 1
    return str(told[0].message)


def test_what_is_told_of_rows_that_were_in_all_bags():
    even, strata = Bagging(np.ones(6), 0, True, 6), np.array([0, 0, 0, 1, 1, 1])
    first, second = (np.array(["a", "b"]), strata), (np.array([7, 8, 9]), np.array([0, 1, 2, 0, 1, 2]))
    few = "raise n_estimators."
    assert told_of([1, 1, 1, 1, 0, 1], even, first).endswith(f"reliable OOB estimates; {few}")
    text = told_of([1, 1, 1, 0, 0, 0], even, first)
    assert "no row of class b was" in text
    assert text.endswith(f"Use more members: {few}")
    assert "no row of class 8 of output 1 was" in told_of([1, 0, 1, 1, 0, 1], even, first, second)
    assert "no row of class 8 of output 1 (nor of 1 more) was" in told_of([1, 0, 0, 1, 0, 0], even, first, second)
    assert "set max_samples=6." in told_of([1, 1, 1, 1, 0, 1], dataclasses.replace(even, size=60), first)
    drawn = dataclasses.replace(even, strata=strata, shares=np.array([3, 3]))
    assert told_of([1, 1, 1, 0, 0, 0], drawn, first).endswith(f"Use more members: {few}")
    drawn = dataclasses.replace(even, size=12, strata=strata, shares=np.array([3, 9]))
    assert told_of([1, 1, 1, 0, 0, 0], drawn, first).endswith("set max_samples=4.")
    assert told_of([1, 1, 1, 0, 0, 1], drawn, first).endswith("set max_samples=4.")
    alone = np.array([0, 0, 0, 0, 0, 1])
    drawn = dataclasses.replace(even, size=2, strata=alone, shares=np.array([1, 1]))
    assert "the only row of one is in all" in told_of([1, 1, 1, 1, 1, 0], drawn, (np.array(["a", "b"]), alone))


def test_a_metrics_own_warnings_are_heard(rng):
    def metric(y, said):
        warnings.warn(f"of {len(y)} rows", UserWarning, stacklevel=1)
        return np.mean(y == said)

    X, y = data(rng)
    forest = BaggingForest(n_estimators=4, oob_score=metric, random_state=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        forest.fit(X, y)
    out = np.logical_or.accumulate(outside(forest, 150)).sum(axis=1)
    assert [str(one.message) for one in told][:4] == [f"of {n} rows" for n in out]


@QUIET
def test_groups_keep_copies_of_a_row_out(rng):
    X = rng.normal(size=(60, 3))
    y, groups = rng.normal(size=60), np.arange(60)
    X, y, groups = np.repeat(X, 5, axis=0) + 1e-9 * rng.normal(size=(300, 3)), np.repeat(y, 5), np.repeat(groups, 5)
    forest = BaggingForestRegressor(n_estimators=40, oob_score=True, random_state=0)
    assert forest.fit(X, y).oob_score_ > 0.8  # near copies are in the bag: it looks as if noise could be learned
    assert forest.fit(X, y, groups=groups).oob_score_ < 0.2


def test_out_of_bag_needs_bags(rng):
    X, y = data(rng)
    for params in ({"oob_score": True}, {"n_estimators": "auto"}):
        with pytest.raises(ValueError, match="Out of bag estimation only available if bootstrap=True"):
            BaggingForest(bootstrap=False, **params).fit(X, y)
    with pytest.raises(ValueError, match="groups are for drawing bags"):
        BaggingForest(bootstrap=False).fit(X, y, groups=y)


# --------------------------------------------------------------------------------------- n_estimators="auto"


@QUIET
@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_auto_ends_when_the_curve_is_flat(rng, kind):
    X, y = data(rng)
    forest = kind(n_estimators="auto", n_iter_no_change=10, tol=1e-3, random_state=0).fit(X, y)
    curve, best, since = forest.oob_curve_, -np.inf, 0
    for number, score in enumerate(curve):
        assert number - since <= 10
        if score > best + 1e-3:
            best, since = score, number
    assert len(forest) == len(curve) == since + 11
    fixed = kind(n_estimators=len(forest), random_state=0).fit(X, y)
    np.testing.assert_array_equal(fixed.predict(X), forest.predict(X))


@QUIET
def test_auto_goes_on_where_it_was(rng):
    X, y = data(rng)
    params = {"n_iter_no_change": 10, "tol": 1e-3, "random_state": 0}
    whole = BaggingForest(n_estimators="auto", **params).fit(X, y)
    warm = BaggingForest(n_estimators=4, warm_start=True, **params).fit(X, y)
    warm.set_params(n_estimators="auto").fit(X, y)
    np.testing.assert_array_equal(warm.apply(X), whole.apply(X))
    np.testing.assert_array_equal(warm.oob_curve_, whole.oob_curve_)
    np.testing.assert_array_equal(warm.fit(X, y).apply(X), whole.apply(X))  # it had ended


@QUIET
def test_a_warm_start_may_ask_for_the_score_later(rng):
    X, y = data(rng)
    whole = BaggingForest(n_estimators=9, oob_score=True, random_state=0).fit(X, y)
    warm = BaggingForest(n_estimators=9, warm_start=True, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="Warm-start fitting without increasing"):
        warm.set_params(oob_score=True).fit(X, y)
    np.testing.assert_array_equal(warm.oob_curve_, whole.oob_curve_)
    np.testing.assert_array_equal(warm.oob_decision_function_, whole.oob_decision_function_)


@QUIET
def test_members_of_other_kinds_go_on_too(rng):
    X, y = data(rng)
    whole = BaggingForest(LogisticRegression(), n_estimators=6, oob_score=True, random_state=0).fit(X, y)
    warm = BaggingForest(LogisticRegression(), n_estimators=3, warm_start=True, random_state=0).fit(X, y)
    warm.set_params(n_estimators=6, oob_score=True).fit(X, y)
    np.testing.assert_array_equal(warm.oob_decision_function_, whole.oob_decision_function_)
    np.testing.assert_array_equal(warm.oob_curve_, whole.oob_curve_)


@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
def test_rows_of_no_weight_are_voted_on_like_others(rng, estimator):
    X, y = data(rng)
    weights = np.where(np.arange(150) < 30, 0.0, 1.0)
    params = {"voting": "hard", "oob_score": True, "random_state": 0} | ({} if estimator else {"max_depth": 2})
    forest = BaggingForest(estimator, n_estimators=40, **params).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(forest.oob_decision_function_[:30], forest.predict_proba(X[:30]), atol=1e-12)


@QUIET
def test_a_metric_that_refuses_the_first_few_rows_ends_no_fit(rng):
    X, y = data(rng, n=40)

    def metric(y, said):
        if len(y) < 30:
            raise ValueError("too few rows")
        return accuracy_score(y, said)

    forest = BaggingForest(n_estimators=20, oob_score=metric, random_state=0).fit(X, y)
    assert np.isnan(forest.oob_curve_[0])
    assert forest.oob_score_ == BaggingForest(n_estimators=20, oob_score=True, random_state=0).fit(X, y).oob_score_

    def broken(y, said):
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        BaggingForest(n_estimators=60, oob_score=broken, random_state=0).fit(X, y)


# ---------------------------------------------------------------------------------- where there is nothing to go by


def test_bags_that_leave_no_row_out_have_no_score(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=5, max_samples=6000, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match="no row was out of any bag, so oob_score_ is NaN.*set max_samples=150"):
        forest.fit(X, y)
    assert np.isnan(forest.oob_score_)
    assert np.isnan(forest.oob_curve_).all()
    assert forest.set_params(n_estimators=100, max_samples=150).fit(X, y).oob_score_ > 0.5


def test_the_warning_of_large_bags_names_the_cure(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=5, max_samples=40, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match="draws 40 groups of 10, so hardly any is left out; set max_samples=10"):
        forest.fit(X, y, groups=np.arange(150) % 10)


def test_the_warning_of_weights_that_are_copies_names_the_cure(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=60, oob_score=True, random_state=0)
    plain = forest.fit(X, y).oob_score_
    weights = np.full(150, 5.0)
    with pytest.warns(UserWarning, match="k copies of a row, 5 on average.*divide the weights by their mean"):
        assert forest.fit(X, y, sample_weight=weights).oob_score_ > plain + 0.05  # scored by copies that were seen
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert forest.fit(X, y, sample_weight=weights / weights.mean()).oob_score_ == plain
        forest.fit(np.repeat(X, 5, axis=0), np.repeat(y, 5))  # nobody has given weights


def test_auto_needs_rows_out_of_bags(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators="auto", n_iter_no_change=3, max_samples=9000, random_state=0)
    with pytest.raises(ValueError, match="n_estimators='auto' needs out-of-bag scores.*set max_samples=150"):
        forest.fit(X, y)
    assert not hasattr(forest, "_model")


@QUIET
@pytest.mark.parametrize(
    ("oob_score", "message"),
    [
        (lambda y, said: 1 / 0, "division by zero"),
        ("precision", "Target is multiclass but average='binary'"),
        (make_scorer(accuracy_score), r"scorer's name or metric\(y_true, y_pred\)"),
        (lambda estimator, X, y: 1.0, r"scorer's name or metric\(y_true, y_pred\)"),
    ],
)
@pytest.mark.parametrize("n_estimators", [2, 60, "auto"])
def test_a_metric_that_always_refuses_ends_the_fit(rng, oob_score, message, n_estimators):
    X, y = data(rng)
    with pytest.raises(ValueError, match=message):
        BaggingForest(n_estimators=n_estimators, oob_score=oob_score, random_state=0).fit(X, y)


@QUIET
def test_a_metric_that_refuses_is_told_when_asked_later(rng):
    X, y = data(rng)
    forest = BaggingForest(n_estimators=2, warm_start=True, random_state=0).fit(X, y)
    with (
        pytest.raises(ValueError, match=r"oob_score refuses what was said out of bag \(.* of 150 rows"),
        pytest.warns(UserWarning, match="Warm-start fitting without increasing"),
    ):
        forest.set_params(oob_score="precision").fit(X, y)


@pytest.mark.parametrize("found", [None, "0.5", np.ones(2), [1.0], 1j])
def test_a_metric_must_return_a_number(rng, found):
    X, y = data(rng)
    with pytest.raises(TypeError, match="must return a number, got"):
        BaggingForest(n_estimators=2, oob_score=lambda y, said: found).fit(X, y)


@QUIET
@pytest.mark.parametrize("found", [1, True, np.float32(1), np.array(1.0), np.int8(1), np.bool_(True)])
def test_numbers_that_a_metric_may_return(rng, found):
    X, y = data(rng)
    assert BaggingForest(n_estimators=2, oob_score=lambda y, said: found).fit(X, y).oob_score_ == 1.0
