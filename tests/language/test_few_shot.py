"""FewShotClassifier: probabilities computed by hand, calibration, what is read and how often, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skml import FewShotClassifier, RNNLanguageModel, TransformerLanguageModel
from skml.language import answering
from skml.language.answering import answer_log_probabilities, batch_bias, calibrated, content_free
from skml.language.prompts import Prompter, Question, episodes, most_similar, parse_template, word_vectors
from skml.language.sessions import Rereading, open_session

TEXTS = ["aab", "aba", "baa", "ccd", "cdc", "dcc", "aaa", "ccc"]
CLASSES = ["x", "x", "x", "y", "y", "y", "x", "y"]


class Bigrams:
    """A network whose next token depends on the last one alone, by a table of logits."""

    width = 1

    def __init__(self, table):
        self.table = np.asarray(table, dtype=np.float64)
        network = SimpleNamespace(n_tokens=len(table))
        self.program = SimpleNamespace(network=network, dtype=np.dtype(np.float64))

    def last(self, rows, n_threads=1):
        return np.array([[ids[-1]] for ids in rows])

    def logits(self, states, n_threads=1):
        return self.table[states[:, 0]].copy()


@pytest.fixture(scope="module")
def transformer():
    model = TransformerLanguageModel(n_layers=2, context_length=40, max_iter=2, random_state=0)
    return model.fit([f"{a}\n{b}\n\n" for a, b in zip(TEXTS, CLASSES)])


@pytest.fixture(scope="module")
def recurrent():
    return RNNLanguageModel(hidden_size=16, max_iter=2, random_state=0).fit(["abcd xy\n N/A [MASK]"])


# ---------------------------------------------------------------------------------------------------- by hand


def test_answers_of_bigrams_are_those_computed_by_hand():
    # p(1 | 0) = 3/4, p(2 | 0) = 1/4; p(1 | 1) = p(2 | 1) = 1/2; p(1 | 2) = 1/5, p(2 | 2) = 4/5
    table = np.log([[1e-300, 3, 1], [1e-300, 1, 1], [1e-300, 1, 4]])
    answers = np.array([1]), np.array([2, 2]), np.array([2, 1, 2])
    logs = answer_log_probabilities(
        Bigrams(table), [Question(np.array([0]), answers), Question(np.array([0, 2]), answers)]
    )
    by_hand = [[3 / 4, 1 / 4 * 4 / 5, 1 / 4 * 1 / 5 * 1 / 2], [1 / 5, 4 / 5 * 4 / 5, 4 / 5 * 1 / 5 * 1 / 2]]
    np.testing.assert_allclose(np.exp(logs), by_hand, rtol=1e-12)


def test_calibration_by_hand():
    # of two labels: without content 0.8 and 0.2, and 0.6 and 0.4, on average 0.7 and 0.3
    free = content_free(np.log([[8.0, 2.0], [0.3, 0.2]]))
    np.testing.assert_allclose(np.exp(free), [0.7, 0.3], rtol=1e-12)
    # 0.6 / 0.7 and 0.4 / 0.3, normalised: 18 / 46 and 28 / 46
    np.testing.assert_allclose(np.exp(calibrated(np.log([[3.0, 2.0]]), free)), [[18 / 46, 28 / 46]], rtol=1e-12)


def test_batch_calibration_by_hand():
    # on average, by weights 1 and 3, 0.75 * 0.6 + 0.25 * 0.2 = 0.5; the first class has a fifth
    bias = batch_bias(np.log([[0.2, 0.8], [0.6, 0.4]]), np.array([1.0, 3.0]), np.array([0.2, 0.8]))
    np.testing.assert_allclose(np.exp(bias), [0.5 / 0.2, 0.5 / 0.8], rtol=1e-12)


def test_probabilities_too_small_for_a_number_have_a_logarithm():
    logs = np.array([[0.0, -3000.0], [0.0, -2000.0]])
    np.testing.assert_allclose(content_free(logs), [0, -2000 - np.log(2)])
    bias = batch_bias(logs, np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(bias, [np.log(2), -3000 + np.log(2)])


def test_probabilities_are_those_of_the_language_model(recurrent):
    """The whole way: documents scored by the language model, with each label and without, differ by the label's."""
    model = FewShotClassifier(recurrent, calibration=False, n_shots=1).fit(TEXTS, CLASSES)
    prompt = model.prompts(["dab"])[0]
    shots = [f"{text}\n{label}\n\n" for text, label in model.shots_]
    assert prompt == "".join(shots) + "dab\n"
    p = recurrent.predict_proba([prompt])[0].astype(np.float64)
    of = [p[recurrent.vocabulary_.index(label)] for label in "xy"]
    np.testing.assert_allclose(model.predict_proba(["dab"])[0], of / np.sum(of), rtol=1e-4)


