"""The epochs of stochastic gradient descent beside Surprise's SVD: processor time of one thread, and held-out RMSE.

``SKML_DATA=folder python benchmarks/recommendation_sgd.py [quick]`` reads Jester there, or generates ratings of its
size. An epoch's time is the difference of a longer and a shorter fit, so that what a fit does once doesn't count.
"""

import statistics
import sys
import time

import numpy as np
import pandas as pd
import surprise
from _bench import real_data, row

from skml.recommendation.ratings import build_ratings
from skml.recommendation.sgd import Descent, Penalty, random_factors, sgd_steps

K = 100


def interactions():
    """Return users, items and ratings."""
    held = real_data("jester1.npz")
    if held is not None:
        return held["user"].astype(np.int32), held["item"].astype(np.int32), held["rating"].astype(np.float64)
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((25_000, 100)) < 0.72)
    truth = rng.normal(size=(25_000, 5)) @ rng.normal(size=(5, 100))
    return users.astype(np.int32), items.astype(np.int32), truth[users, items] + rng.normal(size=len(users))


def ours(data, dtype, n_epochs, **params):
    """Return the mean and the last state of a fit, and its processor time."""
    users, items, ratings = data
    mean = ratings.mean()
    held = build_ratings(users, items, (ratings - mean).astype(dtype), None, (users.max() + 1, items.max() + 1))
    start = time.process_time()
    begin = random_factors((held.n_rows, held.n_columns), K, dtype)
    for step in sgd_steps(held, begin, Descent(max_iter=n_epochs, **params)):
        state = step.state
    return mean, state, time.process_time() - start


def peer(trainset, n_epochs, **params):
    """Return Surprise's model, and its processor time."""
    start = time.process_time()
    model = surprise.SVD(n_factors=K, n_epochs=n_epochs, random_state=0, **params).fit(trainset)
    return model, time.process_time() - start


def as_trainset(data):
    """Return interactions as Surprise takes them."""
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), data)))
    low, high = data[2].min(), data[2].max()
    return surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(low, high))).build_full_trainset()


def epochs(data, repeat):
    """Print the times of epochs, alternating."""
    trainset = as_trainset(data)
    for dtype in (np.float32, np.float64):
        times = []
        for _ in range(repeat):
            mine = (ours(data, dtype, 9)[2] - ours(data, dtype, 1)[2]) / 8
            times.append((mine, (peer(trainset, 3)[1] - peer(trainset, 1)[1]) / 2))
        a, b = (statistics.median(column) for column in zip(*times))
        row(f"epoch, k={K}, {dtype.__name__}", a, b, statistics.median(b / a for a, b in times))


def rmse(said, ratings):
    """Return the root of the mean square of errors, predictions clipped to the range of ratings as Surprise does."""
    return float(np.sqrt(np.mean((np.clip(said, ratings.min(), ratings.max()) - ratings) ** 2)))


def said_by_ours(mean, state, users, items):
    """Return predictions."""
    products = np.einsum("ij,ij->i", state.users[users], state.items[items])
    return mean + state.user_bias[users] + state.item_bias[items] + products


def said_by_peer(model, trainset, users, items):
    """Return predictions of Surprise's factors, all at once."""
    inner_users = np.array([trainset.to_inner_uid(user) for user in range(users.max() + 1)])[users]
    inner_items = np.array([trainset.to_inner_iid(item) for item in range(items.max() + 1)])[items]
    products = np.einsum("ij,ij->i", model.pu[inner_users], model.qi[inner_items])
    return trainset.global_mean + model.bu[inner_users] + model.bi[inner_items] + products


def quality(data, n_epochs, rates, pulls):
    """Print the best RMSE of both over a grid of as many points, on a held-out fifth."""
    users, items, ratings = data
    held_out = np.random.default_rng(0).random(len(users)) < 0.2
    held_out[np.unique(users, return_index=True)[1]] = False  # every user is known
    train, test = [tuple(a[part] for a in data) for part in (~held_out, held_out)]
    trainset, results = as_trainset(train), {"ours": [], "peer": []}
    scale = np.sqrt(np.mean((ratings - ratings.mean()) ** 2))
    for rate in rates:
        for pull in pulls:
            # Surprise's errors are in the ratings' units, its penalty 2 lambda: the same grid, in our units.
            penalty = Penalty(*[pull / 2] * 4)
            fitted = ours(train, np.float32, n_epochs, eta0=rate * scale, penalty=penalty, learning_rate="cosine")
            results["ours"].append((rmse(said_by_ours(*fitted[:2], *test[:2]), test[2]), rate, pull))
            model, _ = peer(trainset, n_epochs, lr_all=rate, reg_all=pull)
            results["peer"].append((rmse(said_by_peer(model, trainset, *test[:2]), test[2]), rate, pull))
            print("  ", results["ours"][-1], results["peer"][-1], flush=True)
    best = {name: min(found) for name, found in results.items()}
    row(f"RMSE after {n_epochs} epochs", best["ours"][0], best["peer"][0], best["peer"][0] / best["ours"][0])


if __name__ == "__main__":
    jester = interactions()
    row("", "ours", "Surprise", "ratio")
    if "quality" not in sys.argv:
        epochs(jester, 5)
    if "quick" not in sys.argv:
        quality(jester, 20, (0.0007, 0.0015, 0.003, 0.006), (0.05, 0.1, 0.2))
