"""Comparison of generators of synthetic tables, on the rows of Adult.

Each generator is fitted to four fifths of the rows of ``adult.data`` and generates the same number
of rows. The other rows serve for the comparison. TVAE is from the package ctgan, and the Gaussian
copula from sdv. The script skips generators of packages that are not installed.

Usage::

    pip install ctgan sdv
    python benchmarks/tables.py [--seeds 3] [--generators TabularVAE TVAE] [--rows 10000]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split

from skvae import TabularVAE
from skvae.datasets import fetch_adult
from skvae.metrics import compare_tables

TARGET = "income"
# Replaces missing categories for generators without support for missing values.
MISSING = "?"

Generator = Callable[[pd.DataFrame, int], pd.DataFrame]


def tabular_vae(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    return TabularVAE(random_state=seed).fit(train).sample(len(train), random_state=seed)


def with_flow(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    model = TabularVAE(prior="flow", random_state=seed)
    return model.fit(train).sample(len(train), random_state=seed)


def few_epochs(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    model = TabularVAE(max_iter=4, random_state=seed)
    return model.fit(train).sample(len(train), random_state=seed)


def independent_columns(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    model = TabularVAE(autoregressive=False, random_state=seed)
    return model.fit(train).sample(len(train), random_state=seed)


def tvae(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    from ctgan import TVAE

    torch.manual_seed(seed)
    np.random.seed(seed)
    names = list(train.select_dtypes("category"))
    model = TVAE()
    model.fit(train.astype(dict.fromkeys(names, object)).fillna(MISSING), names)
    return model.sample(len(train)).replace(MISSING, np.nan)


def gaussian_copula(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    np.random.seed(seed)
    names = list(train.select_dtypes("category"))
    tables = {"adult": train.astype(dict.fromkeys(names, object))}
    model = GaussianCopulaSynthesizer(Metadata.detect_from_dataframes(tables))
    model.fit(tables)
    sampled = model.sample(len(train))
    return sampled["adult"] if isinstance(sampled, dict) else sampled


GENERATORS: dict[str, Generator] = {
    "TabularVAE": tabular_vae,
    "TabularVAE, flow": with_flow,
    "TabularVAE, 4 epochs": few_epochs,
    "TabularVAE, independent": independent_columns,
    "TVAE": tvae,
    "Gaussian copula": gaussian_copula,
}
NEEDS = {"TVAE": "ctgan", "Gaussian copula": "sdv"}


def compare(names: list[str], n_rows: int | None, seed: int) -> pd.DataFrame:
    """Return the comparison for one split, with the seconds of each generator."""
    adult = fetch_adult().frame[:n_rows]
    train, test = train_test_split(adult, test_size=0.2, stratify=adult[TARGET], random_state=seed)
    tables, seconds = {"real": train}, {"real": 0.0}
    for name in names:
        start = time.perf_counter()
        table = GENERATORS[name](train.reset_index(drop=True), seed)
        seconds[name] = time.perf_counter() - start
        tables[name] = table.astype(train.dtypes)
        print(f"  seed {seed}: {name} took {seconds[name]:.0f} s", flush=True)
    comparison = compare_tables(tables, train, test, target=TARGET, random_state=seed)
    return comparison.assign(seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generators", nargs="+", choices=GENERATORS, default=list(GENERATORS))
    parser.add_argument("--rows", type=int, help="number of rows of Adult, default all")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [n for n in arguments.generators if n not in NEEDS or find_spec(NEEDS[n])]
    results = [compare(names, arguments.rows, seed) for seed in range(arguments.seeds)]
    table = pd.concat(results, keys=range(len(results)), names=["seed", "table"])
    print(table.groupby("table", sort=False).mean().round(4).to_string())
    print("\nStandard deviation over seeds:")
    print(table.groupby("table", sort=False).std().round(4).to_string())


if __name__ == "__main__":
    main()
