"""What language models do with texts: learn, go on, stop, and work inside scikit-learn."""

import signal
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from _contract.children import script, start
from _contract.killed import SETTINGS
from _contract.killed import TEXTS as SAUCES
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import skml.base
from skml import BPETokenizer, RNNLanguageModel, TransformerLanguageModel
from skml.callback import Checkpoint
from skml.language import writing
from skml.language.decoding import Continuation, Settings

MODELS = {"RNNLanguageModel": RNNLanguageModel, "TransformerLanguageModel": TransformerLanguageModel}
each_model = pytest.mark.parametrize("cls", MODELS.values(), ids=MODELS)


def counting(rng, n=30):
    """Return texts that count upwards: after the first letter there is nothing to guess."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [letters[i : i + 6] for i in rng.integers(0, 20, n)]


def assert_same_model(ours, theirs, X):
    for name in ("predict_proba", "score_samples", "transform"):
        np.testing.assert_array_equal(getattr(ours, name)(X), getattr(theirs, name)(X), err_msg=name)


# ---------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("settings", [{}, {"cell": "lstm", "tie_embeddings": True}, {"cell": "rnn", "n_layers": 2}])
def test_a_recurrent_network_learns_to_count(settings, rng, seed):
    X = counting(rng)
    model = RNNLanguageModel(**settings, batching="pad", batch_size=4, max_iter=100, random_state=seed).fit(X)
    # ln 20 nats for the first letter of seven tokens, all else is certain; a uniform guess of 28 tokens costs 3.33
    assert -model.score(X) < 0.75
    assert all(model.generate(text[:2], 4) == text[2:] for text in X)


@pytest.mark.parametrize("settings", [{}, {"position": "rotary", "norm": "rms"}])
def test_a_transformer_learns_to_count(settings, rng, seed):
    X = counting(rng)
    settings = {
        "batching": "pad",
        "batch_size": 4,
        "max_iter": 80,
        "learning_rate": "cosine",
        "learning_rate_init": 0.01,
        **settings,
    }
    model = TransformerLanguageModel(**settings, random_state=seed).fit(X)
    assert -model.score(X) < 0.75
    assert all(model.generate(text[:2], 4) == text[2:] for text in X)


def test_a_state_goes_on_across_windows(seed):
    X = ["ab" * 40, "ba" * 40]
    model = RNNLanguageModel(max_iter=150, batch_size=2, sequence_length=4, random_state=seed).fit(X)
    # 81 tokens of which the first is one of two, and the end one of 41
    assert -model.score(X) < 0.35


# -------------------------------------------------------------------------------------------- going on


@each_model
def test_an_epoch_by_hand_is_an_epoch(cls):
    whole = cls(max_iter=3, random_state=0).fit(SAUCES)
    parts = cls(max_iter=3, random_state=0)
    for _ in range(3):
        parts.partial_fit(SAUCES)
    assert_same_model(parts, whole, SAUCES)
    assert len(parts.history_["loss"]) == 3
    with pytest.raises(ValueError, match="fitted on texts"):
        parts.partial_fit(np.ones((3, 3)))


@each_model
def test_other_documents_may_follow(cls):
    model = cls(max_iter=40, random_state=0).fit(SAUCES)
    known = model.vocabulary_
    more = ["blue and green"] * 4
    before = model.score(more)
    for _ in range(15):
        model.partial_fit(more)
    assert model.score(more) > before
    assert model.vocabulary_ == known
    model.set_params(warm_start=True, max_iter=75).fit(["a completely different, much longer document. " * 9])
    assert model.vocabulary_ == known
    assert model.n_iter_ == 75


@each_model
def test_another_network_cannot_take_up_a_training(cls):
    size = "hidden_size" if cls is RNNLanguageModel else "embedding_size"
    model = cls(max_iter=2, random_state=0, warm_start=True).fit(SAUCES)
    for changed, message in (({size: 48}, "another network"), ({"dtype": "float64"}, "computed in float32")):
        with pytest.raises(ValueError, match=message):
            clone_of(model).set_params(**changed, max_iter=4).fit(SAUCES)


def clone_of(model):
    """Return a fitted twin."""
    twin = clone(model)
    vars(twin).update(vars(model))
    return twin


@each_model
def test_steps_may_end_a_fit_in_the_midst_of_an_epoch(cls):
    settings = {"batch_size": 2, "random_state": 0, "batching": "pad"}
    short = cls(max_steps=8, max_iter=100, warm_start=True, **settings).fit(SAUCES)
    assert short.n_steps_ == 8
    whole = cls(max_steps=20, max_iter=100, **settings).fit(SAUCES)
    short.set_params(max_steps=20).fit(SAUCES)
    assert_same_model(short, whole, SAUCES)


@each_model
def test_early_stopping_keeps_the_best_epoch(cls, rng, seed):
    X = ["".join(rng.choice(list("abcdefgh"), 12)) for _ in range(30)]  # nothing to learn but by heart
    settings = {"learning_rate_init": 0.03, "max_iter": 100, "n_iter_no_change": 3, "validation_fraction": 0.3}
    model = cls(early_stopping=True, random_state=seed, **settings).fit(X)
    losses = model.history_["validation_loss"]
    assert model.n_iter_ == len(losses) < 100
    assert np.argmin(losses) < len(losses) - 1
    assert {len(values) for values in model.history_.values()} == {len(losses)}


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_that_was_killed_goes_on_from_its_checkpoint(name, tmp_path):
    path = tmp_path / "model.skops"
    child = start([script("killed.py"), name, path])
    for _ in range(3):
        assert child.stdout.readline() == "over\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.returncode == -signal.SIGKILL
    child.stdout.close()
    child.stderr.close()
    saved = Checkpoint.load(path)
    assert 3 <= saved.n_iter_ < SETTINGS["max_iter"]
    whole = getattr(skml, name)(**SETTINGS).fit(SAUCES)
    assert_same_model(saved.set_params(warm_start=True).fit(SAUCES), whole, SAUCES)
    assert saved.history_ == whole.history_


# ---------------------------------------------------------------------------------- inside scikit-learn


@each_model
def test_documents_become_features(cls, seed):
    y = [text.startswith("red") for text in SAUCES]
    pipeline = make_pipeline(
        cls(max_iter=10, pooling="mean", random_state=seed), LogisticRegression(C=1e4, max_iter=2000)
    )
    with warnings.catch_warnings(action="ignore"):
        assert pipeline.fit(SAUCES, y).score(SAUCES, y) == 1
    names = pipeline[0].get_feature_names_out()
    assert len(names) == pipeline[0].transform(SAUCES).shape[1]
    assert names[0] == f"{cls.__name__.lower()}0"


@each_model
def test_searches_and_cross_validation_take_texts(cls):
    size = "hidden_size" if cls is RNNLanguageModel else "embedding_size"
    search = GridSearchCV(cls(max_iter=15, random_state=0), {size: [2, 32]}, cv=2).fit(SAUCES)
    assert search.best_params_ == {size: 32}
    scores = cross_val_score(search.best_estimator_, SAUCES, cv=2)
    assert (scores < 0).all()
    assert isinstance(search.best_estimator_.generate("red", 5), str)


# ------------------------------------------------------------------------------------------------ writing


@pytest.fixture(scope="module", params=MODELS)
def writer(request):
    settings = {"max_iter": 80, "random_state": request.config.skml_seed, "learning_rate_init": 0.01}
    return MODELS[request.param](batching="pad", **settings).fit(SAUCES)


def test_prompts_and_texts_have_the_same_form(writer):
    assert isinstance(writer.generate(), str)
    assert isinstance(writer.generate("red"), str)
    assert [type(text) for text in writer.generate(["red", "blue"])] == [str, str]
    draws = writer.generate("red", strategy="sample", n_samples=3)
    assert [type(text) for text in draws] == [str] * 3
    assert [len(texts) for texts in writer.generate(["red", "blue"], strategy="beam", n_samples=2)] == [2, 2]


def test_a_text_goes_on_to_its_end_or_to_where_it_shall_stop(writer):
    text = writer.generate("green and ", 50)
    assert f"green and {text}" in SAUCES
    whole = writer.generate("green ", 50)
    assert whole.startswith("and ")
    assert writer.generate("green ", 50, stop="d") == "an"
    assert writer.generate("green ", 50, stop=["zzz", "d "]) == "an"
    assert writer.generate("green ", 2) == "an"
    for strategy in ("sample", "beam"):
        assert "and" not in writer.generate("green ", 50, strategy=strategy, stop="and", random_state=0)


def test_a_stream_of_text_gives_nothing_that_it_takes_back(writer):
    for settings in ({}, {"stop": "nd v"}, {"stop": ["and o", "zz"]}, {"strategy": "sample", "random_state": 2}):
        pieces = list(writer.generate("blue ", 40, stream=True, **settings))
        assert "".join(pieces) == writer.generate("blue ", 40, **settings)
    assert [type(one) for one in next(writer.generate(["red", "blue"], stream=True))] == [str, str]


def test_more_texts_than_fit_into_memory_are_written_in_parts_or_refused(writer, monkeypatch):
    prompts, sizes, opened = ["red", "", "blue", "g"], [], writing.open_session
    monkeypatch.setattr(
        writing, "open_session", lambda reader, rows, *o: sizes.append(len(rows)) or opened(reader, rows, *o)
    )
    settings = {"strategy": "sample", "random_state": 0, "n_samples": 3, "max_new_tokens": 9}
    together = writer.generate(prompts, **settings)
    with config_context(working_memory=1e-6):
        assert writer.generate(prompts, **settings) == together
    assert sizes == [12, 3, 3, 3, 3]
    monkeypatch.setattr(skml.base, "_free_memory", lambda: 50_000_000)
    writer.generate("red", **settings)
    settings["n_samples"] = 10**6
    with pytest.raises(MemoryError, match="Writing 1,000,000 texts at a time would take"):
        writer.generate("red", **settings)
    with pytest.raises(MemoryError, match="Writing 1,000,000 texts at a time would take"):
        next(writer.generate("red", stream=True, **settings))


def test_a_cache_is_no_longer_than_texts_become(seed):
    model = TransformerLanguageModel(context_length=16, max_iter=2, dtype="float64", random_state=seed).fit(SAUCES)
    for n, capacity in ((3, 1 + 4 + 3), (40, 16)):
        request = writing.Request(model.reader_, model.coder_, Settings(n), 0, True, 1)
        contexts, _ = writing.read_prompts(model.coder_, ["red ", "g"])
        assert request.session(contexts).decoder.capacity == capacity
        assert model.generate(["red ", "g"], n) == model.generate(["red ", "g"], n, use_cache=False)


def test_draws_depend_on_the_random_state_alone(writer):
    draw = lambda **other: writer.generate(["", "b"], 20, strategy="sample", temperature=3.0, **other)  # noqa: E731
    assert draw(random_state=1) == draw(random_state=1)
    assert draw() == draw()
    assert len({tuple(draw(random_state=i)) for i in range(8)}) > 1
    assert len(set(writer.generate("", 20, strategy="sample", temperature=3.0, n_samples=8))) > 1


@pytest.mark.parametrize("name", ["use_cache", "stream"])
def test_flags_of_writing_that_are_none_are_refused(name):
    model = RNNLanguageModel(hidden_size=4, max_iter=1).fit(["ab"])
    for value in ("no", 1, None):
        with pytest.raises(ValueError, match=f"{name} must be True or False, got {value!r}"):
            model.generate("a", 1, **{name: value})
    assert "".join(model.generate("a", 1, **{name: np.True_})) == model.generate("a", 1)


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_half_a_character_waits_for_the_other_half(tokenizer, seed):
    X = ["żółw 🙂 żółw", "🙂🙂🙂 ok"] * 3
    model = RNNLanguageModel(tokenizer=tokenizer, max_iter=10, random_state=seed).fit(X)
    for draw in range(5):
        settings = {"strategy": "sample", "random_state": draw, "temperature": 2.0, "max_new_tokens": 30}
        prompt = "żółw" if tokenizer == "word" else "żó"
        assert "".join(model.generate(prompt, stream=True, **settings)) == model.generate(prompt, **settings)


def test_half_a_character_may_end_where_it_shall_stop():
    tokenizer = BPETokenizer(256, special_tokens=None).fit(["a"])
    text = Continuation(SimpleNamespace(decode=lambda ids: tokenizer.decode(np.array(ids)), end=-2), ("só", "🙂"))
    pieces = []
    for token in tokenizer.encode("aasó"):
        text.add(token)
        pieces.append(text.fresh())
    assert pieces == ["a", "a", "", "", ""]  # an s and half an ó, which may be where it stops, wait
    assert text.done
    assert text.document() == "aa"


def test_the_table_of_a_network(writer):
    assert f"{writer.n_parameters_:,}" in writer.summary()
