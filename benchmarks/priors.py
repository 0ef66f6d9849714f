"""Held-out scores on SUSY with learned priors, and of a flow and a mixture on the rows themselves.

Each model is fitted to 8,000 of the 10,000 rows of the sample, and scored on the other rows, in
nats per row. The neural spline flow is from the package zuko, with early stopping on a tenth of the
training rows. The number of components of the mixture, up to 30, has the lowest BIC.

Usage::

    pip install zuko
    SKVAE_DATA=... python benchmarks/priors.py [--seeds 5] [--latent-dim 8]
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pandas as pd
import torch
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_susy
from skvae.priors import Flow, Mixture, Normal, Prior, VampPrior

PRIORS: tuple[Prior, ...] = (
    Normal(),
    Mixture(),
    Mixture(30),
    VampPrior(),
    Flow(),
    *(cls(training="separate") for cls in (Mixture, VampPrior, Flow)),
    Mixture(30, training="separate"),
)
# Maps training rows, test rows, the number of latent dimensions and a seed to a score.
Model = Callable[[np.ndarray, np.ndarray, int, int], float]


def vae(prior: Prior) -> Model:
    def score(train: np.ndarray, test: np.ndarray, latent_dim: int, seed: int) -> float:
        return VAETransformer(latent_dim, prior=prior, random_state=seed).fit(train).score(test)

    return score


def mixture(train: np.ndarray, test: np.ndarray, latent_dim: int, seed: int) -> float:
    sizes = (1, 2, 3, 5, 7, 10, 15, 20, 30)
    fits = [GaussianMixture(n, random_state=seed).fit(train) for n in sizes]
    return min(fits, key=lambda fit: fit.bic(train)).score(test)


def spline_flow(train: np.ndarray, test: np.ndarray, latent_dim: int, seed: int) -> float:
    import zuko

    torch.manual_seed(seed)
    rows, held_out = train_test_split(
        torch.tensor(train, dtype=torch.float32), test_size=0.1, random_state=seed
    )
    flow = zuko.flows.NSF(train.shape[1], transforms=4, hidden_features=(128, 128))
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    best, best_loss, n_bad = copy.deepcopy(flow), np.inf, 0
    while n_bad < 10:
        for batch in rows[torch.randperm(len(rows))].split(256):
            loss = -flow().log_prob(batch).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            loss = -flow().log_prob(held_out).mean().item()
        n_bad += 1
        if loss < best_loss:
            best, best_loss, n_bad = copy.deepcopy(flow), loss, 0
    with torch.no_grad():
        return best().log_prob(torch.tensor(test, dtype=torch.float32)).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--latent-dim", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="names of models, default all")
    arguments = parser.parse_args()
    models: dict[str, Model] = {repr(prior): vae(prior) for prior in PRIORS}
    models["mixture of the rows"] = mixture
    if find_spec("zuko"):
        models["neural spline flow of the rows"] = spline_flow
    else:
        print("The neural spline flow is skipped: zuko is not installed.")
    X = np.asarray(fetch_susy(subset="sample").data, dtype=float)
    results = []
    for seed in range(arguments.seeds):
        train, test = train_test_split(X, test_size=0.2, random_state=seed)
        scaler = StandardScaler().fit(train)
        jacobian = -np.log(scaler.scale_).sum()
        for name in arguments.only or models:
            start = time.process_time()
            score = models[name](
                scaler.transform(train), scaler.transform(test), arguments.latent_dim, seed
            )
            seconds = time.process_time() - start
            results.append({"model": name, "score": score + jacobian, "seconds": seconds})
            print(seed, name, round(score + jacobian, 2), round(seconds), flush=True)
    groups = pd.DataFrame(results).groupby("model", sort=False)
    table = groups["score"].agg(["median", "min", "max"])
    table["seconds"] = groups["seconds"].median()
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
