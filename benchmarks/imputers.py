"""Comparison of imputers: normalised errors of hidden entries of real tables.

Entries are hidden completely at random, or at random given a column: the first column is always
observed, and the probability of missing entries in a row rises with the value of the first column.
The error is the root mean squared error of the hidden entries, in standard deviations of the
columns.

Usage::

    python benchmarks/imputers.py [--seeds 3] [--data wine diabetes] [--imputers VAEImputer]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae import Gaussian, VAEImputer


def mixed_imputer(seed: int, **params: Any) -> Any:
    """Return an imputer that reads arrays as data frames of columns of any type."""
    imputer = VAEImputer(likelihood="mixed", random_state=seed, **params)
    return make_pipeline(FunctionTransformer(pd.DataFrame), imputer)


IMPUTERS: dict[str, Callable[[int], Any]] = {
    "VAEImputer": lambda seed: VAEImputer(random_state=seed),
    "VAEImputer, full noise": lambda seed: VAEImputer(
        likelihood=Gaussian("full"), random_state=seed
    ),
    "VAEImputer, mixed": mixed_imputer,
    "VAEImputer, mixed, 200 epochs": lambda seed: mixed_imputer(seed, max_iter=200),
    "VAEImputer, encoder_dropout": lambda seed: VAEImputer(encoder_dropout=0.2, random_state=seed),
    "VAEImputer, flow": lambda seed: VAEImputer(prior="flow", random_state=seed),
    "SimpleImputer": lambda seed: SimpleImputer(),
    "KNNImputer": lambda seed: KNNImputer(),
    "IterativeImputer, ridge": lambda seed: IterativeImputer(random_state=seed),
    "IterativeImputer, forest": lambda seed: IterativeImputer(
        RandomForestRegressor(n_estimators=50, random_state=seed), max_iter=5, random_state=seed
    ),
}
TABLES: dict[str, Callable[[], np.ndarray]] = {
    "wine": lambda: load_wine().data,
    "diabetes": lambda: load_diabetes(scaled=False).data,
    "breast cancer": lambda: load_breast_cancer().data,
    "digits": lambda: load_digits().data,
}
FRACTIONS = (0.1, 0.3, 0.5)


def hide(X: np.ndarray, fraction: float, mechanism: str, seed: int) -> np.ndarray:
    """Return X with NaN for about the given fraction of the entries."""
    rng = np.random.RandomState(seed)
    probability = np.full(X.shape, fraction)
    if mechanism == "given a column":
        # From 0 for the smallest value of the column to twice the fraction for the largest value.
        probability *= 2 * rankdata(X[:, 0])[:, None] / len(X)
        probability[:, 0] = 0
    return np.where(rng.uniform(size=X.shape) < probability, np.nan, X)


def measure(
    imputer: str, table: str, mechanism: str, fraction: float, seed: int
) -> tuple[float, float]:
    """Return the error, and the seconds to fit and transform."""
    torch.set_num_threads(1)
    X = TABLES[table]()
    X = StandardScaler().fit_transform(X[:, X.std(axis=0) > 0])
    incomplete = hide(X, fraction, mechanism, seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        filled = np.asarray(IMPUTERS[imputer](seed).fit_transform(incomplete))
    seconds = time.perf_counter() - start
    hidden = np.isnan(incomplete)
    return float(np.sqrt(np.mean((filled - X)[hidden] ** 2))), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--imputers", nargs="*", choices=list(IMPUTERS), default=list(IMPUTERS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    jobs = [
        (imputer, table, mechanism, fraction, seed)
        for imputer in arguments.imputers
        for table in arguments.data
        for mechanism in ("completely at random", "given a column")
        for fraction in FRACTIONS
        for seed in range(arguments.seeds)
    ]
    results = joblib.Parallel(arguments.jobs)(joblib.delayed(measure)(*job) for job in jobs)
    frame = pd.DataFrame(jobs, columns=["imputer", "data", "mechanism", "fraction", "seed"])
    frame[["error", "seconds"]] = results
    keys = {"index": ["data", "mechanism", "fraction"], "columns": "imputer", "sort": False}
    for metric, digits in (("error", 3), ("seconds", 1)):
        table = frame.pivot_table(values=metric, **keys)
        print(f"\n{metric}\n{table.round(digits).to_string()}")
        print(f"mean:      {table.mean().round(digits).to_dict()}")
        print(f"mean rank: {table.rank(axis=1).mean().round(2).to_dict()}")


if __name__ == "__main__":
    main()
