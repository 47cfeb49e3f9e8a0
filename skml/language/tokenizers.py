"""Tokenizers: texts as sequences of integers and back."""

import re
from collections import Counter
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import Interval, InvalidParameterError
from skml.base import fitting
from skml.language import bpe, bpe_files
from skml.language.files import write_all
from skml.language.texts import check_documents, check_ids, check_some

__all__ = ["BPETokenizer", "CharTokenizer", "Tokenizer", "WordTokenizer"]

ROLES = ("start", "end", "pad", "unknown")
# How files call the tokens of each role.
_CALLED = {
    "start": ("<start>", "<s>", "<bos>", "<|startoftext|>", "<|endoftext|>"),
    "end": ("<end>", "</s>", "<eos>", "<|endoftext|>"),
    "pad": ("<pad>", "[PAD]", "<|padding|>"),
    "unknown": ("<unk>", "[UNK]"),
}
_COUNT = [Interval(Integral, 1, None, closed="left")]
_SIZE = [*_COUNT, None]


class Tokenizer(TransformerMixin, BaseEstimator):
    """What tokenizers have in common; a tokenizer of your own derives from it.

    It has to define ``_learn(documents, n_special)``, which sets what it needs and returns the tokens that follow the
    special ones; ``_encode(documents)``, which returns a list of integer arrays; and ``_decode(ids)``, which returns
    the text of an array in which there is no padding, special tokens left out.
    """

    _takes_texts = True
    _parameter_constraints = {"special_tokens": [tuple, list, None]}

    @fitting
    def fit(self, X, y=None):
        """Learn the vocabulary.

        Parameters
        ----------
        X : iterable of str
            The documents; for :class:`QuantileTokenizer` rows of numbers.
        y : None
            Ignored.

        Returns
        -------
        self : Tokenizer
            The fitted tokenizer.
        """
        names = _special_names(self.special_tokens)
        special = list(dict.fromkeys(name for name in names if name is not None))
        documents = self._documents(X)
        self._refuse_nothing(documents)
        self._set_vocabulary([*special, *self._learn(documents, len(special))], names)
        return self

    def fit_transform(self, X, y=None):
        """Learn the vocabulary and return the tokens of the same documents.

        Parameters
        ----------
        X : iterable of str
            The documents, as in :meth:`fit`; a generator is read once.
        y : None
            Ignored.

        Returns
        -------
        ids : list of ndarray of shape (n_tokens,), int32
            Of each document.
        """
        documents = self._documents(X)
        return self.fit(documents).transform(documents)

    def transform(self, X):
        """Return the tokens of documents.

        Parameters
        ----------
        X : iterable of str
            The documents, as in :meth:`fit`. What in them looks like a special token is text as well.

        Returns
        -------
        ids : list of ndarray of shape (n_tokens,), int32
            Of each document; start and end tokens are not added.
        """
        check_is_fitted(self)
        return self._encode(self._documents(X))

    def inverse_transform(self, X):
        """Return the documents of tokens.

        Parameters
        ----------
        X : iterable of array-like of shape (n_tokens,)
            Of integers; -1 is padding. A two-dimensional array is fine.

        Returns
        -------
        documents : list of str
            Without special tokens; for :class:`QuantileTokenizer` arrays of numbers.
        """
        check_is_fitted(self)
        return [self._decode(ids) for ids in check_ids(X, self.n_tokens_)]

    def encode(self, text):
        """Return the tokens of one document.

        Parameters
        ----------
        text : str
            The document; for :class:`QuantileTokenizer` a row of numbers.

        Returns
        -------
        ids : ndarray of shape (n_tokens,), int32
            Its tokens.
        """
        return self.transform([text])[0]

    def decode(self, ids):
        """Return the document of tokens.

        Parameters
        ----------
        ids : array-like of shape (n_tokens,)
            Integers; -1 is padding.

        Returns
        -------
        text : str
            The document without special tokens, as :meth:`inverse_transform` returns it.
        """
        return self.inverse_transform([ids])[0]

    def _documents(self, X):
        """Return what a user gives as documents as a list."""
        return check_documents(X)

    def _refuse_nothing(self, documents):
        """Raise a ValueError if there is nothing to learn from."""
        check_some(documents)

    def _set_vocabulary(self, vocabulary, names):
        """Set the tokens, and which of them have a role."""
        self.vocabulary_, self.n_tokens_ = vocabulary, len(vocabulary)
        ids = [None if name is None else vocabulary.index(name) for name in names]
        self.start_id_, self.end_id_, self.pad_id_, self.unknown_id_ = ids

    def _n_special(self):
        return len({name for name in _special_names(self.special_tokens) if name is not None})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def _special_names(given):
    """Return the four names of special tokens, None where there is none."""
    names = () if given is None else given
    fine = isinstance(names, (tuple, list)) and len(names) <= len(ROLES)
    if not fine or not all(name is None or (isinstance(name, str) and name) for name in names):
        raise InvalidParameterError(
            f"special_tokens must be up to four strings or None, for {', '.join(ROLES)}, got {given!r}."
        )
    return (*names, *[None] * (len(ROLES) - len(names)))


