"""A recurrent network that learns from its prompt: new labels, and not a weight changes.

It is trained on lines such as "a+ b- b- a+", in each of which two letters have signs of their own, drawn by lot. So no
letter has a sign that could be learnt by heart: what helps is to look at what stands before. FewShotClassifier then
writes a line for each task, and the same network does tasks that contradict each other. Without examples it can only
guess.
"""

import numpy as np

from skml import FewShotClassifier, RNNLanguageModel

LETTERS = list("abcdefgh")


def line(rng, n=8):
    """Return a line of letters with signs, those of two letters."""
    pair, signs = rng.choice(LETTERS, 2, replace=False), rng.permutation(["+", "-"])
    return "".join(f"{pair[i]}{signs[i]} " for i in rng.integers(2, size=n))


def accuracy(model, tasks):
    """Return the share of letters whose signs are told right, over tasks of two letters each."""
    return np.mean([model.fit(X, y).score(X, y) for X, y in tasks])


def main():
    """Fit the network once, and give it tasks."""
    rng = np.random.default_rng(0)
    settings = {"batching": "pad", "learning_rate_init": 0.01, "max_iter": 30, "random_state": 0}
    network = RNNLanguageModel(hidden_size=64, **settings).fit([line(rng) for _ in range(600)])
    for y in (["+", "-"], ["-", "+"]):
        model = FewShotClassifier(network, template="{text}{label} ", n_shots=1, calibration=False).fit(["a", "c"], y)
        prompt = model.prompts(["a"])[0]
        print(f"after {prompt!r}: {model.predict(['a'])[0]}   p = {model.predict_proba(['a'])[0].max():.2f}")
    tasks = [(rng.choice(LETTERS, 2, replace=False), rng.permutation(["+", "-"])) for _ in range(50)]
    for n_shots in (0, 1):
        model = FewShotClassifier(network, template="{text}{label} ", n_shots=n_shots, calibration=False)
        print(f"{n_shots} examples of each class: {accuracy(model, tasks):.2f} right")


if __name__ == "__main__":
    main()
