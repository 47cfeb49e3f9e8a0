"""Attention and positions: gradients, what is seen, and PyTorch's results."""

import numpy as np
import pytest
from _contract.gradients import check_gradients, check_layer

from skml.network import (
    CausalSelfAttention,
    Mode,
    attention_backward,
    attention_forward,
    attention_weights,
    rotary_angles,
    sinusoidal_positions,
)

PACKED = np.array([[0, 0, 0, 0, 0], [0, 0, 2, 2, 2], [0, 1, 2, 2, 2]], dtype=np.int32)  # two documents; padding


@pytest.mark.parametrize("rotary", [False, True])
def test_the_pair_has_the_right_gradient(rng, rotary):
    qkv, angles = rng.normal(size=(3, 5, 12)), rotary_angles(5, 2, np.float64) if rotary else None
    y, lse = attention_forward(qkv, PACKED, 2, angles)
    dy = rng.normal(size=y.shape)
    dqkv = attention_backward(dy, qkv, y, lse, PACKED, 2, angles)
    check_gradients(lambda: attention_forward(qkv, PACKED, 2, angles)[0], [qkv], [dqkv], dy, rng)


@pytest.mark.parametrize("rotary", [False, True])
def test_weights_are_those_that_are_used(rng, rotary):
    qkv, angles = rng.normal(size=(3, 5, 12)), rotary_angles(5, 2, np.float64) if rotary else None
    weights = attention_weights(qkv, PACKED, 2, angles)
    values = qkv[..., 8:].reshape(3, 5, 2, 2).swapaxes(1, 2)
    y = (weights @ values).swapaxes(1, 2).reshape(3, 5, 4)
    np.testing.assert_allclose(y, attention_forward(qkv, PACKED, 2, angles)[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=3), 1)
    t = np.arange(5)
    unseen = (t > t[:, None]) | (t < PACKED[:, None, :, None])
    assert not weights[np.broadcast_to(unseen, weights.shape)].any()


def test_rotary_scores_depend_on_distances_alone(rng):
    q, k = rng.normal(size=(2, 8))
    cosine, sine = rotary_angles(30, 8, np.float64)

    def turned(x, t):
        a, b = np.split(x, 2)
        return np.concatenate([a * cosine[t] - b * sine[t], b * cosine[t] + a * sine[t]])

    scores = [turned(q, t + 7) @ turned(k, t) for t in (0, 5, 22)]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="odd"):
        rotary_angles(3, 5)


def test_sinusoids_by_hand():
    table = sinusoidal_positions(3, 4, np.float64)
    np.testing.assert_allclose(table[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)])


@pytest.mark.parametrize("position", ["none", "rotary"])
def test_the_layer_has_the_right_gradients(rng, position):
    check_layer(CausalSelfAttention(2, position), (6, 8), rng)


def test_the_layer_sees_what_its_space_says(rng):
    layer = CausalSelfAttention(2)
    run = check_layer(layer, (5, 4), rng)
    x = rng.normal(size=(3, 5, 4))
    run.space.first[:3] = PACKED
    y = run.forward(x, Mode()).copy()
    x[1, :2] += 1
    np.testing.assert_array_equal(run.forward(x, Mode())[1, 2:], y[1, 2:])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: CausalSelfAttention(0), "n_heads"),
        (lambda: CausalSelfAttention(2, "learned"), "position"),
        (lambda: CausalSelfAttention(3).output_shape((5, 8)), "3 heads"),
        (lambda: CausalSelfAttention(1).output_shape((5,)), "1 heads"),
        (lambda: attention_forward(np.ones((1, 2, 3)), np.array([[0, 2]], np.int32), 1), "first"),
    ],
)
def test_bad_settings_are_named(made, words):
    with pytest.raises(ValueError, match=words):
        made()


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("T", [5, 70])
def test_torch_agrees(rng, rotary, T):
    torch = pytest.importorskip("torch")
    B, H, D = 3, 2, 8
    first = np.minimum(np.array([[0], [3], [T // 2]]), np.arange(T)).astype(np.int32)
    qkv, dy = (rng.normal(size=(B, T, n * H * D)).astype(np.float32) for n in (3, 1))
    angles = rotary_angles(T, D) if rotary else None
    y, lse = attention_forward(qkv, first, H, angles, n_threads=2)
    given = torch.tensor(qkv, requires_grad=True)
    q, k, v = (part.view(B, T, H, D).transpose(1, 2) for part in given.split(H * D, 2))
    if rotary:
        c, s = (torch.tensor(part[np.arange(T) - first][:, None]) for part in angles)
        q, k = (torch.cat([a * c - b * s, b * c + a * s], 3) for a, b in (x.chunk(2, 3) for x in (q, k)))
    t = np.arange(T)
    mask = torch.tensor((first[:, None, :, None] <= t) & (t <= t[:, None]))
    found = (
        torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(B, T, H * D)
    )
    found.backward(torch.tensor(dy))
    dqkv = attention_backward(dy, qkv, y, lse, first, H, angles, n_threads=2)
    for ours, theirs in ((y, found.detach().numpy()), (dqkv, given.grad.numpy())):
        assert abs(ours - theirs).max() <= 1e-5 * max(1, abs(theirs).max())
