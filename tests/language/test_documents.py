"""Documents: what a row is, in whatever it comes, and what is refused in words."""

from contextlib import nullcontext

import numpy as np
import pandas
import polars
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from skml import (
    BPETokenizer,
    CharTokenizer,
    FewShotClassifier,
    FineTunedClassifier,
    QuantileTokenizer,
    RNNLanguageModel,
    TransformerLanguageModel,
)
from skml._sklearn import InvalidParameterError
from skml.language.documents import distinct_documents, holds_integers, holds_texts, learn_coder, read_rows

QUICK = {"max_iter": 2, "random_state": 0}
MODELS = {
    "rnn": lambda **other: RNNLanguageModel(hidden_size=8, embedding_size=4, **{**QUICK, **other}),
    "transformer": lambda **other: TransformerLanguageModel(
        n_layers=1, embedding_size=8, context_length=16, **{**QUICK, **other}
    ),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
TEXTS = ["to be", "or not", "to be, that is", "the question", "be", "not to be"]


def said(model, X):
    return {name: getattr(model, name)(X) for name in ("predict_proba", "score_samples", "transform", "predict")}


def assert_equal(ours, theirs):
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


# ------------------------------------------------------------------------------------------------ containers


CONTAINERS = {
    "tuple": tuple,
    "generator": lambda X: (text for text in X),
    "array": np.array,
    "objects": lambda X: np.array(X, dtype=object),
    "series": pandas.Series,
    "series-of-strings": lambda X: pandas.Series(X, dtype="string"),
    "polars": polars.Series,
    "subclass": lambda X: [type("Text", (str,), {})(text) for text in X],
}


@pytest.mark.parametrize("form", CONTAINERS)
@each_model
def test_texts_come_in_any_container(make, form):
    plain = make().fit(TEXTS)
    model = make().fit(CONTAINERS[form](TEXTS))
    assert_equal(said(model, CONTAINERS["tuple"](TEXTS)), said(plain, TEXTS))
    np.testing.assert_array_equal(plain.score_samples(CONTAINERS[form](TEXTS)), plain.score_samples(TEXTS))


@each_model
def test_texts_are_weighted_and_have_no_order(make, rng):
    weights = rng.integers(0, 4, len(TEXTS))
    weights[:2] = 1, 2
    plain = make().fit(TEXTS, sample_weight=weights)
    copies = [text for text, k in zip(TEXTS, weights) for _ in range(k)]
    order = rng.permutation(len(copies))
    assert_equal(said(make().fit([copies[i] for i in order]), TEXTS), said(plain, TEXTS))


@each_model
def test_a_second_fit_forgets_the_first_ones_kind(make, rng):
    model = make().fit(rng.normal(size=(5, 3)))
    assert model.n_features_in_ == 3
    model.fit(TEXTS)
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match="fitted on texts"):
        model.predict(rng.normal(size=(5, 3)))
    with pytest.raises(ValueError, match="fitted on rows of numbers"):
        make().fit(rng.normal(size=(5, 3))).predict(TEXTS)


@each_model
def test_a_model_of_integers_takes_floats_that_are_whole_alone(make, rng):
    X = rng.integers(5, size=(20, 6))
    model = make().fit(X)
    unseen = np.where(X == 0, 99, X)
    for rows in (X, unseen):
        np.testing.assert_array_equal(model.score_samples(rows.astype(float)), model.score_samples(rows))
    assert not np.array_equal(model.score_samples(unseen), model.score_samples(np.where(X == 0, 4, X)))
    with pytest.raises(ValueError, match="X holds 0.5, but the model was fitted on rows of integers"):
        model.score(np.where(X == 0, 0.5, X))
    with pytest.raises(ValueError, match="fitted on rows of integers"):
        model.partial_fit(X + 0.5)


@each_model
def test_the_vocabulary_of_integers_is_integers(make, rng):
    rows = np.append(rng.choice([3, 5, 900], size=(6, 4)), [[3, 5, 900, -1]], axis=0)
    assert [name for name in make().fit(rows).vocabulary_ if type(name) is int] == [3, 5, 900]
    numbers = make().fit(rows / 2).vocabulary_  # bins of numbers
    assert all(isinstance(name, (str, float)) for name in numbers)


