"""Test bounds on dynamically binarised MNIST, with 5,000 draws, as in the literature.

The networks are those of Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders",
ICLR 2016: two layers of 200 units and 50 latent dimensions, with negative bounds of 86.76 (VAE) and
84.78 (IWAE, 50 draws) after 3,280 passes. "conv" stands for convolutions with automatic widths.
Each setting is trained for several numbers of epochs.

Usage::

    SKVAE_DATA=... python benchmarks/binarized_mnist.py [--epochs 10 30 100] [--test-rows 2000]
        [--only VAE] [--kl-warmup 0.2] [--seeds 1]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from skvae import Bernoulli, VAETransformer
from skvae.datasets import fetch_mnist
from skvae.priors import Flow, VampPrior

CONV = {"architecture": "conv", "image_shape": (28, 28), "hidden_layer_sizes": "auto"}
SETTINGS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "IWAE, 50 draws": {"n_training_draws": 50},
    "VampPrior": {"prior": VampPrior(500)},
    "flow": {"prior": Flow()},
    "conv": CONV,
    "conv, VampPrior": {**CONV, "prior": VampPrior(500)},
    "conv, flow": {**CONV, "prior": Flow()},
}


def make_vae(max_iter: int, seed: int, **params: Any) -> VAETransformer:
    return VAETransformer(
        50,
        likelihood=Bernoulli(binarize=True),
        batch_size=200,
        max_iter=max_iter,
        n_importance_samples=5000,
        random_state=seed,
        **{"hidden_layer_sizes": (200, 200), **params},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", nargs="*", type=int, default=[10, 30, 100])
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--kl-warmup", type=float, default=0.2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    train = fetch_mnist().data
    rng = np.random.RandomState(0)
    grey = fetch_mnist(subset="test").data
    grey = grey[rng.permutation(len(grey))[: arguments.test_rows]]
    test = (rng.uniform(size=grey.shape) < grey).astype(np.float32)
    for name in arguments.only:
        for max_iter in arguments.epochs:
            for seed in range(arguments.seeds):
                vae = make_vae(max_iter, seed, kl_warmup=arguments.kl_warmup, **SETTINGS[name])
                start = time.perf_counter()
                vae.fit(train)
                seconds = time.perf_counter() - start
                history = vae.history_
                print(
                    f"{name}, {max_iter} epochs, seed {seed}: {-vae.score(test):.2f} nats after "
                    f"{seconds:.0f} s, {history['active_units'][-1]} active dimensions, loss of "
                    f"training {history['loss'][-1]:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
