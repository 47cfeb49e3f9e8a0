"""Splitters of interactions: what a recommender may know, and what it is then asked.

They are scikit-learn cross-validators like any other, for ``cv=`` in ``cross_val_score`` or ``GridSearchCV``. Rows of
X are interactions. Of a matrix, whose rows are users, scikit-learn's own ``KFold`` holds out whole users, whose ratings
are then folded in and predicted; to hold out ratings make it interactions (:func:`skml.recommendation.interactions`).
"""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state, indexable

from skml.recommendation.ids import missing, number
from skml.recommendation.tables import as_column, named_column, without_labels

__all__ = ["ColdUserSplit", "LeaveLastOut", "PerUserKFold", "TimeSplit"]


class _Splitter(BaseCrossValidator):
    """Base of the splitters, which give masks of training and test rows, ``_masks(X, groups)``, and have `n_splits`."""

    def split(self, X, y=None, groups=None):
        """Yield the rows of each training and test set.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Interactions.
        y : array-like of shape (n_samples,) or None
            Not used.
        groups : array-like of shape (n_samples,) or None
            To splitters of users the user of each row, instead of the column `user`; to splitters by time its time,
            needed if `time` is None.

        Yields
        ------
        train, test : ndarray of int
            Rows.

        Raises
        ------
        ValueError
            If X has no such column, or too few interactions, users or times.
        """
        X, y, groups = indexable(X, y, groups)
        for train, test in self._masks(X, groups):
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : array-like or None
            Not used.

        Returns
        -------
        n_splits : int
            How many pairs :meth:`split` yields.
        """
        return self.n_splits


class PerUserKFold(_Splitter):
    """K folds in which each user's interactions are dealt out evenly.

    The folds of a user differ by at most one interaction in size, and so do the folds altogether. Every user of a
    test set is known from training. A user's only interaction is in every training set and in no test set.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2. A user with fewer interactions is in the test sets of that many folds.
    shuffle : bool, default=True
        Whether to deal the interactions in random order; else in the order of the rows.
    random_state : int, RandomState instance or None, default=None
        Decides the order; an int makes each call the same.
    user : int or str, default=0
        The column of X that holds the users, by index or, in a DataFrame, by name.

    Examples
    --------
    >>> from skml.recommendation import PerUserKFold
    >>> X = [["ann", 1], ["ann", 2], ["bob", 1], ["bob", 3], ["cid", 2]]
    >>> for train, test in PerUserKFold(n_splits=2, shuffle=False).split(X):
    ...     print(train, test)
    [1 3 4] [0 2]
    [0 2 4] [1 3]
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None, user=0):
        self.n_splits = _checked_splits(n_splits)
        self.shuffle = shuffle
        self.random_state = random_state
        self.user = user

    def _masks(self, X, groups):
        users = _users(X, groups, self.user)
        fold = np.full(len(users), -1)
        order = self._order(users)
        order = order[np.bincount(users)[users[order]] > 1]
        if len(order) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs at least as many interactions of users who have two or more; "
                f"there are {len(order)}."
            )
        fold[order] = np.arange(len(order)) % self.n_splits
        for i in range(self.n_splits):
            yield fold != i, fold == i

    def _order(self, users):
        """Return the rows, user after user."""
        order = np.arange(len(users))
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(len(users))
        return order[np.argsort(users[order], kind="stable")]


