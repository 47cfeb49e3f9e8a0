"""Decoding: from the probabilities of next tokens to texts.

B: rows that are written, V: tokens. A session gives logits and takes tokens; a continuation is what is written so far.
"""

from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

from skml.language.scoring import log_softmax, probabilities

STRATEGIES = ("greedy", "sample", "beam")


@dataclass(frozen=True)
class Settings:
    """How to write.

    Attributes
    ----------
    max_new_tokens : int, default=100
        The most tokens.
    strategy : {"greedy", "sample", "beam"}, default="greedy"
        How a token is chosen.
    temperature : float, default=1.0
        What logits are divided by before a draw.
    top_k : int or None, default=None
        How many of the most probable tokens may be drawn (Fan et al. 2018).
    top_p : float, default=1.0
        The probability that those which may be drawn have together, at least (Holtzman et al. 2020).
    n_beams : int, default=4
        How many texts beam search follows.
    length_penalty : float, default=1.0
        The power of the length that log-probabilities are divided by in beam search.
    repetition_penalty : float, default=1.0
        What positive logits of tokens that are there already are divided by, and negative ones multiplied with (Keskar
        et al. 2019).
    stop : tuple of str, default=()
        Where a text is cut off.
    n_samples : int, default=1
        Texts for each prompt.
    """

    max_new_tokens: int = 100
    strategy: str = "greedy"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    n_beams: int = 4
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple = ()
    n_samples: int = 1

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be 'greedy', 'sample' or 'beam', got {self.strategy!r}.")
        for name, least in (("max_new_tokens", 0), ("n_beams", 1), ("n_samples", 1), ("top_k", 1)):
            value = getattr(self, name)
            if not (name == "top_k" and value is None) and not _is_number(value, Integral, least):
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
        for name in ("temperature", "repetition_penalty"):
            value = getattr(self, name)
            if not _is_number(value, Real, 0) or value == 0 or not np.isfinite(value):
                hint = " For the most probable token use strategy='greedy'." if name == "temperature" else ""
                raise ValueError(f"{name} must be a number above 0, got {value!r}.{hint}")
        if not _is_number(self.top_p, Real, 0) or not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p!r}.")
        if not _is_number(self.length_penalty, Real, -np.inf) or not np.isfinite(self.length_penalty):
            raise ValueError(f"length_penalty must be a number, got {self.length_penalty!r}.")
        if self.n_samples > 1 and self.strategy == "greedy":
            raise ValueError("n_samples > 1 needs strategy='sample' or 'beam': greedy texts are all the same.")
        if self.strategy == "beam" and self.n_samples > self.n_beams:
            raise ValueError(f"n_samples={self.n_samples} is more than n_beams={self.n_beams}.")


def _is_number(value, kind, least):
    return isinstance(value, kind) and not isinstance(value, (bool, np.bool_)) and value >= least


def as_stops(stop, kind):
    """Return the strings at which to stop as a tuple."""
    several = isinstance(stop, (list, tuple, set))
    stops = () if stop is None else tuple(stop) if several else (stop,)
    if not all(isinstance(one, str) and one for one in stops):
        raise ValueError(f"stop must be a string that is not empty, or several, got {stop!r}.")
    if stops and kind != "texts":
        raise ValueError("stop is for texts; this model writes numbers.")
    return stops


# ---------------------------------------------------------------------------------------- probabilities


def written(context, ids):
    """Return the tokens of a text so far, but the one that begins it, which is often the one that ends it."""
    return np.append(context[1:], ids).astype(np.int64)


def penalized(z, histories, penalty):
    """Return logits in which tokens that are there already count for less, if the penalty is above 1."""
    if penalty == 1:
        return z
    z = z.copy()
    for row, ids in zip(z, histories):
        there = np.unique(ids)
        row[there] = np.where(row[there] > 0, row[there] / penalty, row[there] * penalty)
    return z


def truncated(p, top_k, top_p):
    """Return probabilities of which only the largest are left: so many, or until they add up to so much.

    Parameters
    ----------
    p : ndarray of shape (B, V), float64
        Rows that add up to 1.
    top_k : int or None
        How many are left at most.
    top_p : float
        What those that are left add up to at least.

    Returns
    -------
    p : ndarray of shape (B, V)
        Rows that add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.language.decoding import truncated
    >>> truncated(np.array([[0.5, 0.1, 0.4]]), None, 0.8).round(3)
    array([[0.556, 0.   , 0.444]])
    """
    if top_k is None and top_p == 1:
        return p
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    left = before < top_p
    left[:, 0] = True
    left[:, p.shape[1] if top_k is None else top_k :] = False
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(left, ordered, 0), axis=1)
    return kept / kept.sum(axis=1, keepdims=True)


def drawn(p, u):
    """Return the token of each row in whose part of [0, 1) the number u lies."""
    edges = np.cumsum(p, axis=1)
    edges /= edges[:, -1:]
    return (edges <= u[:, None]).sum(axis=1)


class Chooser:
    """What chooses next tokens one by one.

    Parameters
    ----------
    settings : Settings
        How.
    seeds : list of sequence of int
        What each row's chance depends on.
    """

    def __init__(self, settings, seeds):
        self.settings = settings
        self.generators = [np.random.default_rng(seed) for seed in seeds]

    def __call__(self, z, rows, histories):
        """Return a token for each row of logits; rows are the numbers of those that still go on."""
        s = self.settings
        z = penalized(z, histories, s.repetition_penalty)
        if s.strategy == "greedy":
            return probabilities(z).argmax(axis=1)
        p = probabilities(z if s.temperature == 1 else z.astype(np.float64) / s.temperature).astype(np.float64)
        u = np.array([self.generators[row].random() for row in rows])
        return drawn(truncated(p, s.top_k, s.top_p), u)


