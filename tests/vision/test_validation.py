"""Rows to validate with: given or set aside, and the best weights, however a fit ends."""

import inspect

import numpy as np
import pytest
from _contract.listening import Listener
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.class_weight import compute_class_weight

from skml import ConvAutoencoder, ConvClassifier, ConvRegressor
from skml.base import FitInterruptedWarning

SMALL = {"filters": (6,), "max_iter": 4, "random_state": 0}
IMAGES, DIGITS = load_digits(return_X_y=True)


@pytest.fixture
def halves(rng):
    """Return (X, y, X_val, y_val): digits of 8 x 8."""
    order = rng.permutation(len(IMAGES))[:400]
    X, y = IMAGES[order].astype(np.float32), DIGITS[order]
    return X[:250], y[:250], X[250:], y[250:]


# ------------------------------------------------------------------------------------------------ X_val


def test_classifier_is_judged_by_what_it_is_given(halves, rng):
    X, y, X_val, y_val = halves
    weights = rng.integers(0, 4, size=len(X_val))
    names = np.array([f"digit {i}" for i in range(10)])
    classifier = ConvClassifier(**SMALL)
    classifier.fit(X, names[y], X_val=X_val, y_val=names[y_val], sample_weight_val=weights)
    score = classifier.score(X_val, names[y_val], weights)
    logs = classifier.predict_log_proba(X_val)[
        np.arange(len(X_val)), np.searchsorted(classifier.classes_, names[y_val])
    ]
    assert classifier.history_["validation_score"][-1] == pytest.approx(score)
    assert classifier.history_["validation_loss"][-1] == pytest.approx(-np.average(logs, weights=weights), rel=1e-4)
    plain = ConvClassifier(**SMALL).fit(X, names[y])
    np.testing.assert_array_equal(classifier.predict_proba(X), plain.predict_proba(X))  # nothing else changes


def test_regressor_is_judged_by_what_it_is_given(halves):
    X, y, X_val, y_val = halves
    regressor = ConvRegressor(**SMALL).fit(X, 100.0 * y + 7, X_val=X_val, y_val=100.0 * y_val + 7)
    assert regressor.history_["validation_score"][-1] == pytest.approx(
        regressor.score(X_val, 100.0 * y_val + 7), abs=1e-4
    )


def test_autoencoder_is_judged_by_what_it_is_given(halves):
    X, _, X_val, _ = halves
    model = ConvAutoencoder(4, **SMALL).fit(X, X_val=X_val)
    error = model.history_["validation_loss"][-1]
    assert model.score(X_val) == pytest.approx(-error * model.images_.deviation[0] ** 2, rel=1e-4)


def test_several_labels_are_judged_as_well(halves):
    X, y, X_val, y_val = halves
    several, several_val = (np.c_[some > 4, some % 2] * 1 for some in (y, y_val))
    classifier = ConvClassifier(label_smoothing=0.2, **SMALL).fit(X, several, X_val=X_val, y_val=several_val)
    assert classifier.history_["validation_score"][-1] == pytest.approx(classifier.score(X_val, several_val))
    with pytest.raises(ValueError, match="both have one class a row, or both several"):
        classifier.fit(X, several, X_val=X_val, y_val=several_val[:, 0])


def test_weights_order_and_copies_of_given_rows(halves, rng):
    X, y, X_val, y_val = halves
    k = rng.integers(0, 3, size=len(X_val))
    copies = rng.permutation(np.repeat(np.arange(len(X_val)), k))
    weighted = ConvClassifier(**SMALL).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=k)
    copied = ConvClassifier(**SMALL).fit(X, y, X_val=X_val[copies], y_val=y_val[copies])
    assert weighted.history_ == copied.history_


