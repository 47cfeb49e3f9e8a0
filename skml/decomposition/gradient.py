"""Mini-batch gradient descent (Adam) for linear codes."""

from dataclasses import dataclass, replace

import numpy as np

from skml.base import Step
from skml.decomposition.autoencoding import LinearCode, Trained
from skml.decomposition.row_blocks import open_block

# Adam's constants (Kingma & Ba 2015); the rate falls as 1 / (1 + t / DECAY_STEPS) so that the noise of the
# batches dies out (Robbins & Monro 1951).
BETA1, BETA2, EPSILON, DECAY_STEPS = 0.9, 0.999, 1e-8, 100
# Epochs without an improvement of the loss that end a fit.
PATIENCE = 10


@dataclass(frozen=True)
class Descent:
    """Where a descent stands.

    Attributes
    ----------
    parameters, first, second : ndarray of shape (n_features, n_columns)
        [W, V'] (W alone if tied), and Adam's running means of the gradient and of its square.
    mean : ndarray of shape (n_features,)
        The centre of the data.
    scale : float
        The unit in which the data is seen.
    weight : float
        The sum of the weights of the data seen, for the centre's sake.
    tied : bool
        Whether V = W'.
    seed : int
        From which all shuffles are drawn.
    n_updates, n_iter, stalled : int
        Updates and epochs done, and the last epochs without improvement.
    best : float
        The least loss of an epoch, in units of scale squared.
    """

    parameters: np.ndarray
    first: np.ndarray
    second: np.ndarray
    mean: np.ndarray
    scale: float
    weight: float
    tied: bool
    seed: int
    n_updates: int = 0
    n_iter: int = 0
    stalled: int = 0
    best: float = np.inf

    def code(self):
        """Return the model."""
        if self.tied:
            return LinearCode(self.parameters, np.ascontiguousarray(self.parameters.T), self.mean)
        encoder, decoder = np.split(self.parameters, 2, axis=1)
        return LinearCode(np.ascontiguousarray(encoder), np.ascontiguousarray(decoder.T), self.mean)


@dataclass(frozen=True)
class Batches:
    """Rows in canonical order, and how to walk over them.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    index : ndarray of shape (n_distinct,), int
        The rows to use.
    weights : ndarray of shape (n_distinct,)
        Their weights, with mean one.
    size : int
        Rows in a batch.
    shuffle : bool
        Whether each epoch takes them in an order of its own.
    """

    X: object
    index: np.ndarray
    weights: np.ndarray
    size: int
    shuffle: bool

    def epoch(self, seed, n_iter):
        """Yield (rows, weights) of each batch of an epoch; the order depends on `seed` and `n_iter` alone."""
        order = np.arange(len(self.index))
        if self.shuffle:
            order = np.random.default_rng([seed, n_iter]).permutation(order)
        for start in range(0, len(order), self.size):
            batch = order[start : start + self.size]
            yield self.index[batch], self.weights[batch]


def start_descent(centre, n_components, tied, dtype, seed):
    """Return the :class:`Descent` before its first update: a random orthonormal encoder and its transpose.

    Parameters
    ----------
    centre : Centre
        Of the data.
    n_components : int
        The size of a code.
    tied : bool
        Whether V = W'.
    dtype : dtype
        Of the work.
    seed : int
        The seed of all draws.

    Returns
    -------
    descent : Descent
        Its state.
    """
    noise = np.random.default_rng(seed).standard_normal((len(centre.mean), n_components))
    encoder = np.linalg.qr(noise)[0].astype(dtype)
    parameters = encoder if tied else np.hstack([encoder, encoder])
    zeros = np.zeros_like(parameters)
    return Descent(parameters, zeros, zeros, centre.mean.astype(dtype), centre.scale, centre.weight, bool(tied), seed)


def move_centre(descent, centre):
    """Return a descent whose centre is the mean of all rows seen, those of a new batch included.

    Parameters
    ----------
    descent : Descent
        Before the batch.
    centre : Centre
        Of the batch.

    Returns
    -------
    descent : Descent
        Free to take any number of epochs more.
    """
    weight = descent.weight + centre.weight
    old = descent.mean.astype(np.float64)
    mean = (old + (centre.mean - old) * (centre.weight / weight)).astype(descent.mean.dtype)
    return replace(descent, mean=mean, weight=weight, stalled=0, best=np.inf)


def total_around(descent, centre):
    """Return the weighted mean of |x - mean|^2 / scale^2, with the mean and the scale of a descent."""
    moved = (centre.mean - descent.mean) / descent.scale
    return centre.total * (centre.scale / descent.scale) ** 2 + float(moved @ moved)


def descent_done(descent, max_iter):
    """Tell whether there is nothing left to descend."""
    return descent.n_iter >= max_iter or descent.stalled >= PATIENCE


