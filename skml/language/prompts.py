"""Prompts: a template, examples of each class and a document become one sequence of tokens, and labels its answers.

What is asked of a language model is which label it would write. A prompt is (start, shots, the document's own part).
"""

from dataclasses import dataclass
from string import Formatter

import numpy as np
import scipy.sparse as sp

from skml.base import chunk_slices

PLACES = ("text", "label")


@dataclass(frozen=True)
class Template:
    """A format string, in parts.

    Attributes
    ----------
    before, between, after : str
        What stands around the two places.
    label_first : bool
        Whether the label comes before the text.
    """

    before: str
    between: str
    after: str
    label_first: bool

    def filled(self, text, label):
        """Return the text of an example."""
        first, second = (label, text) if self.label_first else (text, label)
        return f"{self.before}{first}{self.between}{second}{self.after}"


def parse_template(template):
    """Return a format string in parts; it may hold ``{text}`` and ``{label}``, once each, and nothing else.

    Parameters
    ----------
    template : str
        With ``{{`` for a brace.

    Returns
    -------
    template : Template
        The same.

    Raises
    ------
    ValueError
        If it is no such string. Attributes, indices, conversions and formats are refused, not followed.

    Examples
    --------
    >>> from skml.language.prompts import parse_template
    >>> parse_template("Review: {text} Mood: {label}. ")
    Template(before='Review: ', between=' Mood: ', after='. ', label_first=False)
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"template={template!r} is no format string: {error}. For a brace write it twice.") from None
    literals, places = [""], []
    for literal, place, form, conversion in parts:
        literals[-1] += literal
        if place is None:
            continue
        if place not in PLACES or form or conversion:
            raise ValueError(
                f"template={template!r} may hold {{text}} and {{label}} and nothing else in braces; for a brace write "
                "it twice."
            )
        places.append(place)
        literals.append("")
    if sorted(places) != sorted(PLACES):
        raise ValueError(f"template={template!r} must hold {{text}} and {{label}}, once each.")
    return Template(*literals, label_first=places[0] == "label")


@dataclass(frozen=True)
class Question:
    """What a language model is asked.

    Attributes
    ----------
    prompt : ndarray of shape (n,), int32
        What it has read, at least the token that begins documents.
    answers : tuple of ndarray of shape (m,), int32
        What may follow, for each class; at least a token each.
    """

    prompt: np.ndarray
    answers: tuple


@dataclass(frozen=True)
class Prompter:
    """What makes prompts of tokens.

    Attributes
    ----------
    parts : tuple of ndarray, int32
        The template's three parts.
    labels : tuple of ndarray, int32
        Of each class.
    label_first : bool
        Whether the label comes before the text; an answer is then the label and all that follows.
    start, end : int
        The tokens that begin and end documents.
    capacity : int or None, default=None
        The most tokens that are read together.
    """

    parts: tuple
    labels: tuple
    label_first: bool
    start: int
    end: int
    capacity: int | None = None

    @property
    def closing(self):
        """What follows a label, where one begins another, so that the shorter has no advantage."""
        if self.label_first or not _one_begins_another(self.labels):
            return self.parts[2][:0]
        return self.parts[2][:1] if len(self.parts[2]) else np.array([self.end], dtype=np.int32)

    def example(self, ids, k):
        """Return the tokens of an example, and from where to where it is what a label decides."""
        before, between, after = self.parts
        if self.label_first:
            decided = len(self.labels[k]) + len(between) + len(ids)
            tokens = [before, self.labels[k], between, ids, after]
            return np.concatenate(tokens), len(before), len(before) + decided
        start = len(before) + len(ids) + len(between)
        return np.concatenate([before, ids, between, self.labels[k], after]), start, start + len(self.labels[k])

    def question(self, shots, ids):
        """Return what is asked about a document after some examples.

        Where there is no room for all, the first examples are left out, and if need be the document's first tokens.

        Parameters
        ----------
        shots : list of ndarray of shape (n,), int32
            Examples, in the order in which they are read.
        ids : ndarray of shape (n,), int32
            The document.

        Returns
        -------
        question : Question
            To be answered.

        Raises
        ------
        ValueError
            If there is no room for the template and a label.
        """
        ids = self.cut(ids)
        own, answers = self._own(ids), self._answers(ids)
        room = self._room(own, answers)
        n_tokens = np.cumsum([len(shot) for shot in shots[::-1]])
        kept = shots[len(shots) - int((n_tokens <= room).sum()) :]
        start = np.array([self.start], dtype=np.int32)
        return Question(np.concatenate([start, *kept, own]), answers)

    def cut(self, ids):
        """Return the last tokens of a document for which there is room in a prompt without examples."""
        if self.capacity is None:
            return ids
        room = self._room(self._own(ids[:0]), self._answers(ids[:0]))
        if room < 0:
            raise ValueError(
                f"The language model reads {self.capacity} tokens together, {-room} too few for template and label."
            )
        return ids[max(len(ids) - room, 0) :]

    def _own(self, ids):
        before, between, _ = self.parts
        return before if self.label_first else np.concatenate([before, ids, between])

    def _answers(self, ids):
        rest = np.concatenate([self.parts[1], ids]) if self.label_first else self.closing
        return tuple(np.concatenate([label, rest]) for label in self.labels)

    def _room(self, own, answers):
        """Return how many tokens there is room for: the start is read, and the last token of an answer is not."""
        capacity = 2**31 if self.capacity is None else self.capacity
        return capacity - len(own) - max(map(len, answers))


def _one_begins_another(labels):
    words = sorted(tuple(label.tolist()) for label in labels)  # what begins a word comes right before it
    return any(longer[: len(shorter)] == shorter for shorter, longer in zip(words, words[1:]))


# ---------------------------------------------------------------------------------------------- choosing shots


def in_turns(groups):
    """Return the members of groups, the first of each, then the second of each and so on.

    Examples
    --------
    >>> from skml.language.prompts import in_turns
    >>> in_turns([[1, 2, 3], [7]])
    [1, 7, 2, 3]
    """
    longest = max(map(len, groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


def first_of_each(codes, weights, n_shots, n_classes):
    """Return `n_shots` examples of each class, those of the largest weight; of equal ones the first."""
    order = np.argsort(-weights, kind="stable")
    return in_turns([order[codes[order] == k][:n_shots].tolist() for k in range(n_classes)])


def random_of_each(codes, n_shots, n_classes, generator):
    """Return `n_shots` examples of each class as chance decides."""
    order = generator.permutation(len(codes))
    return in_turns([order[codes[order] == k][:n_shots].tolist() for k in range(n_classes)])


def word_vectors(sequences, n_tokens, idf=None, by_place=False):
    """Return documents as sparse vectors of length 1: how often they hold each token, times how rare that is.

    Parameters
    ----------
    sequences : list of ndarray of shape (n,), int
        Documents.
    n_tokens : int
        How many tokens there are.
    idf : ndarray of shape (n_words,) or None, default=None
        How rare tokens are; None takes ln((1 + n) / (1 + n_j)) + 1, where n_j of these n documents hold token j.
    by_place : bool, default=False
        Whether a token means something else in each place, as numbers in columns do.

    Returns
    -------
    vectors : csr_array of shape (n_documents, n_words), float64
        Of no tokens 0. A token in a place that no document had when `idf` was made is left out.
    idf : ndarray of shape (n_words,)
        The same, or what was made.
    """
    lengths = np.array([len(ids) for ids in sequences])
    rows = np.repeat(np.arange(len(sequences)), lengths)
    words = np.concatenate([*sequences, np.empty(0, dtype=np.int64)]).astype(np.int64)
    if by_place:
        words += n_tokens * (np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths))
    n_words = n_tokens * (max(lengths.max(), 1) if by_place else 1) if idf is None else len(idf)
    rows, words = rows[words < n_words], words[words < n_words]
    counts = sp.csr_array((np.ones(len(words)), (rows, words)), shape=(len(sequences), n_words))
    counts.sum_duplicates()
    if idf is None:
        n_with = np.bincount(counts.indices, minlength=n_words)
        idf = np.log((1 + len(sequences)) / (1 + n_with)) + 1
    counts.data *= idf[counts.indices]
    length = np.sqrt((counts * counts).sum(axis=1))
    counts.data /= np.repeat(length, np.diff(counts.indptr))
    return counts, idf


def most_similar(vectors, queries, n, left_out=None):
    """Return for each document the n examples of the largest cosine, the most similar last.

    Parameters
    ----------
    vectors : csr_array of shape (n_examples, n_words)
        Of length 1.
    queries : csr_array of shape (n_documents, n_words)
        Those of the documents.
    n : int
        How many.
    left_out : array-like of shape (n_documents,), int, or None, default=None
        The example that is the document itself.

    Returns
    -------
    index : ndarray of shape (n_documents, at most n), int
        Liu et al. 2022: what is read last has most influence. Of equally similar ones the first count.
    """
    kept = min(n, vectors.shape[0] - (left_out is not None))
    found = np.empty((queries.shape[0], kept), dtype=np.int64)
    for some in chunk_slices(len(found), 16 * vectors.shape[0]):
        similarity = (queries[some] @ vectors.T).toarray()
        if left_out is not None:
            similarity[np.arange(len(similarity)), left_out[some]] = -1
        found[some] = np.argsort(-similarity, axis=1, kind="stable")[:, :kept][:, ::-1]
    return found


# ---------------------------------------------------------------------------------------------- examples to learn from


def episodes(prompter, sequences, codes, weights, n_examples, text_weight):
    """Return examples one after the other, as prompts have them, and what each token counts in learning them.

    Parameters
    ----------
    prompter : Prompter
        What examples look like.
    sequences : list of ndarray of shape (n,), int32
        Documents.
    codes : ndarray of shape (n_documents,), int
        Their classes.
    weights : ndarray of shape (n_documents,)
        Their weights.
    n_examples : int
        The most that follow each other.
    text_weight : float
        What a token counts that no label decides.

    Returns
    -------
    texts : list of ndarray of shape (m,), int32
        Of at most so many tokens as are read together.
    shares : list of ndarray of shape (m + 1,)
        What they count; the last one is of the end.
    """
    most = np.inf if prompter.capacity is None else prompter.capacity - 1
    groups, n_tokens = [], 0
    for ids, k, weight in zip(sequences, codes, weights):
        tokens, start, stop = prompter.example(prompter.cut(ids), k)
        share = np.full(len(tokens), text_weight * weight)
        share[start:stop] = weight
        if not groups or len(groups[-1]) == n_examples or n_tokens + len(tokens) > most:
            groups.append([])
            n_tokens = 0
        groups[-1].append((tokens, share, text_weight * weight))
        n_tokens += len(tokens)
    texts = [np.concatenate([tokens for tokens, _, _ in group]).astype(np.int32) for group in groups]
    return texts, [np.concatenate([*[share for _, share, _ in group], [group[-1][2]]]) for group in groups]