def test_a_label_before_the_text_is_a_noisy_channel(recurrent):
    settings = {"template": "{label} {text}\n", "calibration": False, "n_shots": 0}
    model = FewShotClassifier(recurrent, **settings).fit(TEXTS, CLASSES)
    surprisal = recurrent.surprisal(["x dab", "y dab"])
    joint = np.exp([-one[:-1].sum() for one in surprisal])  # without the end
    np.testing.assert_allclose(model.predict_proba(["dab"])[0], joint / joint.sum(), rtol=1e-4)


def test_lengths_are_normalised_if_asked_for(recurrent):
    labels = {"x": "ab", "y": "d"}
    settings = {"labels": labels, "calibration": False, "n_shots": 0}
    plain = FewShotClassifier(recurrent, **settings).fit(TEXTS, CLASSES)
    mean = FewShotClassifier(recurrent, length_normalization=True, **settings).fit(TEXTS, CLASSES)
    odds = [np.exp(np.diff(model.predict_log_proba(["cab"]))[0, 0]) for model in (plain, mean)]
    log_p = [-one for one in recurrent.surprisal(["cab\nab", "cab\nd"])]
    first, second = log_p[0][4:6].sum(), log_p[1][4]
    np.testing.assert_allclose(odds, np.exp([second - first, second - first / 2]), rtol=1e-4)


def test_what_follows_is_scored_where_a_label_begins_another():
    tokens = [np.array([3]), np.array([3, 4])]
    parts = (np.array([5]), np.array([6]), np.array([7, 8]))
    question = Prompter(parts, tuple(tokens), False, 0, 1).question([], np.array([9]))
    assert [one.tolist() for one in question.answers] == [[3, 7], [3, 4, 7]]
    bare = Prompter((*parts[:2], np.array([], dtype=np.int32)), tuple(tokens), False, 0, 1).question([], np.array([9]))
    assert [one.tolist() for one in bare.answers] == [[3, 1], [3, 4, 1]]
    others = Prompter(parts, (np.array([3]), np.array([4, 3])), False, 0, 1).question([], np.array([9]))
    assert [one.tolist() for one in others.answers] == [[3], [4, 3]]


def test_calibration_makes_inputs_without_content_undecided(transformer):
    model = FewShotClassifier(transformer, content_free=["N/A"]).fit(TEXTS, CLASSES)
    with pytest.warns(UserWarning, match="100% of the tokens are unknown"):
        np.testing.assert_allclose(model.predict_proba(["N/A"]), [[0.5, 0.5]], rtol=1e-5)
    plain = FewShotClassifier(transformer, calibration=False).fit(TEXTS, CLASSES)
    p, p_cf = plain.predict_proba([TEXTS[0], "N/A"]).astype(np.float64)
    np.testing.assert_allclose(model.predict_proba(TEXTS[:1])[0], p / p_cf / (p / p_cf).sum(), rtol=1e-4)


def test_calibration_of_similar_shots_is_that_of_each_prompt(transformer):
    model = FewShotClassifier(transformer, selection="similar", n_shots=1, content_free=["", "a"]).fit(TEXTS, CLASSES)
    plain = clone(model).set_params(calibration=False).fit(TEXTS, CLASSES)
    asked = ["abb", "dcd"]
    raw, ours = plain.predict_proba(asked).astype(np.float64), model.predict_proba(asked)
    for i, text in enumerate(asked):
        prompt = plain.prompts([text])[0]
        free = []
        for without in ("", "a"):
            p = transformer.predict_proba([prompt.removesuffix(f"{text}\n") + f"{without}\n"])[0].astype(np.float64)
            of = p[[transformer.vocabulary_.index(label) for label in "xy"]]
            free.append(of / of.sum())
        expected = raw[i] / np.mean(free, axis=0)
        np.testing.assert_allclose(ours[i], expected / expected.sum(), rtol=1e-4)


