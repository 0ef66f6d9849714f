"""Imputation of hidden pixels of MNIST: errors, and the seconds to fit and to fill.

Imputers are fitted to incomplete images, and fill other incomplete images. Half of the pixels of
each image are hidden, or a square of 12 by 12 pixels at a random place. The error is the root mean
squared error of the hidden pixels, in grey values from 0 to 1.

Usage::

    SKVAE_DATA=... python benchmarks/image_imputers.py [--rows 5000] [--test-rows 1000] [--seeds 3]
        [--only VAEImputer]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.impute import KNNImputer, SimpleImputer

from skvae import VAEImputer
from skvae.datasets import fetch_mnist

SIDE, SQUARE = 28, 12
IMPUTERS: dict[str, Callable[[int], Any]] = {
    "SimpleImputer": lambda seed: SimpleImputer(keep_empty_features=True),
    "KNNImputer": lambda seed: KNNImputer(keep_empty_features=True),
    "VAEImputer": lambda seed: make_vae(seed),
    "VAEImputer, 20 dimensions, 60 epochs": lambda seed: make_vae(seed, latent_dim=20, max_iter=60),
}


def make_vae(seed: int, **params: Any) -> VAEImputer:
    return VAEImputer(likelihood="bernoulli", keep_empty_features=True, random_state=seed, **params)


def hide(X: np.ndarray, mechanism: str, rng: np.random.RandomState) -> np.ndarray:
    """Return images with NaN for hidden pixels."""
    if mechanism == "pixels":
        return np.where(rng.uniform(size=X.shape) < 0.5, np.nan, X)
    place = np.arange(SIDE)
    is_inside = []
    for _ in range(2):  # rows and columns of pixels
        start = rng.randint(SIDE - SQUARE + 1, size=(len(X), 1))
        is_inside.append((place >= start) & (place < start + SQUARE))
    is_hidden = is_inside[0][:, :, None] & is_inside[1][:, None, :]
    return np.where(is_hidden.reshape(X.shape), np.nan, X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=IMPUTERS, default=list(IMPUTERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train = fetch_mnist().data[: arguments.rows]
    test = fetch_mnist(subset="test").data[: arguments.test_rows]
    results = []
    for mechanism in ("pixels", "square"):
        for seed in range(arguments.seeds):
            rng = np.random.RandomState(seed)
            X, X_test = hide(train, mechanism, rng), hide(test, mechanism, rng)
            hidden = np.isnan(X_test)
            for name in arguments.only:
                start = time.perf_counter()
                imputer = IMPUTERS[name](seed).fit(X)
                fitted = time.perf_counter()
                error = np.sqrt(np.mean((imputer.transform(X_test) - test)[hidden] ** 2))
                results.append(
                    {
                        "hidden": mechanism,
                        "imputer": name,
                        "error": error,
                        "seconds to fit": fitted - start,
                        "seconds to fill": time.perf_counter() - fitted,
                    }
                )
                print(results[-1], flush=True)
    frame = pd.DataFrame(results).groupby(["hidden", "imputer"], sort=False)
    print(frame.agg({"error": ["mean", "min", "max"]}).round(3).to_string())
    print(frame[["seconds to fit", "seconds to fill"]].median().round(1).to_string())


if __name__ == "__main__":
    main()