# ---------------------------------------------------------------------------------------------- writing


@dataclass
class Continuation:
    """What is written of one row.

    Attributes
    ----------
    coder : Coder
        What makes documents of tokens.
    stops : tuple of str
        Where it is cut off.
    ids : list of int
        The tokens.
    done : bool
        Whether nothing follows.
    shown : int
        Characters, or numbers, that a stream has handed out.
    """

    coder: object
    stops: tuple = ()
    ids: list = field(default_factory=list)
    done: bool = False
    shown: int = 0

    def add(self, token):
        """Add a token, unless it is the end."""
        if token == self.coder.end:
            self.done = True
            return
        self.ids.append(int(token))
        if self.stops and any(stop in self.coder.decode(self.ids) for stop in self.stops):
            self.done = True

    def document(self):
        """Return what is written, up to where it stops."""
        text = self.coder.decode(self.ids)
        return text[: min(text.find(stop) % (len(text) + 1) for stop in self.stops)] if self.stops else text

    def fresh(self):
        """Return what is new since the last call, and certain."""
        text = self.document()
        upto = len(text) if self.done or not isinstance(text, str) else self._certain(text)
        found, self.shown = text[self.shown : upto], max(self.shown, upto)
        return found

    def _certain(self, text):
        """Return how much of a text stays as it is: half a character, or half of where it stops, may not."""
        whole = text.rstrip("\ufffd")
        upto = len(whole)
        for stop in self.stops:
            for k in range(min(len(stop) - 1, len(whole)), 0, -1):
                if whole.endswith(stop[:k]):
                    upto = min(upto, len(whole) - k)
                    break
        return max(upto, self.shown)


def write(session, contexts, choose, found, limit):
    """Write rows to their ends, a token of each at a time.

    Parameters
    ----------
    session : object
        Of the contexts.
    contexts : list of ndarray of shape (n,), int32
        What is there already, the token that begins documents first.
    choose : Chooser
        What chooses tokens.
    found : list of Continuation
        Where they go.
    limit : int
        The most tokens.

    Yields
    ------
    nothing : None
        After each token of all rows.
    """
    rows = np.arange(len(found))
    for left in range(limit, 0, -1):
        histories = [written(contexts[row], found[row].ids) for row in rows]
        tokens = choose(session.logits(), rows, histories)
        for row, token in zip(rows, tokens):
            found[row].add(token)
            found[row].done |= left == 1
        yield
        going = np.array([not found[row].done for row in rows])
        if not going.any():
            return
        if not going.all():
            session.select(np.flatnonzero(going))
        rows, tokens = rows[going], tokens[going]
        session.write(tokens)


# ------------------------------------------------------------------------------------------ beam search


@dataclass(frozen=True)
class Hypothesis:
    """A text that beam search follows.

    Attributes
    ----------
    ids : tuple of int
        Its tokens.
    log_p : float
        The logarithm of their probability.
    done : bool, default=False
        Whether nothing follows.
    ended : bool, default=False
        Whether its last token was the end, which isn't in `ids`.
    """

    ids: tuple = ()
    log_p: float = 0.0
    done: bool = False
    ended: bool = False

    def score(self, length_penalty):
        """Return log p over the length to some power, the end counted (Wu et al. 2016, without its constants)."""
        return self.log_p / max(1, len(self.ids) + self.ended) ** length_penalty


def beam_search(session, context, coder, settings):
    """Follow the most probable texts at a time, and return them, the best first.

    The text of greedy decoding is among those compared: the best is never worse.

    Parameters
    ----------
    session : callable
        ``session(rows)`` opens one.
    context : ndarray of shape (n,), int32
        What is there already, the token that begins documents first.
    coder : Coder
        What makes documents of tokens.
    settings : Settings
        How.

    Returns
    -------
    found : list of Hypothesis
        At least ``n_samples`` of them, unless there are no more texts.
    """
    found = set(_beam(session([context]), context, coder, settings, settings.n_beams))
    if settings.n_beams > 1:
        found.update(_beam(session([context]), context, coder, settings, 1))
    return sorted(found, key=lambda one: (-one.score(settings.length_penalty), one.ids))


def _beam(session, context, coder, settings, width):
    lanes, over = [Hypothesis()], []
    for _ in range(settings.max_new_tokens):
        histories = [written(context, one.ids) for one in lanes]
        logs = log_softmax(penalized(session.logits(), histories, settings.repetition_penalty))
        best = _best(logs + np.array([one.log_p for one in lanes])[:, None], width - len(over))
        grown = [(row, _grown(lanes[row], token, log_p, coder, settings)) for row, token, log_p in best]
        over += [one for _, one in grown if one.done]
        alive = [(row, one) for row, one in grown if not one.done]
        lanes = [one for _, one in alive]
        if not lanes:
            break
        session.select([row for row, _ in alive])
        session.write([one.ids[-1] for one in lanes])
    return [*over, *lanes]


def _best(totals, k):
    """Return the k largest entries of a matrix as (row, column, value), the first of equal ones first."""
    V = totals.shape[1]
    flat = totals.ravel()
    return [(i // V, i % V, float(flat[i])) for i in np.argsort(-flat, kind="stable")[:k].tolist()]


def _grown(one, token, log_p, coder, settings):
    if token == coder.end:
        return Hypothesis(one.ids, log_p, done=True, ended=True)
    ids = (*one.ids, token)
    stops = settings.stop and any(stop in coder.decode(ids) for stop in settings.stop)
    return Hypothesis(ids, log_p, done=bool(stops))
