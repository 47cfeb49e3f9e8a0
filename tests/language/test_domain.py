"""The contract of language models: what any of them promises about probabilities, scores and what it writes."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chisquare

from skml import RNNLanguageModel, TransformerLanguageModel
from skml.language.decoding import Chooser, Continuation, Settings, beam_search, write
from skml.language.scoring import begun
from skml.language.sessions import open_session

N_TOKENS = 6
MODELS = {
    "gru": lambda **other: RNNLanguageModel(hidden_size=12, embedding_size=6, sequence_length=5, **other),
    "lstm-tied": lambda **other: RNNLanguageModel(
        "lstm", hidden_size=10, embedding_size=6, n_layers=2, tie_embeddings=True, sequence_length=5, **other
    ),
    "transformer": lambda **other: TransformerLanguageModel(
        n_layers=2, n_heads=2, embedding_size=16, context_length=8, **other
    ),
    "rotary-rms": lambda **other: TransformerLanguageModel(
        n_layers=1, n_heads=2, embedding_size=16, context_length=8, position="rotary", norm="rms", stride=3, **other
    ),
}


def documents(rng, n=40, longest=19):
    """Return rows of tokens of different lengths, each mostly the one before plus 1."""
    X = np.full((n, longest), -1)
    for row in X:
        m = rng.integers(1, longest + 1)
        steps = np.where(rng.random(m) < 0.8, 1, rng.integers(0, N_TOKENS, m))
        row[:m] = np.cumsum(steps) % N_TOKENS
    X[0] = rng.integers(0, N_TOKENS, longest)
    X[0, :N_TOKENS] = range(N_TOKENS)
    return X


@pytest.fixture(scope="module", params=MODELS)
def fitted(request):
    """A model that was trained a little, and the documents: tokens are integers, so that none is hidden."""
    rng = np.random.default_rng(request.config.skml_seed)
    X = documents(rng)
    settings = {"tokenizer": None, "dtype": "float64", "max_iter": 6, "random_state": request.config.skml_seed}
    return MODELS[request.param](**settings).fit(X), X


def tokens_of(row):
    return row[row >= 0]


def as_row(tokens, width=19):
    return np.append(tokens, np.full(width - len(tokens), -1)).astype(int)


def test_probabilities_add_up_to_one(fitted):
    model, X = fitted
    p = model.predict_proba(X)
    assert p.shape == (len(X), N_TOKENS + 1)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)


def test_a_score_is_the_sum_of_its_steps(fitted):
    model, X = fitted
    for row in X[:6]:
        tokens = tokens_of(row)
        beginnings = np.array([as_row(tokens[:t]) for t in range(len(tokens) + 1)])
        p = model.predict_proba(beginnings)
        steps = np.log(p[np.arange(len(p)), np.append(tokens, N_TOKENS)])
        np.testing.assert_allclose(model.score_samples(row[None]), steps.sum(), rtol=1e-9)
        np.testing.assert_allclose(model.surprisal(row[None])[0], -steps, rtol=1e-9, atol=1e-12)


def test_scores_agree_with_each_other(fitted):
    model, X = fitted
    total, n = model.score_samples(X).sum(), (X >= 0).sum() + len(X)
    np.testing.assert_allclose(model.score(X), total / n, rtol=1e-12)
    np.testing.assert_allclose(model.perplexity(X), np.exp(-total / n), rtol=1e-12)
    np.testing.assert_allclose(model.bits_per_character(X), -total / np.log(2) / (X >= 0).sum(), rtol=1e-12)
    weights = np.arange(len(X)) % 4
    repeated = np.repeat(X, weights, axis=0)
    np.testing.assert_allclose(model.score(X, sample_weight=weights), model.score(repeated), rtol=1e-12)


def test_greedy_is_the_most_probable_token(fitted):
    model, X = fitted
    assert (model.predict(X) == model.predict_proba(X).argmax(axis=1)).all()
    prompts = np.where(np.arange(X.shape[1]) < 7, X, -1)[:8]
    for row, text in zip(prompts, model.generate(prompts, 12)):
        said = []
        while len(said) < 12:
            token = model.predict(as_row(np.append(tokens_of(row), said))[None])[0]
            if token == N_TOKENS:
                break
            said.append(token)
        assert text.tolist() == said


def best_beams(model, row, **settings):
    """Return what beam search finds, and the hypothesis of greedy decoding with its log-probability."""
    context = begun([tokens_of(row).astype(np.int32)], model.coder_)[0]
    found = beam_search(
        lambda rows: open_session(model.reader_, rows, True), context, model.coder_, Settings(**settings)
    )
    return [(one.ids, one.log_p, one.ended) for one in found], found


def log_p(model, row, said, ended):
    """Return ln p of what follows a row, by the model's surprisal."""
    whole = np.append(tokens_of(row), said).astype(int)
    surprisal = model.surprisal(as_row(whole)[None])[0]
    return -surprisal[len(whole) - len(said) : len(whole) + ended].sum()


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 0.7])
def test_beams_are_never_worse_than_greedy(fitted, length_penalty):
    model, X = fitted
    for row in X[:6]:
        row = np.where(np.arange(len(row)) < 9, row, -1)
        settings = {"max_new_tokens": 8, "length_penalty": length_penalty, "strategy": "beam"}
        greedy = model.generate(row, 8)
        ended = len(greedy) < 8
        least = log_p(model, row, greedy, ended) / max(1, len(greedy) + ended) ** length_penalty
        (ids, found, over), *_ = best_beams(model, row, n_beams=3, **settings)[0]
        np.testing.assert_allclose(found, log_p(model, row, ids, over), rtol=1e-8)
        assert found / max(1, len(ids) + over) ** length_penalty >= least - 1e-9
        beams = {"strategy": "beam", "length_penalty": length_penalty}
        assert model.generate(row, 8, n_beams=3, **beams).tolist() == list(ids)
        assert model.generate(row, 8, n_beams=1, **beams).tolist() == greedy.tolist()


