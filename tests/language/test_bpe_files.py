"""Files of byte-level BPE: what is written is read again, and what is broken is refused whole."""

import json
import re

import numpy as np
import pytest

from skml import BPETokenizer
from skml.language import bpe_files, files

TEXTS = ["to be or not to be, don't ask 🙂🙂 why\n\n", "the question is not to be asked"]


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(300, special_tokens=("<s>", "</s>", "<pad>")).fit(TEXTS)


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new" / "folder")
    return tmp_path / "new" / "folder"


def readers(folder):
    """Yield functions that read a tokenizer from what `save` has written."""
    yield lambda **params: BPETokenizer.from_files(folder / "vocab.json", str(folder / "merges.txt"), **params)
    yield lambda **params: BPETokenizer.from_json(folder / "tokenizer.json", **params)


def test_what_is_saved_is_read_again(tokenizer, folder):
    for read in readers(folder):
        other = read()
        assert other.vocabulary_ == tokenizer.vocabulary_
        assert other.merges_.tolist() == tokenizer.merges_.tolist()
        assert (other.start_id_, other.end_id_, other.pad_id_, other.unknown_id_) == (0, 1, 2, None)
        assert other.special_tokens == ("<s>", "</s>", "<pad>", None)
        for text in [*TEXTS, "something else: \ud800 é 日本"]:
            np.testing.assert_array_equal(other.encode(text), tokenizer.encode(text))
            assert other.decode(other.encode(text)) == text
        assert other.decode([0, *other.encode("to be"), 1, 2, -1]) == "to be"
        assert other.fit(TEXTS).vocabulary_[:3] == ["<s>", "</s>", "<pad>"]  # and it may learn anew


def test_roles_may_be_said(folder):
    for read in readers(folder):
        other = read(special_tokens=("</s>", "</s>"))
        assert (other.start_id_, other.end_id_, other.pad_id_, other.unknown_id_) == (1, 1, None, None)
        with pytest.raises(ValueError, match="'to' is no special token of the file"):
            read(special_tokens=("to",))
        with pytest.raises(ValueError, match="up to four strings"):
            read(special_tokens="<s>")


def test_ids_may_come_in_any_order(tokenizer, folder, rng):
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    shuffled = dict(zip(vocabulary, rng.permutation(len(vocabulary)).tolist()))
    (folder / "vocab.json").write_text(json.dumps(shuffled), encoding="ascii")
    other = next(readers(folder))()
    for text in TEXTS:
        ours = [other.vocabulary_[i] for i in other.encode(text)]
        assert ours == [tokenizer.vocabulary_[i] for i in tokenizer.encode(text)]
        assert other.decode(other.encode(text)) == text


def test_windows_line_ends_and_a_missing_header_are_fine(tokenizer, folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    for text in ("\r\n".join(lines), "\n".join(lines[1:]), "\n".join(lines).rstrip()):
        (folder / "merges.txt").write_bytes(text.encode("utf-8"))
        assert next(readers(folder))().merges_.tolist() == tokenizer.merges_.tolist()


def test_a_token_that_two_ways_make_is_one(tmp_path):
    # 'abc' comes of 'ab' and 'c', or of 'a' and 'bc', whichever is there
    symbols = [symbol for symbol in bpe_files.byte_symbols()]
    tokens = [*symbols, "ab", "bc", "abc"]
    merges = ["b c", "a bc", "a b", "ab c"]
    (tmp_path / "v").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "m").write_text("\n".join(merges))
    tokenizer = BPETokenizer.from_files(tmp_path / "v", tmp_path / "m")
    assert tokenizer.encode("abcab").tolist() == [258, 256]
    (tmp_path / "m").write_text("\n".join(reversed(merges)))
    assert BPETokenizer.from_files(tmp_path / "v", tmp_path / "m").encode("abcab").tolist() == [258, 256]


# ------------------------------------------------------------------------------------------ broken files


def broken_vocabularies(good):
    """Yield (what is wrong, content of vocab.json)."""
    some = next(iter(good))
    yield "truncated", json.dumps(good)[:1000]
    yield "empty", ""
    yield "a list", json.dumps(list(good))
    yield "a number", "3"
    yield "null", "null"
    yield "nothing in it", "{}"
    yield "no number", json.dumps({**good, some: "0"})
    yield "null as id", json.dumps({**good, some: None})
    yield "true as id", json.dumps({**good, some: True})
    yield "a float as id", json.dumps({**good, some: 0.0})
    yield "NaN as id", json.dumps({**good, some: float("nan")})
    yield "negative", json.dumps({**good, some: -1})
    yield "huge", json.dumps({**good, some: 10**18})
    yield "endless digits", json.dumps(good).replace(": 0,", ": " + "9" * 5000 + ",", 1)
    yield "an id twice", json.dumps({**good, some: 7})
    yield "a hole", json.dumps({token: number + (number > 50) for token, number in good.items()})
    yield "a byte without token", json.dumps({token: i for i, token in enumerate(t for t in good if t != "!")})
    yield "a name twice", json.dumps(good)[:-1] + ', "!": 3}'
    yield "nested", "[" * 200_000
    yield "a list in it", json.dumps({**good, some: [0]})


def broken_merges(lines):
    """Yield (what is wrong, content of merges.txt)."""
    yield "one token", "\n".join([*lines, "ab"])
    yield "three tokens", "\n".join([*lines, "a b c"])
    yield "an empty token", "\n".join([*lines, "a "])
    yield "an unknown token", "\n".join([*lines, "qqq a"])
    yield "an unknown result", "\n".join([*lines, "q q"])
    yield "twice", "\n".join([*lines, lines[1]])
    yield "a special token", "\n".join([*lines, "< s>"])
    yield "JSON", '{"a": 1}'