@pytest.mark.parametrize("kind", [CharTokenizer, BPETokenizer])
@each_model
def test_a_tokenizer_is_cloned_unless_it_is_fitted(make, kind):
    make_text = kind(270)
    model = make(tokenizer=make_text).fit(TEXTS)
    assert model.tokenizer_ is not make_text
    assert not hasattr(make_text, "vocabulary_")
    fitted = make_text.fit(["abcdefghijklmnopqrstuvwxyz ,"])
    known = list(fitted.vocabulary_)
    assert make(tokenizer=fitted).fit(TEXTS).vocabulary_[: len(known)] == known
    frozen = make(tokenizer=FrozenEstimator(fitted)).fit(TEXTS)
    assert frozen.vocabulary_[: len(known)] == known


@each_model
def test_a_tokenizer_without_special_tokens_gets_an_end(make):
    model = make(tokenizer=CharTokenizer(special_tokens=None)).fit(TEXTS)
    assert model.vocabulary_[-1] == "<end>"
    assert model.predict_proba(TEXTS).shape[1] == len(model.vocabulary_) == model.tokenizer_.n_tokens_ + 1
    assert isinstance(model.generate("to", 3), str)


@each_model
def test_what_makes_no_sequences_of_tokens_is_no_tokenizer(make):
    for other in (CountVectorizer(), TfidfVectorizer(), StandardScaler()):
        with pytest.raises(InvalidParameterError, match="The 'tokenizer' parameter"):
            make(tokenizer=other).fit(TEXTS)


# ------------------------------------------------------------------------------------------ rows of numbers


def test_integers_are_symbols():
    X = np.array([[7, 7, 100, -1], [100, 3, -1, -1]])
    coder = learn_coder(read_rows(RNNLanguageModel(), X, reset=True), "char")
    assert coder.padded
    assert [v for v in coder.vocabulary() if not isinstance(v, str)] == [3, 7, 100]
    rows = read_rows(RNNLanguageModel(), X, reset=True)
    a, b = coder.encode(rows)
    assert coder.decode(a).tolist() == [7, 7, 100]
    assert coder.decode(b).tolist() == [100, 3]
    assert coder.sizes(rows).tolist() == [3, 2]


def test_minus_one_is_a_symbol_beside_smaller_ones():
    X = np.array([[-2, -1, 5]])
    rows = read_rows(RNNLanguageModel(), X, reset=True)
    coder = learn_coder(rows, "char")
    assert not coder.padded
    assert coder.decode(coder.encode(rows)[0]).tolist() == [-2, -1, 5]


@each_model
def test_a_symbol_that_fit_has_not_seen_is_unknown(make):
    model = make().fit(np.array([[1, 2, 3], [3, 2, 1]]))
    p = model.score_samples(np.array([[1, 99, 3]]))
    assert np.isfinite(p).all()
    ids = model.coder_.encode(read_rows(model, np.array([[1, 99, 3]]), reset=False))[0]
    assert ids[1] == model.tokenizer_.unknown_id_


@each_model
def test_tokens_that_are_none_are_refused(make):
    model = make(tokenizer=None).fit(np.array([[0, 1, 4], [4, 0, -1]]))
    assert model.vocabulary_ == [0, 1, 2, 3, 4, "<end>"]
    for bad in (5, -2):
        with pytest.raises(ValueError, match=f"X holds {bad}; tokens are 0 to 4, and -1 is padding"):
            model.predict(np.array([[0, 1, bad]]))
    with pytest.raises(ValueError, match="X holds -2"):
        make(tokenizer=None).fit(np.array([[0, -2]]))
    for X in (np.array([[0.0, 1.0]]), TEXTS):
        with pytest.raises(ValueError, match="tokenizer=None, X must hold integers"):
            make(tokenizer=None).fit(X)
    with pytest.raises(ValueError, match="below 16,777,216"):
        make(tokenizer=None).fit(np.array([[0, 2**24]]))


@each_model
def test_numbers_keep_their_type_and_may_have_a_tokenizer(make, rng):
    X = rng.normal(size=(20, 6)).astype(np.float32)
    model = make(tokenizer=QuantileTokenizer(4)).fit(X)
    assert model.predict_proba(X).dtype == np.float32
    assert len([v for v in model.vocabulary_ if not isinstance(v, str)]) == 4
    text = model.generate(X[0, :4], 5)
    assert text.dtype == np.float32
    # a network that has learnt little may write the token for unknown numbers, which is NaN
    assert np.isin(text[~np.isnan(text)], model.tokenizer_.centers_).all()
    assert len(model.generate(X[:3, :2], 5)) == 3
    several = [X[0], X[1, :3], X[2, :0].tolist()]
    for text, prompt in zip(model.generate(several, 5), several, strict=True):
        np.testing.assert_array_equal(text, model.generate(prompt, 5))
    np.testing.assert_array_equal(model.generate(max_new_tokens=5), model.generate([], 5))