def test_many_beams_find_the_most_probable_text_of_all(fitted):
    model, X = fitted
    row = as_row(tokens_of(X[1])[:3])
    found, hypotheses = best_beams(model, row, max_new_tokens=2, n_beams=60, length_penalty=0.0, strategy="beam")
    texts = [(a, b) for a in range(N_TOKENS) for b in range(N_TOKENS)]
    logs = {text: log_p(model, row, text, False) for text in texts}
    logs.update({(a,): log_p(model, row, (a,), True) for a in range(N_TOKENS)})
    logs[()] = log_p(model, row, (), True)
    assert len(found) == len(logs)
    best = max(logs, key=logs.get)
    assert np.isclose(found[0][1], logs[best], rtol=1e-9)
    assert [one.log_p for one in hypotheses] == sorted((one.log_p for one in hypotheses), reverse=True)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.6}])
def test_draws_are_as_frequent_as_they_are_probable(fitted, settings):
    model, X = fitted
    row = as_row(tokens_of(X[2])[:5])
    said = model.generate(row, 1, strategy="sample", n_samples=3000, **settings)
    counts = np.bincount([text[0] if len(text) else N_TOKENS for text in said], minlength=N_TOKENS + 1)
    p = np.log(model.predict_proba(row[None])[0])
    p = np.exp(p / settings.get("temperature", 1.0))
    order = np.argsort(-p, kind="stable")
    p = p[order] / p.sum()
    left = np.arange(len(p)) < settings.get("top_k", len(p))
    left &= np.cumsum(p) - p < settings.get("top_p", 1.0)
    counts, p = counts[order], np.where(left, p, 0) / p[left].sum()
    assert counts[~left].sum() == 0
    often = p * 3000 >= 5
    observed, expected = counts[often], 3000 * p[often]
    if not often.all() and 3000 * p[~often].sum() >= 5:
        observed, expected = np.append(observed, counts[~often].sum()), np.append(expected, 3000 * p[~often].sum())
    expected *= observed.sum() / expected.sum()
    assert len(observed) < 2 or chisquare(observed, expected).pvalue > 1e-6


