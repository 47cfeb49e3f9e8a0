"""Transformers: gradients of every kind, the composition by hand, packing, PyTorch's results, memory and training."""

import itertools
import tracemalloc

import numpy as np
import pytest
from _contract.gradients import Run, check_layer

from skml import _kernels
from skml.network import (
    AdamW,
    CausalSelfAttention,
    FeedForward,
    LayerNormalization,
    Linear,
    Mode,
    Program,
    Residual,
    Sequential,
    TransformerBlock,
    cross_entropy,
    transformer,
)

TRAIN = Mode(train=True, seed=1, step=2, n_threads=2)
FIRST = np.array([[0, 0, 0, 0], [0, 0, 2, 2], [0, 1, 2, 2]])


def samples(rng, V=7, T=4):
    return np.stack([rng.integers(0, V, (3, T)), FIRST[:, :T]], axis=1).astype(np.int32)


@pytest.mark.parametrize("norm", ["layer", "rms", None])
@pytest.mark.parametrize("norm_position", ["pre", "post"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_block_has_the_right_gradients(rng, norm, norm_position, residual, dropout):
    block = TransformerBlock(CausalSelfAttention(2, "rotary"), FeedForward(1.5), norm, norm_position, residual, dropout)
    check_layer(block, (4, 8), rng, tol=1e-5)  # rows of little variance are steep


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
@pytest.mark.parametrize("ratio", [1.5, 4])
def test_feed_forward_has_the_right_gradients(rng, ratio, activation):
    check_layer(FeedForward(ratio, activation=activation), (4, 3), rng)


def test_the_two_activations_are_near_each_other_and_not_the_same(rng):
    runs = [Run(FeedForward(activation=activation), (1, 4), 50) for activation in ("gelu", "gelu_tanh")]
    for one in runs:
        one.parameters["c_fc.weight"][:] = np.tile(np.eye(4), 4)
        one.parameters["c_proj.weight"][:] = np.tile(np.eye(4), 4).T / 4
    x = rng.normal(size=(50, 1, 4))
    exact, near = (one.forward(x, Mode()) for one in runs)
    expected = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(near, expected, rtol=1e-9, atol=1e-12)
    assert 1e-6 < abs(exact - near).max() < 5e-4


@pytest.mark.parametrize("position", ["learned", "rotary", "sinusoidal", "none"])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"tied": False},
        {"norm": "rms", "norm_position": "post"},
        {"norm": None, "dropout": 0.2},
        {"residual": False},
        {"head": False},
        {"activation": "gelu_tanh"},
        {"head": False, "tied": False, "n_layers": 0},
    ],
    ids=str,
)
def test_a_transformer_has_the_right_gradients(rng, position, other):
    made = {"n_layers": 2, "n_heads": 2, "width": 8, "position": position, **other}
    check_layer(transformer(7, 6, **made), (2, 4), rng, x=samples(rng), tol=1e-5)