# ---------------------------------------------------------------------------------------------- bad input


BAD = {
    "no documents": ([], "no documents"),
    "a string alone": ("to be", "string"),
    "bytes alone": (b"to be", "bytes|string"),
    "None among strings": (["to be", None], "document 1 is None, missing"),
    "NaN among strings": (["to be", float("nan")], "document 1 is nan, missing"),
    "bytes among strings": (["to be", b"or"], "document 1 is bytes; decode them first"),
    "numbers among strings": (["to be", 3], "document 1 is of type int"),
    "a table of texts": (pandas.DataFrame({"text": TEXTS}), r"texts|X\['text'\] or X\[:, 0\]"),
    "an array with a column of texts": (np.array(TEXTS)[:, None], r"texts|X\['text'\] or X\[:, 0\]"),
    "numbers beside texts": (pandas.DataFrame({"n": 1.0, "text": TEXTS}), r"texts|X\['text'\] or X\[:, 0\]"),
    "lists of words": ([["to", "be"], ["or"]], r"texts|join\(words\)"),
    "a dictionary": ({"to": "be"}, "one-dimensional|expected"),
}


@pytest.mark.parametrize("fault", BAD)
@each_model
def test_bad_documents_are_refused_by_every_method(make, fault):
    X, message = BAD[fault]
    model = make().fit(TEXTS)
    before = said(model, TEXTS)
    for method in ("fit", "partial_fit", "score", "score_samples", "predict", "transform", "surprisal", "perplexity"):
        with pytest.raises((ValueError, TypeError), match=f"(?i){message}"):
            getattr(model, method)(X)
    assert_equal(said(model, TEXTS), before)
    with pytest.raises((ValueError, TypeError), match=f"(?i){message}"):
        make().fit(X)


@pytest.mark.parametrize("X", [["", ""], [""], np.array([[-1, -1]])], ids=["two", "one", "padding"])
@pytest.mark.parametrize("tokenizer", ["char", "word", "bpe", None])
@each_model
def test_nothing_but_empty_documents_is_refused(make, X, tokenizer):
    if isinstance(X, list) and tokenizer is None:
        return
    with pytest.raises(ValueError, match="(?i)empty|nothing to learn"):
        make(tokenizer=tokenizer).fit(X)


@each_model
def test_empty_documents_among_others_are_documents(make):
    model = make(dtype="float64").fit([*TEXTS, "", ""])
    p = model.predict_proba([""])[0, model.coder_.end]
    np.testing.assert_allclose(model.score_samples([""]), np.log(p), rtol=1e-9)
    assert model.transform(["", "to be"]).shape[0] == 2
    assert [len(one) for one in model.surprisal(["", "be"])] == [1, 3]
    with pytest.raises(ValueError, match="no characters"):
        model.bits_per_character([""])


@pytest.mark.parametrize("X", [["a"], ["aaaa", "aa"], ["a" * 200]], ids=["one character", "one symbol", "long"])
@each_model
def test_a_vocabulary_of_one(make, X):
    model = make().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert set(model.generate("", 5)) <= {"a"}


@pytest.mark.parametrize("tokenizer", ["char", "word", "bpe"])
@each_model
def test_characters_that_fit_has_not_seen(make, tokenizer):
    model = make(tokenizer=tokenizer).fit(TEXTS)
    strange = ["żółw 🙂", "\ud800", "e\u0301", "\x00", "Ω" * 50]
    for name in said(model, TEXTS):
        with unless_bpe(tokenizer, "little of X: 97%|little of X: 100%"):
            assert np.isfinite(getattr(model, name)(strange)).all(), name
    with unless_bpe(tokenizer, "little of prompts"):
        assert all(isinstance(text, str) for text in model.generate(strange, 4))


def unless_bpe(tokenizer, message):
    return nullcontext() if tokenizer == "bpe" else pytest.warns(UserWarning, match=message)