def _most_frequent(counts, size, min_frequency):
    """Return the most frequent tokens, the smaller of equally frequent ones."""
    kept = [token for token, count in counts.items() if count >= min_frequency]
    return sorted(kept, key=lambda token: (-counts[token], token))[:size]


def _room(size, n_special, name):
    """Return how many tokens fit beside the special ones, None for any number."""
    if size is not None and size <= n_special:
        raise InvalidParameterError(f"{name}={size} leaves no room beside the {n_special} special tokens.")
    return None if size is None else size - n_special


def _refuse_unknown(token, kind):
    raise ValueError(
        f"The {kind} {token!r} was not in the documents of fit, and special_tokens has no token for unknown ones; "
        "give it one, e.g. ('<start>', '<end>', '<pad>', '<unk>')."
    )


class CharTokenizer(Tokenizer):
    """A token per character.

    Parameters
    ----------
    vocabulary_size : int or None, default=None
        The largest number of tokens, special ones included; the most frequent characters are kept. None keeps all.
    min_frequency : int, default=1
        How often a character must occur.
    special_tokens : tuple of str or None, default=('<start>', '<end>', '<pad>', '<unk>')
        The tokens for start, end, padding and unknown characters, in this order, which get the first ids; None, or
        leaving off the last ones, means that there is none.

    Attributes
    ----------
    vocabulary_ : list of str
        The token of each id: special tokens, then characters in the order of their code points.
    n_tokens_ : int
        How many there are.
    start_id_, end_id_, pad_id_, unknown_id_ : int or None
        The special tokens.

    See Also
    --------
    BPETokenizer : Fewer tokens, and any text.
    skml.language.pad_sequences : The result as an array.

    Notes
    -----
    Characters are Python's, the code points: a letter with a combining mark is two. ``inverse_transform(transform(X))``
    is X where all characters are known; unknown ones are left out.

    Examples
    --------
    >>> from skml import CharTokenizer
    >>> tokenizer = CharTokenizer().fit(["to be", "or not"])
    >>> tokenizer.vocabulary_
    ['<start>', '<end>', '<pad>', '<unk>', ' ', 'b', 'e', 'n', 'o', 'r', 't']
    >>> tokenizer.encode("bone!")
    array([5, 8, 7, 6, 3], dtype=int32)
    >>> tokenizer.decode([5, 8, 7, 6, 1])
    'bone'
    """

    _parameter_constraints = {**Tokenizer._parameter_constraints, "vocabulary_size": _SIZE, "min_frequency": _COUNT}

    def __init__(self, vocabulary_size=None, *, min_frequency=1, special_tokens=("<start>", "<end>", "<pad>", "<unk>")):
        self.vocabulary_size = vocabulary_size
        self.min_frequency = min_frequency
        self.special_tokens = special_tokens

    def _learn(self, documents, n_special):
        counts = Counter()
        for document in documents:
            counts.update(document)
        room = _room(self.vocabulary_size, n_special, "vocabulary_size")
        characters = sorted(_most_frequent(counts, room, self.min_frequency))
        if not characters:
            raise ValueError(f"No character occurs min_frequency={self.min_frequency} times.")
        self._codes = np.array([ord(character) for character in characters], dtype="<u4")
        self._first = n_special
        return characters

    def _encode(self, documents):
        return [self._encode_one(document) for document in documents]

    def _encode_one(self, document):
        codes = np.frombuffer(document.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[at] == codes
        if self.unknown_id_ is None and not known.all():
            _refuse_unknown(chr(codes[known.argmin()]), "character")
        ids = at.astype(np.int32) + np.int32(self._first)
        ids[~known] = self.unknown_id_ or 0
        return ids

    def _decode(self, ids):
        return "".join([self.vocabulary_[i] for i in ids[ids >= self._first].tolist()])


class WordTokenizer(Tokenizer):
    r"""A token per word.

    Parameters
    ----------
    vocabulary_size : int or None, default=None
        The largest number of tokens, special ones included; the most frequent words are kept, the alphabetically first
        of equally frequent ones. None keeps all.
    min_frequency : int, default=1
        How often a word must occur.
    lowercase : bool, default=False
        Whether to make all letters small.
    token_pattern : str, default="\w+|[^\w\s]"
        The regular expression that finds words; by default letters and digits that follow each other, and any other
        sign alone. If it has a group, that is the word.
    special_tokens : tuple of str or None, default=('<start>', '<end>', '<pad>', '<unk>')
        The tokens for start, end, padding and unknown words, in this order, which get the first ids; None, or leaving
        off the last ones, means that there is none.

    Attributes
    ----------
    vocabulary_ : list of str
        The token of each id: special tokens, then words, the most frequent one first.
    n_tokens_ : int
        How many there are.
    start_id_, end_id_, pad_id_, unknown_id_ : int or None
        The special tokens.

    See Also
    --------
    BPETokenizer : Parts of words, so that none is unknown.

    Notes
    -----
    :meth:`inverse_transform` puts a blank between words; what was between them in the text is not kept, and unknown
    words are left out.

    Examples
    --------
    >>> from skml import WordTokenizer
    >>> tokenizer = WordTokenizer(vocabulary_size=7).fit(["to be, or not to be", "be that as it may"])
    >>> tokenizer.vocabulary_
    ['<start>', '<end>', '<pad>', '<unk>', 'be', 'to', ',']
    >>> tokenizer.decode(tokenizer.encode("or, to be"))
    ', to be'
    """

    _parameter_constraints = {
        **Tokenizer._parameter_constraints,
        "vocabulary_size": _SIZE,
        "min_frequency": _COUNT,
        "lowercase": ["boolean"],
        "token_pattern": [str],
    }

    def __init__(
        self,
        vocabulary_size=None,
        *,
        min_frequency=1,
        lowercase=False,
        token_pattern=r"\w+|[^\w\s]",
        special_tokens=("<start>", "<end>", "<pad>", "<unk>"),
    ):
        self.vocabulary_size = vocabulary_size
        self.min_frequency = min_frequency
        self.lowercase = lowercase
        self.token_pattern = token_pattern
        self.special_tokens = special_tokens

    def _learn(self, documents, n_special):
        find = self._finder()
        counts = Counter()
        for document in documents:
            counts.update(find(document))
        counts.pop("", None)
        room = _room(self.vocabulary_size, n_special, "vocabulary_size")
        words = _most_frequent(counts, room, self.min_frequency)
        if not words:
            raise ValueError(f"No word that token_pattern finds occurs min_frequency={self.min_frequency} times.")
        self._index = {word: i for i, word in enumerate(words, n_special)}
        return words

    def _finder(self):
        """Return the function that lists the words of a document."""
        try:
            pattern = re.compile(self.token_pattern)
        except re.error as error:
            raise InvalidParameterError(f"token_pattern is no regular expression: {error}.") from error
        if pattern.groups > 1:
            raise InvalidParameterError(f"token_pattern may have one group, it has {pattern.groups}.")
        return (lambda text: pattern.findall(text.lower())) if self.lowercase else pattern.findall

    def _encode(self, documents):
        find = self._finder()
        return [self._encode_words([word for word in find(document) if word]) for document in documents]

    def _encode_words(self, words):
        if self.unknown_id_ is None and (unknown := next((word for word in words if word not in self._index), None)):
            _refuse_unknown(unknown, "word")
        return np.array([self._index.get(word, self.unknown_id_) for word in words], dtype=np.int32)

    def _decode(self, ids):
        first = len(self.vocabulary_) - len(self._index)
        return " ".join([self.vocabulary_[i] for i in ids[ids >= first].tolist()])


class BPETokenizer(Tokenizer):
    r"""Byte-level byte-pair encoding, as in GPT-2: parts of words as tokens, and no text that it cannot write.

    Parameters
    ----------
    vocabulary_size : int, default=2048
        The largest number of tokens: special ones, the 256 bytes, and merges.
    min_frequency : int, default=2
        How often a pair of tokens must occur to be merged.
    special_tokens : tuple of str or None, default=('<start>', '<end>', '<pad>')
        The tokens for start, end and padding, in this order, which get the first ids; None, or leaving off the last
        ones, means that there is none. (A fourth would be for the unknown, of which there is none.)
    n_jobs : int or None, default=None
        The number of threads; None means all that are allowed, -1 all processors. It changes no result.

    Attributes
    ----------
    vocabulary_ : list of str
        The token of each id as GPT-2's files write it, a character for each byte.
    merges_ : ndarray of shape (n_merges, 2), int32
        The pairs that merge, in the order in which they were learned.
    n_tokens_ : int
        How many tokens there are.
    start_id_, end_id_, pad_id_, unknown_id_ : int or None
        The special tokens.

    See Also
    --------
    CharTokenizer : A token per character.

    Notes
    -----
    A text is written in UTF-8. GPT-2's regular expression cuts it into pieces (a word with the blank before it, digits,
    other signs, white space), and in each piece the pair that was learned first is merged, again and again. What is a
    letter or a digit is for Python's :mod:`unicodedata` to say. ``inverse_transform(transform(X))`` is X, whatever X
    holds: a lone surrogate, which UTF-8 doesn't allow, is written as the three bytes of its number, and read so. Tokens
    that are not together a text, e.g. half a character, are read as U+FFFD.

    What looks like a special token in a text is text; special tokens only come from their ids.

    Of equally frequent pairs the one of the smaller tokens is merged first. A pair that spells a token which is there
    already is passed over.

    References
    ----------
    R. Sennrich, B. Haddow, A. Birch (2016). Neural machine translation of rare words with subword units. ACL.
    A. Radford et al. (2019). Language models are unsupervised multitask learners (GPT-2).

    Examples
    --------
    >>> from skml import BPETokenizer
    >>> tokenizer = BPETokenizer(vocabulary_size=263).fit(["low lower lowest", "slow slower slowest"])
    >>> [tokenizer.vocabulary_[i] for i in tokenizer.encode("lowest")]
    ['lowe', 'st']
    >>> tokenizer.decode(tokenizer.encode("naïve 🙂"))
    'naïve 🙂'
    """

    _parameter_constraints = {
        **Tokenizer._parameter_constraints,
        "vocabulary_size": [Interval(Integral, 256, None, closed="left")],
        "min_frequency": _COUNT,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self, vocabulary_size=2048, *, min_frequency=2, special_tokens=("<start>", "<end>", "<pad>"), n_jobs=None
    ):
        self.vocabulary_size = vocabulary_size
        self.min_frequency = min_frequency
        self.special_tokens = special_tokens
        self.n_jobs = n_jobs

    @classmethod
    def from_files(cls, vocabulary, merges, *, special_tokens=None):
        """Return a fitted tokenizer from the two files of GPT-2.

        Parameters
        ----------
        vocabulary : str or path-like
            ``vocab.json``, the id of each token.
        merges : str or path-like
            ``merges.txt``, a pair of tokens per line.
        special_tokens : tuple of str or None, default=None
            The tokens for start, end, padding and the unknown, which must be in the vocabulary; None goes by names that
            are common, e.g. "<|endoftext|>" for start and end.

        Returns
        -------
        tokenizer : BPETokenizer
            It gives the same ids. Special are the tokens that are neither a byte nor the result of a merge.

        Raises
        ------
        ValueError
            If a file is broken, or the tokens are not byte-level.
        OSError
            If it cannot be read.
        """
        return cls._loaded(*bpe_files.read_pair(vocabulary, merges), special_tokens)

    @classmethod
    def from_json(cls, path, *, special_tokens=None):
        """Return a fitted tokenizer from Hugging Face's ``tokenizer.json``, where that is of GPT-2's kind.

        Parameters
        ----------
        path : str or path-like
            The file. What it says of truncation, padding and post-processing is not followed.
        special_tokens : tuple of str or None, default=None
            As in :meth:`from_files`.

        Returns
        -------
        tokenizer : BPETokenizer
            It gives the same ids.

        Raises
        ------
        ValueError
            If the file is broken, or not of that kind.
        OSError
            If it cannot be read.
        """
        return cls._loaded(*bpe_files.read_whole(path), special_tokens)

    @classmethod
    def _loaded(cls, coder, tokens, special, names):
        there = {tokens[i] for i in special}
        if names is None:
            names = [next((name for name in _CALLED[role] if name in there), None) for role in ROLES]
        names = tuple(_special_names(names))
        missing = [name for name in names if name is not None and name not in there]
        if missing:
            raise ValueError(f"{missing[0]!r} is no special token of the file; it has {sorted(there)[:10]}.")
        tokenizer = cls(len(tokens), special_tokens=names)
        tokenizer._set_coder(coder)
        tokenizer._set_vocabulary(tokens, names)
        return tokenizer

    def save(self, folder):
        """Write ``vocab.json``, ``merges.txt`` and ``tokenizer.json``, each whole or not at all.

        Parameters
        ----------
        folder : str or path-like
            Where to; it is made if need be.

        Raises
        ------
        ValueError
            If a special token is written like another token.
        """
        check_is_fitted(self)
        write_all(folder, self._files())

    def _files(self):
        """Return what the files hold."""
        special = {i for i, piece in enumerate(self._coder.pieces) if not piece}
        return bpe_files.file_contents(self.vocabulary_, self._coder, special)

    def _bound_by(self, start, end):
        """Let special tokens begin and end documents."""
        names = self.vocabulary_[start], self.vocabulary_[end], *_special_names(self.special_tokens)[2:]
        self.special_tokens = names
        self._set_vocabulary(self.vocabulary_, names)

    def _learn(self, documents, n_special):
        n_merges = self.vocabulary_size - n_special - 256
        if n_merges < 0:
            raise InvalidParameterError(
                f"vocabulary_size={self.vocabulary_size} leaves no room for 256 bytes and {n_special} special tokens."
            )
        counts = bpe.count_pieces(documents, self._threads())
        merges = bpe.learn_merges(counts, n_special + 256, n_merges, self.min_frequency)
        self._set_coder(bpe.learned_coder(merges, n_special))
        symbols = bpe.byte_symbols()
        return ["".join([symbols[byte] for byte in piece]) for piece in self._coder.pieces[n_special:]]

    def _set_coder(self, coder):
        self._coder, self.merges_ = coder, coder.merges

    def _threads(self):
        return _kernels.n_threads() if self.n_jobs is None else _kernels.threads_of(self.n_jobs)

    def _encode(self, documents):
        return bpe.encode(self._coder, documents, self._threads())

    def _decode(self, ids):
        return bpe.decode(self._coder, ids)