def test_given_rows_may_be_of_another_type_or_form(halves):
    X, y, X_val, y_val = halves
    plain = ConvClassifier(**SMALL).fit(X, y, X_val=X_val, y_val=y_val).history_
    for form in (X_val.reshape(-1, 8, 8), X_val.reshape(-1, 8, 8, 1), X_val.tolist(), X_val.astype(np.float64)):
        found = ConvClassifier(**SMALL).fit(X, y, X_val=form, y_val=list(y_val)).history_
        assert found["validation_score"] == plain["validation_score"]
    with pytest.warns(UserWarning, match="Multiply by 255"):
        ConvClassifier(**SMALL).fit((X * 15).astype(np.uint8), y, X_val=X_val / 16, y_val=y_val)


def test_early_stopping_looks_at_given_rows(halves):
    X, y, X_val, y_val = halves
    params = {**SMALL, "max_iter": 60, "early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.01}
    classifier = ConvClassifier(**params).fit(X, y, X_val=X_val, y_val=y_val)
    scores = classifier.history_["validation_score"]
    assert classifier.n_iter_ == len(scores) < 60
    assert classifier.score(X_val, y_val) == pytest.approx(max(scores))
    full = ConvClassifier(**{**params, "early_stopping": False, "max_iter": 1}).fit(X, y, X_val=X_val, y_val=y_val)
    assert full.history_["loss"] == classifier.history_["loss"][:1]  # no row of X was set aside


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_val": None}, "X_val is given, but y_val is not"),
        ({"X_val": None}, "y_val is given, but X_val is not"),
        (
            {"X_val": None, "y_val": None, "sample_weight_val": np.ones(3)},
            "sample_weight_val is given, but X_val is not",
        ),
        ({"X_val": np.zeros((3, 63))}, "validate with cannot be used: X has 63 features"),
        ({"X_val": np.zeros((3, 8, 8, 2))}, "validate with cannot be used: X holds images of 8 x 8 x 2"),
        ({"X_val": np.full((3, 64), np.nan)}, "validate with cannot be used: Input X contains NaN"),
        ({"y_val": [1, 2, 77]}, "validate with cannot be used: y holds 77, none of the classes"),
        ({"y_val": [1, 2]}, "validate with cannot be used: Found input variables with inconsistent"),
        ({"sample_weight_val": [1, -1, 1]}, "validate with cannot be used: Negative values"),
        ({"sample_weight_val": [0, 0, 0]}, "validate with cannot be used"),
    ],
)
def test_unusable_rows_to_validate_with(halves, change, message):
    X, y, _, _ = halves
    classifier = ConvClassifier(**SMALL)
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, y, **{"X_val": X[:3], "y_val": y[:3], **change})
    assert not hasattr(classifier, "n_features_in_")


def test_one_class_to_validate_with_is_fine_but_none_that_weighs_is_not(halves):
    X, y, _, _ = halves
    zeros = y == 0
    classifier = ConvClassifier(**SMALL).fit(X, y, X_val=X[zeros], y_val=y[zeros])
    assert classifier.history_["validation_score"][-1] == pytest.approx(classifier.score(X[zeros], y[zeros]))
    with pytest.raises(ValueError, match="all of them weigh nothing"):
        classifier.set_params(class_weight={0: 0.0}).fit(X, y, X_val=X[zeros], y_val=y[zeros])