def gradient_steps(descent, batches, total, *, alpha, learning_rate, max_iter, tol):
    """Take epochs of Adam until the loss no longer improves.

    Parameters
    ----------
    descent : Descent
        Where to go on from.
    batches : Batches
        The data.
    total : float
        Weighted mean of |x - mean|^2 / scale^2.
    alpha : float
        The penalty, in the units of X squared.
    learning_rate : float
        Adam's rate at the first update.
    max_iter : int
        At most so many epochs, earlier ones included.
    tol : float
        An epoch improves if its loss is less than (1 - tol) times the best.

    Yields
    ------
    step : Step
        State :class:`Trained`, metric "loss": the mean loss of the epoch's batches, each before its update.
    """
    unit = descent.scale**2
    while not descent_done(descent, max_iter):
        descent, loss = epoch(descent, batches, alpha / unit, learning_rate)
        loss = max(0.0, total + loss)
        stalled = 0 if loss < (1 - tol) * descent.best else descent.stalled + 1
        descent = replace(descent, stalled=stalled, best=min(loss, descent.best))
        code = descent.code()
        if descent.tied and alpha == 0 and descent.parameters.shape[1] == 1:
            code = with_unit_norm(code)
        state = Trained(code, descent.n_iter, vars(descent))
        yield Step(state, {"loss": loss * unit}, last=descent_done(descent, max_iter))


def with_unit_norm(code):
    """Return a tied code of one number with its direction at length one, the best for any direction.

    The loss along w is total - 2 v s + v s^2, with s = |w|^2 and v the variance along it: least at s = 1.
    """
    norm = np.linalg.norm(code.encoder.astype(np.float64))
    encoder = (code.encoder / norm).astype(code.encoder.dtype) if norm > 0 else code.encoder
    return LinearCode(encoder, np.ascontiguousarray(encoder.T), code.mean)


def epoch(descent, batches, alpha, learning_rate):
    """Take one epoch of updates.

    Parameters
    ----------
    descent : Descent
        Where to go on from; its arrays are left alone.
    batches : Batches
        The data.
    alpha : float
        The penalty, in units of scale squared.
    learning_rate : float
        Adam's rate at the first update.

    Returns
    -------
    descent : Descent
        After the epoch.
    loss : float
        Mean over the rows of the loss that each met, less the mean of |x|^2, in units of scale squared.
    """
    P, first, second = descent.parameters.copy(), descent.first.copy(), descent.second.copy()
    t, loss = descent.n_updates, 0.0
    gradient, copies = (tied_gradient, 2) if descent.tied else (untied_gradient, 1)
    for rows, weights in batches.epoch(descent.seed, descent.n_iter):
        block = open_block(batches.X, rows, descent.mean, descent.scale)
        G, error = gradient(block, (weights / len(rows)).astype(P.dtype)[:, None], P)
        if alpha:
            G += (2 * copies * alpha) * P
        loss += (error + copies * alpha * float(np.vdot(P, P))) * len(rows)
        t += 1
        rate = learning_rate / (1 + (t - 1) / DECAY_STEPS)
        adam(P, G, first, second, t, rate)
    after = replace(descent, parameters=P, first=first, second=second, n_updates=t, n_iter=descent.n_iter + 1)
    return after, loss / len(batches.index)


def adam(P, G, first, second, t, rate):
    """Take one step of Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    P, first, second : ndarray
        Parameters and running means of the gradient and of its square; updated in place.
    G : ndarray
        The gradient; used up.
    t : int
        The number of this step, from 1.
    rate : float
        The length of the step.
    """
    first *= BETA1
    first += (1 - BETA1) * G
    second *= BETA2
    G *= G
    G *= 1 - BETA2
    second += G
    np.sqrt(second, out=G)
    G *= 1 / np.sqrt(1 - BETA2**t)
    G += EPSILON
    np.divide(first, G, out=G)
    G *= rate / (1 - BETA1**t)
    P -= G


def untied_gradient(block, weights, P):
    """Differentiate mean |x W V - x|^2 by [W, V'].

    Parameters
    ----------
    block : Block
        The batch x.
    weights : ndarray of shape (n_rows, 1)
        Weights over the size of the batch.
    P : ndarray of shape (n_features, 2 * n_components)
        [W, V'].

    Returns
    -------
    gradient : ndarray of shape (n_features, 2 * n_components)
        2 [x'(z V V' - x V'), V' z'z - x'z] with z = x W; no array of the batch's full size is made.
    error : float
        The mean error less the mean of |x|^2.
    """
    k = P.shape[1] // 2
    both = block.times(P)  # [z, x V']
    codes, back = both[:, :k], both[:, k:]
    weighted = codes * weights
    S, T = weighted.T @ codes, P[:, k:].T @ P[:, k:]
    gradient = block.transposed_times(np.hstack([weighted @ T - back * weights, -weighted]))
    gradient[:, k:] += P[:, k:] @ S
    gradient *= 2
    return gradient, float(np.vdot(S, T) - 2 * np.vdot(weighted, back))


def tied_gradient(block, weights, P):
    """Differentiate mean |x W W' - x|^2 by W.

    Parameters
    ----------
    block : Block
        The batch x.
    weights : ndarray of shape (n_rows, 1)
        Weights over the size of the batch.
    P : ndarray of shape (n_features, n_components)
        W.

    Returns
    -------
    gradient : ndarray of shape (n_features, n_components)
        2 x'(z W'W - 2 z) + 2 W z'z with z = x W.
    error : float
        The mean error less the mean of |x|^2.
    """
    codes = block.times(P)
    weighted = codes * weights
    S, T = weighted.T @ codes, P.T @ P
    gradient = block.transposed_times(weighted @ T - 2 * weighted) + P @ S
    return 2 * gradient, float(np.vdot(S, T) - 2 * np.trace(S))
