"""Checkpoints of GPT-2's kind, as Hugging Face's transformers writes them: a folder of a configuration, the files of a
tokenizer, and arrays in one or several files.

The names of the arrays are those of :class:`skml.network.Transformer`, often with "transformer." before them.
"""

import json
import math
import os
import pathlib
import re
from dataclasses import dataclass

import numpy as np

from skml.base import require_memory
from skml.language.documents import Coder
from skml.language.files import as_folder, file_in, read_object, write_all
from skml.language.tensor_files import read_arrays, read_places, safetensors
from skml.language.tokenizers import BPETokenizer
from skml.network.parameters import Parameters

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
# Whole numbers that the configuration must have, and the largest that are believed.
_NUMBERS = {"vocab_size": 2**24, "n_positions": 2**24, "n_embd": 2**20, "n_layer": 2**16, "n_head": 2**16}
# {what it calls an activation: our name}; the same curve has several names there.
_ACTIVATIONS = {name: "gelu_tanh" for name in ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate")} | {
    name: "gelu" for name in ("gelu", "gelu_python")
}
_WRITTEN_AS = {"gelu_tanh": "gelu_new", "gelu": "gelu"}
_BUFFER = re.compile(r"h\.\d+\.attn\.(masked_)?bias")  # causal masks that old files keep
_ARRAYS_PER_BLOCK = 12


@dataclass(frozen=True)
class Configuration:
    """What a configuration says, checked.

    Attributes
    ----------
    n_tokens : int
        In the vocabulary of the network.
    parameters : dict of str to object
        Of the estimator.
    bounds : tuple of (int or None, int or None)
        The tokens that begin and end documents.
    by_layer : bool
        Whether scores of attention are divided by the number of the block as well.
    scaled : bool
        Whether they are divided by the root of a head's channels.
    """

    n_tokens: int
    parameters: dict
    bounds: tuple
    by_layer: bool = False
    scaled: bool = True


@dataclass(frozen=True)
class Checkpoint:
    """A folder that was looked at; its arrays are not read yet.

    Attributes
    ----------
    folder : pathlib.Path
        Where it is.
    configuration : Configuration
        What it says.
    coder : Coder
        How documents are read.
    places : dict of str to Place
        Where the arrays are.
    """

    folder: pathlib.Path
    configuration: Configuration
    coder: Coder
    places: dict

    @property
    def parameters(self):
        """Parameters of the estimator."""
        double = all(place.dtype == "F64" for place in self.places.values())
        given = {"tokenizer": self.coder.tokenizer, "dtype": "float64" if double else None}
        return self.configuration.parameters | given


