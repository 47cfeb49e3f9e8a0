"""FineTunedClassifier: gradients, what learns and what stays, a real task beside rivals, and what is refused."""

import re
from pydoc_data.topics import topics

import numpy as np
import pytest
from _contract.gradients import Run, check_gradients
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

from skml import FewShotClassifier, FineTunedClassifier, RNNLanguageModel, TransformerLanguageModel
from skml.language.classification_head import PooledClassifier, body_of, pooled_samples
from skml.language.recurrent_network import RecurrentNetwork
from skml.network import Mode, transformer

TEXTS = ["aab", "aba", "baa", "ccd", "cdc", "dcc", "aaa", "ccc"]
CLASSES = ["x", "x", "x", "y", "y", "y", "x", "y"]
NETWORKS = {
    "recurrent": RecurrentNetwork(7, 3, 4, 2, "lstm", dropout=0.3),
    "tied": RecurrentNetwork(7, 3, 4, 1, "gru", tied=True),
    "transformer": transformer(7, 6, n_layers=2, n_heads=2, width=4, dropout=0.2),
}


@pytest.fixture(scope="module", params=["transformer", "recurrent"])
def language_model(request):
    if request.param == "transformer":
        model = TransformerLanguageModel(n_layers=2, context_length=12, dtype="float64", max_iter=2, random_state=0)
    else:
        model = RNNLanguageModel(hidden_size=8, n_layers=2, dtype="float64", max_iter=2, random_state=0)
    return model.fit(TEXTS)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_differences(name, pooling, rng):
    documents = [rng.integers(7, size=n).astype(np.int32) for n in (0, 3, 5)]

    class Bounds:
        start = 6

    x = pooled_samples(documents, Bounds, pooling, 6, np.float64)
    run, mode = Run(PooledClassifier(body_of(NETWORKS[name]), 3), (3, 6), 4), Mode(train=True, seed=1, step=2)
    run.parameters.flat += 0.1 * rng.normal(size=run.parameters.count)
    y = run.forward(x, mode)
    dy = rng.normal(size=y.shape)
    run.backward(dy, mode)
    gradients = [gradient.copy() for gradient in run.gradients.values()]
    check_gradients(lambda: run.forward(x, mode), list(run.parameters.values()), gradients, dy, rng)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_probabilities_are_those_of_pooled_states(language_model, pooling):
    model = FineTunedClassifier(language_model, pooling=pooling, max_iter=2, random_state=0).fit(TEXTS, CLASSES)
    states = model.language_model_.set_params(pooling=pooling).transform(TEXTS)
    z = states @ model.coef_ + model.intercept_
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(TEXTS), p, rtol=1e-6)
    np.testing.assert_allclose(model.decision_function(TEXTS), z[:, 1] - z[:, 0], rtol=1e-6)


@pytest.mark.parametrize("layers", ["all", "last", "head", "lora"])
def test_where_documents_are_equal_probabilities_are_shares(language_model, layers):
    settings = {"learning_rate_init": 0.05, "learning_rate": "cosine", "tol": 0.0, "n_iter_no_change": 150}
    model = FineTunedClassifier(language_model, layers=layers, max_iter=150, random_state=0, **settings)
    model.fit(["ab"] * 5, [0, 0, 0, 1, 2], sample_weight=[1, 1, 1, 2, 3])
    # the cross-entropy of 3, 2 and 3 of 8 has its least value at these
    np.testing.assert_allclose(model.predict_proba(["ab"]), [[3 / 8, 2 / 8, 3 / 8]], rtol=1e-3)


def changes(model, language_model):
    """Return which parameters of a language model are others than before."""
    before, after = language_model._parameters(), model.language_model_._parameters()
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_what_learns_and_what_stays(language_model):
    kept = language_model._parameters().flat.copy()
    found = {}
    for layers in ("all", "last", "head", "lora"):
        model = FineTunedClassifier(language_model, layers=layers, rank=2, max_iter=3, random_state=0)
        found[layers] = changes(model.fit(TEXTS, CLASSES), language_model)
        np.testing.assert_array_equal(language_model._parameters().flat, kept)
        assert set(model.history_) == {"loss", "learning_rate"}
    assert found["head"] == set()
    last = "h.1." if isinstance(language_model, TransformerLanguageModel) else "1."
    assert found["last"]
    assert all(name.startswith((last, "ln_f.")) for name in found["last"])
    assert found["last"] < found["all"]
    assert not any("bias" in name for name in found["lora"])
    before, after = language_model._parameters(), model.language_model_._parameters()
    for name in found["lora"]:
        assert np.linalg.matrix_rank(after[name] - before[name], tol=1e-9) <= 2


