"""Comparison of a variational autoencoder with PCA and t-SNE, in two dimensions.

The script writes a table of metrics and a figure of the three embeddings. For images, the figure
also shows what else the VAE computes: reconstructions, new images, and bounds on log p(x)::

    python examples/compare_embeddings.py                        # scikit-learn's digits
    python examples/compare_embeddings.py --data mnist           # 10,000 rows of MNIST
    python examples/compare_embeddings.py --data fashion-mnist --rows 70000

A quarter of the rows is held out. PCA and the VAE are fitted to the training rows and embed the
held-out rows with `transform`. t-SNE cannot embed new rows. It is therefore fitted to all rows
together, and only the nearest-neighbour classifier is restricted to the training rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import SubFigure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist, fetch_mnist, fetch_susy
from skvae.displays import EmbeddingsDisplay, ReconstructionDisplay, SampleDisplay
from skvae.metrics import compare_embeddings

MAX_ROWS = 10_000
IMAGE_SHAPES = {"digits": (8, 8), "mnist": (28, 28), "fashion-mnist": (28, 28)}


def load(data: str) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Return rows, classes, names of the classes, and a suitable likelihood."""
    if data == "digits":
        bunch = load_digits()
        return (
            bunch.data / 16,
            bunch.target,
            [str(name) for name in bunch.target_names],
            "bernoulli",
        )
    if data == "susy":
        bunch = fetch_susy(subset="sample")
        X = StandardScaler().fit_transform(bunch.data)  # required by PCA and t-SNE
        return X, bunch.target, bunch.target_names, "gaussian"
    fetch = {"mnist": fetch_mnist, "fashion-mnist": fetch_fashion_mnist}[data]
    bunch = fetch(subset="all")
    return bunch.data, bunch.target, bunch.target_names, "bernoulli"


def draw_generative_model(
    figure: SubFigure, vae: VAETransformer, X: np.ndarray, image_shape: tuple[int, int]
) -> None:
    """Draw reconstructions of held-out images, new images, and bounds on log p(x)."""
    figure.suptitle("The VAE also reconstructs, generates and scores images")
    left, middle, right = figure.subplots(1, 3)
    ReconstructionDisplay.from_estimator(vae, X[:6], image_shape=image_shape, ax=left)
    left.set_title("reconstructions from two numbers")
    SampleDisplay.from_estimator(
        vae, n_samples=64, image_shape=image_shape, random_state=0, ax=middle
    )
    middle.set_title("new images")
    scores = [vae.score_samples(X), vae.score_samples(X[:, ::-1])]
    bins = np.linspace(*np.quantile(scores, [0.005, 0.995]), 41)
    for values, label, color in zip(
        scores, ["held-out images", "rotated by 180 degrees"], ["#3f90da", "#bd1f01"], strict=True
    ):
        right.hist(values, bins, label=label, color=color, alpha=0.6)
    right.set(title="how probable is an image?", ylabel="images")
    right.set_xlabel("bound on log p(x) in nats, higher is more probable")
    right.margins(y=0.4)
    right.legend(loc="upper left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    choices = ["digits", "mnist", "fashion-mnist", "susy"]
    parser.add_argument("--data", choices=choices, default="digits")
    parser.add_argument("--rows", type=int, default=MAX_ROWS, help="maximum number of rows")
    parser.add_argument(
        "--output", type=Path, help="path of the figure, default embeddings-DATA.png"
    )
    parser.add_argument("--random-state", type=int, default=0)
    arguments = parser.parse_args()
    seed = arguments.random_state

    X, y, target_names, likelihood = load(arguments.data)
    chosen = np.random.RandomState(seed).permutation(len(X))[: arguments.rows]
    X_train, X_test, y_train, y_test = train_test_split(
        X[chosen], y[chosen], stratify=y[chosen], random_state=seed
    )
    vae = VAETransformer(2, likelihood=likelihood, random_state=seed, verbose=1)
    embedders = {
        "PCA": PCA(n_components=2, random_state=seed),
        "t-SNE": TSNE(n_components=2, random_state=seed),
        "VAE": vae,
    }
    table, codes, labels = compare_embeddings(
        embedders,
        X_train,
        y_train,
        X_test=X_test,
        y_test=y_test,
        random_state=seed,
        return_codes=True,
    )

    output = arguments.output or Path(f"embeddings-{arguments.data}.png")
    titles = {
        name: f"{name}: 5-NN accuracy {accuracy:.3f}"
        for name, accuracy in table["knn_accuracy"].items()
    }
    image_shape = IMAGE_SHAPES.get(arguments.data)
    heights = [4.4] if image_shape is None else [4.4, 3.4]
    figure = plt.figure(figsize=(12.6, sum(heights)), layout="constrained")
    upper, *lower = np.ravel(figure.subfigures(len(heights), 1, height_ratios=heights))
    EmbeddingsDisplay.from_codes(
        codes, labels, target_names=target_names, titles=titles, ax=upper.subplots()
    )
    upper.suptitle(f"{len(labels):,} held-out rows of {arguments.data}, accuracy: higher is better")
    if lower:
        vae.set_params(verbose=0).fit(X_train)  # compare_embeddings fits copies
        draw_generative_model(lower[0], vae, X_test, image_shape)
    figure.savefig(output, dpi=100)
    table.round(4).to_csv(output.with_suffix(".csv"), index_label="method")
    print(f"{arguments.data}: {len(chosen)} rows of {X.shape[1]} columns, a quarter held out\n")
    print(table.T.to_string(float_format="{:.3f}".format, na_rep="-"))
    print(f"\nFigure: {output}\nTable:  {output.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
