"""A variational autoencoder next to PCA and t-SNE, in two dimensions.

Writes a figure of the three embeddings and prints a table that compares them::

    python examples/compare_embeddings.py                # scikit-learn's digits
    python examples/compare_embeddings.py --data mnist   # a part of MNIST

MNIST is read from the folder that ``SKVAE_DATA`` names, where it holds
``mnist/train-images-idx3-ubyte.gz`` and the other three files, or else fetched from OpenML.

PCA and the VAE learn from the training rows and embed the held-out rows with
`transform`. t-SNE cannot embed rows it was not fitted on: it is given all rows at once,
and only its neighbours are learned from the training rows.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer

# Trustworthiness compares all pairs of rows: more than this many are sampled.
MAX_TRUSTWORTHINESS_ROWS = 5_000


def load_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return the 70,000 images as floats in [0, 1] and their labels, in official order."""
    folder = Path(os.environ.get("SKVAE_DATA", "")) / "mnist"
    if not folder.is_dir():
        return fetch_openml("mnist_784", return_X_y=True, as_frame=False, parser="liac-arff")
    images, labels = [], []
    for part in ("train", "t10k"):
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
            images.append(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784))
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
            labels.append(np.frombuffer(file.read(), np.uint8, offset=8))
    return np.concatenate(images), np.concatenate(labels)


def load(data: str, n_rows: int | None, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in [0, 1] as float32 and labels, of `n_rows` rows drawn at random."""
    X, y = load_digits(return_X_y=True) if data == "digits" else load_mnist()
    if n_rows is not None and n_rows < len(X):
        chosen = np.random.RandomState(random_state).choice(len(X), n_rows, replace=False)
        X, y = X[chosen], y[chosen]
    return X.astype(np.float32) / X.max(), y


def compare(
    X: np.ndarray, y: np.ndarray, vae: VAETransformer, random_state: int
) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Return the table, each method's codes of the held-out rows, and the rows' labels."""
    train, test = train_test_split(
        np.arange(len(X)), test_size=0.25, random_state=random_state, stratify=y
    )
    embedders = {
        "PCA": PCA(n_components=2, random_state=random_state),
        "t-SNE": TSNE(n_components=2, random_state=random_state),
        "VAE": vae,
    }
    rows, codes = {}, {}
    for name, embedder in embedders.items():
        start = time.perf_counter()
        if hasattr(embedder, "transform"):
            embedder.fit(X[train])
            fitted = time.perf_counter()
            Z_test = embedder.transform(X[test])
            transform_seconds = time.perf_counter() - fitted
            Z_train = embedder.transform(X[train])
            error = np.mean((embedder.inverse_transform(Z_test) - X[test]) ** 2)
        else:
            Z = embedder.fit_transform(np.concatenate([X[train], X[test]]))
            fitted, transform_seconds, error = time.perf_counter(), np.nan, np.nan
            Z_train, Z_test = Z[: len(train)], Z[len(train) :]
        neighbours = KNeighborsClassifier(5).fit(Z_train, y[train])
        few = slice(MAX_TRUSTWORTHINESS_ROWS)
        rows[name] = {
            "trustworthiness": trustworthiness(X[test][few], Z_test[few], n_neighbors=5),
            "5-NN accuracy": neighbours.score(Z_test, y[test]),
            "reconstruction MSE": error,
            "fit seconds": fitted - start,
            "transform seconds": transform_seconds,
        }
        codes[name] = Z_test
    return pd.DataFrame(rows).T, codes, y[test]


def draw(codes: dict[str, np.ndarray], labels: np.ndarray, table: pd.DataFrame) -> plt.Figure:
    """Return a figure with one scatter plot for each method."""
    figure, axes = plt.subplots(1, len(codes), figsize=(13, 4.6), layout="constrained")
    classes = np.unique(labels)
    colours = plt.get_cmap("tab10").colors
    for ax, (name, Z) in zip(axes, codes.items(), strict=True):
        for label, colour in zip(classes, colours, strict=False):
            points = Z[labels == label]
            ax.scatter(*points.T, s=max(1.5, 4000 / len(Z)), color=colour, lw=0, label=str(label))
        accuracy = table.loc[name, "5-NN accuracy"]
        ax.set_title(f"{name}: 5-NN accuracy {accuracy:.3f}")
        ax.set(xticks=[], yticks=[])
    handles, names = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside right center", title="digit")
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    figure.suptitle("Held-out rows")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--rows", type=int, help="use so many rows (default: all, MNIST 10,000)")
    parser.add_argument("--output", type=Path, help="figure to write, default embeddings-DATA.png")
    parser.add_argument("--random-state", type=int, default=0)
    arguments = parser.parse_args()
    n_rows = arguments.rows or (None if arguments.data == "digits" else 10_000)
    X, y = load(arguments.data, n_rows, arguments.random_state)

    vae = VAETransformer(2, likelihood="bernoulli", random_state=arguments.random_state, verbose=1)
    table, codes, labels = compare(X, y, vae, arguments.random_state)

    output = arguments.output or Path(f"embeddings-{arguments.data}.png")
    draw(codes, labels, table).savefig(output, dpi=150)
    table.round(4).to_csv(output.with_suffix(".csv"), index_label="method")
    print(f"{arguments.data}: {len(X)} rows of {X.shape[1]} pixels, a quarter of them held out\n")
    print(table.round(4).to_string(na_rep="-"))
    print(f"\nFigure: {output}\nTable:  {output.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