def test_training_goes_down_and_finds_the_classes(language_model):
    model = FineTunedClassifier(language_model, max_iter=60, learning_rate_init=0.02, random_state=0)
    model.fit(TEXTS, CLASSES)
    assert model.history_["loss"][-1] < model.history_["loss"][0]
    assert model.score(TEXTS, CLASSES) == 1


def test_a_fit_ends_where_nothing_gets_better(language_model):
    model = FineTunedClassifier(language_model, max_iter=50, tol=1e9, n_iter_no_change=3).fit(TEXTS, CLASSES)
    assert model.n_iter_ == 4


def test_early_stopping_keeps_the_best_epoch(language_model):
    settings = {"early_stopping": True, "validation_fraction": 0.4, "random_state": 0, "tol": 0.0}
    whole = FineTunedClassifier(language_model, max_iter=30, n_iter_no_change=30, **settings).fit(TEXTS, CLASSES)
    best = 1 + int(np.argmin(whole.history_["validation_loss"]))
    short = FineTunedClassifier(language_model, max_iter=best, n_iter_no_change=30, **settings).fit(TEXTS, CLASSES)
    np.testing.assert_array_equal(whole.predict_proba(TEXTS), short.predict_proba(TEXTS))


def test_tokens_that_are_too_many_are_not_read(language_model):
    model = FineTunedClassifier(language_model, max_length=5, max_iter=1).fit(TEXTS, CLASSES)
    p = model.predict_proba(["abcda", "abcdab" * 9, "abcd"])
    np.testing.assert_array_equal(p[0], p[1])
    assert (p[0] != p[2]).all()
    long = ["a" * 40 + "b", "c" * 50, "a" * 11]
    for most in (None, 30):
        model = FineTunedClassifier(language_model, max_length=most, max_iter=1).fit(long, [0, 1, 0])
        p = model.predict_proba(["a" * 11 + "b" * 5, "a" * 11 + "c" * 5])
        assert np.array_equal(p[0], p[1]) == isinstance(language_model, TransformerLanguageModel)  # its context is 12