def test_a_block_is_what_its_layers_make(rng):
    shape, C = (6, 8), 8
    attention, feed = CausalSelfAttention(2), [Linear(4 * C, "gelu"), Linear(C)]
    plain = Sequential([Residual([LayerNormalization(), attention]), Residual([LayerNormalization(), *feed])])
    one, other = Run(TransformerBlock(attention), shape, 3), Run(plain, shape, 3)
    one.parameters.flat += 0.3 * rng.normal(size=one.parameters.count)
    other.parameters.flat[:] = one.parameters.flat  # they are in the same order
    x, dy = rng.normal(size=(2, 3, *shape))
    np.testing.assert_allclose(one.forward(x, TRAIN), other.forward(x, TRAIN), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one.backward(dy, TRAIN), other.backward(dy, TRAIN), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(one.gradients.flat, other.gradients.flat, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("position", ["learned", "rotary", "sinusoidal"])
def test_a_packed_document_is_as_if_alone(rng, position):
    network = transformer(9, 8, n_layers=2, n_heads=2, width=8, position=position)
    together, alone = (Program(network, (2, T), np.float64, seed=3) for T in (8, 3))
    tokens = rng.integers(9, size=(1, 2, 8))
    tokens[0, 1] = [0, 0, 0, 0, 0, 5, 5, 5]
    last = tokens[:, :, 5:].copy()
    last[:, 1] = 0
    z = together.forward(tokens, Mode())[:, 5:]
    np.testing.assert_allclose(z, alone.forward(last, Mode()), rtol=1e-10, atol=1e-10)


def test_rows_of_tokens_are_samples_too(rng):
    network = transformer(9, 8, n_layers=1, n_heads=1, width=4)
    tokens = rng.integers(9, size=(3, 5))
    pairs = np.stack([tokens, 0 * tokens], axis=1)
    plain, paired = Program(network, (5,)), Program(network, (2, 5))
    z = plain.forward(tokens.astype(np.float32), Mode())
    np.testing.assert_array_equal(paired.forward(pairs, Mode()), z)
    assert plain.backward(np.ones_like(z), Mode()) is None


@pytest.mark.parametrize("other", [{}, {"dropout": 0.1, "norm": "rms", "position": "rotary"}], ids=str)
def test_bits_do_not_depend_on_threads(rng, other):
    network = transformer(70, 40, n_layers=2, n_heads=2, width=32, **other)
    tokens, found = rng.integers(70, size=(9, 40)).astype(np.int32), []
    for n_threads in (1, 2, 3):
        program, mode = Program(network, (40,), seed=1), Mode(train=True, n_threads=n_threads)
        z = program.forward(tokens, mode)
        program.backward(np.sin(z), mode)
        found.append((z.copy(), program.gradients.flat))
    for z, gradients in found[1:]:
        np.testing.assert_array_equal(z, found[0][0])
        np.testing.assert_array_equal(gradients, found[0][1])


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins do allocate")
def test_no_allocation_in_the_steady_state(rng):
    program = Program(transformer(65, 64, n_layers=2, n_heads=4, width=64), (64,))
    tokens, dz = rng.integers(65, size=(16, 64)).astype(np.int32), np.ones((16, 64, 65), np.float32)

    def step():
        program.forward(tokens, TRAIN)
        program.backward(dz, TRAIN)

    step()
    tracemalloc.start()
    try:
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300_000, peak  # rooms of threads in attention; an activation of a layer would be 262,144 more


def test_names_are_gpt2s():
    program = Program(transformer(65, 16, n_layers=1, n_heads=2, width=8), (16,))
    halves = [f"h.0.{name}" for name in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")]
    both = [f"{name}.{kind}" for name, kind in itertools.product([*halves, "ln_f"], ("weight", "bias"))]
    assert list(program.parameters) == ["wte.weight", "wpe.weight", *both]
    assert program.parameters["h.0.attn.c_attn.weight"].shape == (8, 24)
    untied = transformer(65, 16, n_layers=0, n_heads=1, width=8, position="rotary", norm=None, tied=False)
    assert [spec.name for spec in untied.specs((16,))] == ["wte.weight", "lm_head.weight"]
    assert f"{program.parameters.count:,}" in program.table().splitlines()[-1]


def test_it_learns_what_follows_what(rng):
    V, T = 6, 8
    follows = rng.permutation(V)
    # with tied vectors a network this small may end where two tokens are mixed up
    program = Program(transformer(V, T, n_layers=1, n_heads=2, width=16, tied=False), (T,), seed=0)
    optimizer = AdamW(0.01)
    moments = optimizer.moments(program.parameters.flat)
    tokens = np.empty((16, T + 1), np.int32)
    for step in range(1, 151):
        tokens[:, 0] = rng.integers(V, size=16)
        for t in range(T):
            tokens[:, t + 1] = follows[tokens[:, t]]
        z = program.forward(tokens[:, :-1].copy(), TRAIN)
        losses, dz = cross_entropy(z.reshape(-1, V), tokens[:, 1:].ravel())
        program.backward(dz.reshape(z.shape), TRAIN)
        optimizer.update(program.parameters.flat, program.gradients.flat, moments, step)
    assert losses.mean() < 0.1  # by chance it is ln 6 = 1.8


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: transformer(9, 8, n_heads=3, width=8), "3 heads"),
        (lambda: transformer(9, 8, position="relative"), "position"),
        (lambda: transformer(9, 8, norm="batch"), "norm"),
        (lambda: transformer(9, 8, norm_position="within"), "norm_position"),
        (lambda: transformer(9, 8, ratio=4), "ratio"),
        (lambda: transformer(9, 8, mlp_ratio=0), "ratio"),
        (lambda: transformer(9, 8, dropout=1.0), "dropout"),
        (lambda: transformer(0, 8), "n_tokens"),
        (lambda: transformer(9, 8).output_shape((9,)), "context"),
        (lambda: transformer(9, 8).output_shape((3, 8)), "samples"),
        (lambda: Program(transformer(9, 8), (3,)).forward(np.array([[1, 9, 2]]), Mode()), "token is 9"),
        (lambda: Program(transformer(9, 8), (2, 2)).forward(np.array([[[1, 2], [0, 2]]]), Mode()), "first"),
    ],
)
def test_bad_settings_are_named(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_torch_agrees(rng, norm_position):
    torch = pytest.importorskip("torch")
    C, H, T = 16, 4, 10
    theirs = torch.nn.TransformerEncoderLayer(
        C, H, 4 * C, 0.0, "gelu", batch_first=True, norm_first=norm_position == "pre"
    )
    run = Run(TransformerBlock(CausalSelfAttention(H), norm_position=norm_position), (T, C), 3, np.float32)
    run.parameters.flat += 0.2 * rng.normal(size=run.parameters.count).astype(np.float32)
    names = {
        "ln_1": "norm1",
        "ln_2": "norm2",
        "mlp.c_fc": "linear1",
        "mlp.c_proj": "linear2",
        "attn.c_proj": "self_attn.out_proj",
    }
    names = {f"{a}.{kind}": f"{b}.{kind}" for a, b in names.items() for kind in ("weight", "bias")}
    names |= {f"attn.c_attn.{kind}": f"self_attn.in_proj_{kind}" for kind in ("weight", "bias")}
    own = dict(theirs.named_parameters())
    with torch.no_grad():
        for ours, name in names.items():
            own[name].copy_(torch.tensor(run.parameters[ours].T))
    x, dy = rng.normal(size=(2, 3, T, C)).astype(np.float32)
    given = torch.tensor(x, requires_grad=True)
    found = theirs(given, src_mask=torch.nn.Transformer.generate_square_subsequent_mask(T), is_causal=True)
    found.backward(torch.tensor(dy))
    pairs = [(run.forward(x, TRAIN), found.detach().numpy()), (run.backward(dy, TRAIN), given.grad.numpy())]
    pairs += [(run.gradients[ours], own[name].grad.numpy().T) for ours, name in names.items()]
    for mine, other in pairs:
        assert abs(mine - other).max() <= 2e-5 * max(1, abs(other).max())
