"""Warm starts: the same data and bags go on to the same bits; anything else is refused and leaves no trace."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LinearRegression, LogisticRegression

from skml import BaggingForest, BaggingForestRegressor
from skml.callback import Checkpoint
from skml.ensemble.origins import contents, fingerprint

pytestmark = pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
KINDS = pytest.mark.parametrize(
    ("kind", "estimator"),
    [
        (BaggingForest, None),
        (BaggingForest, LogisticRegression()),
        (BaggingForestRegressor, None),
        (BaggingForestRegressor, LinearRegression()),
    ],
)


def data(rng, n=120):
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n) > 0) * 1


def other_data(X, y):
    """Return, of the same classes, other X, y, weights or groups, by name."""
    weights, groups, flipped = np.ones(len(y)), np.arange(len(y)) // 4, y.copy()
    weights[3], flipped[0] = 2.0, 1 - y[0]
    moved = X.copy()
    moved[5] = -moved[5]
    return {
        "fewer rows": (X[:100], y[:100], None, None),
        "a row moved": (moved, y, None, None),
        "a label": (X, flipped, None, None),
        "weights": (X, y, weights, None),
        "groups": (X, y, None, groups),
    }


@KINDS
@pytest.mark.parametrize("name", ["fewer rows", "a row moved", "a label", "weights", "groups"])
def test_other_data_is_refused(rng, kind, estimator, name):
    X, y = data(rng)
    forest = kind(estimator, n_estimators=4, warm_start=True, oob_score=True, random_state=0).fit(X, y)
    before, score = forest.predict(X), forest.oob_score_
    with pytest.raises(ValueError, match=r"warm_start=True cannot go on: the data \(X, y, .* fit anew"):
        forest.set_params(n_estimators=6).fit(*other_data(X, y)[name])
    np.testing.assert_array_equal(forest.predict(X), before)
    assert (len(forest), forest.oob_score_) == (4, score)


CHANGES = [
    {"max_samples": 0.3},
    {"bootstrap": False, "oob_score": False},
    {"max_bins": 9},
    {"monotonic_cst": [1, 0, 0]},
]


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
@pytest.mark.parametrize("change", [*CHANGES, {"categorical_features": [2]}], ids=str)
def test_other_bags_or_bins_are_refused(rng, kind, change):
    X, y = data(rng)
    X[:, 2] = rng.integers(5, size=len(X))
    forest = kind(n_estimators=4, warm_start=True, oob_score=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=f"cannot go on: {next(iter(change))} is not that of the last fit"):
        forest.set_params(n_estimators=6, **change).fit(X, y)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (BaggingForest, {"sampling": "stratified"}),
        (BaggingForest, {"criterion": "entropy"}),
        (BaggingForestRegressor, {"criterion": "absolute_error"}),
    ],
)
def test_other_draws_or_criteria_are_refused(rng, kind, change):
    X, y = data(rng)
    forest = kind(n_estimators=4, warm_start=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=f"cannot go on: {next(iter(change))} is not"):
        forest.set_params(n_estimators=6, **change).fit(X, y)


@KINDS
def test_the_same_data_goes_on(rng, kind, estimator):
    X, y = data(rng)
    weights, groups = rng.uniform(0.5, 2, len(y)), np.arange(len(y)) // 4
    whole = kind(estimator, n_estimators=6, random_state=0, oob_score=True).fit(X, y, weights, groups)
    warm = kind(estimator, n_estimators=3, random_state=0, oob_score=True, warm_start=True).fit(X, y, weights, groups)
    warm.set_params(n_estimators=6, max_samples=1.0, max_depth=None).fit(X.tolist(), y.tolist(), weights, groups)
    np.testing.assert_array_equal(warm.predict(X), whole.predict(X))
    np.testing.assert_array_equal(warm.oob_curve_, whole.oob_curve_)


def test_the_same_rows_in_another_order_are_the_same(rng):
    X, y = data(rng)
    whole = BaggingForestRegressor(n_estimators=6, random_state=0).fit(X, y)
    warm = BaggingForestRegressor(n_estimators=3, random_state=0, warm_start=True).fit(X, y)
    order = rng.permutation(len(y))
    warm.set_params(n_estimators=6).fit(X[order], y[order])
    np.testing.assert_array_equal(warm.predict(X), whole.predict(X))
    np.testing.assert_array_equal(warm.predict(X, quantiles=0.3), whole.predict(X, quantiles=0.3))


def test_members_of_tables_go_on_with_the_same_table(rng):
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X, y = data(rng)
    table = pandas.DataFrame({"a": X[:, 0], "b": np.array(["u", "v"])[(X[:, 1] > 0) * 1]})
    member = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["b"]), remainder="passthrough"), LogisticRegression()
    )
    forest = BaggingForest(member, n_estimators=2, warm_start=True, random_state=0).fit(table, y)
    forest.set_params(n_estimators=4).fit(table.copy(), y)
    assert len(forest) == 4
    other = table.assign(b=table["b"].iloc[::-1].to_numpy())
    with pytest.raises(ValueError, match="cannot go on: the data"):
        forest.set_params(n_estimators=5).fit(other, y)


def test_fingerprints():
    X = np.arange(6.0).reshape(2, 3)
    known = fingerprint([X])
    assert known == fingerprint([X.copy(order="F")])
    different = [fingerprint(parts) for parts in ([X.T], [X, None], [X.astype(np.float32)], [X + 1], [X[:0]], [])]
    assert len({known, *different}) == 7
    assert fingerprint([np.array(["a", "bc"], object)]) != fingerprint([np.array(["ab", "c"], object)])
    sparse = contents(sp.csr_array(X))
    assert [part.tolist() for part in sparse] == [[1, 2, 3, 4, 5], [1, 2, 0, 1, 2], [0, 2, 5]]


@pytest.mark.parametrize("kind", [BaggingForest, BaggingForestRegressor])
def test_a_checkpoint_goes_on_where_it_was(rng, tmp_path, kind):
    X, y = data(rng)
    path = tmp_path / "forest.skops"
    kind(n_estimators=3, random_state=0).set_callbacks(Checkpoint(path)).fit(X, y)
    resumed = Checkpoint.load(path).set_params(warm_start=True, n_estimators=6).fit(X, y)
    whole = kind(n_estimators=6, random_state=0).fit(X, y)
    np.testing.assert_array_equal(resumed.apply(X), whole.apply(X))
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
