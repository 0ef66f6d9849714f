"""Conditional models: classes of MNIST digits, and codes of counts without a batch effect.

"digits" fits a conditional VAE to MNIST, draws 1,000 digits of each class, and prints the fraction
that a convolutional classifier, trained on real digits, assigns to the class. "batches" fits counts
of four cell types in three batches, with and without condition columns, and prints the accuracy of
five nearest neighbours in the codes for the type and for the batch. Chance is 0.33 for the batch.
Cells of a type vary along three directions, by `--variation` in the log of the rates.

Usage::

    SKVAE_DATA=... python benchmarks/conditions.py digits [--rows 60000] [--beta 1] [--seeds 5]
        [--epochs 30] [--conv 32 64 256]
    python benchmarks/conditions.py batches [--variation 0.3] [--seeds 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from skvae import VAETransformer
from skvae.datasets import fetch_mnist

N_DIGITS_PER_CLASS = 1000


def digits(seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Return the fraction of conditional draws that a classifier of real digits recognises."""
    n_rows = options.rows or 60_000
    X, y = fetch_mnist(subset="train", return_X_y=True)
    X_test, y_test = fetch_mnist(subset="test", return_X_y=True)
    classify = train_classifier(X, y, seed)
    rows = np.column_stack([X[:n_rows], y[:n_rows].astype(X.dtype)])
    networks = (
        {"architecture": "conv", "image_shape": (28, 28), "hidden_layer_sizes": options.conv}
        if options.conv
        else {"hidden_layer_sizes": (512, 256)}
    )
    vae = VAETransformer(
        16,
        likelihood="bernoulli",
        condition_columns={X.shape[1]: "categorical"},
        beta=options.beta,
        **networks,
        max_iter=options.epochs,
        random_state=seed,
    )
    start = time.perf_counter()
    vae.fit(rows)
    seconds = time.perf_counter() - start
    labels = np.repeat(np.arange(10), N_DIGITS_PER_CLASS)
    conditions = {X.shape[1]: labels}
    drawn = vae.sample(len(labels), conditions=conditions, noise=False, random_state=seed)
    return {
        "classifier on test": float((classify(X_test) == y_test).mean()),
        "recognised draws": float((classify(drawn) == labels).mean()),
        "test score": vae.score(np.column_stack([X_test, y_test.astype(X.dtype)])),
        "seconds": seconds,
    }


def train_classifier(X: np.ndarray, y: np.ndarray, seed: int):
    """Return a function from images to classes: a small convolutional network, trained on X."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *[nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU()],
        *[nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10)],
    )
    images, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(np.asarray(y, int))
    n_epochs = 4
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1.0, 0.05, n_epochs * (len(images) // 128)
    )
    for _ in range(n_epochs):
        for index in torch.randperm(len(images)).split(128)[: len(images) // 128]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[index]), labels[index]).backward()
            optimizer.step()
            scheduler.step()

    @torch.no_grad()
    def classify(X: np.ndarray) -> np.ndarray:
        return network(torch.tensor(X, dtype=torch.float32)).argmax(1).numpy()

    return classify


def batches(seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Return accuracies of type and batch in the codes, with and without conditions."""
    rng, n_rows = np.random.RandomState(seed), options.rows or 2000
    kind, batch = rng.randint(4, size=n_rows), rng.randint(3, size=n_rows)
    size = np.exp(rng.normal(8, 0.5, n_rows)).round()
    logits = rng.normal(size=100) + 0.7 * rng.normal(size=(4, 100))[kind]
    logits += options.variation * rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 100))
    effect = 0.7 * rng.normal(size=(3, 100))[batch]
    results = {}
    for name, shift in (("no batches", 0.0), ("batches", effect)):
        rates = np.exp(logits + shift)
        rates *= size[:, None] / rates.sum(axis=1, keepdims=True)
        counts = rng.poisson(rates * rng.gamma(5, 1 / 5, rates.shape))
        rows = np.column_stack([counts, batch, size])
        for given in (False, True):
            conditions = {100: "categorical", 101: "exposure"} if given else None
            vae = VAETransformer(
                10,
                likelihood="negative_binomial",
                condition_columns=conditions,
                random_state=seed,
            )
            Z = vae.fit_transform(rows if given else counts)
            neighbours = KNeighborsClassifier(5)
            key = f"{name}, {'given' if given else 'plain'}"
            results[f"type, {key}"] = cross_val_score(neighbours, Z, kind).mean()
            results[f"batch, {key}"] = cross_val_score(neighbours, Z, batch).mean()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=["digits", "batches"])
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variation", type=float, default=0.3)
    parser.add_argument("--beta", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--conv", nargs="+", type=int, help="sizes of convolutional networks")
    options = parser.parse_args()
    function = {"digits": digits, "batches": batches}[options.run]
    table = pd.DataFrame([function(seed, options) for seed in range(options.seeds)])
    print(table.round(4).T.to_string())
    print(table.median().round(4).to_string())


if __name__ == "__main__":
    main()
