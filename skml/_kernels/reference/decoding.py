"""Twin of decoding.pyx: one more token of each row through a transformer in plain NumPy."""

import math
from functools import partial

import numpy as np
from scipy.special import erf, softmax


def step(weights, places, ends, settings, tokens, first, at, positions, cosine, sine, cache, hidden, logits, n_threads):
    """Take one token of each row through all layers; rows' results don't depend on each other."""
    _check(weights, places, ends, settings, (tokens, first, at), (positions, cosine, sine), cache, (hidden, logits))
    C = hidden.shape[1]
    pick = _picker(weights)
    wte = weights[ends[0, 0] :][: (len(weights) - ends[0, 0]) // C * C].reshape(-1, C)
    x = wte[tokens] + (positions[at - first] if len(positions) else 0)
    for place, past in zip(places, cache):
        x = _block(x, place, past, pick, settings, ((first, at), (cosine, sine)))
    hidden[:] = _normed(x, pick(ends[0, 1], C), pick(ends[0, 2], C), settings[3])
    logits[:] = hidden @ pick(ends[0, 3], logits.shape[1], C).T if logits.size else 0


def _block(x, place, past, pick, settings, moments_and_angles):
    """Return what a block makes of x, and keep keys and values."""
    C, M = x.shape[1], settings[0]
    attention = (pick(place[2], C, 3 * C), pick(place[3], 3 * C), pick(place[4], C, C), pick(place[5], C))
    feed = (pick(place[8], C, M), pick(place[9], M), pick(place[10], M, C), pick(place[11], C))
    norms = [(pick(place[i], C), pick(place[i + 1], C), settings[3]) for i in (0, 6)]
    moments, angles = moments_and_angles
    attend = partial(_attended, weights=attention, past=past, moments=moments, angles=angles)
    fed = partial(_fed, weights=feed, by_tanh=settings[4])
    return _branch(_branch(x, attend, norms[0], settings), fed, norms[1], settings)


def _picker(weights):
    """Return a function that gives an array by its place and shape, or None."""
    return lambda at, *shape: weights[at : at + math.prod(shape)].reshape(shape) if at >= 0 else None


def _branch(x, f, norm, settings):
    """Return what a half of a block makes of x."""
    _, post, residual, _, _ = settings
    short = x if residual else 0
    return _normed(f(x) + short, *norm) if post else f(_normed(x, *norm)) + short


def _normed(x, gamma, beta, eps):
    """Normalise rows by mean and variance, or (without a beta) by the mean of squares."""
    if gamma is None:
        return x
    centred = x if beta is None else x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + eps) * gamma + (
        0 if beta is None else beta
    )


def _fed(u, weights, by_tanh):
    """Return gelu(u w + b) w' + b'."""
    w, b, last, after = weights
    z = u @ w + (0 if b is None else b)
    near = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)) if by_tanh else erf(z / np.sqrt(z.dtype.type(2)))
    return (0.5 * z * (1 + near)).astype(z.dtype) @ last + (0 if after is None else after)


def _attended(u, weights, past, moments, angles):
    """Keep keys and values, and return what the heads of each row find in theirs."""
    w, b, last, after = weights
    _, B, H, _, D = past.shape
    qkv = (u @ w + (0 if b is None else b)).reshape(B, 3, H, D)
    out = np.empty((B, H, D), dtype=u.dtype)
    for row, (first, at) in enumerate(zip(*moments)):
        q, k = (_turned(qkv[row, i], at - first, *angles) for i in (0, 1))
        past[0, row, :, at], past[1, row, :, at] = k, qkv[row, 2]
        keys, values = past[:, row, :, first : at + 1]
        p = softmax((keys @ q[:, :, None])[..., 0] / np.sqrt(D), axis=1)
        out[row] = (p[:, None] @ values)[:, 0]
    return out.reshape(u.shape) @ last + (0 if after is None else after)


def _turned(x, position, cosine, sine):
    """Turn the pairs of channels i and i + D / 2 of each head (Su et al. 2021, eq. 34)."""
    if not len(cosine):
        return x
    a, b = np.split(x, 2, axis=1)
    c, s = cosine[position], sine[position]
    return np.concatenate([a * c - b * s, b * c + a * s], axis=1)


def _check(weights, places, ends, settings, rows, tables, cache, outputs):
    """Raise unless all belongs together."""
    (tokens, first, at), (positions, cosine, sine), (hidden, logits) = rows, tables, outputs
    L, two, B, H, T, D = cache.shape
    C, V, M, n = hidden.shape[1], logits.shape[1], settings[0], len(weights)
    _same(places.shape == (L, 12), ends.shape == (1, 4), two == 2, H * D == C > 0, M >= 1, cosine.shape == sine.shape)
    _same(all(len(a) == B for a in (tokens, first, at, hidden)), not V or len(logits) == B)
    _same(not len(positions) or positions.shape[1] == C, not len(cosine) or 2 * cosine.shape[1] == D)
    sizes = (C, C, 3 * C * C, 3 * C, C * C, C, C, C, C * M, M, M * C, C)
    _same(*((p >= -1).all() and (p <= np.subtract(n, s)).all() for p, s in ((places, sizes), (ends, (C, C, C, V * C)))))
    _same(ends[0, 0] >= 0, not V or ends[0, 3] >= 0, (places[:, [2, 4, 8, 10]] >= 0).all())
    room = min(len(positions) or T, len(cosine) or T)
    _same((first >= 0).all(), (first <= at).all(), (at < T).all(), (at - first < room).all())
    _same((tokens >= 0).all(), (tokens < (n - ends[0, 0]) // C).all())


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