# ---------------------------------------------------------------------------------------------------- what is read


def counted(monkeypatch):
    """Count the tokens that sessions read."""
    count = SimpleNamespace(tokens=0, opened=0)

    def opening(reader, rows, *others):
        session = open_session(reader, rows, *others)
        count.opened += 1
        count.tokens += sum(map(len, rows))
        write = session.write

        def counting(tokens, wanted=True):
            count.tokens += len(tokens)
            write(tokens, wanted)

        session.write = counting
        return session

    monkeypatch.setattr(answering, "open_session", opening)
    return count


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_what_prompts_share_is_read_once(kind, request, monkeypatch):
    model = FewShotClassifier(request.getfixturevalue(kind), labels={"x": "ab", "y": "ac"}, n_shots=1)
    model.fit(TEXTS, CLASSES)
    asked = ["dad", "bac", "b"]
    texts = [prompt + label for prompt in model.prompts(asked) for label in ("ab", "ac")]
    count = counted(monkeypatch)
    model.predict_proba(asked)
    # each distinct beginning once: the last token of a label isn't read, and the start is
    distinct = {text[:i] for text in texts for i in range(len(text))}
    assert (count.opened, count.tokens) == (1, len(distinct))
    shared = model.prompts([""])[0][:-1]
    assert len(distinct) == 1 + len(shared) + sum(len(text) + 2 for text in asked) - 1  # "b" begins "bac"


@pytest.mark.parametrize("selection", ["first", "random", "similar"])
@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_sharing_changes_nothing(kind, selection, request):
    settings = {"selection": selection, "n_shots": 1, "labels": {"x": "ab", "y": "acd"}, "random_state": 0}
    cached = FewShotClassifier(request.getfixturevalue(kind), **settings).fit(TEXTS, CLASSES)
    plain = clone(cached).set_params(use_cache=False).fit(TEXTS, CLASSES)
    asked = ["dad", "", "bacab", "b", "dad"]
    np.testing.assert_allclose(cached.predict_proba(asked), plain.predict_proba(asked), rtol=1e-4)
    assert open_session(cached.language_model_.reader_, [np.zeros(1, np.int32)], False).__class__ is Rereading


@pytest.mark.parametrize("selection", ["first", "similar"])
def test_one_document_is_as_many(transformer, selection):
    model = FewShotClassifier(transformer, selection=selection, n_shots=1).fit(TEXTS, CLASSES)
    asked = ["dad", "", "bacab", "b" * 60]
    one_by_one = np.concatenate([model.predict_proba([text]) for text in asked])
    np.testing.assert_allclose(model.predict_proba(asked), one_by_one, rtol=1e-4)


