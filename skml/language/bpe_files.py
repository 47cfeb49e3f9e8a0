"""The files of byte-level BPE: GPT-2's ``vocab.json`` and ``merges.txt``, and Hugging Face's ``tokenizer.json``."""

import json
import os

import numpy as np

from skml.language.bpe import byte_symbols, make_coder
from skml.language.files import parse_json, read_text

MOST_TOKENS = 2**24

# What a tokenizer.json may say of its model and its pieces, so that the tokens are those of GPT-2's way.
_MODEL = {
    "type": ("BPE", None),
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}
_PIECES = {"type": ("ByteLevel",), "add_prefix_space": (False,), "use_regex": (None, True)}


def read_pair(vocabulary, merges):
    """Read GPT-2's two files.

    Parameters
    ----------
    vocabulary, merges : str or path-like
        ``vocab.json`` and ``merges.txt``.

    Returns
    -------
    coder : Coder
        Ready to encode.
    tokens : list of str
        All tokens as the file writes them.
    special : set of int
        The special ones.

    Raises
    ------
    ValueError
        If a file is broken.
    OSError
        If it cannot be read.
    """
    lines = read_text(merges).split("\n")
    lines = [line.removesuffix("\r") for line in lines[lines[0].startswith("#version") :]]
    lines = [line for line in lines if line]
    return _read_as(vocabulary, lambda: _coder_of(parse_json(read_text(vocabulary)), lines, set()))


def read_whole(path):
    """Read Hugging Face's ``tokenizer.json``, of GPT-2's kind; what it returns and raises is that of :func:`read_pair`.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    coder, tokens, special : Coder, list of str and set of int
        As of :func:`read_pair`.
    """
    return _read_as(path, lambda: _from_whole(parse_json(read_text(path))))


def _read_as(path, read):
    """Call a function, and name the file in what it refuses."""
    try:
        return read()
    except ValueError as error:
        raise ValueError(
            f"{os.fspath(path)} is no file of a byte-level BPE tokenizer that can be read: {error}"
        ) from error


def _from_whole(content):
    model = _entry(content, "model", dict)
    _agree(model, _MODEL, "model")
    if content.get("normalizer") is not None:
        raise ValueError("it has a normalizer, which changes the text.")
    _agree(_entry(content, "pre_tokenizer", dict), _PIECES, "pre_tokenizer")
    vocabulary, added = dict(_entry(model, "vocab", dict)), content.get("added_tokens") or []
    if not isinstance(added, list):
        raise ValueError("added_tokens must be a list.")
    for token in added:
        name, number = _entry(token, "content", str), _entry(token, "id", int)
        if vocabulary.setdefault(name, number) != number or token.get("special") is not True:
            raise ValueError(f"the added token {name!r} must be special and have one id.")
    merges = _entry(model, "merges", list)
    return _coder_of(vocabulary, merges, {token["content"] for token in added})


def _entry(content, name, kind):
    """Return an entry of a JSON object, of a kind."""
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} must be there, as {kind.__name__}.")
    return value


def _agree(content, allowed, where):
    """Raise a ValueError where options ask for something that isn't GPT-2's way."""
    for name, values in allowed.items():
        value = content.get(name)
        if not any(value is given or (type(value) is type(given) and value == given) for given in values):
            raise ValueError(f"{where}.{name} is {value!r}, only {values[0]!r} is supported.")


def _coder_of(vocabulary, merges, special):
    """Return (coder, tokens, special ids) of {token: id}, merges and the tokens that are special in any case."""
    tokens = _numbered(vocabulary)
    pairs = [_pair(merge) for merge in merges]
    _check_merges(pairs, vocabulary, special)
    results = [left + right for left, right in pairs]
    made = {*byte_symbols(), *results}
    byte_of = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    pieces = [_spelled(token, byte_of) if token in made else b"" for token in tokens]
    coder = make_coder(
        np.array([vocabulary[symbol] for symbol in byte_symbols()], dtype=np.int32),
        np.array([[vocabulary[part] for part in pair] for pair in pairs], dtype=np.int32).reshape(-1, 2),
        np.array([vocabulary[result] for result in results], dtype=np.int32),
        pieces,
    )
    return coder, tokens, {i for i, token in enumerate(tokens) if token not in made}


def _numbered(vocabulary):
    """Return the tokens in the order of their ids, which must be 0, 1, 2 and so on."""
    if not isinstance(vocabulary, dict) or not 0 < len(vocabulary) <= MOST_TOKENS:
        raise ValueError(f"the vocabulary must be an object of 1 to {MOST_TOKENS} tokens.")
    tokens = [None] * len(vocabulary)
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < len(tokens) or tokens[number] is not None:
            raise ValueError(
                f"ids must be 0 to {len(tokens) - 1}, each once, for {len(tokens)} tokens; {token!r} has {number!r}."
            )
        tokens[number] = token
    missing = [symbol for symbol in byte_symbols() if symbol not in vocabulary]
    if missing:
        raise ValueError(f"{len(missing)} of the 256 bytes have no token, e.g. {missing[0]!r}; texts would get lost.")
    return tokens


def _pair(merge):
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
        raise ValueError(f"a merge must be two tokens, got {str(merge)[:80]!r}.")
    return tuple(parts)


def _check_merges(pairs, vocabulary, special):
    if len(set(pairs)) != len(pairs):
        raise ValueError("a merge occurs twice.")
    for left, right in pairs:
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise ValueError(
                    f"the merge of {left!r} and {right!r} names {token!r}, which is not in the vocabulary."
                )
            if token in special:
                raise ValueError(f"the merge of {left!r} and {right!r} names {token!r}, which is a special token.")


def _spelled(token, byte_of):
    try:
        return bytes([byte_of[symbol] for symbol in token])
    except KeyError as error:
        raise ValueError(f"the token {token!r} of a merge has a character that stands for no byte.") from error


def file_contents(tokens, coder, special):
    """Return what ``vocab.json``, ``merges.txt`` and ``tokenizer.json`` hold.

    Parameters
    ----------
    tokens : list of str
        All tokens.
    coder : Coder
        Their merges.
    special : set of int
        The special ones.

    Returns
    -------
    contents : dict of str to bytes
        Of each file.

    Raises
    ------
    ValueError
        If two tokens are written alike.
    """
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise ValueError("A special token is written like another token, so files cannot tell them apart.")
    merges = [" ".join(tokens[i] for i in pair) for pair in coder.merges.tolist()]
    contents = {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "tokenizer.json": json.dumps(_whole(vocabulary, merges, sorted(special)), ensure_ascii=False, indent=1),
    }
    return {name: content.encode("utf-8") for name, content in contents.items()}


def _whole(vocabulary, merges, special):
    """Return what a tokenizer.json holds."""
    tokens = list(vocabulary)
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    pieces = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    nothing = dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"))
    switches = dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **plain, "special": True} for i in special],
        "normalizer": None,
        "pre_tokenizer": pieces,
        "post_processor": None,
        "decoder": pieces,
        "model": {"type": "BPE", **nothing, **switches, "vocab": vocabulary, "merges": merges},
    }
