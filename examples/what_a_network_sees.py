"""What a network sees in digits: its filters, their answers to an image, and the pixels that its decision hangs on.

Prints how much of the saliency lies on ink, and leaves a picture in ``tour/what_a_network_sees.png``.
"""

import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skml import ConvClassifier
from skml.vision import FeatureMapDisplay, FilterDisplay, HistoryDisplay


def main():
    """Fit, look, and draw."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    network = ConvClassifier(filters=(16, 32), max_iter=20, early_stopping=True, random_state=0).fit(X, y)
    few = X[[0, 1, 2, 3]]
    saliency = np.abs(network.saliency(few, network.predict(few))).reshape(-1, 8, 8)
    near = np.array([image.reshape(8, 8) > 0 for image in few])
    share = (saliency * near).sum() / saliency.sum()
    print(f"{share:.0%} of the saliency lies on the {near.mean():.0%} of pixels that have ink")

    figure = plt.figure(figsize=(10, 8), layout="constrained")
    panels = figure.subplot_mosaic(
        [["history", "history", "filters", "filters"], ["maps"] * 4, list("abcd"), list("efgh")],
        height_ratios=[1.4, 1.4, 1, 1],
    )
    HistoryDisplay.from_estimator(network, figures=["loss", "validation_loss"], ax=panels["history"])
    FilterDisplay.from_estimator(network, n_columns=8, ax=panels["filters"])
    FeatureMapDisplay.from_estimator(network, few, max_maps=16, ax=panels["maps"])
    for image, found, above, below in zip(few, saliency, "abcd", "efgh"):
        panels[above].imshow(image.reshape(8, 8), cmap="gray_r")
        panels[below].imshow(found, cmap="magma")
    for name in "abcdefgh":
        panels[name].set(xticks=[], yticks=[])
    panels["a"].set_ylabel("image")
    panels["e"].set_ylabel("saliency")
    folder = pathlib.Path("tour")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "what_a_network_sees.png", dpi=120)
    print(f"\nPicture: {folder / 'what_a_network_sees.png'}")


if __name__ == "__main__":
    main()
