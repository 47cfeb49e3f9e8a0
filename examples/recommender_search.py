"""One grid search whose grid swaps the recommender itself, scored by rating error and by ranked lists.

The ratings are generated: r = 3.5 + b_u + b_i + p_u . q_i + noise, the deviations of the terms being about .4, .4, .7
and .6; 6 attributes of an item tell most of its vector. People rather rate what is popular and what they like. No
predictor can have an error (RMSE) below .6. Rows stand in the order of users, so folds must deal out those of each
user: plain ``cv=3`` would ask about users of whom training knows nothing.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter
from skml.recommendation import PerUserKFold, get_scorer

N_USERS, N_ITEMS, N_EACH, NOISE = 500, 300, 30, 0.6


def generate(rng):
    """Return interactions (user, item, attributes of the item) and ratings."""
    attributes = rng.normal(size=(N_ITEMS, 6))
    Q = attributes @ rng.normal(size=(6, 4)) / np.sqrt(6) + 0.3 * rng.normal(size=(N_ITEMS, 4))
    likes = 0.35 * rng.normal(size=(N_USERS, 4)) @ Q.T
    popularity = rng.normal(size=N_ITEMS)
    # the largest of utility + Gumbel noise: a draw without replacement, the likelier the greater the utility
    users = np.repeat(np.arange(N_USERS), N_EACH)
    items = np.argsort(popularity + likes + rng.gumbel(size=likes.shape), axis=1)[:, -N_EACH:].ravel()
    biases = 0.4 * rng.normal(size=N_USERS)[users] + 0.4 * rng.normal(size=N_ITEMS)[items]
    y = 3.5 + biases + likes[users, items] + NOISE * rng.normal(size=len(users))
    return np.column_stack([users, items, attributes[items]]), y


def ids_alone(X):
    """Return the columns user and item."""
    return X[:, :2]


def main():
    """Search, and print the table."""
    X, y = generate(np.random.default_rng(0))
    pipeline = Pipeline([("columns", FunctionTransformer(ids_alone)), ("recommender", MatrixFactorization())])
    grid = [
        {
            "recommender": [MatrixFactorization(random_state=0)],
            "recommender__solver": ["als", "sgd"],
            "recommender__n_components": [4, 20],
        },
        {
            "recommender": [NeighborhoodFilter(shrinkage=20.0, negative=True)],
            "recommender__kind": ["item", "user"],
        },
        {"recommender": [NeighborhoodFilter(alpha=30.0, baseline=(8, 1))], "recommender__solver": ["ease", "slim"]},
        {"columns": ["passthrough"], "recommender": [ContentFilter()], "recommender__alpha": [3.0, 10.0]},
    ]
    scoring = {"rmse": "neg_root_mean_squared_error", "ndcg@10": get_scorer("ndcg@10", threshold=4.0)}
    cv = PerUserKFold(3, random_state=0)
    search = GridSearchCV(pipeline, grid, scoring=scoring, refit="rmse", cv=cv).fit(X, y)
    found = search.cv_results_
    print(f"{'recommender':<64}{'RMSE':>7}{'ndcg@10':>9}")
    for place in np.argsort(found["rank_test_rmse"], kind="stable"):
        chosen = {name.split("__")[-1]: value for name, value in found["params"][place].items()}
        name = type(chosen.pop("recommender")).__name__
        chosen.pop("columns", None)
        line = f"{name}({', '.join(f'{key}={value!r}' for key, value in chosen.items())})"
        print(f"{line:<64}{-found['mean_test_rmse'][place]:>7.3f}{found['mean_test_ndcg@10'][place]:>9.3f}")
    print(f"{'the noise alone':<64}{NOISE:>7.3f}")
    lists = search.best_estimator_["recommender"].recommend([0, 1], n=5, return_scores=False).astype(int)
    print(f"\nThe best one recommends items {lists[0].tolist()} to user 0, {lists[1].tolist()} to user 1.")


if __name__ == "__main__":
    main()
