"""What agents make of observations before they learn: numbers of states, cells found on the way, or features."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from skml._rows import row_hashes
from skml.reinforcement.spaces import Box, Discrete
from skml.reinforcement.states import KnownStates, NumberedStates, cells

WARM_UP = 1000  # observations of random actions on which a transformer is fitted
HUGE = 1e30  # a bound beyond which a box counts as open


class FoundStates:
    """States that get a number when they are first seen.

    Parameters
    ----------
    discretizer : object or None
        The fitted transformer that makes cells of observations; None: each distinct observation is a state.
    known : KnownStates or None, default=None
        States found before.
    """

    def __init__(self, discretizer, known=None):
        self.discretizer, self.rows, self.numbers = discretizer, [], {}
        if known is not None:
            self._number(known.keys)

    def of(self, observations):
        """Return the states of N observations, (N,)."""
        observations = np.asarray(observations, dtype=np.float64).reshape(len(observations), -1)
        return self._number(cells(observations, self.discretizer).astype(np.float64))

    def _number(self, rows):
        states = np.empty(len(rows), dtype=np.int64)
        for i, row in enumerate(rows + 0.0):  # -0 is 0
            states[i] = self.numbers.setdefault(row.tobytes(), len(self.rows))
            if states[i] == len(self.rows):
                self.rows.append(row)
        return states

    @property
    def n_states(self):
        """How many there are so far."""
        return len(self.rows)

    @property
    def keys(self):
        """The cell of each, (n_states, n_columns)."""
        return np.array(self.rows)


class Numbers(NumberedStates):
    """Observations that are numbers of states, (N,)."""

    def of(self, observations):
        """Return the states of N observations, (N,)."""
        return observations - self.start


class Features:
    """Features of observations, of which few or all are other than 0.

    Parameters
    ----------
    transformer : object
        Fitted. One with the method ``tiles`` (such as :class:`~skml.reinforcement.TileCoding`) says which of its binary
        features are 1; of any other the output of ``transform`` is taken.
    """

    def __init__(self, transformer):
        self.transformer, self.tiled = transformer, hasattr(transformer, "tiles")

    @property
    def n_states(self):
        """All rows of the table: the weights of features do not become more."""
        return None

    def width(self, observations):
        """Return how many features there are."""
        return self.transformer.n_tiles_ if self.tiled else self.transformer.transform(observations).shape[1]

    def of(self, observations):
        """Return the indices and the values of the features of N observations, both (N, k)."""
        observations = np.asarray(observations, dtype=np.float64).reshape(len(observations), -1)
        if self.tiled:
            tiles = self.transformer.tiles(observations)
            return tiles, np.ones(tiles.shape)
        return _entries(self.transformer.transform(observations))


def _entries(rows):
    if not sp.issparse(rows):
        rows = np.asarray(rows, dtype=np.float64)
        return np.tile(np.arange(rows.shape[1]), (len(rows), 1)), rows
    rows = sp.csr_array(rows)
    counts = np.diff(rows.indptr)
    there = np.arange(max(1, counts.max(initial=0))) < counts[:, None]
    index, value = np.zeros(there.shape, dtype=np.int64), np.zeros(there.shape)
    index[there], value[there] = rows.indices, rows.data
    # what pads a row is a feature of value 0: one that the row doesn't have
    index[~there] = np.nonzero(~there)[1]
    return index, value


def fitted_on_play(transformer, vector, seed):
    """Return a clone of a transformer, fitted on what random actions lead to and on the corners of the box.

    Parameters
    ----------
    transformer : object
        A scikit-learn transformer.
    vector : object
        Copies of the environment.
    seed : int
        Of the play.

    Returns
    -------
    transformer : object
        Fitted on at least 1000 observations.
    """
    generator = np.random.default_rng(seed)
    first, n_ticks = vector.reset(seed), -(-WARM_UP // vector.n_envs)
    seen = [first, *(vector.step(_random_actions(vector, generator))[0] for _ in range(n_ticks))]
    rows = np.concatenate([np.reshape(some, (vector.n_envs, -1)) for some in seen]).astype(np.float64)
    return clone(transformer).fit(np.concatenate([rows, _corners(rows, vector.observation_space)]))


def _random_actions(vector, generator):
    space, mask = vector.action_space, vector.action_mask
    if mask is None:
        return generator.integers(space.start, space.start + space.n, vector.n_envs)
    return space.start + np.where(mask, generator.random(mask.shape), -1.0).argmax(axis=1)


def _corners(rows, space):
    """Return the low and the high ends of a box; where it is open, those of the rows."""
    ends = np.stack([rows.min(axis=0), rows.max(axis=0)])
    if not isinstance(space, Box):
        return ends
    bounds = np.stack([np.ravel(space.low), np.ravel(space.high)]).astype(np.float64)
    return np.where(np.abs(bounds) < HUGE, bounds, ends)


def state_encoder(space, discretizer, known):
    """Return the encoder of states of a space.

    Parameters
    ----------
    space : Discrete, MultiDiscrete or Box
        Of the observations.
    discretizer : object or None
        Fitted.
    known : KnownStates or None
        Found before.

    Returns
    -------
    encoder : Numbers or FoundStates
        For :class:`~skml.reinforcement.td.Table`.
    """
    if isinstance(space, Discrete) and discretizer is None:
        return Numbers(space.n, space.start)
    return FoundStates(discretizer, known)


def settle(encoder, learned):
    """Return states as a fitted agent keeps them, and the order of the rows of its tables.

    Parameters
    ----------
    encoder : Numbers or FoundStates
        What the agent learned with.
    learned : Learned
        What it knows.

    Returns
    -------
    states : NumberedStates or KnownStates
        To ask for states of observations.
    order : slice or ndarray of shape (n_states,)
        Of the rows.
    """
    if learned.keys is None:
        return NumberedStates(encoder.n_states, encoder.start), slice(None)
    hashes = row_hashes(learned.keys)
    order = np.argsort(hashes, kind="stable")
    return KnownStates(learned.keys[order], encoder.discretizer, hashes[order]), order