def look_into(folder):
    """Return what a folder holds.

    Parameters
    ----------
    folder : str or path-like
        Of a model of GPT-2's kind.

    Returns
    -------
    checkpoint : Checkpoint
        Whose arrays :func:`read_numbers` reads.

    Raises
    ------
    ValueError
        If something is missing, broken, or not of that kind.
    TypeError
        If it is no path.
    OSError
        If it cannot be read.
    """
    folder = as_folder(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; a checkpoint is one, with {CONFIG} and {WEIGHTS}.")
    safetensors()
    configuration = read_configuration(_needed(folder, CONFIG))
    places = _places(folder)
    if (n := configuration.parameters["n_layers"]) * _ARRAYS_PER_BLOCK > len(places):
        raise ValueError(f"{CONFIG} says n_layer={n}, but {folder} holds {len(places)} arrays, too few for that.")
    return Checkpoint(folder, configuration, _coder(folder, configuration), places)


def _needed(folder, name):
    path = file_in(folder, name)
    if path is None:
        raise ValueError(f"{folder} has no {name}.")
    return path


# ------------------------------------------------------------------------------------------ the configuration


def read_configuration(path):
    """Return what a configuration says.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    configuration : Configuration
        Checked.

    Raises
    ------
    ValueError
        If a number makes no sense, or it asks for something that is not supported.
    """
    content = read_object(path)
    try:
        return _configuration(content)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is no configuration that can be used: {error}") from error


def _configuration(content):
    _refuse_others(content)
    sizes = {name: _whole(content, name, largest) for name, largest in _NUMBERS.items()}
    C, H = sizes["n_embd"], sizes["n_head"]
    if C % H:
        raise ValueError(f"n_embd={C} is no multiple of n_head={H}: heads share it evenly.")
    inner = 4 * C if content.get("n_inner") is None else _whole(content, "n_inner", 2**24)
    parameters = {
        "n_layers": sizes["n_layer"],
        "n_heads": H,
        "embedding_size": C,
        "context_length": sizes["n_positions"],
        "mlp_ratio": inner / C,
        "activation": _ACTIVATIONS[content.get("activation_function", "gelu_new")],
        "norm_epsilon": _number(content, "layer_norm_epsilon", 1e-5),
        "tie_embeddings": _switch(content, "tie_word_embeddings", True),
        "dropout": _number(content, "resid_pdrop", 0.1, zero=True),
    }
    bounds = tuple(_token(content, name, sizes["vocab_size"]) for name in ("bos_token_id", "eos_token_id"))
    by_layer = _switch(content, "scale_attn_by_inverse_layer_idx", False)
    return Configuration(
        sizes["vocab_size"], parameters, bounds, by_layer, _switch(content, "scale_attn_weights", True)
    )


def _refuse_others(content):
    if content.get("model_type") != "gpt2":
        raise ValueError(f"model_type is {content.get('model_type')!r}; models of the type 'gpt2' can be read.")
    if _switch(content, "add_cross_attention", False):
        raise ValueError("add_cross_attention asks for attention to another network, of which there is none here.")
    if content.get("quantization_config") is not None:
        raise ValueError("quantization_config says that its numbers are codes of others; such can't be read.")
    name = content.get("activation_function", "gelu_new")
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(f"activation_function is {name!r}; there are {', '.join(sorted(_ACTIVATIONS))}.")


def _whole(content, name, largest):
    value = content.get(name)
    if type(value) is not int or not 1 <= value <= largest:
        raise ValueError(f"{name} must be a whole number from 1 to {largest:,}, got {_short(value)}.")
    return value


def _short(value):
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a number of many digits"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _number(content, name, default, zero=False):
    value = content.get(name, default)
    if type(value) not in (int, float) or not (0 < value < 1 or (zero and value == 0)):
        raise ValueError(f"{name} must be a number between 0 and 1, got {_short(value)}.")
    return float(value)


def _switch(content, name, default):
    value = content.get(name, default)
    if type(value) is not bool:
        raise ValueError(f"{name} must be true or false, got {_short(value)}.")
    return value


def _token(content, name, n_tokens):
    """Return a token if the vocabulary has it; a default that goes beyond says nothing."""
    value = content.get(name)
    value = value[0] if isinstance(value, list) and value else value
    if value is not None and type(value) is not int:
        raise ValueError(f"{name} must be a whole number or null, got {_short(value)}.")
    return value if value is not None and 0 <= value < n_tokens else None


# ---------------------------------------------------------------------------------------------- the tokenizer


def _coder(folder, configuration):
    """Return how documents are read."""
    tokenizer, n_tokens = _tokenizer(folder), configuration.n_tokens
    if tokenizer.n_tokens_ > n_tokens:
        raise ValueError(f"{CONFIG} says vocab_size={n_tokens}, but the tokenizer has {tokenizer.n_tokens_} tokens.")
    own = tokenizer.start_id_, tokenizer.end_id_
    start, end = (given if given is not None else known for given, known in zip(configuration.bounds, own))
    start, end = (end if start is None else start), (start if end is None else end)
    if start is None:
        raise ValueError(
            f"Neither {CONFIG} nor the tokenizer in {folder} names a token of the vocabulary that begins and ends "
            "documents (bos_token_id, eos_token_id)."
        )
    if max(start, end) < tokenizer.n_tokens_:
        tokenizer._bound_by(start, end)
    return Coder("texts", tokenizer, n_tokens, start, end)


def _tokenizer(folder):
    settings = file_in(folder, "tokenizer_config.json")
    if settings is not None and read_object(settings).get("add_prefix_space") is True:
        raise ValueError(f"{settings} says add_prefix_space, which changes the text; that is not supported.")
    if whole := file_in(folder, "tokenizer.json"):
        return BPETokenizer.from_json(whole)
    pair = [file_in(folder, name) for name in ("vocab.json", "merges.txt")]
    if None in pair:
        raise ValueError(f"{folder} has no tokenizer: tokenizer.json, or vocab.json and merges.txt.")
    return BPETokenizer.from_files(*pair)


# ------------------------------------------------------------------------------------------------- the arrays


def _places(folder):
    """Return where the arrays of a folder are, by the names that they have in the network."""
    if (path := file_in(folder, WEIGHTS)) is not None:
        found = [read_places(path)]
    elif (path := file_in(folder, SHARDS)) is not None:
        found = _shards(folder, path)
    elif os.path.lexists(folder / "pytorch_model.bin"):
        raise ValueError(
            f"{folder} has its numbers in pytorch_model.bin alone, a pickle. That could run any code when it is "
            f"opened, so it was not. Save the model as {WEIGHTS}."
        )
    else:
        raise ValueError(f"{folder} has neither {WEIGHTS} nor {SHARDS}.")
    places = {}
    for key, place in (pair for one in found for pair in one.items()):
        name = key.removeprefix("transformer.")
        if name in places:
            raise ValueError(f"{folder} holds {name!r} twice.")
        if not _BUFFER.fullmatch(name):
            places[name] = place
    return places


def _shards(folder, path):
    """Return where the arrays are of several files that an index names."""
    index = read_object(path).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise ValueError(f"{path} must have a weight_map of names to files.")
    paths = {name: _needed(folder, name) for name in sorted(set(index.values()))}
    found = {name: read_places(at) for name, at in paths.items()}
    for name, places in found.items():
        if places.keys() != {key for key, at in index.items() if at == name}:
            raise ValueError(f"{folder / name} holds other arrays than {path} says.")
    return list(found.values())


def read_numbers(checkpoint, shapes):
    """Read the arrays of a network.

    Parameters
    ----------
    checkpoint : Checkpoint
        What :func:`look_into` found.
    shapes : dict of str to tuple of int
        Of the arrays, in order.

    Returns
    -------
    flat : ndarray of shape (n_numbers,), float32 or float64
        One after the other; float64 if all were in the file.

    Raises
    ------
    ValueError
        If an array is missing, too many, or of another shape or type; or a number is not finite.
    MemoryError
        If they need more memory than is free.
    """
    places, tied = dict(checkpoint.places), checkpoint.configuration.parameters["tie_embeddings"]
    head = places.pop("lm_head.weight", None) if tied else None
    _check_arrays(checkpoint.folder, places, shapes)
    dtype = np.dtype(checkpoint.parameters["dtype"] or np.float32)
    count = sum(map(math.prod, shapes.values()))
    require_memory(5 * dtype.itemsize * count, f"The model in {checkpoint.folder}, with room for training,")
    parameters = Parameters(shapes, np.empty(count, dtype=dtype))
    read_arrays(places, parameters)
    if head is not None:
        _check_head(head, parameters["wte.weight"])
    _scale(parameters, checkpoint.configuration)
    return parameters.flat


def _check_arrays(folder, places, shapes):
    for name, shape in shapes.items():
        if name not in places:
            raise ValueError(f"{folder} lacks the array {name!r} that {CONFIG} asks for.")
        if places[name].shape != shape:
            raise ValueError(f"{name!r} in {folder} has the shape {places[name].shape}; {CONFIG} asks for {shape}.")
        if not places[name].is_float:
            raise ValueError(f"{name!r} in {folder} holds {places[name].dtype}, no floating-point numbers.")
    if others := sorted(places.keys() - shapes.keys()):
        raise ValueError(f"{folder} holds {len(others)} arrays that GPT-2 has no place for, e.g. {others[0]!r}.")


def _check_head(place, embeddings):
    """Raise a ValueError unless weights that are written twice are the same."""
    refusal = ValueError("lm_head.weight differs from wte.weight, though tie_word_embeddings says that they are one.")
    if place.shape != embeddings.shape or not place.is_float:
        raise refusal
    twice = Parameters({"head": place.shape}, np.empty(embeddings.size, dtype=embeddings.dtype))
    read_arrays({"head": place}, twice)
    if not np.array_equal(twice["head"], embeddings):
        raise refusal


def _scale(parameters, configuration):
    """Let queries carry what the configuration changes of scores q k / sqrt(D), which is all that attention knows."""
    for i in range(configuration.parameters["n_layers"]):
        C, H = (configuration.parameters[name] for name in ("embedding_size", "n_heads"))
        factor = (1.0 if configuration.scaled else math.sqrt(C // H)) / (i + 1 if configuration.by_layer else 1)
        if factor != 1:
            parameters[f"h.{i}.attn.c_attn.weight"][:, :C] *= factor
            parameters[f"h.{i}.attn.c_attn.bias"][:C] *= factor


# ---------------------------------------------------------------------------------------------------- writing


def write(folder, program, coder):
    """Write a folder that :func:`look_into` and transformers read; each file is whole or not there.

    Parameters
    ----------
    folder : str or path-like
        Where to; it is made if need be.
    program : Program
        Of a :class:`skml.network.Transformer`.
    coder : Coder
        How documents are read.

    Raises
    ------
    ValueError
        If GPT-2 has no place for something in the model.
    OSError
        If it cannot be written.
    """
    folder = as_folder(folder)
    if reasons := _reasons(program.network, coder):
        raise ValueError(f"Checkpoints of GPT-2's kind have no place for {', nor for '.join(reasons)}.")
    package, tensors = safetensors(), {f"transformer.{name}": array for name, array in program.parameters.items()}
    if "transformer.lm_head.weight" in tensors:
        tensors["lm_head.weight"] = tensors.pop("transformer.lm_head.weight")

    def save_arrays(path):
        package.numpy.save_file(tensors, path, metadata={"format": "pt"})

    settings = {"tokenizer_config.json": _tokenizer_settings(program.network, coder)}
    settings[CONFIG] = _written_configuration(program, coder)
    texts = {name: json.dumps(content, indent=2, ensure_ascii=False).encode() for name, content in settings.items()}
    write_all(folder, {WEIGHTS: save_arrays, **coder.tokenizer._files(), **texts})


def _reasons(network, coder):
    """Return what GPT-2 doesn't have."""
    block = network.blocks[0]
    position = "rotary" if block.attention.position == "rotary" else network.position
    reasons = {
        f"position={position!r}": position != "learned",
        f"norm={block.norm!r}": block.norm != "layer",
        f"norm_position={block.norm_position!r}": block.norm_position != "pre",
        "residual=False": not block.residual,
        "a tokenizer other than BPETokenizer": coder.kind != "texts" or type(coder.tokenizer) is not BPETokenizer,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _written_configuration(program, coder):
    network, block = program.network, program.network.blocks[0]
    middle = program.parameters["h.0.mlp.c_fc.bias"].size
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": coder.n_tokens,
        "n_positions": network.context_length,
        "n_embd": network.width,
        "n_layer": len(network.blocks),
        "n_head": block.attention.n_heads,
        "n_inner": middle,
        "activation_function": _WRITTEN_AS[block.feed_forward.activation],
        "layer_norm_epsilon": network.eps,
        "embd_pdrop": network.dropout,
        "resid_pdrop": block.dropout,
        "attn_pdrop": 0.0,
        "scale_attn_weights": True,
        "tie_word_embeddings": network.tied,
        "bos_token_id": coder.start,
        "eos_token_id": coder.end,
        "dtype": program.dtype.name,
    }


def _tokenizer_settings(network, coder):
    names = coder.vocabulary()
    start, end = names[coder.start], names[coder.end]
    settings = {"tokenizer_class": "GPT2Tokenizer", "bos_token": start, "eos_token": end, "unk_token": end}
    if coder.tokenizer.pad_id_ is not None:
        settings["pad_token"] = names[coder.tokenizer.pad_id_]
    return settings | {"add_prefix_space": False, "model_max_length": network.context_length}
