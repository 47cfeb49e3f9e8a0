"""Fine-tuning: what may change does, what may not keeps its bits; and what attention looks at."""

import numpy as np
import pytest

from skml import RNNLanguageModel, TransformerLanguageModel
from skml.language.fine_tuning import LowRank, Partial
from skml.network.optimizers import SGD, Adam

OLD, NEW = ["abcabcabc", "bcabc", "cab"] * 4, ["cbacba", "cbac", "acb"] * 4
MODELS = {
    "rnn": lambda **other: RNNLanguageModel(n_layers=2, hidden_size=24, random_state=0, **other),
    "transformer": lambda **other: TransformerLanguageModel(n_layers=2, embedding_size=16, random_state=0, **other),
}
# What each choice leaves as it is, tied embeddings or not.
KEPT = {
    ("rnn", "last"): lambda name, tied: name.startswith("0."),
    ("rnn", "head"): lambda name, tied: not name.startswith("head.") and not (tied and name == "0.embedding"),
    ("rnn", "lora"): lambda name, tied: ".weight_" not in name,
    ("transformer", "last"): lambda name, tied: name.startswith(("h.0.", "wte", "wpe")),
    ("transformer", "head"): lambda name, tied: (
        not name.startswith("wte" if tied else "lm_head") and "ln_f" not in name
    ),
    ("transformer", "lora"): lambda name, tied: (
        not (name.startswith("h.") and name.endswith("weight") and "ln" not in name)
    ),
}


def parameters(model):
    return {name: view.copy() for name, view in model.reader_.program.parameters.items()}


@pytest.mark.parametrize("layers", ["all", "last", "head", "lora"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_what_may_change_does_and_nothing_else(kind, tied, layers):
    model = MODELS[kind](tie_embeddings=tied, max_iter=10).fit(OLD)
    before, history = parameters(model), {name: list(values) for name, values in model.history_.items()}
    tuned = model.fine_tune(NEW, layers=layers, learning_rate=0.01, max_iter=12)
    assert type(tuned) is type(model)
    assert tuned is not model
    assert {name for name, view in parameters(model).items() if not np.array_equal(view, before[name])} == set()
    assert model.history_ == history
    keeps = KEPT.get((kind, layers), lambda name, tied: False)
    same = {name for name, view in parameters(tuned).items() if np.array_equal(view, before[name])}
    assert same == {name for name in before if keeps(name, tied)}
    assert tuned.score(NEW) > model.score(NEW)
    assert tuned.n_iter_ == len(tuned.history_["loss"]) == 12
    assert tuned.vocabulary_ == model.vocabulary_
    if layers == "lora":
        changes = [view - before[name] for name, view in parameters(tuned).items() if name not in same]
        ranks = [np.linalg.matrix_rank(change.astype(float), tol=1e-5 * np.abs(change).max()) for change in changes]
        assert max(ranks) <= 8 < min(map(min, (change.shape for change in changes)))


@pytest.mark.parametrize("kind", MODELS)
def test_a_tuned_model_is_a_model(kind):
    model = MODELS[kind](max_iter=5).fit(OLD)
    tuned = model.fine_tune(NEW, layers="lora", rank=2, max_iter=3)
    again = model.fine_tune(NEW, layers="lora", rank=2, max_iter=3)
    np.testing.assert_array_equal(tuned.predict_proba(NEW), again.predict_proba(NEW))
    assert isinstance(tuned.partial_fit(NEW).generate("c", 5), str)
    weights = np.arange(len(NEW)) % 3
    copies = [text for text, k in zip(NEW, weights) for _ in range(k)]
    ours, theirs = model.fine_tune(NEW, sample_weight=weights, max_iter=2), model.fine_tune(copies, max_iter=2)
    np.testing.assert_array_equal(ours.predict_proba(NEW), theirs.predict_proba(NEW))


@pytest.mark.parametrize("kind", MODELS)
def test_bad_requests_are_refused_and_change_nothing(kind, rng):
    model = MODELS[kind](max_iter=2).fit(OLD)
    before = model.predict_proba(OLD)
    bad = ({"layers": "first"}, {"learning_rate": 0.0}, {"learning_rate": "fast"}, {"max_iter": 0}, {"rank": 0})
    for settings in bad:
        with pytest.raises(ValueError, match=next(iter(settings))):
            model.fine_tune(NEW, **settings)
    for X in ([], [None], "abc", rng.normal(size=(4, 3))):
        with pytest.raises((ValueError, TypeError)):
            model.fine_tune(X)
    np.testing.assert_array_equal(model.predict_proba(OLD), before)


def test_an_optimizer_of_all_parts_is_the_optimizer(rng):
    w, g = rng.normal(size=9), rng.normal(size=9)
    results = []
    for optimizer in (Adam(0.1), Partial(Adam(0.1), ((0, 4), (4, 9)))):
        ours, moments = w.copy(), optimizer.moments(w)
        for t in range(3):
            optimizer.update(ours, g.copy(), moments, t + 1)
        results.append(ours)
    np.testing.assert_array_equal(*results)


def test_slopes_of_products_of_low_rank(rng):
    # W = W_0 + A B with B = 0 at first: the first step of gradient descent changes W by -rate A A' dW
    w, g = rng.normal(size=22), rng.normal(size=22)
    optimizer = LowRank(SGD(0.5, momentum=0.0), ((1, (4, 5)),), rank=2, seed=3)
    moments = optimizer.moments(w)
    a = moments[0][:8].reshape(4, 2).copy()
    ours = w.copy()
    optimizer.update(ours, g.copy(), moments, 1)
    expected = w[1:21].reshape(4, 5) - 0.5 * a @ a.T @ g[1:21].reshape(4, 5)
    np.testing.assert_allclose(ours[1:21].reshape(4, 5), expected, rtol=1e-12)
    np.testing.assert_array_equal(ours[[0, 21]], w[[0, 21]])


@pytest.mark.parametrize("position", ["learned", "rotary", "sinusoidal"])
def test_attention_looks_back_alone_and_adds_up(position):
    settings = {"position": position, "n_heads": 4, "context_length": 8, "dtype": "float64"}
    model = TransformerLanguageModel(embedding_size=16, max_iter=3, random_state=0, **settings).fit(OLD)
    for layer in (0, 1, -1):
        found = model.attention_weights(["ab", "", "abcabcabcabc"], layer)
        assert [weights.shape for weights in found] == [(4, n, n) for n in (3, 1, 5)]
        for weights in found:
            np.testing.assert_allclose(weights.sum(axis=2), 1, rtol=1e-12)
            assert (np.triu(weights, 1) == 0).all()
            assert (weights >= 0).all()
    last = model.attention_weights(["abc"])[0]
    np.testing.assert_array_equal(last, model.attention_weights(["abc"], 1)[0])
    for layer in (2, -3, 0.5, "first"):
        with pytest.raises(ValueError, match="layer"):
            model.attention_weights(["ab"], layer)
