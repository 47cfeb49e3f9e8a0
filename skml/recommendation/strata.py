"""Interactions cut into blocks of users and items, so that a stratum's blocks can be learned from side by side.

Distributed stochastic gradient descent (Gemulla, Nijkamp, Haas & Sismanis 2011): users and items are dealt to B parts
each; stratum s holds the B blocks (a, a + s mod B), of which no two share a user or an item. The parts depend on the
data alone, so the steps, and their order as far as it matters, are the same for any number of threads.
"""

from dataclasses import dataclass

import numpy as np

# Parts and blocks are no smaller on average (steps on the same few items wait for each other), and no more: threads
# beyond have nothing to do.
LEAST_USERS, LEAST_ITEMS, LEAST_INTERACTIONS, MOST_PARTS = 8, 12, 2**10, 32


@dataclass(frozen=True)
class Strata:
    """Interactions in order of their blocks.

    Attributes
    ----------
    order : ndarray of shape (n_interactions,), int32
        Interactions block by block; block (a, b) is number ``a * n_parts + b``.
    starts : ndarray of shape (n_parts**2 + 1,), int64
        Where each block starts in `order`.
    members : ndarray of shape (n_items,), int32
        Items part by part.
    member_starts : ndarray of shape (n_parts + 1,), int32
        Where each part starts in `members`.
    """

    order: np.ndarray
    starts: np.ndarray
    members: np.ndarray
    member_starts: np.ndarray

    @property
    def n_parts(self):
        """The number of parts of the users, and of the items."""
        return len(self.member_starts) - 1

    def stratum(self, shift):
        """Return the starts and stops of the blocks of a stratum, and the items' part of each."""
        users = np.arange(self.n_parts)
        items = (users + shift) % self.n_parts
        blocks = users * self.n_parts + items
        return self.starts[blocks], self.starts[blocks + 1], items


def random_key(entropy, *path):
    """Return 64 random bits that depend on the entropy and on the numbers of a path."""
    return np.random.SeedSequence([entropy, *path]).generate_state(1, np.uint64)[0]


def random_numbers(entropy, *path):
    """Return a generator that depends on the entropy and on the numbers of a path."""
    return np.random.Generator(np.random.Philox(key=[random_key(entropy, *path), 0]))


def count_parts(ratings):
    """Return into how many parts users and items are dealt, which depends on the sizes alone."""
    large_enough = int((len(ratings.data) / LEAST_INTERACTIONS) ** 0.5)
    parts = min(ratings.n_rows // LEAST_USERS, ratings.n_columns // LEAST_ITEMS, large_enough, MOST_PARTS)
    return max(1, parts if parts < 4 else parts - parts % 4)


def deal_evenly(counts, n_parts):
    """Return the part of each row, so that parts have about the same number of interactions.

    Parameters
    ----------
    counts : ndarray of shape (n_rows,)
        Interactions per row.
    n_parts : int
        How many parts there are.

    Returns
    -------
    parts : ndarray of shape (n_rows,), int32
        Rows are dealt by falling counts, forth and back.
    """
    cards = np.arange(len(counts))
    there = cards % n_parts
    parts = np.empty(len(counts), dtype=np.int32)
    parts[np.argsort(-counts, kind="stable")] = np.where(cards // n_parts % 2, n_parts - 1 - there, there)
    return parts


def deal_randomly(n_rows, n_parts, rng):
    """Return the part of each row: equally many each, any two rows together as likely as any others."""
    parts = np.empty(n_rows, dtype=np.int32)
    parts[rng.permutation(n_rows)] = np.arange(n_rows) % n_parts
    return parts


def cut(ratings, user_parts, item_parts, n_parts):
    """Return interactions cut into blocks.

    Parameters
    ----------
    ratings : Ratings
        The interactions.
    user_parts, item_parts : ndarray of int32
        The part of each user and of each item.
    n_parts : int
        How many parts there are.

    Returns
    -------
    strata : Strata
        Within a block, interactions keep their order.
    """
    blocks = np.repeat(user_parts, np.diff(ratings.indptr)) * n_parts + item_parts[ratings.indices]
    blocks = blocks.astype(np.uint16, copy=False)  # at most 1024, and 16 bits are sorted by radix
    order = np.argsort(blocks, kind="stable").astype(np.int32)
    members = np.argsort(item_parts, kind="stable").astype(np.int32)
    return Strata(order, _starts(blocks, n_parts**2), members, _starts(item_parts, n_parts).astype(np.int32))


def _starts(codes, n):
    return np.append(0, np.cumsum(np.bincount(codes, minlength=n))).astype(np.int64)
