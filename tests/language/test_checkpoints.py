"""Checkpoints without ``transformers``: what is written is read again bit by bit, and nothing broken is read."""

import copy
import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import skml.base
from skml import BPETokenizer, CharTokenizer, RNNLanguageModel, TransformerLanguageModel
from skml.language import checkpoints, files, tensor_files

safetensors = pytest.importorskip("safetensors.numpy")

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "naïve 🙂 dogs"] * 3
SHAPE = {"vocab_size": 270, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(SHAPE["vocab_size"], special_tokens=("<|endoftext|>", "<|endoftext|>")).fit(TEXTS)


def arrays_of(rng, V=270, T=12, C=8, L=2, M=32):
    """Return the arrays of a GPT-2 as the format has them, by hand."""
    shapes = {"wte.weight": (V, C), "wpe.weight": (T, C)}
    for i in range(L):
        shapes |= {f"h.{i}.{name}.{kind}": (C,) for name in ("ln_1", "ln_2") for kind in ("weight", "bias")}
        for name, (n, m) in {"attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C)}.items():
            shapes |= {f"h.{i}.{name}.weight": (n, m), f"h.{i}.{name}.bias": (m,)}
        for name, (n, m) in {"mlp.c_fc": (C, M), "mlp.c_proj": (M, C)}.items():
            shapes |= {f"h.{i}.{name}.weight": (n, m), f"h.{i}.{name}.bias": (m,)}
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,)}
    return {name: (0.3 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def configuration(**other):
    return {"model_type": "gpt2", **SHAPE, "bos_token_id": 0, "eos_token_id": 0, **other}


def make(folder, arrays, tokenizer, **other):
    """Write a folder by hand."""
    tokenizer.save(folder)
    (folder / "config.json").write_text(json.dumps(configuration(**other)))
    safetensors.save_file(arrays, folder / "model.safetensors")
    return folder


@pytest.fixture
def folder(rng, tokenizer, tmp_path):
    return make(tmp_path / "model", arrays_of(rng), tokenizer)


def load(folder):
    return TransformerLanguageModel.from_pretrained(folder)


def refused(folder, match, error=ValueError):
    with pytest.raises(error, match=match):
        load(folder)


def change(path, **other):
    """Change entries of a JSON file; ... takes one away."""
    content = json.loads(path.read_text()) | other
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


# ------------------------------------------------------------------------------------------------ what is read


def by_hand(arrays, ids, n_heads=2):
    """Return the logits after the last token, in plain NumPy (Radford et al. 2019)."""
    p = {name: a.astype(np.float64) for name, a in arrays.items()}

    def norm(x, name):
        x = x - x.mean(axis=1, keepdims=True)
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    n, C = len(ids), p["wte.weight"].shape[1]
    x = p["wte.weight"][ids] + p["wpe.weight"][:n]
    for i in range(2):
        q, k, v = np.split(linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=1)
        heads = []
        for at in np.split(np.arange(C), n_heads):
            s = q[:, at] @ k[:, at].T / np.sqrt(C // n_heads)
            s = np.exp(np.where(np.tri(n, dtype=bool), s, -np.inf))
            heads.append(s / s.sum(axis=1, keepdims=True) @ v[:, at])
        x = x + linear(np.concatenate(heads, axis=1), f"h.{i}.attn.c_proj")
        z = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        z = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        x = x + linear(z, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f")[-1] @ p["wte.weight"].T


def test_a_folder_made_by_hand_says_what_the_formulas_say(rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    model = load(make(tmp_path, arrays, tokenizer))
    texts = ["the c", "a dog", ""]
    for text, p in zip(texts, model.predict_proba(texts)):
        z = by_hand(arrays, [0, *tokenizer.encode(text)])
        expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        # float32 beside float64: some hundred additions of numbers of about 1
        np.testing.assert_allclose(p, expected, rtol=1e-3, atol=1e-6)


def test_parameters_describe_what_was_read(folder, tokenizer):
    model = load(folder)
    described = {"n_layers": 2, "n_heads": 2, "embedding_size": 8, "context_length": 12, "mlp_ratio": 4.0}
    described |= {"activation": "gelu_tanh", "norm_epsilon": 1e-5, "tie_embeddings": True, "dtype": None}
    assert described.items() <= model.get_params().items()
    assert model.tokenizer is model.tokenizer_
    assert model.tokenizer_.vocabulary_ == tokenizer.vocabulary_ == model.vocabulary_
    assert (model.n_iter_, model.n_steps_, model.history_) == (0, 0, {})
    assert model.n_parameters_ == sum(array.size for array in arrays_of(np.random.default_rng(0)).values())
    assert "h.1" in model.summary()
    fresh = clone(model)
    with pytest.raises(NotFittedError):
        fresh.predict(TEXTS)
    assert fresh.get_params()["embedding_size"] == 8
    fresh.set_params(max_iter=1).fit(TEXTS)  # with a tokenizer of the same kind, fitted anew
    assert fresh.n_parameters_ == model.n_parameters_


def test_a_loaded_model_is_an_estimator_like_others(folder):
    model = load(folder).set_params(dropout=0.0)  # so that steps lead down
    p = model.predict_proba(TEXTS)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict_proba(TEXTS), p)
    before = model.score(TEXTS)
    for layers in ("all", "last", "head", "lora"):
        tuned = model.fine_tune(TEXTS, layers=layers, learning_rate=0.01, max_iter=20)
        assert tuned.score(TEXTS) > before
    assert model.score(TEXTS) == before
    same = [load(folder).set_params(random_state=3).partial_fit(TEXTS).predict_proba(TEXTS) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert model.set_params(warm_start=True, max_iter=2).fit(TEXTS).score(TEXTS) > before


@pytest.mark.parametrize("text", ["the c", "🙂", "the cat sat on the mat " * 4])
def test_it_writes_the_same_with_and_without_the_cache(rng, text, tokenizer, tmp_path):
    # in float64, so that rounding decides nothing
    double = {name: array.astype(np.float64) for name, array in arrays_of(rng).items()}
    model = load(make(tmp_path, double, tokenizer))
    settings = {"max_new_tokens": 20, "strategy": "greedy"}
    assert model.generate(text, **settings) == model.generate(text, use_cache=False, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "float64", "tie_embeddings": False, "activation": "gelu_tanh"},
        {"tokenizer": BPETokenizer(280, special_tokens=None), "mlp_ratio": 0.7, "norm_epsilon": 1e-3},
        {"tokenizer": BPETokenizer(280), "dropout": 0.25},
    ],
    ids=str,
)
def test_what_is_saved_is_read_again_bit_by_bit(settings, seed, tmp_path):
    made = {"tokenizer": "bpe", "embedding_size": 16, "context_length": 9, "max_iter": 2, "random_state": seed}
    model = TransformerLanguageModel(**made | settings).fit(TEXTS)
    model.save_pretrained(tmp_path / "new" / "folder")
    again = load(tmp_path / "new" / "folder")
    for name in ("predict_proba", "score_samples", "transform"):
        np.testing.assert_array_equal(getattr(again, name)(TEXTS), getattr(model, name)(TEXTS), err_msg=name)
    assert again.predict_proba(TEXTS).dtype == model.predict_proba(TEXTS).dtype
    assert again.generate(["the", ""], 12) == model.generate(["the", ""], 12)
    assert len(again.vocabulary_) == len(model.vocabulary_) == again.predict_proba(TEXTS).shape[1]
    for name in ("n_layers", "n_heads", "context_length", "activation", "norm_epsilon", "tie_embeddings", "dropout"):
        assert getattr(again, name) == getattr(model, name), name
    again.save_pretrained(tmp_path / "new" / "folder")  # over itself
    np.testing.assert_array_equal(load(tmp_path / "new" / "folder").score_samples(TEXTS), model.score_samples(TEXTS))
    assert len(os.listdir(tmp_path / "new" / "folder")) == 6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed"])
def test_other_types_of_numbers(dtype, rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    if dtype == "bfloat16":  # the upper halves of float32
        halves = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in arrays.items()}
        exact = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in halves.items()}
        make(tmp_path / "half", halves, tokenizer)
        header, rest = parts_of(tmp_path / "half" / "model.safetensors")
        for entry in header.values():
            entry["dtype"] = "BF16"
        (tmp_path / "half" / "model.safetensors").write_bytes(as_file(header, rest))
    else:
        kind = "float64" if dtype == "mixed" else dtype
        exact = {name: array.astype(kind) for name, array in arrays.items()}
        if dtype == "mixed":
            exact["ln_f.weight"] = arrays["ln_f.weight"]
        make(tmp_path / "half", exact, tokenizer)
    model = load(tmp_path / "half")
    wanted = np.float64 if dtype == "float64" else np.float32
    assert model.reader_.program.dtype == wanted
    for name, array in exact.items():
        np.testing.assert_array_equal(model.reader_.program.parameters[name], array.astype(wanted))


def test_names_may_have_a_prefix_and_files_may_hold_masks(rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    plain = load(make(tmp_path / "plain", arrays, tokenizer)).score_samples(TEXTS)
    longer = {f"transformer.{name}": array for name, array in arrays.items()}
    longer |= {"transformer.h.1.attn.bias": np.ones((1, 1, 12, 12), np.uint8), "lm_head.weight": arrays["wte.weight"]}
    longer["transformer.h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
    model = load(make(tmp_path / "longer", longer, tokenizer))
    np.testing.assert_array_equal(model.score_samples(TEXTS), plain)


def shards(folder, arrays, tokenizer):
    """Write a folder of two files of arrays, and return its index."""
    make(folder, arrays, tokenizer)
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    index = {name: f"model-{1 + (i > 9)}.safetensors" for i, name in enumerate(names)}
    for file in set(index.values()):
        safetensors.save_file({name: arrays[name] for name in names if index[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return index


def test_arrays_may_lie_in_several_files(rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    plain = load(make(tmp_path / "plain", arrays, tokenizer)).score_samples(TEXTS)
    index = shards(tmp_path / "shards", arrays, tokenizer)
    np.testing.assert_array_equal(load(tmp_path / "shards").score_samples(TEXTS), plain)
    path = tmp_path / "shards" / "model.safetensors.index.json"
    for weight_map, match in (
        ({**index, "wte.weight": "model-1.safetensors"}, "holds other arrays than"),
        ({name: at for name, at in index.items() if name != "wte.weight"}, "holds other arrays than"),
        ({**index, "wte.weight": "model-3.safetensors"}, "has no model-3"),
        ({**index, "wte.weight": "../plain/model.safetensors"}, "no name of a file in"),
        ({**index, "wte.weight": str(tmp_path / "plain" / "model.safetensors")}, "no name of a file in"),
        ({**index, "wte.weight": "C:model.safetensors"}, "no name of a file in"),
        ({**index, "wte.weight": ".."}, "no name of a file in"),
        ({**index, "wte.weight": ""}, "no name of a file in"),
        ({**index, "wte.weight": 3}, "must have a weight_map"),
        (["wte.weight"], "must have a weight_map"),
    ):
        change(path, weight_map=weight_map)
        refused(tmp_path / "shards", match)


# ---------------------------------------------------------------------------------------- what cannot be written


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"position": "rotary", "norm": "rms"}, "position='rotary', nor for norm='rms'"),
        ({"position": "sinusoidal"}, "position='sinusoidal'"),
        ({"norm": None}, "norm=None"),
        ({"norm_position": "post"}, "norm_position='post'"),
        ({"residual": False}, "residual=False"),
        ({"tokenizer": "char"}, "tokenizer other than BPETokenizer"),
    ],
)
def test_what_gpt2_has_no_place_for_is_not_written(settings, reason, tmp_path):
    model = TransformerLanguageModel(**{"tokenizer": "bpe", "max_iter": 1, "random_state": 0} | settings).fit(TEXTS)
    with pytest.raises(ValueError, match=reason):
        model.save_pretrained(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_rows_of_numbers_are_not_written(tmp_path, rng):
    model = TransformerLanguageModel(max_iter=1, tokenizer=None).fit(rng.integers(0, 5, (9, 4)))
    with pytest.raises(ValueError, match="BPETokenizer"):
        model.save_pretrained(tmp_path / "none")
    with pytest.raises(NotFittedError):
        TransformerLanguageModel().save_pretrained(tmp_path / "none")
    assert not hasattr(RNNLanguageModel, "save_pretrained")


@pytest.mark.parametrize("path", [None, 5, b"model", ["model"]])
def test_what_is_no_path_is_refused_in_words(path, folder, tokenizer):
    for method in (TransformerLanguageModel.from_pretrained, load(folder).save_pretrained, tokenizer.save):
        with pytest.raises(TypeError, match="folder must be the path of a folder, a string or path-like, got"):
            method(path)


def test_a_failed_write_leaves_the_older_files(folder, monkeypatch):
    model = load(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()

    def full(path, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "_write_one", full)
    with pytest.raises(OSError, match="No space"):
        model.save_pretrained(folder)
    with pytest.raises(OSError, match="No space"):
        model.tokenizer_.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    model = load(folder)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    for call in (lambda: load(folder), lambda: model.save_pretrained(folder)):
        with pytest.raises(ImportError, match=r"skml\[pretrained\]"):
            call()


# ------------------------------------------------------------------------------------------- hostile arrays


def parts_of(path):
    """Return the header and the numbers of a file."""
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    return header, data[8 + n :]


def as_file(header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def test_files_that_were_cut_off(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    for size in (0, 3, 8, 9, 8 + n // 2, 8 + n - 1, 8 + n, 8 + n + 100, len(data) - 1):
        path.write_bytes(data[:size])
        refused(folder, "model.safetensors is no safetensors file that can be read")
    path.write_bytes(data + b"\0")
    refused(folder, "cut off, or holds more")


@pytest.mark.parametrize("n", [2**64 - 1, 2**63, 2**40, 200_000_000])
def test_a_header_of_impossible_size(n, folder):
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", n) + path.read_bytes()[8:])
    refused(folder, f"its header would have {n:,} bytes")


def broken_headers(header):
    """Yield headers that lie, and what is said of them."""
    entry = header["wte.weight"]
    start, stop = entry["data_offsets"]

    def with_entry(**other):
        return {**header, "wte.weight": {**entry, **other}}

    last = max(header, key=lambda name: header[name]["data_offsets"][1])
    end = header[last]["data_offsets"][1]
    yield with_entry(data_offsets=[start, stop + 4]), "has the shape"
    yield with_entry(shape=[271, 8]), "has the shape"
    yield with_entry(shape=[2**61, 2**61], data_offsets=[0, 2**61]), "has the shape"
    yield with_entry(shape=[2**70, 0]), "whole numbers"
    yield with_entry(shape=[-270, -8]), "whole numbers"
    yield with_entry(shape=[270.0, 8]), "whole numbers"
    yield with_entry(shape=[True, 8]), "whole numbers"
    yield with_entry(shape="270"), "whole numbers"
    yield with_entry(shape=[270 * 8] + [1] * 9), "whole numbers"
    yield with_entry(data_offsets=[stop, start]), "has the shape"
    yield with_entry(data_offsets=[start - 4, stop - 4]), "begins at byte|whole numbers"
    yield with_entry(data_offsets=[start]), "whole numbers"
    yield with_entry(data_offsets=[-8, stop]), "whole numbers"
    yield with_entry(dtype="F128"), "is not known"
    yield with_entry(dtype=["F32"]), "is not known"
    yield with_entry(dtype="I32"), "no floating-point numbers"
    yield {**header, "wte.weight": None}, "is not known"
    yield {**header, "more": {"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}}, "end at byte"
    yield {**header, "more": {"dtype": "F32", "shape": [2**40], "data_offsets": [end, end + 2**42]}}, "end at byte"
    yield {**header, "more": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "begins at byte"
    yield {**header, "more": {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}}, "no place for, e.g. 'more'"
    yield [header], "must be a JSON object"
    yield b"{" * 20, "no safetensors file"
    yield b"[" * 200_000, "nested too deeply"
    yield b"\xff\xfe{}", "no safetensors file"
    yield json.dumps(header).encode().replace(b'"ln_f.bias"', b'"ln_f.weight"'), "a name occurs twice"
    yield b'{"a": 1' + b"0" * 5000 + b"}", "no safetensors file"


def test_headers_that_lie(folder):
    path = folder / "model.safetensors"
    header, rest = parts_of(path)
    seen = 0
    for broken, match in broken_headers(header):
        path.write_bytes(as_file(broken, rest))
        refused(folder, match)
        seen += 1
    assert seen == 27


def test_bytes_at_random_are_refused_or_read(folder, rng):
    """Whatever a byte of the header becomes, there is a model or a ValueError."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    (n,) = struct.unpack("<Q", data[:8])
    for at in rng.integers(0, 8 + n, 60):
        broken = data.copy()
        broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            load(folder)
        except ValueError as error:
            assert str(folder) in str(error)


class Evil:
    """What a pickle can do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("padding", [0, 200_000])
def test_a_pickle_is_never_opened(protocol, padding, folder, tmp_path):
    data = pickle.dumps([Evil(str(tmp_path / "evil")), b"\0" * padding], protocol)
    (folder / "model.safetensors").write_bytes(data)
    refused(folder, "no safetensors file")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin alone, a pickle")
    (folder / "model.safetensors").write_bytes(b"PK\3\4" + data)
    refused(folder, "zip archive|no safetensors file")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(value, rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    arrays["h.1.mlp.c_fc.weight"][3, 5] = value
    refused(make(tmp_path, arrays, tokenizer), "'h.1.mlp.c_fc.weight' in .* not finite in float32")


def test_numbers_that_float32_does_not_have(rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    arrays["ln_f.bias"] = np.full(8, 1e300)
    refused(make(tmp_path, arrays, tokenizer), "'ln_f.bias' in .* not finite in float32")


def test_arrays_that_are_missing_too_many_or_of_another_shape(rng, tokenizer, tmp_path):
    arrays = arrays_of(rng)
    cases = [
        ({name: a for name, a in arrays.items() if name != "h.1.attn.c_proj.bias"}, "lacks .*'h.1.attn.c_proj.bias'"),
        ({**arrays, "h.1.crossattention.c_attn.weight": arrays["ln_f.bias"]}, "no place for, e.g. 'h.1.crossatt"),
        ({**arrays, "h.2.ln_1.weight": arrays["ln_f.bias"]}, "no place for, e.g. 'h.2.ln_1.weight'"),
        ({**arrays, "wpe.weight": arrays["wte.weight"]}, r"'wpe.weight' .* shape \(270, 8\); .* asks for \(12, 8\)"),
        ({**arrays, "h.0.attn.c_attn.weight": np.ones((24, 8), np.float32)}, r"shape \(24, 8\)"),
        ({**arrays, "wte.weight": np.ones(8 * 270, np.float32)}, r"shape \(2160,\)"),
        ({**arrays, "transformer.ln_f.bias": arrays["ln_f.bias"]}, "holds 'ln_f.bias' twice"),
        ({**arrays, "lm_head.weight": arrays["wte.weight"] + 1}, "lm_head.weight differs from wte.weight"),
        ({**arrays, "lm_head.weight": arrays["ln_f.bias"]}, "lm_head.weight differs from wte.weight"),
        ({}, "too few"),
    ]
    for i, (found, match) in enumerate(cases):
        refused(make(tmp_path / str(i), found, tokenizer), match)
    refused(make(tmp_path / "own", arrays, tokenizer, tie_word_embeddings=False), "lacks .*'lm_head.weight'")


def test_a_model_that_does_not_fit_into_memory(folder, monkeypatch):
    monkeypatch.setattr(skml.base, "_free_memory", lambda: 10_000)
    monkeypatch.setattr(checkpoints, "read_arrays", None)  # which is not come to
    refused(folder, "would take .* bytes", MemoryError)


def test_nothing_is_read_before_all_is_known(folder, monkeypatch):
    """A wrong name at the end of the file is noticed before a number is read."""
    monkeypatch.setattr(checkpoints, "read_arrays", None)
    change(folder / "config.json", n_embd=16)
    refused(folder, "asks for")


# -------------------------------------------------------------------------------------- hostile configurations


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no JSON"),
        (b"not JSON", "no JSON"),
        (b"[1, 2]", "must hold a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"model_type": "gpt2", "model_type": "gpt2"}', "occurs twice"),
        (b'{"n_layer": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b"{}", "model_type is None"),
    ],
)
def test_configurations_that_are_none(content, match, folder):
    (folder / "config.json").write_bytes(content)
    refused(folder, match)


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"model_type": ["gpt2"]}, "model_type is"),
        ({"n_layer": 10**9}, "n_layer must be a whole number from 1 to"),
        ({"n_layer": 10**100}, "a number of many digits"),
        ({"n_layer": 60_000}, "n_layer=60000, but .* too few"),
        ({"n_layer": 3}, "n_layer=3, but .* too few"),
        ({"n_layer": 1}, "no place for, e.g. 'h.1"),
        ({"n_layer": 0}, "n_layer must be"),
        ({"n_layer": -2}, "n_layer must be"),
        ({"n_layer": 2.0}, "n_layer must be"),
        ({"n_layer": True}, "n_layer must be"),
        ({"n_layer": "2"}, "n_layer must be"),
        ({"n_layer": ...}, "n_layer must be .* got None"),
        ({"n_layer": [2] * 1000}, r"n_layer must be .*\.\.\."),
        ({"n_head": 3}, "n_embd=8 is no multiple of n_head=3"),
        ({"n_head": -1}, "n_head must be"),
        ({"n_embd": 2**20, "n_head": 1}, "asks for"),
        ({"n_embd": 0}, "n_embd must be"),
        ({"n_positions": 10**12}, "n_positions must be"),
        ({"n_positions": 13}, r"asks for \(13, 8\)"),
        ({"n_inner": 2**24}, "asks for"),
        ({"n_inner": 0}, "n_inner must be"),
        ({"vocab_size": 269}, "vocab_size=269, but the tokenizer has 270 tokens"),
        ({"vocab_size": 271}, r"asks for \(271, 8\)"),
        ({"vocab_size": -1}, "vocab_size must be"),
        ({"layer_norm_epsilon": 0}, "layer_norm_epsilon must be"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon must be"),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon must be"),
        ({"resid_pdrop": 1.0}, "resid_pdrop must be"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"activation_function": ["gelu"]}, "activation_function is"),
        ({"add_cross_attention": True}, "add_cross_attention"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"scale_attn_weights": 1}, "scale_attn_weights must be true or false"),
        ({"tie_word_embeddings": None}, "tie_word_embeddings must be true or false"),
        ({"bos_token_id": "0"}, "bos_token_id must be"),
    ],
    ids=str,
)
def test_configurations_that_make_no_sense(entries, match, folder):
    change(folder / "config.json", **entries)
    refused(folder, match)


def test_folders_that_lack_something(folder, tmp_path):
    refused(tmp_path / "nowhere", "is no folder")
    refused(folder / "config.json", "is no folder")
    (folder / "tokenizer.json").unlink()
    load(folder)  # the pair is left
    (folder / "merges.txt").unlink()
    refused(folder, "has no tokenizer")
    (folder / "tokenizer.json").write_text("{}")
    refused(folder, "tokenizer.json is no file of a byte-level BPE tokenizer")
    (folder / "model.safetensors").unlink()
    refused(folder, "has neither model.safetensors nor")
    (folder / "config.json").unlink()
    refused(folder, "has no config.json")


def test_tokens_that_begin_and_end_documents(folder, tmp_path):
    ends = [({"bos_token_id": 5, "eos_token_id": 7}, (5, 7)), ({"bos_token_id": ..., "eos_token_id": 7}, (0, 7))]
    ends += [
        ({"bos_token_id": 50256, "eos_token_id": 50256}, (0, 0)),
        ({"bos_token_id": None, "eos_token_id": 7}, (0, 7)),
    ]
    ends += [({"bos_token_id": 4, "eos_token_id": [6, 8]}, (4, 6))]
    for entries, expected in ends:
        change(folder / "config.json", **entries)
        model = load(folder)
        assert (model.coder_.start, model.coder_.end) == expected
    tokenizer = BPETokenizer(262, special_tokens=None).fit(TEXTS)
    bare = make(tmp_path / "bare", {}, tokenizer, vocab_size=262, bos_token_id=None, eos_token_id=None, n_layer=1)
    safetensors.save_file(arrays_of(np.random.default_rng(0), V=262, L=1), bare / "model.safetensors")
    refused(bare, "names a token of the vocabulary that begins and ends")
    change(bare / "config.json", eos_token_id=3)
    assert load(bare).coder_.start == 3


def test_a_tokenizer_that_changes_texts(folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": True}))
    refused(folder, "add_prefix_space")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "model-1.safetensors"])
def test_links_that_leave_the_folder_are_not_followed(name, folder, rng, tokenizer, tmp_path):
    if name == "model-1.safetensors":
        folder = tmp_path / "shards"
        shards(folder, arrays_of(rng), tokenizer)
    (folder / name).rename(tmp_path / name)
    os.symlink(tmp_path / name, folder / name)
    refused(folder, "link that leaves its folder")
    (folder / name).unlink()
    os.symlink(folder / "nothing", folder / name)
    refused(folder, "no regular file")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, "no regular file")


def test_links_of_a_cache_are_followed(folder, tmp_path):
    """A snapshot of Hugging Face's cache consists of links to "blobs"."""
    expected = load(folder).score_samples(TEXTS)
    home = tmp_path / "models--some--one"
    snapshot = home / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    for i, path in enumerate(sorted(folder.iterdir())):
        path.rename(home / "blobs" / str(i))
        os.symlink(f"../../blobs/{i}", snapshot / path.name)
    np.testing.assert_array_equal(load(snapshot).score_samples(TEXTS), expected)


def test_links_in_a_circle_are_not_followed(folder):
    (folder / "config.json").unlink()
    os.symlink("b", folder / "config.json")
    os.symlink("config.json", folder / "b")
    refused(folder, "config.json is a link that leads nowhere|no regular file")


@pytest.mark.parametrize("other", ["shape", "dtype", "shorter"])
def test_a_file_that_changes_while_it_is_read(other, folder, rng, monkeypatch):
    """Between the look at its header and the reading of its numbers another file takes its place."""
    path, arrays, read = folder / "model.safetensors", arrays_of(rng), tensor_files.read_arrays
    if other == "shape":  # that would spread over the rows
        arrays["wte.weight"] = np.ones((1, 8), np.float32)
    elif other == "dtype":
        arrays["wte.weight"] = np.ones((270, 8), np.int32)
    else:
        del arrays["wte.weight"]

    def late(places, parameters):
        safetensors.save_file(arrays, path)
        read(places, parameters)

    monkeypatch.setattr(checkpoints, "read_arrays", late)
    refused(folder, "has changed while it was read|no safetensors file that can be read")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_json_that_might_not_fit_into_memory(name, folder, monkeypatch):
    text = json.dumps([[]] * 10_000).encode()
    if name == "model.safetensors":
        text = as_file(text, b"")
    (folder / name).write_bytes(text)
    monkeypatch.setattr(skml.base, "_free_memory", lambda: 1_000_000)
    refused(folder, "A JSON text of .* characters would take", MemoryError)


def test_what_json_takes_in_memory_is_not_underestimated():
    deep = "[" * 900 + "]" * 900
    for part in ("[[]]", "[0]", '{"":0}', '{"":{}}', '"\u1234x"', "1.5", deep):
        text = "[" + f"{part}," * (200_000 // len(part)) + "0]"
        tracemalloc.start()
        found = files.parse_json(text)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found
        assert size <= 48 * len(text) + 10_000


def test_a_char_tokenizer_is_no_file_of_theirs(folder):
    assert not hasattr(CharTokenizer, "save")
    assert tensor_files.LARGEST_HEADER == 100_000_000
