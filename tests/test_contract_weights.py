"""Sample weights: weight k means k copies, weight 0 means no row, and neither order nor scale of copies matters."""

import numpy as np
import pytest
from _contract.cases import answers, assert_close, assert_same, data, each_class, each_variant, make

# check_estimator allows 1e-7 between a weighted and a repeated fit; iterative solvers stop near it.
TOLERANCE = 1e-6


def copies(X, y, weights):
    return np.repeat(X, weights, axis=0), None if y is None else np.repeat(y, weights)


@each_variant
def test_weights_are_copies(cls, params, rng):
    X, y = data(cls, rng)
    weights = rng.integers(1, 4, size=len(X))
    weighted = make(cls, params).fit(X, y, sample_weight=weights)
    repeated = make(cls, params).fit(*copies(X, y, weights))
    assert_close(answers(weighted, X), answers(repeated, X), TOLERANCE)
    between = np.mean(X[rng.integers(len(X), size=(2000, 2))], axis=1)  # where a class may end here or there
    plain = answers(make(cls, params).fit(X, y), between)
    assert any(not np.array_equal(value, plain[name]) for name, value in answers(weighted, between).items())


@each_variant
def test_weight_zero_removes_a_row(cls, params, rng):
    X, y = data(cls, rng)
    weights = rng.integers(0, 3, size=len(X))
    weights[:5] = 1
    X[weights == 0] += 100  # a row that is there would be seen
    kept = weights > 0
    weighted = make(cls, params).fit(X, y, sample_weight=weights * 1.0)
    without = make(cls, params).fit(X[kept], None if y is None else y[kept], sample_weight=weights[kept] * 1.0)
    assert_close(answers(weighted, X), answers(without, X), TOLERANCE)


@each_variant
def test_equal_weights_are_none(cls, params, rng):
    X, y = data(cls, rng)
    weighted = make(cls, params).fit(X, y, sample_weight=np.ones(len(X)))
    assert_close(answers(weighted, X), answers(make(cls, params).fit(X, y), X), 1e-9)


@each_variant
def test_order_of_rows_does_not_matter(cls, params, rng):
    X, y = data(cls, rng)
    weights = rng.integers(1, 4, size=len(X)) * 1.0
    order = rng.permutation(len(X))
    shuffled = make(cls, params).fit(X[order], None if y is None else y[order], sample_weight=weights[order])
    assert_close(answers(shuffled, X), answers(make(cls, params).fit(X, y, sample_weight=weights), X), TOLERANCE)


BAD = {
    "negative": (lambda w: np.r_[-1.0, w[1:]], "(?i)negative"),
    "nan": (lambda w: np.r_[np.nan, w[1:]], "NaN"),
    "infinite": (lambda w: np.r_[np.inf, w[1:]], "(?i)inf"),
    "all-zero": (lambda w: w * 0, "(?i)weight.*zero|zero.*weight"),
    "short": (lambda w: w[:-1], "(?i)sample_weight|inconsistent"),
    "long": (lambda w: np.r_[w, 1.0], "(?i)sample_weight|inconsistent"),
    "2-D": (lambda w: np.c_[w, w], "(?i)1D|1-D|dim"),
    "text": (lambda w: np.full(len(w), "much"), "(?i)string|float|dtype|number"),
    "complex": (lambda w: w + 1j, "(?i)complex"),
    "sum-overflows": (lambda w: w * 8e307, "(?i)finite|large"),
}


@pytest.mark.parametrize("fault", BAD)
@each_class
def test_bad_weights_are_refused(cls, fault, rng):
    spoil, message = BAD[fault]
    X, y = data(cls, rng)
    estimator = make(cls).fit(X, y)
    before = answers(estimator, X)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(X, y, sample_weight=spoil(np.full(len(X), 2.0)))
    assert_same(answers(estimator, X), before)


@pytest.mark.parametrize("form", [list, tuple, np.float32, np.int64, "pandas"])
@each_class
def test_weights_come_in_any_container(cls, form, rng):
    X, y = data(cls, rng)
    weights = rng.integers(1, 4, size=len(X))
    if form == "pandas":
        given = pytest.importorskip("pandas").Series(weights, index=rng.permutation(len(X)))
    else:
        given = form(weights) if form in (list, tuple) else weights.astype(form)
    plain = make(cls).fit(X, y, sample_weight=weights * 1.0)
    assert_close(answers(make(cls).fit(X, y, sample_weight=given), X), answers(plain, X), 1e-9)