def test_chunks_change_nothing(transformer, monkeypatch):
    model = FewShotClassifier(transformer, n_shots=1).fit(TEXTS, CLASSES)
    whole = model.predict_proba(TEXTS)
    monkeypatch.setattr(answering, "chunk_slices", lambda n, size: (slice(i, i + 3) for i in range(0, n, 3)))
    np.testing.assert_allclose(model.predict_proba(TEXTS), whole, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------- shots and prompts


def test_shots_are_the_heaviest_of_each_class_by_turns(recurrent):
    weights = [1, 5, 1, 1, 1, 4, 6, 7]
    model = FewShotClassifier(recurrent, n_shots=2).fit(TEXTS, CLASSES, sample_weight=weights)
    assert model.shots_ == [("aaa", "x"), ("ccc", "y"), ("aba", "x"), ("dcc", "y")]


def test_similar_shots_are_those_of_the_largest_cosine(recurrent):
    model = FewShotClassifier(recurrent, n_shots=1, selection="similar").fit(TEXTS, CLASSES)
    known = [text for text, _ in model.shots_]
    vectors = TfidfVectorizer(analyzer="char").fit(known)
    for asked in ("caad", "dd", "bab"):
        similarity = (vectors.transform([asked]) @ vectors.transform(known).T).toarray()[0]
        best = np.argsort(-similarity, kind="stable")[:2]
        shots = [f"{known[i]}\n{model.shots_[i][1]}\n\n" for i in best[::-1]]
        assert model.prompts([asked]) == ["".join(shots) + f"{asked}\n"]


def test_vectors_are_those_of_scikit_learn(rng):
    texts = ["".join(rng.choice(list("abcde"), size=rng.integers(0, 9))) for _ in range(20)]
    sequences = [np.array([ord(sign) - ord("a") for sign in text], dtype=np.int32) for text in texts]
    vectors, idf = word_vectors(sequences, 5)
    theirs = TfidfVectorizer(analyzer="char", vocabulary=list("abcde"))
    np.testing.assert_allclose(vectors.toarray(), theirs.fit_transform(texts).toarray(), rtol=1e-12)
    asked = [np.array([4, 0, 0], dtype=np.int32)]
    ours = word_vectors(asked, 5, idf)[0].toarray()
    np.testing.assert_allclose(ours, theirs.transform(["eaa"]).toarray(), rtol=1e-12)


def test_numbers_are_similar_in_the_same_column():
    vectors, idf = word_vectors([np.array([0, 1]), np.array([1, 0])], 2, by_place=True)
    asked, _ = word_vectors([np.array([0, 1, 1]), np.array([1])], 2, idf, by_place=True)
    assert most_similar(vectors, asked, 1).tolist() == [[0], [1]]


def test_most_similar_leaves_out_the_document_itself():
    vectors, _ = word_vectors([np.array([0, 0, 1]), np.array([0, 1]), np.array([2])], 3)
    assert most_similar(vectors, vectors[:1], 2).tolist() == [[1, 0]]
    assert most_similar(vectors, vectors[:1], 5, left_out=[0]).tolist() == [[2, 1]]


def test_prompts_that_are_too_long_lose_their_first_shots_and_then_the_beginning_of_the_document(transformer):
    model = FewShotClassifier(transformer, n_shots=3).fit(TEXTS, CLASSES)
    shots = [f"{text}\n{label}\n\n" for text, label in model.shots_]
    assert all(len(shot) == 7 for shot in shots)
    for n in (0, 3, 10, 11, 31, 32, 38, 39, 60):
        text = ("abcd" * 20)[:n]
        room = 40 - 1 - n - 1  # the start, the document and a line break; the label itself isn't read
        kept = shots[6 - max(0, min(6, room // 7)) :]
        assert model.prompts([text]) == ["".join(kept) + text[max(0, n - 38) :] + "\n"]
    assert np.isfinite(model.predict_proba(["abcd" * 20])).all()


def test_examples_to_learn_from_count_labels_and_weights():
    prompter = Prompter((np.array([5]), np.array([6]), np.array([7])), (np.array([2]), np.array([3, 3])), False, 0, 1)
    documents = [np.array([9]), np.array([8, 8]), np.array([9, 9])]
    texts, shares = episodes(prompter, documents, np.array([0, 1, 0]), np.array([1.0, 2.0, 4.0]), 2, 0.5)
    assert [text.tolist() for text in texts] == [[5, 9, 6, 2, 7, 5, 8, 8, 6, 3, 3, 7], [5, 9, 9, 6, 2, 7]]
    assert shares[0].tolist() == [0.5, 0.5, 0.5, 1, 0.5, 1, 1, 1, 1, 2, 2, 1, 1]
    assert shares[1].tolist() == [2, 2, 2, 2, 4, 2, 2]


# ---------------------------------------------------------------------------------------------------- language models


def test_a_language_model_that_is_trained_on_afterwards_leaves_the_classifier_as_it_was():
    given = RNNLanguageModel(hidden_size=8, max_iter=1, random_state=0).fit([*TEXTS, "x\n\ny"])
    model = FewShotClassifier(given).fit(TEXTS, CLASSES)
    before = model.predict_proba(TEXTS)
    given.partial_fit(TEXTS)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)
    assert (FewShotClassifier(given).fit(TEXTS, CLASSES).predict_proba(TEXTS) != before).any()


def test_what_the_language_model_cannot_read_of_a_prompt_is_told():
    given = RNNLanguageModel(hidden_size=8, max_iter=1, random_state=0).fit(TEXTS)
    with pytest.warns(UserWarning, match=r"all of '\\n', '\\n\\n', 'ax', 'by' in template and labels") as warned:
        FewShotClassifier(given, labels=["ax", "by"]).fit(TEXTS, CLASSES)
    assert warned[0].filename == __file__  # it names the line that asked
    with pytest.raises(ValueError, match="nothing of the label 'x!'"):
        FewShotClassifier(given, labels=["x!", "a"]).fit(TEXTS, CLASSES)


def test_a_fitted_language_model_is_used_as_it_is_and_left_so(recurrent):
    before = recurrent.reader_.program.parameters.flat.copy()
    for given in (recurrent, FrozenEstimator(recurrent)):
        model = FewShotClassifier(given).fit(TEXTS, CLASSES)
        other = clone(model).fit(TEXTS, CLASSES)
        assert model.language_model_.reader_ is recurrent.reader_
        assert other.language_model_.reader_ is recurrent.reader_
        np.testing.assert_array_equal(other.predict_proba(TEXTS), model.predict_proba(TEXTS))
    other = clone(FewShotClassifier(recurrent)).set_params(language_model__random_state=99)
    assert (other.language_model.random_state, recurrent.random_state) == (99, 0)
    np.testing.assert_array_equal(recurrent.reader_.program.parameters.flat, before)


def test_an_unfitted_language_model_is_cloned_and_learns_labels():
    given = RNNLanguageModel(max_iter=40, learning_rate_init=0.02)
    model = FewShotClassifier(given, random_state=0).fit(TEXTS, CLASSES)
    assert not hasattr(given, "reader_")
    assert given.random_state is None
    assert model.score(TEXTS, CLASSES) == 1
    assert {"a", "x", "\n"} <= set(model.language_model_.vocabulary_)


def test_searches_over_prompts_and_shots(recurrent):
    grid = {
        "template": ["{text}\n{label}\n\n", "{label} {text}\n"],
        "n_shots": [0, 1],
        "selection": ["first", "similar"],
    }
    search = GridSearchCV(FewShotClassifier(recurrent), grid, cv=2, error_score="raise").fit(TEXTS, CLASSES)
    assert search.best_estimator_.language_model_.reader_ is recurrent.reader_
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_rows_of_integers_and_numbers():
    X = np.array([[1, 2, -1], [1, 1, 2], [3, 4, 4], [4, 3, -1]])
    y = np.array([0, 0, 1, 1])
    for rows in (X, X * 1.0):
        model = FewShotClassifier(n_shots=1, random_state=0).fit(rows, y)
        assert model.predict_proba(rows).shape == (4, 2)
    tokens = FewShotClassifier(n_shots=0, random_state=0).fit(X, y).prompts(X)
    assert [len(ids) for ids in tokens] == [2, 3, 3, 2]  # padding is no token


def test_what_is_in_the_prompt_decides():
    """Trained on lines in which letters have signs drawn by lot, a network can know them from its prompt alone."""
    rng, letters = np.random.default_rng(0), list("abcdef")

    def line():
        pair, signs = rng.choice(letters, 2, replace=False), rng.permutation(["+", "-"])
        return "".join(f"{pair[i]}{signs[i]} " for i in rng.integers(2, size=8))

    settings = {"batching": "pad", "learning_rate_init": 0.01, "random_state": 0}
    network = RNNLanguageModel(hidden_size=64, max_iter=30, **settings).fit([line() for _ in range(600)])
    right = []
    for _ in range(25):
        X, y = rng.choice(letters, 2, replace=False), rng.permutation(["+", "-"])
        model = FewShotClassifier(network, template="{text}{label} ", n_shots=1, calibration=False)
        right += [model.fit(X, y).score(X, y), model.fit(X, y[::-1]).score(X, y[::-1])]
    assert np.mean(right) > 0.8  # without the prompt it is a half, and no more for both ways together


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "template",
    ["{label}", "{text}", "", "{text} {text} {label}", "{text}{label}{0}", "{text.__class__}{label}", "{text!r}{label}",
     "{text:>9}{label}", "{text[0]}{label}", "{text} {label} {", "{}{}"],
)  # fmt: skip
def test_templates_that_are_none_are_refused(template, recurrent):
    with pytest.raises(ValueError, match="template="):
        FewShotClassifier(recurrent, template=template).fit(TEXTS, CLASSES)


def test_braces_are_written_twice():
    assert parse_template("{{{text}}} {label}").filled("a", "b") == "{a} b"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"x": "a"}, "no text for the class 'y'"),
        (["a"], "1 texts for 2 classes"),
        ({"x": "a", "y": ""}, "not empty"),
        ({"x": "a", "y": 3}, "strings"),
        ({"x": "a", "y": "a"}, "same tokens"),
        ({"x": "é", "y": "ü"}, "same tokens"),  # neither is known
    ],
)
def test_labels_that_are_none_are_refused(labels, message, recurrent):
    with pytest.raises(ValueError, match=message):
        FewShotClassifier(recurrent, labels=labels).fit(TEXTS, CLASSES)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["", "a", None], TypeError, "missing"),
        (["", "a", b"a"], TypeError, "decode"),
        (["a", "b", 3], TypeError, "int"),
        ([], ValueError, "no documents"),
        ("abc", ValueError, r"\[X\]"),
        ([1.0, 2.0, 3.0], ValueError, "(?i)2D|1D|reshape"),
    ],
)
@pytest.mark.parametrize("given", ["None", "fitted"])
def test_documents_that_are_none_are_refused(X, error, message, given, recurrent):
    with pytest.raises(error, match=message):
        FewShotClassifier(recurrent if given == "fitted" else None).fit(X, ["x", "y", "y"][: len(X)])


