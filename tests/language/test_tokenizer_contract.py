"""The contract of tokenizers: what scikit-learn's and skml's estimators promise, for rows that are texts."""

import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skml
from skml import language
from skml._sklearn import InvalidParameterError
from skml.language import Tokenizer, pad_sequences

TOKENIZERS = [
    value
    for value in map(language.__dict__.get, language.__all__, map(language.__getattr__, language.__all__))
    if inspect.isclass(value) and issubclass(value, Tokenizer) and value is not Tokenizer
]
OF_TEXT = [cls for cls in TOKENIZERS if cls is not language.QuantileTokenizer]
each = pytest.mark.parametrize("cls", TOKENIZERS, ids=lambda cls: cls.__name__)
each_of_text = pytest.mark.parametrize("cls", OF_TEXT, ids=lambda cls: cls.__name__)

WORDS = ["to", "be", "or", "not", "naïve", "e\u0301te\u0301", "日本", "🙂", "don't", "42", "\ud800"]


def corpus(cls, rng, n=40):
    """Return documents that a tokenizer takes, none of which is empty."""
    if cls not in OF_TEXT:
        return rng.normal(size=(n, 9)).round(1)
    return [" ".join(rng.choice(WORDS, 1 + rng.integers(12))) for _ in range(n)]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one, other)


def state(tokenizer):
    """Return all that a tokenizer holds, as something to compare bit by bit."""
    return {name: plain(value) for name, value in vars(tokenizer).items()}


