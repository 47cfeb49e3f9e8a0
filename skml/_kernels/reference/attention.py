"""Twin of attention.pyx: causal attention in plain NumPy, with the matrix of all scores."""

import numpy as np


def forward(qkv, first, n_heads, cosine, sine, out, lse, n_threads):
    """Write softmax(q k^T / sqrt(D)) v of each head."""
    q, k, v, seen = _heads(qkv, first, n_heads, cosine, sine)
    _same(out.shape == (*qkv.shape[:2], qkv.shape[2] // 3), lse.shape == q.shape[:3], first.shape == qkv.shape[:2])
    if not out.size:
        lse[:] = 0
        return
    s = np.where(seen, q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3]), -np.inf)
    top = s.max(axis=3, keepdims=True)
    p = np.exp(s - top)
    lse[:] = top[..., 0] + np.log(p.sum(axis=3))
    out[:] = (p / p.sum(axis=3, keepdims=True) @ v).swapaxes(1, 2).reshape(out.shape)


def backward(dout, qkv, first, n_heads, cosine, sine, out, lse, dqkv, n_threads):
    """Write the gradient at queries, keys and values."""
    q, k, v, seen = _heads(qkv, first, n_heads, cosine, sine)
    _same(out.shape == dout.shape == (*qkv.shape[:2], qkv.shape[2] // 3), dqkv.shape == qkv.shape)
    _same(lse.shape == q.shape[:3], first.shape == qkv.shape[:2])
    if not out.size:
        return
    do, o = _split(dout, n_heads), _split(out, n_heads)
    root = np.sqrt(q.shape[3])
    p = np.exp(np.where(seen, q @ k.swapaxes(2, 3) / root, -np.inf) - lse[..., None])
    ds = p * (do @ v.swapaxes(2, 3) - (do * o).sum(axis=3, keepdims=True)) / root
    back = [_turned(d, first, cosine, -sine) for d in (ds @ k, ds.swapaxes(2, 3) @ q)]
    parts = [part.swapaxes(1, 2).reshape(out.shape) for part in (*back, p.swapaxes(2, 3) @ do)]
    dqkv[:] = np.concatenate(parts, axis=2)


def _heads(qkv, first, n_heads, cosine, sine):
    """Return queries, keys and values (B, H, T, D), turned by their positions, and what is seen (B, 1, T, T)."""
    _same(n_heads > 0, n_heads and not qkv.shape[2] % (3 * n_heads), first.shape == qkv.shape[:2])
    t = np.arange(qkv.shape[1])
    if not ((first >= 0) & (first <= t)).all():
        raise ValueError("first must be at least 0, and at most the moment that it is about.")
    _same(cosine.shape == sine.shape)
    D = qkv.shape[2] // (3 * n_heads)
    _same(not len(cosine) or (D % 2 == 0 and cosine.shape[1] == D // 2 and len(cosine) >= len(t)))
    q, k, v = (_split(part, n_heads) for part in np.split(qkv, 3, axis=2))
    seen = (first[:, :, None] <= t) & (t <= t[:, None])
    return _turned(q, first, cosine, sine), _turned(k, first, cosine, sine), v, seen[:, None]


def _split(x, n_heads):
    """Return (B, T, C) as (B, H, T, D)."""
    return x.reshape(*x.shape[:2], n_heads, x.shape[2] // n_heads).swapaxes(1, 2)


def _turned(x, first, cosine, sine):
    """Turn the pairs of channels i and i + D / 2 by the angles of their positions (Su et al. 2021, eq. 34)."""
    if not len(cosine):
        return x
    at = np.arange(first.shape[1]) - first
    c, s = cosine[at][:, None], sine[at][:, None]
    a, b = np.split(x, 2, axis=3)
    return np.concatenate([a * c - b * s, b * c + a * s], axis=3)


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
