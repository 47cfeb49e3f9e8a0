"""A denoising autoencoder on digits: it has seen noisy images, and learned to give back the clean ones.

Beside it PCA with as many components, which knows nothing of noise. Prints the root mean squared error that each
leaves of the noise (in grey levels of 0 to 16), and leaves a picture in ``tour/denoising.png``.
"""

import pathlib

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skml import PCA, ConvAutoencoder

NOISE = 4.0
SETTINGS = {"filters": (32, 64), "max_iter": 30, "learning_rate": "one_cycle", "learning_rate_init": 4e-3}


def main():
    """Fit, compare, and draw."""
    X, _ = load_digits(return_X_y=True)
    X, clean = train_test_split(X.astype(np.float32), test_size=0.3, random_state=0)
    noisy = clean + NOISE * np.random.default_rng(0).normal(size=clean.shape).astype(np.float32)
    models = {
        "PCA": PCA(n_components=24),
        "autoencoder": ConvAutoencoder(n_components=24, random_state=0, **SETTINGS),
        "denoising autoencoder": ConvAutoencoder(n_components=24, denoise=NOISE / X.std(), random_state=0, **SETTINGS),
    }
    images = {"clean": clean, "noisy": noisy}
    for name, model in models.items():
        images[name] = model.fit(X).inverse_transform(model.transform(noisy))
    print(f"{'':<24}error")
    for name in ("noisy", *models):
        print(f"{name:<24}{np.sqrt(np.mean((images[name] - clean) ** 2)):.2f}")

    figure, axes = plt.subplots(len(images), 10, figsize=(8, 4.4), layout="constrained")
    for row, (name, found) in zip(axes, images.items()):
        for axis, image in zip(row, found):
            axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    folder = pathlib.Path("tour")
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "denoising.png", dpi=120)
    print(f"\nPicture: {folder / 'denoising.png'}")


if __name__ == "__main__":
    main()
