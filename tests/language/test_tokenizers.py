"""CharTokenizer, WordTokenizer and QuantileTokenizer: what each of them learns."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skml import CharTokenizer, QuantileTokenizer, WordTokenizer
from skml._sklearn import InvalidParameterError
from skml.language.quantiles import quantile_bins

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates too
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)

# -------------------------------------------------------------------------------------------- characters


def test_characters_are_numbered_in_order():
    tokenizer = CharTokenizer(special_tokens=None).fit(["cab", "🙂b"])
    assert tokenizer.vocabulary_ == ["a", "b", "c", "🙂"]
    assert tokenizer.encode("b🙂ac").tolist() == [1, 3, 0, 2]


@settings(deadline=None)
@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
def test_known_characters_come_back(texts):
    assume(any(texts))
    tokenizer = CharTokenizer(special_tokens=None).fit(texts)
    ids = tokenizer.transform(texts)
    assert tokenizer.inverse_transform(ids) == texts
    assert [len(row) for row in ids] == [len(text) for text in texts]


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_unknown_characters_are_one_token_each(known, text):
    assume(known)
    tokenizer = CharTokenizer().fit([known])
    ids = tokenizer.encode(text)
    assert [token == tokenizer.unknown_id_ for token in ids] == [character not in known for character in text]
    assert tokenizer.decode(ids) == "".join(character for character in text if character in known)


def test_characters_may_be_limited():
    texts = ["aaa", "bb", "ccc", "d"]
    assert CharTokenizer(6).fit(texts).vocabulary_[4:] == ["a", "c"]
    assert CharTokenizer(5).fit(texts).vocabulary_[4:] == ["a"]  # of equals the smaller
    assert CharTokenizer(min_frequency=2).fit(texts).vocabulary_[4:] == ["a", "b", "c"]
    with pytest.raises(InvalidParameterError, match="vocabulary_size=4 leaves no room"):
        CharTokenizer(4).fit(texts)
    with pytest.raises(ValueError, match="No character occurs min_frequency=9 times"):
        CharTokenizer(min_frequency=9).fit(texts)


def test_an_unknown_character_without_a_token_is_refused():
    tokenizer = CharTokenizer(special_tokens=("<s>",)).fit(["ab"])
    with pytest.raises(ValueError, match="character 'c' was not in the documents of fit.*special_tokens"):
        tokenizer.transform(["ab", "abc"])


# ------------------------------------------------------------------------------------------------- words


def test_words_are_numbered_by_frequency():
    tokenizer = WordTokenizer(special_tokens=None).fit(["to be, or not to be", "be it"])
    assert tokenizer.vocabulary_ == ["be", "to", ",", "it", "not", "or"]
    assert tokenizer.encode("not to be").tolist() == [4, 1, 0]
    assert tokenizer.decode([4, 1, 0]) == "not to be"


def test_words_may_be_limited():
    texts = ["b b b a a a c c d"]
    assert WordTokenizer(6).fit(texts).vocabulary_[4:] == ["a", "b"]
    assert WordTokenizer(min_frequency=2).fit(texts).vocabulary_[4:] == ["a", "b", "c"]
    tokenizer = WordTokenizer(6).fit(texts)
    assert tokenizer.encode("a d b").tolist() == [4, 3, 5]
    assert tokenizer.decode([4, 3, 5]) == "a b"
    for call in (WordTokenizer(4), WordTokenizer(min_frequency=9), WordTokenizer(token_pattern="x")):
        with pytest.raises(ValueError, match=r"no room|No word"):
            call.fit(texts)


def test_what_a_word_is_may_be_said():
    assert WordTokenizer(lowercase=True).fit(["To to"]).vocabulary_[4:] == ["to"]
    tokenizer = WordTokenizer(lowercase=True, token_pattern=r"<(\w*)>").fit(["<A> b <c> <>"])
    assert tokenizer.vocabulary_[4:] == ["a", "c"]
    assert tokenizer.encode("<C><><B>").tolist() == [5, 3]
    for pattern in ("(", r"(a)(b)"):
        with pytest.raises(InvalidParameterError, match="token_pattern"):
            WordTokenizer(token_pattern=pattern).fit(["ab"])


def test_an_unknown_word_without_a_token_is_refused():
    tokenizer = WordTokenizer(special_tokens=None).fit(["to be"])
    with pytest.raises(ValueError, match="word 'not' was not in the documents of fit"):
        tokenizer.transform(["be", "be not"])


# --------------------------------------------------------------------------------------------- quantiles


def test_bins_hold_equally_many_numbers(rng):
    values = rng.permutation(np.arange(1000.0))
    tokenizer = QuantileTokenizer(10, special_tokens=None).fit([values])
    assert np.bincount(tokenizer.encode(values)).tolist() == [100] * 10
    assert_array_equal(tokenizer.edges_, np.arange(99.5, 999, 100))
    assert_array_equal(tokenizer.centers_, np.arange(49.0, 1000, 100))  # the lower median of 0 to 99, and so on


def test_few_numbers_have_a_bin_each():
    X = np.array([[0.1] * 50 + [0.3, 7.0]])
    tokenizer = QuantileTokenizer(8).fit(X)
    assert tokenizer.vocabulary_[4:] == [0.1, 0.3, 7.0]
    assert_array_equal(tokenizer.inverse_transform(tokenizer.transform(X)), X)


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=40), st.integers(1, 12), st.sampled_from(["quantile", "uniform"]))
def test_the_center_of_a_bin_is_in_it(values, n_bins, strategy):
    tokenizer = QuantileTokenizer(n_bins, strategy=strategy, special_tokens=None).fit([values])
    ids = tokenizer.encode(values)
    assert 1 <= tokenizer.n_tokens_ <= n_bins or len(set(values)) == 1
    assert np.all(np.diff(tokenizer.edges_) >= 0)
    assert_array_equal(tokenizer.decode(ids), tokenizer.centers_[ids])
    if strategy == "quantile":
        assert_array_equal(tokenizer.encode(tokenizer.decode(ids)), ids)
        assert np.all(np.diff(tokenizer.edges_) > 0)
        assert set(tokenizer.centers_) <= set(np.array(values) + 0.0)
        assert set(ids) == set(range(tokenizer.n_tokens_))  # none is empty
    # the larger number has no smaller token
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(ids[order]) >= 0)


@pytest.mark.parametrize("n_bins", [1, 2, 7])
def test_uniform_bins_are_equally_wide(n_bins):
    tokenizer = QuantileTokenizer(n_bins, strategy="uniform", special_tokens=None).fit([[-1.0, 0.1, 6.0]])
    width = 7 / n_bins
    np.testing.assert_allclose(tokenizer.edges_, -1 + width * np.arange(1, n_bins), rtol=1e-14)
    np.testing.assert_allclose(tokenizer.centers_, -1 + width * (np.arange(n_bins) + 0.5), rtol=1e-14)
    errors = tokenizer.decode(tokenizer.encode([-1.0, 0.1, 6.0])) - [-1.0, 0.1, 6.0]
    assert np.abs(errors).max() <= width / 2 * (1 + 1e-12)


def test_numbers_outside_belong_to_the_bins_at_the_ends(rng):
    tokenizer = QuantileTokenizer(5).fit(rng.normal(size=(3, 50)))
    assert tokenizer.encode([-1e300, 1e300]).tolist() == [4, 8]


def test_missing_numbers_have_a_token():
    X = np.array([[1.0, np.nan, 2.0]])
    tokenizer = QuantileTokenizer().fit(X)
    assert tokenizer.transform(X)[0].tolist() == [4, 3, 5]
    assert_array_equal(tokenizer.inverse_transform(tokenizer.transform(X)), X)
    assert_array_equal(tokenizer.decode([0, 4, 3, 1, 2, -1]), [1.0, np.nan])
    with pytest.raises(ValueError, match="NaN, and special_tokens has no token for missing"):
        QuantileTokenizer(special_tokens=None).fit(X).transform(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_the_numbers_is_kept(rng, dtype):
    X = rng.normal(size=(20, 30)).astype(dtype)
    tokenizer = QuantileTokenizer(16).fit(X)
    assert tokenizer.centers_.dtype == tokenizer.decode([5]).dtype == dtype
    assert_array_equal(tokenizer.transform(X), QuantileTokenizer(16).fit(X.astype(np.float64)).transform(X))
    integers = QuantileTokenizer().fit(np.arange(6).reshape(2, 3))
    assert integers.centers_.dtype == np.float64


def test_rows_may_have_different_lengths():
    tokenizer = QuantileTokenizer().fit([[1.0, 2.0], np.array([3.0]), []])
    assert [row.tolist() for row in tokenizer.transform([[3.0], [], (1.0, 2.0, 9.0)])] == [[6], [], [4, 5, 6]]


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([[1.0, np.inf]], "infinity"),
        (np.array([[1.0, -np.inf]]), "infinity"),
        ([[np.nan]], "no numbers, or none but NaN"),
        ([[]], "no numbers"),
        ([], "no numbers"),
        ([1.0, 2.0], r"row 0 is none. Of one row give \[X\]"),
        (np.ones(3), r"Of one row give \[X\]"),
        ([["a"]], "row 0 is none"),
        ([[1.0], [None]], "row 1 is none"),
        ([[1.0], [[2.0], [3.0, 4.0]]], "Row 1 of X is no sequence"),
        ([[[1.0]]], "row 0 is none"),
        ("text", "rows of numbers, got str"),
        (3, "rows of numbers, got int"),
        (np.ones((2, 2, 2)), "row 0 is none"),
        (np.array([["a", "b"]]), "."),
        ([[1j]], "row 0 is none"),
    ],
)
def test_rows_that_are_none_are_refused(X, words):
    with pytest.raises(ValueError, match=words):
        QuantileTokenizer().fit(X)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_extreme_numbers_are_no_trouble(strategy):
    values = [-1.7e308, 5e-324, 1e-323, 0.0, -0.0, 1.7e308]
    tokenizer = QuantileTokenizer(3, strategy=strategy).fit([values])
    assert np.isfinite(tokenizer.centers_).all()
    assert np.isfinite(tokenizer.edges_).all()
    assert np.all(np.diff(tokenizer.edges_) > 0)
    assert np.all(np.diff(tokenizer.encode(sorted(values))) >= 0)


def test_quantiles_by_hand():
    # 9 numbers into 3 bins; equal ones stay together, so the first takes four
    edges, centers = quantile_bins(np.array([1.0, 1, 1, 1, 2, 3, 4, 5, 6]), 3)
    assert edges.tolist() == [1.5, 3.5]
    assert centers.tolist() == [1, 2, 5]
