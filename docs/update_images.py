"""Copy the pictures that pages show from the gallery, once all of it has been run."""

import shutil
from pathlib import Path

DOCS = Path(__file__).parent
# Name -> the script that draws the picture, and which of its pictures it is.
IMAGES = {
    "latent-space-mnist": ("plot_01_mnist_mlp", 2),
    "manifold-mnist": ("plot_02_mnist_conv", 3),
    "manifold-fashion-mnist": ("plot_03_fashion_mnist", 3),
    "bound": ("plot_04_elbo", 1),
    "embeddings-fashion-mnist": ("plot_05_embeddings", 3),
    "beta": ("plot_06_digits_selection", 3),
}

for name, (script, number) in IMAGES.items():
    source = DOCS / "gallery" / "images" / f"sphx_glr_{script}_{number:03}.png"
    shutil.copy(source, DOCS / "images" / f"{name}.png")