def plain(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return repr(value)


def test_there_are_four():
    assert {cls.__name__ for cls in TOKENIZERS} >= {
        "BPETokenizer",
        "CharTokenizer",
        "QuantileTokenizer",
        "WordTokenizer",
    }


@each
def test_a_tokenizer_is_public_but_no_estimator_of_numbers(cls):
    assert getattr(skml, cls.__name__) is cls
    assert cls.__name__ not in dict(skml.all_estimators())


@each
def test_parameters_are_kept_as_they_are_given(cls):
    tokenizer = cls()
    for name, parameter in inspect.signature(cls).parameters.items():
        assert getattr(tokenizer, name) is parameter.default
    assert set(tokenizer.get_params()) == set(inspect.signature(cls).parameters)
    changed = clone(tokenizer.set_params(special_tokens=("<a>", "<b>")))
    assert changed.special_tokens == ("<a>", "<b>")
    assert "'<a>'" in repr(changed)
    with pytest.raises(ValueError, match="nothing_of_the_kind"):
        tokenizer.set_params(nothing_of_the_kind=1)


@each
def test_every_parameter_is_checked(cls, rng):
    X = corpus(cls, rng)
    for name in inspect.signature(cls).parameters:
        with pytest.raises(InvalidParameterError, match=name):
            cls(**{name: object()}).fit(X)
    assert set(inspect.signature(cls).parameters) == set(cls._parameter_constraints)


@each
@pytest.mark.parametrize("special", [("a", "b", "c", "d", "e"), (1,), ("",), ["a", None, 3], "<s>"])
def test_special_tokens_that_are_none_are_refused(cls, rng, special):
    with pytest.raises(InvalidParameterError, match="special_tokens"):
        cls(special_tokens=special).fit(corpus(cls, rng))


@each
def test_fit_returns_the_tokenizer_and_ignores_y(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls()
    assert tokenizer.fit(X, y=range(len(X))) is tokenizer
    assert state(tokenizer) == state(cls().fit(X))


@each
def test_unfitted_tokenizers_say_so(cls, rng):
    X = corpus(cls, rng)
    for call in (lambda t: t.transform(X), lambda t: t.inverse_transform([[0]]), lambda t: t.encode(X[0])):
        with pytest.raises(NotFittedError):
            call(cls())
    with pytest.raises(NotFittedError):
        clone(cls().fit(X)).transform(X)


@each
def test_tokens_are_32_bit_integers_of_the_vocabulary(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls().fit(X)
    ids = tokenizer.transform(X)
    assert len(ids) == len(X)
    assert all(type(row) is np.ndarray and row.dtype == np.int32 and row.ndim == 1 for row in ids)
    assert tokenizer.n_tokens_ == len(tokenizer.vocabulary_)
    assert 0 <= min(row.min() for row in ids) <= max(row.max() for row in ids) < tokenizer.n_tokens_
    special = {tokenizer.start_id_, tokenizer.end_id_, tokenizer.pad_id_}
    assert not special & set(np.concatenate(ids).tolist())


@each
def test_attributes_are_described(cls, rng):
    tokenizer = cls().fit(corpus(cls, rng))
    held = {name for name in vars(tokenizer) if name.endswith("_") and not name.startswith("_")}
    described = {name.strip() for entry in ClassDoc(cls)["Attributes"] for name in entry.name.split(",")}
    assert held == described


@each
def test_special_tokens_have_ids_of_their_own(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls(special_tokens=("<s>", "</s>", "<p>", "<u>")).fit(X)
    ids = [tokenizer.start_id_, tokenizer.end_id_, tokenizer.pad_id_, tokenizer.unknown_id_]
    assert ids == [0, 1, 2, 3]
    assert tokenizer.vocabulary_[:4] == ["<s>", "</s>", "<p>", "<u>"]
    shared = cls(special_tokens=("<>", "<>", None, "<u>")).fit(X)
    assert (shared.start_id_, shared.end_id_, shared.pad_id_, shared.unknown_id_) == (0, 0, None, 1)
    none = cls(special_tokens=None).fit(X)
    assert (none.start_id_, none.end_id_, none.pad_id_, none.unknown_id_) == (None,) * 4
    assert tokenizer.n_tokens_ == none.n_tokens_ + 4


@each
def test_special_tokens_and_padding_are_left_out(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls(special_tokens=("<s>", "</s>", "<p>")).fit(X)
    ids = tokenizer.transform(X)
    framed = [[0, *row, 1, 2, -1] for row in ids]
    assert_same(tokenizer.inverse_transform(framed), tokenizer.inverse_transform(ids))
    array, _ = pad_sequences(framed, padding="left")
    assert_same(tokenizer.inverse_transform(array), tokenizer.inverse_transform(ids))


@each
def test_one_document_is_like_many(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls().fit(X)
    ids = tokenizer.transform(X)
    assert_same([tokenizer.encode(x) for x in X], ids)
    assert_same([tokenizer.decode(row) for row in ids], tokenizer.inverse_transform(ids))
    assert_same([row for x in X for row in tokenizer.transform([x])], ids)


@each
def test_order_and_copies_of_the_documents_do_not_matter(cls, rng):
    X = corpus(cls, rng)
    expected = state(cls().fit(X))
    assert state(cls().fit([X[i] for i in rng.permutation(len(X))])) == expected
    doubled = cls().fit([*X, *X])
    if "min_frequency" in doubled.get_params():
        doubled = cls(min_frequency=2 * cls().min_frequency).fit([*X, *X])
        doubled.set_params(min_frequency=cls().min_frequency)
    assert state(doubled) == expected


@each
def test_containers_do_not_matter(cls, rng):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X = corpus(cls, rng)
    if cls in OF_TEXT:
        X = [x.replace("\ud800", "") for x in X]  # pandas' and polars' own strings hold no surrogates
        others = [tuple(X), np.array(X), np.array(X, dtype=object), pandas.Series(X, index=range(5, 5 + len(X)))]
        others += [pandas.Series(X, dtype=object), polars.Series(X), (x for x in X), iter(X), dict.fromkeys(X).keys()]
    else:
        others = [X.tolist(), list(X), pandas.DataFrame(X), polars.DataFrame(X), (x for x in X), np.asfortranarray(X)]
    expected = cls().fit(X)
    ids = expected.transform(X)
    for other in others:
        exhausted = iter(other) is other
        tokenizer = cls().fit(X if exhausted else other)
        if not isinstance(other, type({}.keys())):
            assert_same(tokenizer.transform(other), ids)
            assert state(tokenizer) == state(expected)
    assert_same(cls().fit_transform(x for x in X), ids)


@each
def test_input_is_left_alone(cls, rng):
    X = corpus(cls, rng)
    before = copy.deepcopy(X)
    tokenizer = cls().fit(X)
    ids = tokenizer.transform(X)
    held = copy.deepcopy(ids)
    tokenizer.inverse_transform(ids)
    assert_same(X, before)
    assert_same(ids, held)
    ids[0][:] = 0  # and what comes out is the caller's own
    assert_same(tokenizer.transform(X), held)


@each
def test_copies_give_the_same_bits(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls().fit(X)
    for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer), clone(tokenizer).fit(X)):
        assert_same(other.transform(X), tokenizer.transform(X))
        assert state(other) == state(tokenizer)
        assert repr(other) == repr(tokenizer)


@each
def test_a_fit_that_fails_changes_nothing(cls, rng):
    X = corpus(cls, rng)
    bad = [[], None, [None], [*X, None], 3, "text", [b"bytes"]]
    fresh = cls()
    before = dict(vars(fresh))
    for broken in bad:
        with pytest.raises((ValueError, TypeError)):
            fresh.fit(broken)
        assert vars(fresh) == before
    fitted = cls().fit(X)
    before = state(fitted)
    for broken in bad:
        with pytest.raises((ValueError, TypeError)):
            fitted.fit(broken)
    with pytest.raises(InvalidParameterError):
        fitted.set_params(special_tokens=3).fit(X)
    fitted.set_params(special_tokens=cls().special_tokens)
    assert state(fitted) == before


@each
@pytest.mark.parametrize(
    "ids",
    [
        3,
        "text",
        None,
        [3],
        [["a"]],
        [[0.5]],
        [[True]],
        [[[0]]],
        [[-2]],
        [[10**6]],
        [[2**40]],
        [[0], [None]],
        [[1, 10**30]],
    ],
)
def test_tokens_that_are_none_are_refused(cls, rng, ids):
    tokenizer = cls().fit(corpus(cls, rng))
    with pytest.raises(ValueError):
        tokenizer.inverse_transform(ids)


@each
def test_no_documents_are_no_tokens(cls, rng):
    tokenizer = cls().fit(corpus(cls, rng))
    assert tokenizer.transform([]) == []
    assert tokenizer.inverse_transform([]) == []
    assert len(tokenizer.decode([])) == 0
    assert tokenizer.inverse_transform(np.empty((0, 3), dtype=int)) == []


@each
def test_a_pipeline_with_a_classifier_is_searched(cls, rng):
    X = corpus(cls, rng, 60)
    y = np.arange(60) % 2
    bags = FunctionTransformer(lambda rows: np.array([np.bincount(row, minlength=3000)[:3000] for row in rows]))
    pipeline = Pipeline([("tokens", cls()), ("bags", bags), ("model", LogisticRegression())])
    search = GridSearchCV(pipeline, {"tokens__special_tokens": [None, (None, None, None, "<unk>")]}, cv=2)
    search.set_params(
        estimator__tokens__special_tokens=(None, None, None, "<unk>"), param_grid={"model__C": [0.1, 1.0]}
    )
    assert search.fit(list(X), y).predict(list(X)).shape == (60,)
    padded = make_pipeline(cls(), FunctionTransformer(lambda rows: pad_sequences(rows, 4)[0])).fit_transform(X)
    assert padded.shape == (60, 4)


@each
def test_many_threads_may_use_one_tokenizer(cls, rng):
    X = corpus(cls, rng)
    tokenizer = cls().fit(X)
    expected = tokenizer.transform(X)
    with ThreadPoolExecutor(4) as pool:
        for ids in pool.map(lambda _: tokenizer.transform(X), range(16)):
            assert_same(ids, expected)


# ------------------------------------------------------------------------------------------- texts alone


@each_of_text
@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ("to be", ValueError, r"a list of strings.*\[X\]"),
        (b"to be", ValueError, r"a list of strings"),
        (["to", None], TypeError, "document 1 is None, missing; fill it"),
        (["to", float("nan")], TypeError, "document 1 is nan, missing; fill it"),
        ([b"to"], TypeError, "document 0 is bytes; decode"),
        (["to", 3], TypeError, r"document 1 is of type int; convert it first: str\(document\)"),
        ([["to"]], TypeError, "document 0 is of type list"),
        (np.array([["to"]]), ValueError, "one-dimensional"),
        (np.array("to"), ValueError, "one-dimensional"),
        ({"a": "to"}, ValueError, "one-dimensional"),
        (3, TypeError, "a list of strings, one per document, got int"),
        (None, TypeError, "got NoneType"),
        (np.eye(2), ValueError, "one-dimensional"),
        (np.ones(2), TypeError, "document 0 is of type float64"),
        ([], ValueError, "no documents"),
        (["", ""], ValueError, "All documents in X are empty"),
    ],
)
def test_bad_documents_are_refused_with_the_cure(cls, X, error, words):
    with pytest.raises(error, match=words):
        cls().fit(X)
    if X not in ([], ["", ""]) if isinstance(X, list) else True:
        with pytest.raises(error, match=words):
            cls().fit(["to be"]).transform(X)


@each_of_text
def test_missing_texts_of_pandas_are_named(cls):
    pandas = pytest.importorskip("pandas")
    for series in (pandas.Series(["to", None]), pandas.Series(["to", None], dtype=object)):
        with pytest.raises(TypeError, match="document 1 is .*missing"):
            cls().fit(series)
    with pytest.raises(ValueError, match=r"X\['text'\]"):
        cls().fit(pandas.DataFrame({"text": ["to"]}))


@each_of_text
def test_empty_documents_among_others_are_fine(cls):
    tokenizer = cls().fit(["", "to be", ""])
    ids = tokenizer.transform(["", "to", ""])
    assert [len(row) > 0 for row in ids] == [False, True, False]
    assert all(row.dtype == np.int32 for row in ids)
    assert tokenizer.inverse_transform(ids) == ["", "to", ""]


@each_of_text
def test_text_that_looks_like_a_special_token_is_text(cls):
    tokenizer = cls().fit(["<start> to <end> be <pad>"])
    special = {tokenizer.start_id_, tokenizer.end_id_, tokenizer.pad_id_}
    assert not special & set(tokenizer.encode("<start> to <end> be <pad>").tolist())


@each_of_text
def test_unseen_text_is_no_error(cls):
    tokenizer = cls().fit(["to be"])
    text = tokenizer.decode(tokenizer.encode("to be 🙂"))
    assert text.strip() == "to be" or text == "to be 🙂"
