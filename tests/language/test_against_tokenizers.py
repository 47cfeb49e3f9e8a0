"""Byte-level BPE beside the package ``tokenizers``: the same merges, the same tokens, each other's files."""

import json
import unicodedata
from pydoc_data import topics

import numpy as np
import pytest

from skml import BPETokenizer
from skml.language import bpe

theirs = pytest.importorskip("tokenizers")

TEXT = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
MANY = "abc efg 's't're've'm'll'd \t\n\r\x1c\u0085\u00a0\u2003\u3000\u200b0123٣½²ⅷéñ\u0301-_.,!?"
MANY += "日本語テスト🙂👩\u200d👧🇩🇪АбвΑβγשלוםสวัสดี"


def trained(texts, size, special=()):
    """Return a tokenizer of theirs that was trained as ours is."""
    tokenizer = theirs.Tokenizer(theirs.models.BPE())
    tokenizer.pre_tokenizer = theirs.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = theirs.decoders.ByteLevel()
    trainer = theirs.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(special),
        initial_alphabet=theirs.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def many_languages(rng, n):
    return ["".join(rng.choice(list(MANY), rng.integers(0, 60))) for _ in range(n)]


@pytest.fixture(scope="module")
def english():
    return trained([TEXT], 1500, ["<s>", "</s>", "<pad>"])


def assert_same_tokens(ours, other, texts):
    for text in texts:
        assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids
        assert ours.decode(ours.encode(text)) == text


def test_the_same_vocabulary_is_learned(english):
    ours = BPETokenizer(1500, special_tokens=("<s>", "</s>", "<pad>")).fit([TEXT])
    vocabulary = english.get_vocab()
    assert ours.vocabulary_ == sorted(vocabulary, key=vocabulary.get)
    merges = json.loads(english.to_str())["model"]["merges"]
    assert [[ours.vocabulary_[i] for i in pair] for pair in ours.merges_] == [list(pair) for pair in merges]
    assert_same_tokens(ours, english, [TEXT[i : i + 5000] for i in range(0, 100_000, 5000)])


def test_their_files_give_the_same_tokens(english, rng, tmp_path):
    texts = [*many_languages(rng, 200), *(TEXT[i : i + 3000] for i in range(0, 60_000, 3000))]
    for other in (english, trained(many_languages(rng, 400), 700, ["<|endoftext|>"])):
        other.save(str(tmp_path / "tokenizer.json"))
        other.model.save(str(tmp_path))
        whole = BPETokenizer.from_json(tmp_path / "tokenizer.json")
        assert_same_tokens(whole, other, texts)
        pair = BPETokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")
        assert_same_tokens(pair, other, texts)
        vocabulary = other.get_vocab()
        assert whole.vocabulary_ == pair.vocabulary_ == sorted(vocabulary, key=vocabulary.get)
    assert (pair.start_id_, pair.end_id_, pair.pad_id_) == (0, 0, None)


def test_our_files_give_the_same_tokens_there(rng, tmp_path):
    ours = BPETokenizer(600).fit(many_languages(rng, 300))
    ours.save(tmp_path)
    texts = many_languages(rng, 200)
    assert_same_tokens(ours, theirs.Tokenizer.from_file(str(tmp_path / "tokenizer.json")), texts)
    model = theirs.models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    other = theirs.Tokenizer(model)
    other.pre_tokenizer = theirs.pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert_same_tokens(ours, other, texts)
    other = theirs.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert other.token_to_id("<pad>") == ours.pad_id_
    assert [other.decode(ours.encode(text).tolist()) for text in texts] == texts


def test_merges_in_any_order_give_the_same_tokens(rng, tmp_path):
    # a file may rank a merge before those that it needs
    other = trained(many_languages(rng, 100), 500)
    content = json.loads(other.to_str())
    merges = content["model"]["merges"]
    content["model"]["merges"] = [merges[i] for i in rng.permutation(len(merges))]
    shuffled = theirs.Tokenizer.from_str(json.dumps(content))
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    ours = BPETokenizer.from_json(path)
    assert_same_tokens(ours, shuffled, [*many_languages(rng, 300), "ab" * 200, "日本" * 100])


def test_every_character_is_in_the_same_piece_as_there():
    # characters that a newer Unicode has added are left out: of them this Python knows nothing
    pieces = theirs.pre_tokenizers.ByteLevel(add_prefix_space=False)
    symbols = bpe.byte_symbols()
    known = [code for code in range(0x40000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    for start in range(0, len(known), 1000):
        text = "".join(f"a {chr(code)}a1{chr(code)} " for code in known[start : start + 1000])
        data, bounds, _ = next(bpe.chunks([text]))
        edges = [*np.flatnonzero(bpe.split(data, bounds, 1)).tolist(), len(data)]
        ours = ["".join([symbols[byte] for byte in data[i:j]]) for i, j in zip(edges, edges[1:])]
        assert ours == [piece for piece, _ in pieces.pre_tokenize_str(text)]
