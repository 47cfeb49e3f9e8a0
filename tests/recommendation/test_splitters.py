"""Splitters: who is where, on every kind of table, and inside scikit-learn's machinery."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score

from skml.recommendation.splitters import ColdUserSplit, LeaveLastOut, PerUserKFold, TimeSplit

KINDS = ("array", "strings", "objects", "lists", "pandas", "polars")


def interactions(rng, n_users=30, n_items=12):
    """Return distinct (user, item, time) rows in random order; the last user has one."""
    sizes = np.append(rng.integers(2, n_items, n_users - 1), 1)
    users = np.repeat(np.arange(n_users), sizes)
    items = np.concatenate([rng.choice(n_items, size, replace=False) for size in sizes])
    X = np.column_stack([users, items, rng.permutation(len(users))])
    return rng.permutation(X)


def as_kind(X, kind):
    if kind == "strings":
        return X.astype(str)
    if kind == "objects":
        return np.array([[f"u{u}", i, t] for u, i, t in X.tolist()], dtype=object)
    if kind == "lists":
        return [[f"u{u}", i, t] for u, i, t in X.tolist()]
    if kind == "pandas":
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(X, columns=["user", "item", "time"], index=np.arange(len(X))[::-1])
        return frame.assign(user=("u" + frame.user.astype(str)).astype("category"))
    if kind == "polars":
        polars = pytest.importorskip("polars")
        return polars.DataFrame({"user": [f"u{u}" for u in X[:, 0]], "item": X[:, 1], "time": X[:, 2]})
    return X


def sound(splits, n_samples):
    """Check what holds for every splitter, and return the splits."""
    for train, test in splits:
        assert train.dtype.kind == test.dtype.kind == "i"
        assert len(train) and len(test)
        assert len(np.intersect1d(train, test)) == 0
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        assert max(train.max(), test.max()) < n_samples
    return splits


# ---------------------------------------------------------------------------------------- per user


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_each_user_is_dealt_out_evenly(rng, seed, n_splits, shuffle):
    X = interactions(rng)
    cv = PerUserKFold(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    splits = sound(list(cv.split(X)), len(X))
    assert len(splits) == cv.get_n_splits() == n_splits
    fold = np.full(len(X), -1)
    for i, (train, test) in enumerate(splits):
        assert len(train) + len(test) == len(X)
        assert (fold[test] == -1).all()
        fold[test] = i
        assert set(X[test, 0]) <= set(X[train, 0])  # all users are known
    sizes = np.bincount(X[:, 0])
    np.testing.assert_array_equal(fold == -1, sizes[X[:, 0]] == 1)
    for user in np.flatnonzero(sizes > 1):
        counts = np.bincount(fold[X[:, 0] == user], minlength=n_splits)
        assert counts.max() - counts.min() <= 1
    counts = np.bincount(fold[fold >= 0])
    assert counts.max() - counts.min() <= 1


def test_without_shuffling_the_rows_are_dealt_in_their_order():
    X = [["b", 1], ["a", 1], ["b", 2], ["a", 2], ["b", 3]]
    tests = [test.tolist() for _, test in PerUserKFold(2, shuffle=False).split(X)]
    assert tests == [[0, 3, 4], [1, 2]]  # b's rows 0, 2, 4, then a's 1, 3


def test_too_few_to_deal():
    with pytest.raises(ValueError, match="at least as many interactions of users who have two or more; there are 2"):
        list(PerUserKFold(3).split([["a", 1], ["a", 2], ["b", 1]]))


# ---------------------------------------------------------------------------------------- cold users


def test_whole_users_are_held_out(rng, seed):
    X = interactions(rng)
    splits = sound(list(ColdUserSplit(4, random_state=seed).split(X)), len(X))
    held = [set(X[test, 0]) for _, test in splits]
    for (train, test), users in zip(splits, held):
        assert not users & set(X[train, 0])
        assert len(train) + len(test) == len(X)
    assert sorted(user for users in held for user in users) == list(range(30))
    assert {len(users) for users in held} == {7, 8}
    with pytest.raises(ValueError, match="more than the 2 users"):
        list(ColdUserSplit(3).split([["a", 1], ["b", 2]]))


# ---------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("n_last", [1, 3])
def test_the_last_are_left_out(rng, n_last):
    X = interactions(rng)
    cv = LeaveLastOut(n_last, time=2)
    [(train, test)] = sound(list(cv.split(X)), len(X))
    assert cv.get_n_splits() == 1
    assert len(train) + len(test) == len(X)
    for user in range(30):
        own = X[X[:, 0] == user]
        left = X[test][X[test, 0] == user]
        assert len(left) == min(n_last, len(own) - 1)
        assert sorted(left[:, 2]) == sorted(own[:, 2])[len(own) - len(left) :]


def test_of_equal_times_the_later_row_is_later():
    [(train, test)] = LeaveLastOut().split([["a", 1], ["b", 1], ["a", 2], ["b", 2]], groups=[5, 7, 5, 6])
    assert test.tolist() == [1, 2]
    with pytest.raises(ValueError, match="No user has two"):
        list(LeaveLastOut().split([["a", 1], ["b", 1]], groups=[1, 2]))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_splits", [1, 4])
def test_windows_follow_each_other(rng, n_splits, ties):
    X = interactions(rng)
    times = X[:, 2] // 13 if ties else X[:, 2]
    cv = TimeSplit(n_splits)
    splits = sound(list(cv.split(X, groups=times)), len(X))
    assert len(splits) == cv.get_n_splits() == n_splits
    for train, test in splits:
        assert times[train].max() < times[test].min()
    for (train, test), (more, _) in zip(splits, splits[1:]):
        np.testing.assert_array_equal(np.sort(np.append(train, test)), more)
    assert len(splits[-1][0]) + len(splits[-1][1]) == len(X)
    sizes = [len(splits[0][0]), *(len(test) for _, test in splits)]
    assert max(sizes) - min(sizes) <= (26 if ties else 1)


def test_one_time_that_nearly_all_have():
    times = [0, 1, 1, 1, 1, 1, 1, 1, 2, 3]
    splits = sound(list(TimeSplit(3).split([["a", i] for i in range(10)], groups=times)), 10)
    assert [len(test) for _, test in splits] == [7, 1, 1]
    splits = list(TimeSplit(3).split([["a", i] for i in range(10)], groups=[0, 1, 2, 3, 3, 3, 3, 3, 3, 3]))
    assert [len(test) for _, test in splits] == [1, 1, 7]
    with pytest.raises(ValueError, match="4 splits need 5 different times; there are 4"):
        list(TimeSplit(4).split([["a", i] for i in range(10)], groups=times))


def test_known_users_only(rng):
    X = interactions(rng)
    every = list(TimeSplit(3, time=2).split(X))
    for (train, test), (all_train, all_test) in zip(TimeSplit(3, time=2, known_users=True).split(X), every):
        np.testing.assert_array_equal(train, all_train)
        known = np.isin(X[all_test, 0], X[train, 0])
        np.testing.assert_array_equal(test, all_test[known])
    with pytest.raises(ValueError, match="No user of window 1"):
        list(TimeSplit(1, known_users=True).split([["a", 1], ["b", 1]], groups=[1, 2]))


@pytest.mark.parametrize("kind", ["datetime64", "text", "timestamps", "floats"])
def test_kinds_of_times(kind):
    days = np.array(["2020-03-01", "2021-01-01", "2019-12-31", "2020-03-02"], dtype="datetime64[D]")
    times = {"datetime64": days, "text": days.astype(str), "floats": days.astype(float)}.get(kind)
    if kind == "timestamps":
        times = pytest.importorskip("pandas").Series(pytest.importorskip("pandas").to_datetime(days))
    [(train, test)] = LeaveLastOut().split([["a", 1], ["a", 2], ["a", 3], ["b", 3]], groups=times)
    assert test.tolist() == [1]


# ---------------------------------------------------------------------------------------- any table


ALL = [PerUserKFold(3, random_state=0), ColdUserSplit(3, random_state=0), LeaveLastOut(time=2), TimeSplit(3, time=2)]
each_splitter = pytest.mark.parametrize("cv", ALL, ids=lambda cv: type(cv).__name__)


@each_splitter
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table(rng, cv, kind):
    X = interactions(rng)
    X[:, 2] += 1000  # so that times sort as text, too
    X[:, 0] += 100  # and users
    given = as_kind(X, kind)
    for (train, test), (other_train, other_test) in zip(cv.split(given), cv.split(X)):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(test, other_test)
    sound(list(cv.split(given)), len(X))


@each_splitter
@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_columns_by_name(rng, cv, kind):
    frame = as_kind(interactions(rng), kind)[["item", "time", "user"]]
    named = type(cv)(**{**vars(cv), "user": "user"} | ({"time": "time"} if hasattr(cv, "time") else {}))
    sound(list(named.split(frame)), len(frame))


@each_splitter
def test_the_same_each_time(rng, cv):
    X = interactions(rng)
    for first, second in zip(cv.split(X), cv.split(X)):
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a, b)
    assert type(cv).__name__ + "(" in repr(cv)
    assert "user=0" in repr(cv)


def test_random_states(rng):
    X = interactions(rng)
    for cls in (PerUserKFold, ColdUserSplit):
        generator = np.random.RandomState(3)
        first, second = (list(cls(3, random_state=generator).split(X)) for _ in range(2))
        assert any(len(a[1]) != len(b[1]) or (a[1] != b[1]).any() for a, b in zip(first, second))


def test_users_as_groups(rng):
    X = interactions(rng)
    for cv in ALL[:2]:
        for first, second in zip(cv.split(X[:, 1:], groups=X[:, 0]), cv.split(X)):
            np.testing.assert_array_equal(first[1], second[1])


@each_splitter
def test_inside_scikit_learn(rng, cv):
    X = interactions(rng)
    y = X[:, 1] * 1.0
    for kind in ("array", "pandas", "polars", "lists"):
        scores = cross_val_score(DummyRegressor(), as_kind(X, kind), y, cv=cv, scoring="neg_mean_squared_error")
        assert len(scores) == cv.get_n_splits()
        assert np.isfinite(scores).all()
    search = GridSearchCV(DummyRegressor(), {"strategy": ["mean", "median"]}, cv=cv, scoring="neg_mean_absolute_error")
    assert search.fit(X, y).best_params_["strategy"] in ("mean", "median")


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [LeaveLastOut(), TimeSplit(2)], ids=["last", "time"])
def test_times_come_as_groups(rng, cv, routing):
    X = interactions(rng)
    with config_context(enable_metadata_routing=routing):
        options = {"cv": cv, "scoring": "neg_mean_squared_error", "params": {"groups": X[:, 2]}}
        if not routing:
            options["groups"] = options.pop("params")["groups"]
        scores = cross_val_score(DummyRegressor(), X[:, :2], X[:, 1], **options)
    assert len(scores) == cv.get_n_splits()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PerUserKFold(1), "n_splits must be an integer of at least 2"),
        (lambda: PerUserKFold(2.0), "n_splits must be an integer"),
        (lambda: ColdUserSplit(True), "n_splits must be an integer"),
        (lambda: LeaveLastOut(0), "n_last must be an integer of at least 1"),
        (lambda: TimeSplit(0), "n_splits must be an integer of at least 1"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


ROWS = [["a", 1, 5], ["a", 2, 6], ["b", 1, 7], ["b", 2, 8]]


@pytest.mark.parametrize(
    ("cv", "X", "groups", "message"),
    [
        (LeaveLastOut(), ROWS, None, "Times are needed"),
        (TimeSplit(2), ROWS, None, "Times are needed"),
        (LeaveLastOut(time="when"), ROWS, None, "names no column: X has no column names"),
        (LeaveLastOut(time=3), ROWS, None, "time=3 is no column: X has 3"),
        (LeaveLastOut(time=1.5), ROWS, None, "index or the name"),
        (LeaveLastOut(), ROWS, [1, 2, 3, np.nan], "none of them missing"),
        (LeaveLastOut(), ROWS, [1, 2, 3, "a"], "Times of several types"),
        (LeaveLastOut(), ROWS, [1, 2, 3], "inconsistent numbers of samples"),
        (PerUserKFold(2), [["a", 1], [None, 2]], None, "missing in row 1"),
        (PerUserKFold(2), np.array([[1.0, 2], [np.nan, 3]]), None, "missing in row 1"),
        (PerUserKFold(2), [["a", 1], ["b"]], None, "inhomogeneous"),
        (PerUserKFold(2), np.arange(4), None, "X must be a table"),
        (PerUserKFold(2), ["a", "b"], None, "X must be a table"),
        (PerUserKFold(2), sp.eye_array(4, format="csr"), None, "X is sparse"),
        (ColdUserSplit(2, user="user"), np.eye(4), None, "X has no column names"),
    ],
)
def test_bad_tables(cv, X, groups, message):
    with pytest.raises(ValueError, match=message):
        list(cv.split(X, groups=groups))


def test_an_unknown_name_is_answered_with_the_known_ones(rng):
    frame = as_kind(interactions(rng), "pandas")
    with pytest.raises(ValueError, match=r"time='when' names no column: the columns of X are 'user', 'item', 'time'"):
        list(LeaveLastOut(time="when").split(frame))
