"""Copy the pictures that pages show from the gallery, once all of it has been run.

Usage::

    python docs/update_images.py [PICTURES]

Pictures given as arguments, such as the README's, are copied, too. All copies are reduced to few
colours, and to the largest number of colours that keeps a file below 150 kB.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
MAX_BYTES = 150_000
MAX_WIDTH = 1300  # pixels
THUMBNAIL_SIZE = (400, 280)  # of Sphinx-Gallery
COLORS = (256, 128, 64, 32, 16)
# Name -> the script that draws the picture, and which of its pictures it is.
IMAGES = {
    "latent-space-mnist": ("plot_01_mnist_mlp", 2),
    "loss-curves-mnist": ("plot_01_mnist_mlp", 1),
    "manifold-mnist": ("plot_02_mnist_conv", 3),
    "reconstructions-mnist": ("plot_02_mnist_conv", 4),
    "manifold-fashion-mnist": ("plot_03_fashion_mnist", 3),
    "bound": ("plot_04_elbo", 1),
    "embeddings-fashion-mnist": ("plot_05_embeddings", 3),
    "traversals-digits": ("plot_06_digits_selection", 1),
    "beta": ("plot_06_digits_selection", 3),
    "outliers": ("plot_07_outliers", 1),
    "contributions": ("plot_07_outliers", 2),
    "imputed-digits": ("plot_08_imputation", 1),
    "imputation-draws": ("plot_08_imputation", 2),
    "imputation-errors": ("plot_08_imputation", 3),
    "synthetic-table": ("plot_09_synthetic_rows", 2),
    "priors": ("plot_10_priors", 1),
    "priors-samples": ("plot_10_priors", 2),
    "styles": ("plot_11_conditions", 1),
    "samples-threes": ("plot_11_conditions", 2),
    "batches": ("plot_11_conditions", 3),
}
# Script -> the number of the picture that represents the script in the gallery.
THUMBNAILS = {
    "plot_01_mnist_mlp": 2,
    "plot_02_mnist_conv": 3,
    "plot_03_fashion_mnist": 3,
    "plot_04_elbo": 1,
    "plot_05_embeddings": 3,
    "plot_06_digits_selection": 3,
    "plot_07_outliers": 1,
    "plot_08_imputation": 1,
    "plot_09_synthetic_rows": 2,
    "plot_10_priors": 1,
    "plot_11_conditions": 1,
}
# Pictures of other scripts: examples/compare_embeddings.py and benchmarks/speed.py.
OTHERS = ("embeddings-digits", "speed")


def reduce(source: Path) -> bytes:
    """Return a picture as a PNG file with few colours, below the maximum size."""
    image = Image.open(source).convert("RGB")
    if image.width > MAX_WIDTH:
        height = round(image.height * MAX_WIDTH / image.width)
        image = image.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    for n_colors in COLORS:
        buffer = io.BytesIO()
        image.quantize(n_colors, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() < MAX_BYTES:
            return buffer.getvalue()
    raise SystemExit(f"{source} is too large: draw it with fewer points or pixels.")


def find(script: str, number: int) -> Path:
    """Return the path of a picture in the gallery."""
    return DOCS / "gallery" / "images" / f"sphx_glr_{script}_{number:03}.png"


def main() -> None:
    """Run the script."""
    sources = {name: find(script, number) for name, (script, number) in IMAGES.items()}
    sources |= {Path(path).stem: Path(path) for path in sys.argv[1:]}
    for name, source in sources.items():
        (DOCS / "images" / f"{name}.png").write_bytes(reduce(source))
    for script, number in THUMBNAILS.items():
        image = Image.open(find(script, number)).convert("RGB")
        image.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
        # Builds that do not run the scripts scale the file, which needs colours without a palette.
        image.quantize(128).convert("RGB").save(DOCS / "images" / "thumbnails" / f"{script}.png")


if __name__ == "__main__":
    main()
