"""A table of recommendations with their explanations: which past ratings speak for a dish, and which against it.

The ratings are generated, and what is true is known: each guest has a liking for each of five tastes, and a dish gets
3 + the likings of its tastes + noise of deviation .5, rounded to 1..5. The likings of three guests are stated. Only the
content filter is told the tastes; that all find dishes of the right ones, for the right reasons, the table shows.
"""

import numpy as np

from skml import ContentFilter, MatrixFactorization, NeighborhoodFilter

TASTES = ("sweet", "hot", "sour", "smoky", "bitter")
MENU = {
    "apple pie": "sweet", "baklava": "sweet", "crème brûlée": "sweet", "honey cake": "sweet", "rice pudding": "sweet",
    "vindaloo": "hot", "kimchi": "hot sour", "jerk chicken": "hot smoky", "chilli": "hot", "green curry": "hot",
    "ceviche": "sour", "pickles": "sour", "lemon tart": "sweet sour", "borscht": "sour", "sauerkraut": "sour",
    "smoked eel": "smoky", "barbecue ribs": "smoky sweet", "tea egg": "smoky", "bacon": "smoky", "haddock": "smoky",
    "chicory": "bitter", "dark chocolate": "bitter sweet", "espresso": "bitter", "rocket": "bitter", "endive": "bitter",
}  # fmt: skip
GUESTS = {"Ann": {"sweet": 1.5, "hot": -1.5}, "Bob": {"hot": 1.5, "bitter": -1.5}, "Cid": {"smoky": 1.5, "sour": -1.5}}


def generate(rng, n_guests=300, n_each=12):
    """Return interactions (guest, dish) and ratings."""
    dishes = np.array(list(MENU))
    has = np.array([[taste in MENU[dish].split() for taste in TASTES] for dish in dishes], float)
    likings = rng.normal(size=(n_guests, len(TASTES)))
    names = [*GUESTS, *(f"guest {i}" for i in range(len(GUESTS), n_guests))]
    for row, name in enumerate(GUESTS):
        likings[row] = [GUESTS[name].get(taste, 0.0) for taste in TASTES]
    guests = np.repeat(np.arange(n_guests), n_each)
    eaten = rng.permuted(np.tile(np.arange(len(dishes)), (n_guests, 1)), axis=1)[:, :n_each].ravel()
    ratings = 3 + np.sum(likings[guests] * has[eaten], axis=1) + 0.5 * rng.normal(size=len(guests))
    X = [[names[guest], str(dishes[dish])] for guest, dish in zip(guests, eaten)]
    return np.array(X, dtype=object), np.clip(ratings.round(), 1, 5), (dishes.astype(object), has)


def told(model, guest, dish, ratings):
    """Return the two strongest reasons for a dish, and the strongest against it."""
    past, contributions = model.explain(guest, dish)
    ends = [(past[i], contributions[i]) for i in (0, 1, -1)]
    said = [f"{name} ({ratings[guest, name]:.0f}) {value:+.2f}" for name, value in ends]
    return f"{said[0]}, {said[1]}; {said[2]}" if ends[-1][1] < 0 else f"{said[0]}, {said[1]}"


def main():
    """Print the table."""
    X, y, attributes = generate(np.random.default_rng(0))
    ratings = {tuple(pair): rating for pair, rating in zip(X, y)}
    models = (
        (MatrixFactorization(n_components=5, alpha=2.0, random_state=0), {}),
        (NeighborhoodFilter(shrinkage=10.0), {}),
        (ContentFilter(), {"item_features": attributes}),
    )
    for model, given in models:
        model.fit(X, y, **given)
        print(f"\n{type(model).__name__:<34}{'score':>6}  because of (what was said of it); against it")
        items, scores = model.recommend(list(GUESTS), n=2)
        for guest, row, values in zip(GUESTS, items, scores):
            for dish, score in zip(row, values):
                name = f"{guest}: {dish} [{MENU[dish]}]"
                print(f"{name:<34}{score:>6.2f}  {told(model, guest, dish, ratings)}")
    print("\nThe truth: " + "; ".join(f"{name} {likings}" for name, likings in GUESTS.items()))


if __name__ == "__main__":
    main()
