"""Test bounds on dynamically binarised MNIST, with 5,000 draws, as in the literature.

The networks are those of Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders",
ICLR 2016: two layers of 200 units and 50 latent dimensions, with negative bounds of 86.76 (VAE) and
84.78 (IWAE, 50 draws) after 3,280 passes. Each setting is trained for several numbers of epochs.

Usage::

    SKVAE_DATA=... python benchmarks/binarized_mnist.py [--epochs 10 30 100] [--test-rows 2000]
        [--only VAE] [--seeds 1]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from skvae import Bernoulli, VAETransformer
from skvae.datasets import fetch_mnist
from skvae.priors import Flow, VampPrior

SETTINGS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "IWAE, 50 draws": {"n_training_draws": 50},
    "VAE, hidden entries": {"encoder_dropout": 0.2},
    "VampPrior": {"prior": VampPrior(500)},
    "flow": {"prior": Flow()},
    "flow, separate": {"prior": Flow(training="separate")},
}


def make_vae(max_iter: int, seed: int, **params: Any) -> VAETransformer:
    return VAETransformer(
        50,
        hidden_layer_sizes=(200, 200),
        likelihood=Bernoulli(binarize=True),
        batch_size=200,
        max_iter=max_iter,
        n_importance_samples=5000,
        random_state=seed,
        **params,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", nargs="*", type=int, default=[10, 30, 100])
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    train = fetch_mnist().data
    grey = fetch_mnist(subset="test").data[: arguments.test_rows]
    test = (np.random.RandomState(0).uniform(size=grey.shape) < grey).astype(np.float32)
    for name in arguments.only:
        for max_iter in arguments.epochs:
            for seed in range(arguments.seeds):
                vae = make_vae(max_iter, seed, **SETTINGS[name])
                start = time.perf_counter()
                vae.fit(train)
                seconds = time.perf_counter() - start
                print(
                    f"{name}, {max_iter} epochs, seed {seed}: {-vae.score(test):.2f} nats after "
                    f"{seconds:.0f} s, loss of training {vae.history_['loss'][-1]:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
