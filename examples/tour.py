"""A tour of skml: each estimator on real data inside scikit-learn's machinery, beside scikit-learn's own class.

Recommenders see generated ratings instead, whose truth is known, and agents act in environments. Run it with
``make demo``. It prints a table of scores and times, shows progress bars, and leaves pictures in ``tour/``.
"""

import pathlib
import runpy
import time
import warnings

FOLDER = pathlib.Path(__file__).resolve().parent
STOPS = (
    *("tour_pca", "tour_linear_autoencoder", "tour_kmeans", "tour_forest", "tour_adaboost"),
    *("tour_recommendation", "tour_vision", "tour_language", "tour_reinforcement"),
)


def timed(fit):
    """Return what a call returns, and the seconds it took."""
    start = time.perf_counter()
    result = fit()
    return result, time.perf_counter() - start


def main():
    """Walk the tour and print the table."""
    warnings.filterwarnings("ignore", "The estimator .* does not support callbacks")  # a scaler in a pipeline
    pictures = pathlib.Path("tour")
    pictures.mkdir(exist_ok=True)
    rows = []
    for stop in STOPS:
        visit = runpy.run_path(str(FOLDER / f"{stop}.py"))["visit"]
        rows += visit(pictures, timed)
    print(f"\n{'what':<54}{'score':>22}{'skml':>10}{'seconds':>9}{'peer':>10}{'seconds':>9}")
    for what, score, ours, our_seconds, peer, peer_seconds in rows:
        beside = f"{peer:>10.4g}{peer_seconds:>9.2f}" if peer is not None else f"{'-':>10}{'-':>9}"
        print(f"{what:<54}{score:>22}{ours:>10.4g}{our_seconds:>9.2f}{beside}")
    print("\nPictures: " + ", ".join(sorted(str(path) for path in pictures.glob("*.png"))))


if __name__ == "__main__":
    main()