def test_texts_of_which_most_is_unknown_are_told(seed):
    model = RNNLanguageModel(hidden_size=4, max_iter=1, random_state=seed).fit(["abc", "cab"])
    half, most = ["abzz", "", "zc"], ["azz", "", "zzc"]  # 3 of 6 and 4 of 6 characters are unknown
    calls = {
        "fine_tune": model.fine_tune,
        "score": model.score,
        "surprisal": model.surprisal,
        "FineTunedClassifier.fit": lambda X: FineTunedClassifier(model, max_iter=1).fit(X, [0, 1, 0]),
        "FineTunedClassifier.predict": FineTunedClassifier(model, max_iter=1).fit(["a", "b"], [0, 1]).predict,
        "FewShotClassifier.predict": few_shot(model).fit(["a", "b"], [0, 1]).predict,
        "FewShotClassifier.prompts": few_shot(model).fit(["a", "b"], [0, 1]).prompts,
        "FewShotClassifier.fit": lambda X: few_shot(model).fit(X, [0, 1, 0]),
        "partial_fit": model.partial_fit,
    }
    for call in calls.values():
        call(half)
        with pytest.warns(UserWarning, match="little of X: 67% .*'<unk>'.*bpe") as warned:
            call(most)
        assert [one.filename for one in warned] == [__file__]


def few_shot(model):
    return FewShotClassifier(model, template="{text}c{label}", labels=["a", "b"], calibration=False)


def test_integers_of_which_most_are_unknown_are_told():
    model = RNNLanguageModel(hidden_size=4, max_iter=1).fit([[1, 2, 3], [3, 1, 2]])
    model.score([[1, 2, 7], [8, 9, 3], [1, -1, -1]])  # 3 of 7
    with pytest.warns(UserWarning, match="57% of the tokens are unknown"):
        model.score([[1, 2, 7], [8, 9, 9], [1, -1, -1]])  # 4 of 7


@each_model
def test_what_is_all_but_impossible_has_a_score_and_an_infinite_perplexity(make):
    model = make(tie_embeddings=False).fit(TEXTS)
    p = model.reader_.program.parameters
    p["head.weight" if "head.weight" in p else "lm_head.weight"][...] *= 1e6
    assert -np.inf < model.score(["?t"]) < -1000
    assert model.perplexity(["?t"]) == np.inf


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
@each_model
def test_lone_surrogates_and_combining_marks_can_be_learnt(make, tokenizer):
    X = ["a\ud800b", "e\u0301", "\u0301"]
    model = make(tokenizer=tokenizer).fit(X)
    assert np.isfinite(model.score_samples(X)).all()


@each_model
def test_nan_in_rows_of_numbers_is_refused(make, rng):
    X = rng.normal(size=(6, 4))
    model = make().fit(X)
    X[2, 1] = np.nan
    for method in ("fit", "predict", "score_samples", "transform"):
        with pytest.raises(ValueError, match="NaN, in row 2 first: documents are strings, or rows of numbers"):
            getattr(model, method)(X)


SHAPELESS = {
    "nothing": (None, "None"),
    "a number": (5, "5"),
    "a row": ([1, 2, 3], "1D array"),
    "a row with nothing": ([1.5, None], "1D array"),
    "an array of one dimension": (np.arange(3), "1D array"),
    "a Series of numbers": (pandas.Series([1, 2]), "1D array"),
    "three dimensions": (np.zeros((2, 3, 4)), "3D array"),
    "three dimensions in lists": ([[[1, 2], [3, 4]]], "3D array"),
}


@pytest.mark.parametrize("fault", SHAPELESS)
def test_what_has_other_than_two_dimensions_is_told_what_documents_are(fault):
    X, found = SHAPELESS[fault]
    model = MODELS["rnn"]().fit([[1, 2], [2, 1]])
    fits = [one.fit for one in (RNNLanguageModel(), FewShotClassifier(), FineTunedClassifier())]
    for method in (*fits, model.partial_fit, model.score):
        with pytest.raises(ValueError, match=f"2D array, got {found} instead: X must be a list of strings, one per"):
            method(X, [0, 1])


@each_model
def test_documents_longer_than_the_context(make, rng):
    long = "".join(rng.choice(list("abc"), 100))
    model = make(dtype="float64").fit([long, "abc"])
    assert len(model.surprisal([long])[0]) == 101
    np.testing.assert_allclose(model.score_samples([long]), -model.surprisal([long])[0].sum(), rtol=1e-12)
    assert model.transform([long]).shape[0] == 1
    assert isinstance(model.generate(long, 40), str)


PARAMETERS = {
    "max_new_tokens": (-1, 1.5, True),
    "temperature": (0, -1.0, np.nan, np.inf, True),
    "top_k": (0, -3, 2.5),
    "top_p": (0, 0.0, -0.1, 1.1),
    "n_beams": (0,),
    "n_samples": (0, 2),  # two greedy texts
    "repetition_penalty": (0, -1.0, np.inf),
    "length_penalty": (np.nan, "long"),
    "stop": ("", ["a", ""], [3], 3),
    "strategy": ("random", None),
}