def test_broken_vocabularies_are_refused(folder):
    good = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    for what, content in broken_vocabularies(good):
        (folder / "vocab.json").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=re.escape(str(folder / "vocab.json"))):
            print(what, next(readers(folder))())


def test_broken_merges_are_refused(folder):
    lines = (folder / "merges.txt").read_text(encoding="utf-8").rstrip().split("\n")
    for what, content in broken_merges(lines):
        (folder / "merges.txt").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError):
            print(what, next(readers(folder))())


def changed(content, path, value):
    """Return a copy of nested dicts with one entry changed, or taken away."""
    content = json.loads(json.dumps(content))
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("model",), ..., "model must be there"),
        (("model",), [], "model must be there"),
        (("model", "type"), "WordPiece", "model.type is 'WordPiece'"),
        (("model", "dropout"), 0.1, "model.dropout is 0.1"),
        (("model", "byte_fallback"), True, "byte_fallback"),
        (("model", "ignore_merges"), True, "ignore_merges"),
        (("model", "end_of_word_suffix"), "</w>", "end_of_word_suffix"),
        (("model", "continuing_subword_prefix"), "##", "continuing_subword_prefix"),
        (("model", "vocab"), ..., "vocab must be there"),
        (("model", "vocab"), [["a", 0]], "vocab must be there"),
        (("model", "merges"), ..., "merges must be there"),
        (("model", "merges"), {"a": "b"}, "merges must be there"),
        (("model", "merges"), [["a", "b", "c"]], "a merge must be two tokens"),
        (("model", "merges"), [["a", 3]], "a merge must be two tokens"),
        (("model", "merges"), [3], "a merge must be two tokens"),
        (("model", "merges"), [None], "a merge must be two tokens"),
        (("model", "merges"), ["q q"], "names 'qq', which is not in the vocabulary"),
        (("model", "merges"), [["<s", ">"]], "not in the vocabulary|special"),
        (("normalizer",), {"type": "NFC"}, "normalizer"),
        (("pre_tokenizer",), None, "pre_tokenizer must be there"),
        (("pre_tokenizer", "type"), "Whitespace", "pre_tokenizer.type is 'Whitespace'"),
        (("pre_tokenizer", "add_prefix_space"), True, "add_prefix_space is True"),
        (("pre_tokenizer", "use_regex"), False, "use_regex is False"),
        (("added_tokens",), {"a": 1}, "added_tokens must be a list"),
        (("added_tokens",), [3], "content must be there"),
        (("added_tokens",), [{"content": "<x>", "id": "0", "special": True}], "id must be there"),
        (("added_tokens",), [{"content": "<x>", "id": True, "special": True}], "id must be there"),
        (("added_tokens",), [{"content": "<s>", "id": 5, "special": True}], "must be special and have one id"),
        (("added_tokens",), [{"content": "<x>", "id": 300, "special": False}], "must be special"),
        (("added_tokens",), [{"content": "<x>", "id": 400, "special": True}], "ids must be 0 to"),
        (("added_tokens",), [{"content": "be", "id": ..., "special": True}], "which is a special token"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(folder, path, value, words):
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if isinstance(value, list) and value and isinstance(value[0], dict) and value[0]["id"] is ...:
        value = [{**value[0], "id": content["model"]["vocab"]["be"]}]
    (folder / "tokenizer.json").write_text(json.dumps(changed(content, path, value)), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        BPETokenizer.from_json(folder / "tokenizer.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"model": {"vocab": {"a"', b"[" * 10**5]
)
def test_a_broken_tokenizer_json_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        BPETokenizer.from_json(tmp_path / "tokenizer.json")


def test_every_truncation_is_refused(tmp_path):
    BPETokenizer(259).fit(["a"]).save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_bytes()
    for n in range(0, len(whole.rstrip()), 97):
        (tmp_path / "tokenizer.json").write_bytes(whole[:n])
        with pytest.raises(ValueError):
            BPETokenizer.from_json(tmp_path / "tokenizer.json")


def test_files_that_are_too_large_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_TEXT", 100)
    for read in readers(folder):
        with pytest.raises(ValueError, match="more than 100 bytes"):
            read()


def test_more_tokens_than_any_model_has_are_refused(folder, monkeypatch):
    monkeypatch.setattr(bpe_files, "MOST_TOKENS", 270)
    for read in readers(folder):
        with pytest.raises(ValueError, match="1 to 270 tokens"):
            read()


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        BPETokenizer.from_json(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no regular file"):
        BPETokenizer.from_json(tmp_path)
    with pytest.raises(ValueError, match="no regular file"):
        BPETokenizer.from_files(tmp_path, tmp_path)


def test_a_merge_of_what_is_no_byte_is_refused(tmp_path):
    tokens = [*bpe_files.byte_symbols(), " x", "a x"]
    (tmp_path / "v").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "m").write_text("a  x")
    with pytest.raises(ValueError):
        BPETokenizer.from_files(tmp_path / "v", tmp_path / "m")
    tokens = [*bpe_files.byte_symbols(), "日", "a日"]
    (tmp_path / "v").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "m").write_text("a 日", encoding="utf-8")
    with pytest.raises(ValueError, match="stands for no byte"):
        BPETokenizer.from_files(tmp_path / "v", tmp_path / "m")


def test_tokens_written_alike_are_not_saved(tmp_path):
    tokenizer = BPETokenizer(300, special_tokens=("to",)).fit(TEXTS)
    assert tokenizer.vocabulary_.count("to") == 2
    with pytest.raises(ValueError, match="written like another token"):
        tokenizer.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