def test_a_batch_is_no_different_from_its_rows(fitted):
    model, X = fitted
    for name in ("predict", "predict_proba", "score_samples", "transform"):
        whole, alone = getattr(model, name)(X), np.concatenate([getattr(model, name)(row[None]) for row in X])
        np.testing.assert_allclose(whole, alone, rtol=1e-9, atol=1e-12, err_msg=name)
    for whole, row in zip(model.surprisal(X), X):
        np.testing.assert_allclose(whole, model.surprisal(row[None])[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_padding_changes_nothing(fitted, pooling):
    model, X = fitted
    model.set_params(pooling=pooling)
    moved = np.array([np.roll(row, len(row) - len(tokens_of(row))) for row in X])  # on the left, not on the right
    assert (moved[:, 0] == -1).any()
    for name in ("predict", "predict_proba", "score_samples", "transform"):
        np.testing.assert_array_equal(getattr(model, name)(moved), getattr(model, name)(X), err_msg=name)
    model.set_params(pooling="last")


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_prompts_of_any_length_together_or_alone_give_the_same_texts(fitted, strategy):
    model, X = fitted
    settings = {"strategy": strategy, "max_new_tokens": 15, "random_state": 3}
    together = model.generate(X[:9], **settings)
    for text, row in zip(together, X):
        np.testing.assert_array_equal(text, model.generate(tokens_of(row), **settings))
    assert len({len(tokens_of(row)) for row in X[:9]}) > 1


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_without_the_cache_the_same_is_written(fitted, strategy):
    model, X = fitted
    settings = {"strategy": strategy, "max_new_tokens": 20, "random_state": 1, "repetition_penalty": 1.1}
    for ours, theirs in zip(model.generate(X[:5], **settings), model.generate(X[:5], use_cache=False, **settings)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stream_is_the_text_in_pieces(fitted):
    model, X = fitted
    for settings in ({}, {"strategy": "sample", "random_state": 5, "n_samples": 2}):
        whole = model.generate(X[:4], 9, **settings)
        pieces = list(model.generate(X[:4], 9, stream=True, **settings))
        for i, texts in enumerate(whole):
            texts = texts if "n_samples" in settings else [texts]
            for j, text in enumerate(texts):
                parts = [piece[i][j] if "n_samples" in settings else piece[i] for piece in pieces]
                np.testing.assert_array_equal(np.concatenate(parts), text)
    assert len(pieces) <= 9


def test_what_was_written_before_is_less_probable_with_a_penalty(fitted):
    model, X = fitted
    prompt = tokens_of(X[0])
    texts = [model.generate(prompt, 30, repetition_penalty=penalty, strategy="greedy") for penalty in (1.0, 50.0)]
    # every token is there already, so all but the end lose
    assert len(texts[1]) <= len(texts[0])
    context = begun([prompt[:2].astype(np.int32)], model.coder_)[0]
    z = open_session(model.reader_, [context], True).logits()[0]
    lowered = np.where(np.isin(np.arange(N_TOKENS + 1), prompt[:2]), np.where(z > 0, z / 1.5, z * 1.5), z)
    for settings in ({}, {"strategy": "beam", "n_beams": 1}):
        said = model.generate(prompt[:2], 1, repetition_penalty=1.5, **settings)
        assert (said.tolist() or [N_TOKENS]) == [lowered.argmax()]


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_an_end_is_no_repetition_though_the_same_token_begins_a_document(strategy):
    end, texts = 2, SimpleNamespace(end=2, decode=list)
    session = SimpleNamespace(logits=lambda: np.array([[1.0, 0.5, 2.0]]))  # the end is the most probable, if by little
    settings = Settings(1, strategy, temperature=0.01, n_beams=1, repetition_penalty=100.0)
    if strategy == "beam":
        assert beam_search(lambda rows: session, np.array([end]), texts, settings)[0].ended
    else:
        text = Continuation(texts)
        list(write(session, [np.array([end])], Chooser(settings, [0]), [text], 1))
        assert text.ids == []
