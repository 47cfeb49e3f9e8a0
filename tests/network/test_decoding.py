"""Decoders: the same logits as from the whole sequence, padded or not, and sequences that are chosen and copied."""

import dataclasses

import numpy as np
import pytest
import sklearn

from skml.network import Decoder, Mode, Program, transformer

V, T = 9, 7


def made(rng, dtype=np.float64, shape=(2, T), **other):
    network = transformer(V, T, n_layers=2, n_heads=2, width=8, **other)
    program = Program(network, shape, dtype)
    program.parameters.flat[:] += 0.3 * rng.normal(size=program.parameters.count)
    return network, program


@pytest.mark.parametrize("position", ["learned", "rotary", "sinusoidal", "none"])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"norm": "rms", "norm_position": "post"},
        {"norm": None},
        {"residual": False, "tied": False, "activation": "gelu_tanh"},
    ],
    ids=str,
)
def test_logits_are_those_of_the_whole_sequence(rng, position, other):
    network, program = made(rng, position=position, **other)
    tokens, padding = rng.integers(V, size=(4, T)), np.array([0, 3, 6, 1])
    first = np.minimum(padding[:, None], np.arange(T))
    z = program.forward(np.stack([tokens, first], axis=1), Mode())
    decoder = Decoder(network, program.parameters, B=4)
    np.testing.assert_allclose(decoder.feed(tokens[:, :-1], np.minimum(padding, 5)).shape, (4, V))
    decoder = Decoder(network, program.parameters, B=4)
    np.testing.assert_allclose(decoder.feed(tokens, padding, n_threads=2), z[:, -1], rtol=1e-9, atol=1e-9)
    assert (decoder.n_seen, decoder.capacity) == (T, T)
    with pytest.raises(ValueError, match="room"):
        decoder.step(tokens[:, 0])


@pytest.mark.parametrize("position", ["learned", "rotary", "sinusoidal", "none"])
@pytest.mark.parametrize("other", [{}, {"norm": "rms", "norm_position": "post", "residual": False}], ids=str)
@pytest.mark.parametrize("n_layers", [0, 3])
@pytest.mark.parametrize("memory", [1024, 0.001])  # MB, which one row at a time needs more than
def test_a_long_prompt_is_read_as_a_whole_and_as_token_by_token(rng, position, other, n_layers, memory):
    network = transformer(V, 30, n_layers=n_layers, n_heads=2, width=8, position=position, **other)
    program = Program(network, (30,), np.float64)
    program.parameters.flat[:] += 0.3 * rng.normal(size=program.parameters.count)
    tokens, padding = rng.integers(V, size=(4, 20)), np.array([0, 3, 19, 8])
    whole, steps = (Decoder(network, program.parameters, B=4, capacity=25) for _ in range(2))
    steps.start[:] = padding
    expected = [steps.step(tokens[:, t]) for t in range(20)][-1]
    with sklearn.config_context(working_memory=memory):
        np.testing.assert_allclose(whole.feed(tokens, padding, n_threads=2), expected, rtol=1e-9, atol=1e-9)
    assert whole.n_seen == steps.n_seen == 20
    np.testing.assert_allclose(whole.hidden, steps.hidden, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole._cache[:, :, :, :, :20], steps._cache[:, :, :, :, :20], rtol=1e-9, atol=1e-9)
    more = rng.integers(V, size=(4, 5))
    for decoder in (whole, steps):  # a sequence that has begun goes on token by token
        decoder.select([3, 1, 1, 0])
    np.testing.assert_allclose(whole.feed(more), [steps.step(more[:, t]) for t in range(5)][-1], rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="room"):
        whole.feed(more)


def test_bits_of_a_prompt_do_not_depend_on_threads(rng):
    network = transformer(V, 40, n_layers=2, n_heads=2, width=32)
    program = Program(network, (40,), np.float32)
    tokens = rng.integers(V, size=(9, 40))
    found = [Decoder(network, program.parameters, B=9).feed(tokens, n_threads=n) for n in (1, 2, 3)]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_each_step_gives_the_next_logits(rng):
    network, program = made(rng, np.float32, shape=(T,))
    tokens = rng.integers(V, size=(2, T))
    z = program.forward(tokens, Mode())
    decoder = Decoder(network, program.parameters, B=2)
    for t in range(T):
        np.testing.assert_allclose(decoder.step(tokens[:, t]), z[:, t], rtol=1e-4, atol=1e-4)


def test_sequences_can_be_chosen(rng):
    network, program = made(rng)
    tokens, rows = rng.integers(V, size=(3, 4)), np.array([2, 0, 2, 2])
    decoder = Decoder(network, program.parameters, B=3)
    decoder.feed(tokens[:, :3], np.array([0, 1, 2]))
    decoder.select(rows)
    after = rng.integers(V, size=4)
    found = decoder.step(after)
    for b, row in enumerate(rows):
        alone = Decoder(network, program.parameters, B=1)
        padding = [0, 1, 2][row]
        alone.feed(tokens[row : row + 1, padding:3])
        np.testing.assert_allclose(alone.step(after[b : b + 1])[0], found[b], rtol=1e-9, atol=1e-9)


def test_a_network_without_blocks(rng):
    network = transformer(V, T, n_layers=0, n_heads=1, width=4)
    program = Program(network, (T,))
    tokens = rng.integers(V, size=(2, T))
    decoder = Decoder(network, program.parameters, B=2)
    np.testing.assert_allclose(decoder.feed(tokens), program.forward(tokens, Mode())[:, -1], rtol=1e-5, atol=1e-6)


def test_bad_calls_are_refused(rng):
    network, program = made(rng)
    decoder = Decoder(network, program.parameters, B=2)
    with pytest.raises(ValueError, match="outside 0 to 8"):
        decoder.step(np.array([0, 9]))
    with pytest.raises(ValueError, match="outside 0 to 8"):
        Decoder(transformer(V, 20, n_layers=1, n_heads=1, width=4), program.parameters, B=1).feed(np.full((1, 15), 9))
    with pytest.raises(ValueError, match="token must be left"):
        decoder.feed(np.zeros((2, 3), int), np.array([0, 3]))
    decoder.feed(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="Only a new sequence"):
        decoder.feed(np.zeros((2, 3), int), np.array([0, 1]))
    other = dataclasses.replace(network.blocks[0], residual=False)
    with pytest.raises(ValueError, match="not alike"):
        Decoder(dataclasses.replace(network, blocks=(network.blocks[0], other)), program.parameters, B=1)
