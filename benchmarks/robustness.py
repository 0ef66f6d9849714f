"""Spread of test bounds over seeds on MNIST, for networks of several sizes.

Each network is fitted to the first 20,000 training images with grey values, with a Bernoulli
likelihood, once for each seed. The seed determines the initial
weights, the order of rows and the draws from the posterior. The script prints, in nats per image,
the median, the interquartile range and the extremes of the negative lower bounds of the 10,000 test
images with one draw per image, and the lowest KL divergence, which is 0 after posterior collapse.

Usage::

    python benchmarks/robustness.py [--only "mlp 256, 6 epochs"] [--seeds 10]
        [--learning-rate-init 0.006]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from skvae import VAETransformer
from skvae.datasets import fetch_mnist
from skvae.training._batches import Rows
from skvae.training._trainer import evaluate

N_TRAINING_ROWS = 20_000

DEEP = {"hidden_layer_sizes": (512, 256, 128), "batch_size": 200}
WIDE = {"hidden_layer_sizes": (1024, 512, 256), "batch_size": 500}
CONV = {"architecture": "conv", "image_shape": (28, 28)}

CELLS: dict[str, dict[str, object]] = {
    "mlp 256, 6 epochs": {"hidden_layer_sizes": (256,), "max_iter": 6},
    "mlp 256, 12 epochs": {"hidden_layer_sizes": (256,), "max_iter": 12},
    "mlp 512-256-128, 6 epochs": {**DEEP, "max_iter": 6},
    "mlp 512-256-128, 12 epochs": {**DEEP, "max_iter": 12},
    "fourier_mlp 512-256-128, 6 epochs": {**DEEP, "architecture": "fourier_mlp", "max_iter": 6},
    "fourier_mlp 512-256-128, 12 epochs": {**DEEP, "architecture": "fourier_mlp", "max_iter": 12},
    "fourier_mlp 1024-512-256, 8 epochs": {**WIDE, "architecture": "fourier_mlp", "max_iter": 8},
    "conv 32-64-16, 3 epochs": {**CONV, "hidden_layer_sizes": (32, 64, 16), "max_iter": 3},
    "conv 16-32-16, 6 epochs": {**CONV, "hidden_layer_sizes": (16, 32, 16), "max_iter": 6},
    "mlp 400, 20 dimensions, 6 epochs": {
        "latent_dim": 20,
        "hidden_layer_sizes": (400,),
        "batch_size": 128,
        "max_iter": 6,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--learning-rate-init", type=float)
    arguments = parser.parse_args()
    train, test = fetch_mnist().data[:N_TRAINING_ROWS], fetch_mnist(subset="test").data
    summary = []
    for name in arguments.only:
        rate = arguments.learning_rate_init or "auto"
        fits = pd.DataFrame([fit(train, test, seed, name, rate) for seed in range(arguments.seeds)])
        low, median, high = np.percentile(fits["loss"], [25, 50, 75])
        summary.append(
            {
                "fit": name,
                "median": round(median, 1),
                "interquartile range": round(high - low, 2),
                "best": round(fits["loss"].min(), 1),
                "worst": round(fits["loss"].max(), 1),
                "lowest KL": round(fits["kl_loss"].min(), 1),
            }
        )
        print(pd.DataFrame(summary).tail(1).to_string(index=False), flush=True)
    print(pd.DataFrame(summary).to_string(index=False))


def fit(
    train: np.ndarray, test: np.ndarray, seed: int, name: str, rate: float | str
) -> dict[str, float]:
    """Return the metrics of the test images after a fit."""
    params = {"latent_dim": 2, "batch_size": 100, "learning_rate_init": rate, **CELLS[name]}
    vae = VAETransformer(likelihood="bernoulli", random_state=seed, **params).fit(train)
    return evaluate(vae.module_, Rows(test, vae.device_), seed=0)


if __name__ == "__main__":
    main()