def test_class_weights_are_weights_of_documents(language_model):
    y, weights = np.array(CLASSES), np.arange(1.0, 9.0)
    settings = {"max_iter": 2, "random_state": 0}
    given = FineTunedClassifier(language_model, class_weight={"y": 3.0}, **settings).fit(TEXTS, y, weights)
    plain = FineTunedClassifier(language_model, **settings).fit(TEXTS, y, weights * np.where(y == "y", 3.0, 1.0))
    np.testing.assert_array_equal(given.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    sums = {label: weights[y == label].sum() for label in "xy"}
    factors = {label: 36 / (2 * total) for label, total in sums.items()}
    given, balanced = (
        FineTunedClassifier(language_model, class_weight=one, **settings).fit(TEXTS, y, weights)
        for one in (factors, "balanced")
    )
    np.testing.assert_allclose(given.predict_proba(TEXTS), balanced.predict_proba(TEXTS), rtol=1e-9)
    given = FineTunedClassifier(language_model, class_weight={"x": 0.0}, **settings).fit(TEXTS, y)
    assert set(given.predict(TEXTS)) == {"y"}


def test_one_document_is_as_many(language_model):
    model = FineTunedClassifier(language_model, max_iter=1).fit(TEXTS, CLASSES)
    asked = ["dad", "", "bacab" * 4, "b"]
    one_by_one = np.concatenate([model.predict_proba([text]) for text in asked])
    np.testing.assert_allclose(model.predict_proba(asked), one_by_one, rtol=1e-9)


def test_clones_keep_a_fitted_language_model(language_model):
    for given in (language_model, FrozenEstimator(language_model)):
        model = FineTunedClassifier(given, max_iter=1, random_state=0).fit(TEXTS, CLASSES)
        other = clone(model).fit(TEXTS, CLASSES)
        np.testing.assert_array_equal(other.predict_proba(TEXTS), model.predict_proba(TEXTS))
    other = clone(FineTunedClassifier(language_model)).set_params(language_model__random_state=99)
    assert (other.language_model.random_state, language_model.random_state) == (99, 0)


def test_an_unfitted_language_model_is_cloned_and_fitted():
    given = RNNLanguageModel(hidden_size=8, max_iter=1)
    model = FineTunedClassifier(given, max_iter=1).fit(TEXTS, CLASSES)
    assert not hasattr(given, "reader_")
    assert model.language_model_.get_params()["hidden_size"] == 8


# ---------------------------------------------------------------------------------------------------- a real task


def paragraphs(names, most):
    """Return the paragraphs of topics of Python's manual, and whose they are."""
    X, y = [], []
    for name in names:
        for part in re.split(r"\n\s*\n", topics[name]):
            text = " ".join(part.split())
            if len(text) >= 40:
                X.append(text[:most])
                y.append(name)
    return X, y


def test_which_topic_of_the_manual_a_paragraph_is_from():
    X, y = paragraphs(["debugger", "string-methods"], 80)
    words = RNNLanguageModel(tokenizer="word", dropout=0.2, learning_rate_init=0.02, max_iter=6)
    search = GridSearchCV(
        Pipeline([("model", FineTunedClassifier())]),
        [
            {
                "model": [FewShotClassifier(words, labels={"debugger": "debug", "string-methods": "string"})],
                "model__template": ["{text}\n{label}\n", "{label} : {text}\n"],
                "model__random_state": [0],
            },
            {"model": [FineTunedClassifier(words)], "model__max_iter": [5], "model__random_state": [0]},
        ],
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
        refit=False,
        error_score="raise",
    ).fit(X, y)
    direct, channel, tuned = search.cv_results_["mean_test_score"]
    majority = max(map(y.count, y)) / len(y)
    theirs = cross_val_score(make_pipeline(TfidfVectorizer(), LogisticRegression()), X, y, cv=search.cv).mean()
    assert min(direct, channel, tuned) > majority + 0.05
    assert theirs > majority + 0.2  # word counts and a linear model are hard to beat with so few documents


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["", "a", None], TypeError, "missing"),
        (["", "a", b"a"], TypeError, "decode"),
        ([], ValueError, "no documents"),
        ("abc", ValueError, r"\[X\]"),
        (["", "", ""], ValueError, "empty"),
    ],
)
def test_documents_that_are_none_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        FineTunedClassifier().fit(X, ["x", "y", "y"][: len(X)])


def test_classes_and_weights_of_classes_that_are_none_are_refused():
    with pytest.raises(ValueError, match="one class, 'x'"):
        FineTunedClassifier().fit(TEXTS, ["x"] * 8)
    for bad in ({"z": 1.0}, {"x": 0.0, "y": 0.0}, {"x": np.nan}, {"x": -1.0}):
        with pytest.raises(ValueError, match="class_weight"):
            FineTunedClassifier(class_weight=bad).fit(TEXTS, CLASSES)


def test_language_models_that_are_none_are_refused(language_model, rng):
    with pytest.raises(ValueError, match="'language_model' parameter of FineTunedClassifier"):
        FineTunedClassifier(LogisticRegression()).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="frozen LogisticRegression"):
        FineTunedClassifier(FrozenEstimator(LogisticRegression())).fit(TEXTS, CLASSES)
    X = rng.normal(size=(8, 3))
    numbers = RNNLanguageModel(max_iter=1).fit(X)
    with pytest.raises(ValueError, match="fitted on numbers, but X holds texts"):
        FineTunedClassifier(numbers).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="fitted on texts, but X holds numbers"):
        FineTunedClassifier(language_model).fit(X, CLASSES)
    assert FineTunedClassifier(numbers, max_iter=1).fit(X, CLASSES).predict(X).shape == (8,)


def test_a_failed_fit_changes_nothing(language_model):
    model = FineTunedClassifier(language_model, max_iter=1, random_state=0).fit(TEXTS, CLASSES)
    before = model.predict_proba(TEXTS)
    with pytest.raises(TypeError):
        model.fit(["a", None], ["x", "y"])
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)