@pytest.mark.parametrize("cls", [ConvClassifier, ConvRegressor, ConvAutoencoder])
def test_rows_to_validate_with_are_metadata(cls, halves):
    X, y, X_val, y_val = halves
    expected = ["X_val", "y_val", "sample_weight_val"] if cls is not ConvAutoencoder else ["X_val", "sample_weight_val"]
    named = [p.name for p in inspect.signature(cls.fit).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert named == expected
    with config_context(enable_metadata_routing=True):
        model = cls(**SMALL).set_fit_request(**dict.fromkeys(expected, True))
        pipe = Pipeline([("scale", MaxAbsScaler()), ("model", model)], transform_input=["X_val"])
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": np.ones(len(X_val))}
        given = {name: given[name] for name in expected}
        history = pipe.fit(X, y, **given)["model"].history_
        scaler = MaxAbsScaler().fit(X)
        given["X_val"] = scaler.transform(X_val)
        assert cls(**SMALL).fit(scaler.transform(X), y, **given).history_ == history


def test_rows_to_validate_with_reach_every_fold(halves):
    X, y, X_val, y_val = halves
    with config_context(enable_metadata_routing=True):
        classifier = ConvClassifier(**SMALL).set_fit_request(X_val=True, y_val=True)
        found = cross_validate(
            classifier, X, y, cv=2, params={"X_val": X_val[:70], "y_val": y_val[:70]}, return_estimator=True
        )
    assert all(len(one.history_["validation_loss"]) == 4 for one in found["estimator"])


# ------------------------------------------------------------------------------------- weights of classes


def test_given_rows_weigh_as_the_classes_of_the_fit_do(halves):
    X, y, X_val, y_val = halves
    y, y_val = (y == 3) * 1, (y_val == 3) * 1
    classifier = ConvClassifier(class_weight="balanced", **SMALL).fit(X, y, X_val=X_val, y_val=y_val)
    weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)[y_val]
    assert classifier.history_["validation_score"][-1] == pytest.approx(classifier.score(X_val, y_val, weights))


def test_rows_set_aside_weigh_as_their_classes_do(rng):
    # nearly equal images get one answer: right for 0.9 of the rows or 0.1, and for half of the weights
    X, y = rng.integers(100, 102, size=(250, 64), dtype=np.uint8), np.repeat([0, 1], [225, 25])
    params = {**SMALL, "early_stopping": True, "validation_fraction": 0.2, "learning_rate_init": 1e-12, "max_iter": 1}
    plain = ConvClassifier(**params).fit(X, y).history_["validation_score"]
    balanced = ConvClassifier(class_weight="balanced", **params).fit(X, y).history_["validation_score"]
    assert plain == pytest.approx([0.9]) or plain == pytest.approx([0.1])
    assert balanced == pytest.approx([0.5])


# ----------------------------------------------------------------------------------------- the best weights


class Stop(Listener):
    """Stops a fit after some epochs: by its answer, or by Ctrl-C."""

    def __init__(self, after, how):
        self.after, self.how, self.seen = after, how, []

    def setup(self, estimator, context):
        self.seen = []

    def on_fit_task_begin(self, estimator, context):
        if self.how == "interrupt" and len(self.seen) == self.after:
            raise KeyboardInterrupt

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "epoch":
            self.seen.append(fitted_estimator.predict_proba(IMAGES[:9]))
        return self.how == "callback" and len(self.seen) == self.after


@pytest.mark.parametrize("how", ["callback", "interrupt"])
def test_the_best_weights_are_kept_however_a_fit_ends(halves, how):
    X, y, X_val, y_val = halves
    # the rate is far too large from the third epoch on, so that an earlier one is the best
    params = {**SMALL, "max_iter": 9, "learning_rate_init": 3e-3, "solver": "adam", "dtype": "float64"}
    params["learning_rate"] = lambda step, total: 1.0 if step < 40 else 1e3
    classifier = ConvClassifier(early_stopping=True, batch_size=16, **params)
    stop = Stop(6, how)
    classifier.set_callbacks(stop)
    if how == "interrupt":
        with pytest.warns(FitInterruptedWarning):
            classifier.fit(X, y, X_val=X_val, y_val=y_val)
    else:
        classifier.fit(X, y, X_val=X_val, y_val=y_val)
    scores = classifier.history_["validation_score"]
    assert len(scores) == len(stop.seen) == 6
    best = int(np.argmax(scores))
    assert best < 5
    assert classifier.score(X_val, y_val) == pytest.approx(scores[best])
    np.testing.assert_array_equal(classifier.predict_proba(IMAGES[:9]), stop.seen[best])