class ColdUserSplit(_Splitter):
    """K folds of whole users: all interactions of a test set are of users that training knows nothing of.

    Measures what a recommender says of people it meets for the first time. The folds differ by at most one user.
    A user with a single interaction is held out like any other.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of users.
    shuffle : bool, default=True
        Whether to deal the users in random order; else in that of their first rows.
    random_state : int, RandomState instance or None, default=None
        Decides the order; an int makes each call the same.
    user : int or str, default=0
        The column of X that holds the users, by index or, in a DataFrame, by name.

    Examples
    --------
    >>> from skml.recommendation import ColdUserSplit
    >>> X = [["ann", 1], ["bob", 1], ["ann", 2], ["cid", 2]]
    >>> for train, test in ColdUserSplit(n_splits=2, shuffle=False).split(X):
    ...     print(train, test)
    [1] [0 2 3]
    [0 2 3] [1]
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None, user=0):
        self.n_splits = _checked_splits(n_splits)
        self.shuffle = shuffle
        self.random_state = random_state
        self.user = user

    def _masks(self, X, groups):
        users = _users(X, groups, self.user)
        n_users = users.max() + 1
        if n_users < self.n_splits:
            raise ValueError(f"n_splits={self.n_splits} is more than the {n_users} users of X.")
        fold = np.arange(n_users) % self.n_splits
        if self.shuffle:
            fold = check_random_state(self.random_state).permutation(fold)
        for i in range(self.n_splits):
            yield fold[users] != i, fold[users] == i


class LeaveLastOut(_Splitter):
    """One split: the last interactions of each user are the test set, what the user did before is training.

    Of equal times the later row is the later one. At least one interaction of each user stays in training, so that a
    user's only interaction is never in the test set.

    Parameters
    ----------
    n_last : int, default=1
        How many interactions of each user to leave out.
    time : int, str or None, default=None
        The column of X that holds times, by index or, in a DataFrame, by name: numbers, dates, or text that sorts by
        time. None: they come as `groups`. A column of X is also a feature to a recommender, which takes numbers alone,
        and no dates: leave such a column out of X and pass it as `groups`.
    user : int or str, default=0
        The column of X that holds the users.

    Examples
    --------
    >>> from skml.recommendation import LeaveLastOut
    >>> X = [["ann", 1], ["ann", 2], ["bob", 1], ["bob", 3], ["cid", 2]]
    >>> [(train, test)] = LeaveLastOut().split(X, groups=[2019, 2023, 2024, 2021, 2020])
    >>> test
    array([1, 2])
    """

    __metadata_request__split = {"groups": True}
    n_splits = 1

    def __init__(self, n_last=1, *, time=None, user=0):
        self.n_last = _checked_count("n_last", n_last, 1)
        self.time = time
        self.user = user

    def _masks(self, X, groups):
        users, times = _users(X, None, self.user), _times(X, groups, self.time)
        order = np.lexsort((times, users))
        sizes = np.bincount(users)
        from_end = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(users))
        is_last = np.empty(len(users), bool)
        is_last[order] = from_end <= np.minimum(self.n_last, np.repeat(sizes, sizes) - 1)
        if not is_last.any():
            raise ValueError("No user has two interactions: there is nothing to leave out.")
        yield ~is_last, is_last


class TimeSplit(_Splitter):
    """Windows of time, one after the other: train on all that was before a window, test on the window.

    The rows are cut by time into n_splits + 1 windows of nearly equal size; rows of one time are never parted. No row
    of a test set is earlier than any of its training set, as in use; so a user or item may be new in a test set.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least 1.
    time : int, str or None, default=None
        The column of X that holds times, by index or, in a DataFrame, by name: numbers, dates, or text that sorts by
        time. None: they come as `groups`. A column of X is also a feature to a recommender, which takes numbers alone,
        and no dates: leave such a column out of X and pass it as `groups`.
    known_users : bool, default=False
        Whether to leave rows of users who are new in a test set out of it. Such rows are then in neither set of that
        split, and a user with a single interaction is never in a test set.
    user : int or str, default=0
        The column of X that holds the users; needed for `known_users`.

    Examples
    --------
    >>> from skml.recommendation import TimeSplit
    >>> X = [["ann", 1], ["ann", 2], ["bob", 1], ["bob", 3], ["cid", 2], ["ann", 3]]
    >>> for train, test in TimeSplit(n_splits=2).split(X, groups=[1, 6, 2, 4, 5, 3]):
    ...     print(train, test)
    [0 2] [3 5]
    [0 2 3 5] [1 4]
    """

    __metadata_request__split = {"groups": True}

    def __init__(self, n_splits=5, *, time=None, known_users=False, user=0):
        self.n_splits = _checked_count("n_splits", n_splits, 1)
        self.time = time
        self.known_users = known_users
        self.user = user

    def _masks(self, X, groups):
        window = _windows(_times(X, groups, self.time), self.n_splits + 1)
        users = _users(X, None, self.user) if self.known_users else None
        for i in range(1, self.n_splits + 1):
            test = window == i
            if self.known_users:
                test &= np.isin(users, users[window < i])
                if not test.any():
                    raise ValueError(f"No user of window {i} was there before: use fewer splits or known_users=False.")
            yield window < i, test


# -------------------------------------------------------------------------------------------------- input


def _checked_count(name, value, least):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    return int(value)


def _checked_splits(n_splits):
    return _checked_count("n_splits", n_splits, 2)


def _users(X, groups, user):
    """Return the code of each row's user."""
    return number(named_column(X, user, "user") if groups is None else _given(groups, "user"), "The users")[0]


def _given(groups, what):
    values = without_labels(as_column(groups, "groups", times=True))
    if missing(values).any():
        raise ValueError(f"groups must hold the {what} of each row, none of them missing.")
    return values


def _times(X, groups, time):
    """Return the rank of each row's time; equal times have one rank."""
    if time is None and groups is None:
        raise ValueError("Times are needed: name their column in X (time=...), or pass groups=times.")
    times = named_column(X, time, "time") if time is not None else _given(groups, "time")
    try:
        return np.unique(times, return_inverse=True)[1]
    except TypeError:
        kinds = sorted({type(value).__name__ for value in times.tolist()})
        raise ValueError(f"Times of several types have no order: {', '.join(kinds)}; use one.") from None


def _windows(ranks, n_windows):
    """Return the window of each row: consecutive times, as nearly as many rows in each as whole times allow."""
    n_ranks = ranks.max() + 1
    if n_ranks < n_windows:
        raise ValueError(f"{n_windows - 1} splits need {n_windows} different times; there are {n_ranks}.")
    ends = np.cumsum(np.bincount(ranks))
    bounds, last = [], 0
    for i in range(1, n_windows):
        nearest = _nearest(ends, len(ranks) * i / n_windows) + 1
        last = min(max(nearest, last + 1), n_ranks - (n_windows - i))
        bounds.append(last)
    return np.searchsorted(bounds, ranks, side="right")


def _nearest(ends, target):
    after = int(np.searchsorted(ends, target))
    before = max(0, after - 1)
    return before if target - ends[before] < ends[min(after, len(ends) - 1)] - target else after