@pytest.mark.parametrize(
    ("y", "message"),
    [(None, "y is None"), (["x"] * 8, "one class"), (["x", "y"], "inconsistent"), (["x", 1] * 4, "types"),
     ([0.5, 1.5] * 4, "Unknown label type"), ([np.nan, 1.0] * 4, "NaN"), ([[0, 1]] * 8, "takes one class")],
)  # fmt: skip
def test_classes_that_are_none_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        FewShotClassifier().fit(TEXTS, y)


def test_empty_texts_are_documents(recurrent):
    assert FewShotClassifier(recurrent, labels=["x", "y"]).fit(["", "a", "b"], [0, 0, 1]).predict(["", "c"]).shape == (
        2,
    )
    assert FewShotClassifier(random_state=0).fit(["", "a", "b", ""], [0, 0, 1, 1]).predict([""]).shape == (1,)


def test_language_models_that_are_none_are_refused(recurrent, rng):
    with pytest.raises(ValueError, match="'language_model' parameter of FewShotClassifier"):
        FewShotClassifier(LogisticRegression()).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="frozen LogisticRegression"):
        FewShotClassifier(FrozenEstimator(LogisticRegression())).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="not fitted"):
        FewShotClassifier(FrozenEstimator(RNNLanguageModel())).fit(TEXTS, CLASSES)
    X = rng.normal(size=(8, 3))
    numbers = RNNLanguageModel(max_iter=1).fit(X)
    with pytest.raises(ValueError, match="fitted on numbers, but X holds texts"):
        FewShotClassifier(numbers).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="no tokens for labels"):
        FewShotClassifier(recurrent).fit(X, CLASSES)


def test_settings_that_are_for_texts_are_refused_with_numbers(rng):
    X = rng.normal(size=(8, 3))
    with pytest.raises(ValueError, match="labels are for texts"):
        FewShotClassifier(labels={"x": "a", "y": "b"}).fit(X, CLASSES)
    with pytest.raises(ValueError, match="no row of numbers is without content"):
        FewShotClassifier(calibration="contextual").fit(X, CLASSES)


def test_a_context_too_short_for_a_template_is_refused(transformer):
    with pytest.raises(ValueError, match="40 tokens together.* too few"):
        FewShotClassifier(transformer, template="a" * 50 + "{text}{label}").fit(TEXTS, CLASSES)


def test_inputs_without_content_must_be_texts(recurrent):
    for bad, error in (([], ValueError), ([1], TypeError), ([None], TypeError)):
        with pytest.raises(error):
            FewShotClassifier(recurrent, content_free=bad).fit(TEXTS, CLASSES)


def test_kinds_of_documents_are_kept_apart(recurrent):
    model = FewShotClassifier(recurrent).fit(TEXTS, CLASSES)
    with pytest.raises(ValueError, match="fitted on texts"):
        model.predict([[1.0, 2.0]])
