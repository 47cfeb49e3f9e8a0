"""Steps over interactions: compiled equals twin at every width, no draw was seen, bad arguments are refused."""

import numpy as np
import pytest

from skml._kernels import interaction_sgd
from skml._kernels.reference import interaction_sgd as twin

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_threads = pytest.mark.parametrize("n_threads", [1, 2, 3])
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def problem(rng, dtype, n=60, shape=(14, 22), k=5, biases=True, weighted=True, shares=False):
    """Return a dict of arguments; two blocks, of even and of odd users and items."""
    pairs = rng.choice(shape[0] * shape[1], n, replace=False)
    users, items = (codes.astype(np.int32) for codes in divmod(pairs, shape[1]))
    order = np.concatenate([np.flatnonzero((users % 2 == b) & (items % 2 == b)) for b in (0, 1)]).astype(np.int32)
    middle = np.sum(users[order] % 2 == 0)
    lanes = 64 // np.dtype(dtype).itemsize
    factors = [np.zeros((m, -(-k // lanes) * lanes), dtype=dtype) for m in shape]
    for rows in factors:
        rows[:, :k] = rng.normal(size=(len(rows), k)) / k**0.5
    some = [rng.normal(size=(m if biases else 0, lanes)).astype(dtype) for m in shape]
    some[0] = some[0][:, 0].copy()
    share = [rng.random(m).astype(dtype) if shares else np.empty(0, dtype) for m in shape]
    return {
        "users": users,
        "items": items,
        "values": rng.normal(size=n).astype(dtype),
        "weights": (rng.random(n) + 0.5).astype(dtype) if weighted else np.empty(0, dtype),
        "order": order,
        "starts": np.array([0, middle]),
        "stops": np.array([middle, len(order)]),
        "U": factors[0],
        "V": factors[1],
        "user_bias": some[0],
        "item_bias": some[1],
        "user_share": share[0],
        "item_share": share[1],
        "rates": np.array([0.1, 0.03, 0.02, 0.01, 0.04], dtype=dtype),
        "losses": np.full(2, np.nan),
        "n_threads": 1,
    }


def ranking(rng, dtype, bpr, n_negatives=2, **params):
    """Return the arguments of rank_blocks."""
    p = problem(rng, dtype, **params)
    for name in ("values", "user_share", "item_share"):
        del p[name]
    n_users, n_items = len(p["U"]), len(p["V"])
    by_user = np.lexsort((p["items"], p["users"]))
    members = np.r_[0:n_items:2, 1:n_items:2].astype(np.int32)
    return {
        "bpr": bpr,
        **p,
        "members": members,
        "member_starts": np.array([0, (n_items + 1) // 2, n_items], dtype=np.int32),
        "indptr": np.append(0, np.cumsum(np.bincount(p["users"], minlength=n_users))).astype(np.int32),
        "indices": p["items"][by_user],
        "n_negatives": n_negatives,
        "key": int(rng.integers(2**63)),
        "losses": np.full((2, 2), np.nan),
    }


def after(function, arguments, **changed):
    """Return what a kernel leaves in copies of the arguments that it writes into."""
    names = ("U", "V", "user_bias", "item_bias", "losses")
    copies = {**arguments, **{name: arguments[name].copy() for name in names}, **changed}
    function(**copies)
    return [copies[name] for name in names]


def assert_close(ours, theirs, dtype):
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@each_threads
@pytest.mark.parametrize("sizes", [[], [0, 1], [1, 2, 50, 7]])
def test_shuffles_are_the_twins_and_stay_within_blocks(rng, sizes, n_threads):
    ends = np.append(0, np.cumsum(sizes)).astype(np.int64)
    key, start = int(rng.integers(2**63)), np.arange(ends[-1], dtype=np.int32)
    ours, theirs = start.copy(), start.copy()
    interaction_sgd.shuffle_blocks(ours, ends[:-1], ends[1:], key, n_threads)
    twin.shuffle_blocks(theirs, ends[:-1], ends[1:], key, 1)
    np.testing.assert_array_equal(ours, theirs)
    for a, b in zip(ends[:-1], ends[1:]):
        np.testing.assert_array_equal(np.sort(ours[a:b]), start[a:b])


def test_all_orders_are_as_likely(rng):
    counts = {}
    for key in range(6000):
        order = np.arange(3, dtype=np.int32)
        interaction_sgd.shuffle_blocks(order, np.array([0]), np.array([3]), key * 7919 + int(rng.integers(100)), 1)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) < 300  # 1000 each, of standard deviation 29


@each_dtype
@each_threads
@pytest.mark.parametrize("k", [1, 5, 16, 33, 100, 250])
@pytest.mark.parametrize("options", [{}, {"biases": False}, {"weighted": False}, {"shares": True}])
def test_rating_steps_are_the_twins(rng, dtype, n_threads, k, options):
    p = problem(rng, dtype, k=k, **options)
    ours = after(interaction_sgd.rate_blocks, p, n_threads=n_threads)
    assert_close(ours, after(twin.rate_blocks, p), dtype)
    assert np.any(ours[0] != p["U"])
    assert not ours[0][:, k:].any()
    assert not ours[1][:, k:].any()


@each_dtype
@each_threads
@pytest.mark.parametrize("bpr", [True, False])
@pytest.mark.parametrize("k", [1, 16, 100, 250])
@pytest.mark.parametrize("options", [{}, {"biases": False}, {"weighted": False}, {"n_negatives": 0}])
def test_ranking_steps_are_the_twins(rng, dtype, n_threads, bpr, k, options):
    p = ranking(rng, dtype, bpr, k=k, **options)
    assert_close(after(interaction_sgd.rank_blocks, p, n_threads=n_threads), after(twin.rank_blocks, p), dtype)


@each_dtype
def test_threads_give_the_same_bits(rng, dtype):
    for function, p in ((interaction_sgd.rate_blocks, problem(rng, dtype)),
                        (interaction_sgd.rank_blocks, ranking(rng, dtype, True))):  # fmt: skip
        for one, two in zip(after(function, p), after(function, p, n_threads=2)):
            np.testing.assert_array_equal(one, two)


def test_a_rating_step_goes_down_the_gradient(rng):
    p = problem(rng, np.float64, k=3)
    p.update(order=p["order"][:1], starts=np.array([0]), stops=np.array([1]), losses=np.zeros(1))
    p["rates"][0] = 1e-7
    o = p["order"][0]
    u, i, w, pulls = p["users"][o], p["items"][o], p["weights"][o], p["rates"][1:]

    def objective(parts):
        U, V, a, b = parts
        squares = np.array([U[u] @ U[u], V[i] @ V[i], a[u] ** 2, b[i, 0] ** 2])
        return w * ((p["values"][o] - a[u] - b[i, 0] - U[u] @ V[i]) ** 2 / 2 + pulls @ squares / 2)

    names = ("U", "V", "user_bias", "item_bias")
    moved = after(interaction_sgd.rate_blocks, p)[:4]
    for at, name in enumerate(names):
        row = (u,) if name == "user_bias" else (u if at == 0 else i, 0)
        up, down = ([p[other].copy() for other in names] for _ in range(2))
        up[at][row] += 1e-6
        down[at][row] -= 1e-6
        slope = (objective(up) - objective(down)) / 2e-6
        np.testing.assert_allclose((moved[at][row] - p[name][row]) / 1e-7, -slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bpr", [True, False])
def test_seen_items_are_never_drawn(rng, bpr):
    p = ranking(rng, np.float64, bpr, n=1, n_negatives=40)
    u, n_items = p["users"][0], len(p["V"])
    p.update(order=np.zeros(1, np.int32), starts=np.array([0]), stops=np.array([1]), losses=np.zeros((1, 2)))
    p.update(members=np.arange(n_items, dtype=np.int32), member_starts=np.array([0, n_items], dtype=np.int32))
    seen = np.setdiff1d(np.arange(n_items), [3, 8, (p["items"][0] + 1) % n_items]).astype(np.int32)
    p["indices"] = seen
    p["indptr"] = np.where(np.arange(len(p["U"]) + 1) > u, len(seen), 0).astype(np.int32)
    _, V, _, _, losses = after(interaction_sgd.rank_blocks, p)
    moved = set(np.flatnonzero((p["V"] != V).any(axis=1)))
    assert moved - {p["items"][0]} <= set(range(n_items)) - set(seen)
    assert len(moved) >= 2
    # ... and who has seen all is left alone
    p["indices"] = np.arange(n_items, dtype=np.int32)
    p["indptr"] = np.where(np.arange(len(p["U"]) + 1) > u, n_items, 0).astype(np.int32)
    assert after(interaction_sgd.rank_blocks, p)[4][0, 1] == (0 if bpr else p["weights"][0])


@each_dtype
def test_a_large_penalty_ends_at_zero(rng, dtype):
    p = problem(rng, dtype)
    p["rates"][1:] = 1e6
    p["values"][:] = 0
    for array in after(interaction_sgd.rate_blocks, p)[:4]:
        assert np.isfinite(array).all()


def test_nothing_to_do_does_nothing(rng):
    p = problem(rng, np.float64)
    p.update(starts=np.zeros(2, np.int64), stops=np.zeros(2, np.int64))
    *arrays, losses = after(interaction_sgd.rate_blocks, p)
    for array, name in zip(arrays, ("U", "V", "user_bias", "item_bias")):
        np.testing.assert_array_equal(array, p[name])
    assert not losses.any()


def worse(p):
    """Yield changes of arguments that both kernels refuse."""
    yield {"n_threads": 0}
    yield {"items": p["items"][:-1]}
    yield {"weights": p["weights"][:-1]}
    yield {"users": p["users"] + np.int32(50)}
    yield {"items": p["items"] - np.int32(50)}
    yield {"order": p["order"] + np.int32(100)}
    yield {"order": p["order"] - np.int32(100)}
    yield {"starts": p["starts"] - 1}
    yield {"starts": p["starts"][:1]}
    yield {"stops": p["stops"] + 1000}
    yield {"starts": np.zeros(2, np.int64)}
    yield {"U": p["U"][:, :-1].copy()}
    yield {"U": p["U"][:0]}
    yield {"V": np.tile(p["V"], 2)}
    yield {"user_bias": p["user_bias"][:-1]}
    yield {"item_bias": p["item_bias"][:0]}
    yield {"item_bias": p["item_bias"][:, :1].copy()}
    yield {"rates": p["rates"][:-1]}
    yield {"losses": p["losses"][:1]}


def worse_rankings(p):
    yield {"members": p["members"] + np.int32(1)}
    yield {"member_starts": p["member_starts"] + np.int32(1)}
    yield {"member_starts": p["member_starts"][:-1]}
    yield {"indptr": p["indptr"][:-1]}
    yield {"indptr": p["indptr"][::-1].copy()}
    yield {"indices": p["indices"][:-1]}
    yield {"n_negatives": -1}
    yield {"losses": np.zeros((2, 3))}


@pytest.mark.parametrize("module", [interaction_sgd, twin])
def test_what_does_not_fit_is_refused(rng, module):
    rated, ranked = problem(rng, np.float64), ranking(rng, np.float64, True)
    cases = [(module.rate_blocks, rated, change) for change in worse(rated)]
    cases += [(module.rate_blocks, rated, {"values": rated["values"][:-1]})]
    cases += [(module.rate_blocks, rated, {"user_share": np.ones(3)})]
    cases += [(module.rank_blocks, ranked, change) for change in (*worse(ranked), *worse_rankings(ranked))]
    for function, arguments, change in cases:
        if module is twin and "n_threads" in change:
            continue
        with pytest.raises(ValueError):
            function(**{**arguments, **change})
            pytest.fail(f"{function.__name__} took {change}")
    for starts, stops in (([0], [9]), ([-1], [2]), ([3], [2]), ([0, 1], [2, 3])):
        with pytest.raises(ValueError):
            module.shuffle_blocks(np.arange(5, dtype=np.int32), np.array(starts), np.array(stops), 0, 1)
