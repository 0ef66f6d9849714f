"""Comparison of a variational autoencoder with PCA and t-SNE, in two dimensions.

The script writes a figure of the three embeddings and a table of metrics::

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

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist, fetch_mnist, fetch_susy
from skvae.displays import EmbeddingsDisplay
from skvae.metrics import compare_embeddings

MAX_ROWS = 10_000


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
    embedders = {
        "PCA": PCA(n_components=2, random_state=seed),
        "t-SNE": TSNE(n_components=2, random_state=seed),
        "VAE": VAETransformer(2, likelihood=likelihood, random_state=seed, verbose=1),
    }
    table, codes, labels = compare_embeddings(
        embedders, X[chosen], y[chosen], random_state=seed, return_codes=True
    )

    output = arguments.output or Path(f"embeddings-{arguments.data}.png")
    titles = {
        name: f"{name}: 5-NN accuracy {accuracy:.3f}"
        for name, accuracy in table["knn_accuracy"].items()
    }
    display = EmbeddingsDisplay.from_codes(codes, labels, target_names=target_names, titles=titles)
    display.figure_.suptitle(f"{len(labels):,} held-out rows of {arguments.data}")
    display.figure_.savefig(output, dpi=150)
    table.round(4).to_csv(output.with_suffix(".csv"), index_label="method")
    print(f"{arguments.data}: {len(chosen)} rows of {X.shape[1]} columns, a quarter held out\n")
    print(table.T.to_string(float_format="{:.3f}".format, na_rep="-"))
    print(f"\nFigure: {output}\nTable:  {output.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
