"""Regression after multiple imputation: bias, and coverage of confidence intervals.

Tables of 300 rows have two numbers and a category, and an outcome that is linear in the three. A
fifth of all entries is hidden. Each imputer fills a table 20 times, a linear regression is fitted
to each filled table, and the results are pooled by Rubin's rules. The script prints the mean errors
of the three coefficients, and how often intervals of nominally 95 % contain the true coefficient.

Usage::

    python benchmarks/coverage.py [--tables 30] [--jobs 2]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from skvae import Gaussian, VAEImputer

N_ROWS, N_IMPUTATIONS, FRACTION = 300, 20, 0.2
COEFFICIENTS = {"a": 1.0, "b": -1.0, "group": 0.8}

# Maps an incomplete table, with the group as 0 or 1, and a seed to filled tables.
Imputer = Callable[[pd.DataFrame, int], list[np.ndarray]]


def mixed(frame: pd.DataFrame, seed: int) -> list[np.ndarray]:
    labelled = frame.assign(group=frame["group"].map({0.0: "no", 1.0: "yes"}))
    imputer = VAEImputer(likelihood="mixed", random_state=seed).fit(labelled)
    tables = imputer.sample_imputations(labelled, N_IMPUTATIONS, random_state=seed)
    return [table.assign(group=table["group"] == "yes").to_numpy(float) for table in tables]


def vae(frame: pd.DataFrame, seed: int, **params: Any) -> list[np.ndarray]:
    imputer = VAEImputer(random_state=seed, **params).fit(frame)
    return list(imputer.sample_imputations(frame, N_IMPUTATIONS, random_state=seed))


def chained(frame: pd.DataFrame, seed: int) -> list[np.ndarray]:
    imputers = [
        IterativeImputer(sample_posterior=True, max_iter=5, random_state=seed + i)
        for i in range(N_IMPUTATIONS)
    ]
    return [imputer.fit_transform(frame) for imputer in imputers]


IMPUTERS: dict[str, Imputer] = {
    'VAEImputer, "mixed"': mixed,
    "VAEImputer": vae,
    "VAEImputer, full noise": partial(vae, likelihood=Gaussian("full")),
    "IterativeImputer, sample_posterior": chained,
}


def make_table(seed: int) -> pd.DataFrame:
    rng = np.random.RandomState(seed)
    a = rng.normal(size=N_ROWS)
    b = 0.5 * a + rng.normal(size=N_ROWS)
    group = (rng.normal(size=N_ROWS) + a > 0).astype(float)
    frame = pd.DataFrame({"a": a, "b": b, "group": group})
    frame.insert(0, "y", frame @ pd.Series(COEFFICIENTS) + rng.normal(size=N_ROWS))
    return frame.mask(rng.uniform(size=frame.shape) < FRACTION)


def regress(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a linear regression of the first column, and their variances."""
    X = np.column_stack([np.ones(len(table)), table[:, 1:]])
    inverse = np.linalg.inv(X.T @ X)
    coefficients = inverse @ X.T @ table[:, 0]
    residuals = table[:, 0] - X @ coefficients
    variances = np.diag(inverse) * (residuals @ residuals) / (len(X) - X.shape[1])
    return coefficients[1:], variances[1:]


def measure(imputer: str, seed: int) -> np.ndarray:
    """Return the errors of the pooled coefficients, and whether the intervals hold the truth."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = [regress(table) for table in IMPUTERS[imputer](make_table(seed), seed)]
    estimates, variances = (np.array(part) for part in zip(*results, strict=True))
    errors = estimates.mean(axis=0) - list(COEFFICIENTS.values())
    between = (1 + 1 / N_IMPUTATIONS) * estimates.var(axis=0, ddof=1)
    standard_errors = np.sqrt(variances.mean(axis=0) + between)
    return np.concatenate([errors, np.abs(errors) < 1.96 * standard_errors])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--imputers", nargs="*", choices=list(IMPUTERS), default=list(IMPUTERS))
    arguments = parser.parse_args()
    columns = [f"{what}, {name}" for what in ("bias", "coverage") for name in COEFFICIENTS]
    jobs = [(name, seed) for name in arguments.imputers for seed in range(arguments.tables)]
    rows = joblib.Parallel(arguments.jobs)(joblib.delayed(measure)(*job) for job in jobs)
    frame = pd.DataFrame(rows, columns=columns).groupby([name for name, _ in jobs], sort=False)
    print(frame.mean().round(2).to_string())


if __name__ == "__main__":
    main()