@pytest.mark.parametrize("name", PARAMETERS)
@each_model
def test_bad_parameters_of_generate_are_named(make, name):
    model = make().fit(TEXTS)
    for value in PARAMETERS[name]:
        with pytest.raises(ValueError, match=name):
            model.generate("to", **{name: value})


@each_model
def test_other_bad_requests(make, rng):
    model = make().fit(TEXTS)
    with pytest.raises(ValueError, match="beams change until the end"):
        model.generate("to", strategy="beam", stream=True)
    with pytest.raises(ValueError, match="n_samples=5 is more than n_beams=4"):
        model.generate("to", strategy="beam", n_samples=5)
    for prompts in ([None], [b"to"], [["to"]], 3):
        with pytest.raises((ValueError, TypeError), match="X must"):
            model.generate(prompts)
    numbers = make().fit(rng.normal(size=(6, 4)))
    with pytest.raises(ValueError, match="stop is for texts"):
        numbers.generate([[0.5]], stop="a")
    with pytest.raises(ValueError):
        numbers.generate(["to be"])
    assert model.generate([], 3) == []
    assert model.generate("to", 0) == ""


def test_heads_share_the_embedding_evenly():
    with pytest.raises(ValueError, match="embedding_size=10 is no multiple of n_heads=4"):
        TransformerLanguageModel(embedding_size=10, n_heads=4).fit(TEXTS)
    with pytest.raises(ValueError, match="rotary"):
        TransformerLanguageModel(embedding_size=6, n_heads=2, position="rotary").fit(TEXTS)
    with pytest.raises(ValueError, match="stride=9 is more than context_length=8"):
        TransformerLanguageModel(context_length=8, stride=9).fit(TEXTS)


# ---------------------------------------------------------------------------------------------- the parts


def test_what_looks_like_texts():
    yes = (["a"], ("a", "b"), np.array(["a"]), pandas.Series(["a"]), polars.Series(["a"]), {"a", "b"}, [None, "a"], [])
    no = (
        None,
        3,
        [[1.0]],
        np.ones(3),
        np.ones((2, 2)),
        pandas.DataFrame({"a": ["b"]}),
        [1, 2],
        np.array(["a"])[0:0, None],
    )
    assert [holds_texts(X) for X in yes] == [True] * len(yes)
    assert [holds_texts(X) for X in no] == [False] * len(no)


def test_what_holds_integers():
    frame = pandas.DataFrame({"a": [1, 2], "b": [3, 4]})
    yes = (
        np.ones((2, 2), int),
        np.ones((2, 2), bool),
        [[1, 2]],
        frame,
        frame.astype("Int64"),
        polars.DataFrame({"a": [1]}),
    )
    no = (np.ones((2, 2)), [[1.0, 2]], frame.assign(c=0.5), polars.DataFrame({"a": [1.5]}), np.ones((2, 2), object))
    assert [holds_integers(X) for X in yes] == [True] * len(yes)
    assert [holds_integers(X) for X in no] == [False] * len(no)


def test_equal_documents_are_merged_in_an_order_of_content(rng):
    texts = [str(i) for i in rng.integers(0, 20, 60)]
    weights = rng.random(60) * (rng.random(60) < 0.8)
    order = rng.permutation(60)
    rows, moved = (read_rows(RNNLanguageModel(), X, reset=True) for X in (texts, [texts[i] for i in order]))
    index, merged = distinct_documents(rows, weights)
    again, same = distinct_documents(moved, weights[order])
    assert [texts[i] for i in index] == [moved.values[i] for i in again]
    np.testing.assert_array_equal(merged, same)
    assert len({texts[i] for i in index}) == len(index)
    np.testing.assert_allclose(merged.sum(), weights.sum(), rtol=1e-12)


def test_rows_of_different_lengths_are_refused_with_the_way_to_mend_them():
    for rows in ([[1, 2], [3]], [np.array([1, 2]), np.array([3])]):
        with pytest.raises(ValueError, match=r"1 to 2 numbers; .*pad_sequences"):
            RNNLanguageModel().fit(rows)


def test_prompts_of_texts_are_refused_by_a_model_of_numbers():
    model = RNNLanguageModel(hidden_size=4, max_iter=1, random_state=0).fit(np.arange(12.0).reshape(4, 3))
    for prompts in ("a", ["a", "b"]):
        with pytest.raises(ValueError, match="rows of numbers, but prompts holds texts"):
            model.generate(prompts)
