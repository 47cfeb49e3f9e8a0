"""A fit that saves itself after each epoch and says so, to be killed in its midst: killed.py CLASS PATH."""

import sys

import skml
from _contract.listening import Listener
from skml.callback import Checkpoint

TEXTS = [f"{a} and {b}" for a in ("red", "green", "blue") for b in ("salt", "pepper", "vinegar", "oil")]
SETTINGS = {"max_iter": 60, "dropout": 0.1, "batch_size": 4, "random_state": 7}


class Told(Listener):
    """Says after each epoch that it is over."""

    def on_fit_task_end(self, estimator, context):
        print("over", flush=True)


if __name__ == "__main__":
    getattr(skml, sys.argv[1])(**SETTINGS).set_callbacks(Checkpoint(sys.argv[2]), Told()).fit(TEXTS)
