"""People and items that training has not seen: people are folded in, items are known by their attributes.

The ratings are generated: r = 3.5 + b_u + b_i + p_u . q_i + noise, the deviations of the terms being .4, .4, .7 and .6;
8 attributes of an item tell most of its vector and of its bias. Errors are roots of mean squares, of predictions
against ratings without their noise: 0 would be perfect.
"""

import numpy as np

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter
from skml.recommendation import interactions

N_USERS, N_ITEMS, NOISE = 600, 300, 0.6
KNOWN_USERS, KNOWN_ITEMS = 500, 200  # the others are new
COUNTS = (0, 1, 3, 10, 30, 100)


def generate(rng):
    """Return the true ratings of all items by all users, and the attributes of the items."""
    attributes = rng.normal(size=(N_ITEMS, 8))
    Q = attributes @ rng.normal(size=(8, 4)) / np.sqrt(8) + 0.3 * rng.normal(size=(N_ITEMS, 4))
    item_bias = 0.4 * (0.8 * attributes @ rng.normal(size=8) / np.sqrt(8) + 0.6 * rng.normal(size=N_ITEMS))
    user_bias = 0.4 * rng.normal(size=(N_USERS, 1))
    return 3.5 + user_bias + item_bias + 0.35 * rng.normal(size=(N_USERS, 4)) @ Q.T, attributes


def error(predictions, truth):
    """Return the root of the mean squared error."""
    return np.sqrt(np.mean((predictions - truth) ** 2))


def new_people(models, told, truth, rng):
    """Print the errors for people who have told so many ratings of items in random order."""
    order = rng.permuted(np.tile(np.arange(KNOWN_ITEMS), (len(told), 1)), axis=1)
    print(f"{'new people, ratings of each':<48}" + "".join(f"{n:>7}" for n in COUNTS))
    for model in models:
        line = f"{type(model).__name__:<48}"
        for n in COUNTS:
            histories = np.where(order < n, told, np.nan)  # a row for each, NaN for what they have not rated
            items, scores = model.recommend(histories=histories, n=KNOWN_ITEMS, exclude_seen=False)
            predictions = np.take_along_axis(scores, np.argsort(items, axis=1), axis=1)
            line += f"{error(predictions, truth):>7.3f}"
        print(line)


def new_items(models, R, truth):
    """Print the errors on items without ratings, and recommend some of them."""
    X, y = interactions(R)
    asked = np.argwhere(np.ones_like(truth)) + [0, KNOWN_ITEMS]
    print(f"\n{'new items, users of training':<48}{'error':>7}")
    for name, model, table in models:
        model.fit(X, y, item_features=table)
        print(f"{name:<48}{error(model.predict(asked), truth.ravel()):>7.3f}")
    best, _ = model.recommend([0], n=5, candidates=np.arange(KNOWN_ITEMS, N_ITEMS))
    print(f"\nOf the new items {best[0].tolist()} are for user 0.")


def main():
    """Print two tables."""
    rng = np.random.default_rng(0)
    truth, attributes = generate(rng)
    told = truth + NOISE * rng.normal(size=truth.shape)
    R = np.where(rng.random(truth.shape) < 0.2, told, np.nan)[:KNOWN_USERS, :KNOWN_ITEMS]  # a fifth is known
    factors = MatrixFactorization(n_components=4, random_state=0).fit(R)
    neighbors = NeighborhoodFilter(shrinkage=10.0, negative=True, damping=1.0).fit(R)
    content = ContentFilter().fit(R, item_features=attributes[:KNOWN_ITEMS])
    strangers = (slice(KNOWN_USERS, None), slice(KNOWN_ITEMS))
    new_people((factors, neighbors, content), told[strangers], truth[strangers], rng)
    hybrid = MatrixFactorization(n_components=4, max_iter=200, random_state=0)
    models = (
        ("MatrixFactorization, the bias of the user alone", factors, None),
        ("MatrixFactorization, attributes", hybrid, attributes),
        ("ContentFilter, attributes", content, attributes),
    )
    new_items(models, R, truth[:KNOWN_USERS, KNOWN_ITEMS:])


if __name__ == "__main__":
    main()
