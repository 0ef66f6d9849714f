"""Digests of fitted models, to compare two versions of skvae bit for bit on one machine.

    python benchmarks/digests.py --write before.json    # in a checkout of one version
    python benchmarks/digests.py --compare before.json  # in a checkout of the other version

A refactoring must not change a single bit of a fitted model. Each digest covers the weights and
buffers of a model, the history of training, and the results of the estimator for 50 rows. Digests
do not cover the names of weights, so a version may rename weights. Digests differ between machines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from skvae import (
    Checkpoint,
    Gaussian,
    NegativeBinomial,
    StudentT,
    TabularVAE,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)

FAST = {"max_iter": 4, "random_state": 0}


def digest(arrays: Iterable[Any]) -> str:
    """Return one digest of arrays, for any order of the arrays."""
    digests = []
    for array in map(np.asarray, arrays):
        header = f"{array.dtype.str}:{array.shape}:".encode()
        content = (
            np.ascontiguousarray(array).tobytes()
            if array.dtype != object
            else repr(array.tolist()).encode()
        )
        digests.append(hashlib.sha256(header + content).hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:16]


def wine() -> np.ndarray:
    return load_wine().data


def digits() -> np.ndarray:
    return load_digits().data[:600] / 16


def frame() -> pd.DataFrame:
    """Return a frame with columns of many types and missing values."""
    rng = np.random.RandomState(0)
    n = 400
    X = pd.DataFrame(
        {
            "number": rng.normal(size=n),
            "skewed": np.exp(rng.normal(size=n)).round(2),
            "integer": rng.poisson(3, n),
            "nullable": pd.array(rng.randint(0, 9, n), dtype="Int64"),
            "truth": rng.uniform(size=n) < 0.3,
            "string": rng.choice(["u", "v", "w"], n, p=[0.6, 0.3, 0.1]),
            "ordered": pd.Categorical(rng.choice(list("abcde"), n), list("abcde"), ordered=True),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.randint(0, 999, n), unit="D"),
            "duration": pd.to_timedelta(rng.randint(0, 99, n), unit="s"),
        }
    )
    X.loc[rng.uniform(size=n) < 0.1, "number"] = np.nan
    X.loc[rng.uniform(size=n) < 0.1, "string"] = None
    return X


def with_missing(X: np.ndarray) -> np.ndarray:
    return np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.2, np.nan, X)


def dropout_networks(n_features: int, latent_dim: int, n_outputs: int) -> Any:
    nn = torch.nn
    encoder = nn.Sequential(
        nn.Linear(n_features, 16),
        nn.BatchNorm1d(16),
        nn.Dropout(0.2),
        nn.Linear(16, 2 * latent_dim),
    )
    return encoder, nn.Sequential(nn.Linear(latent_dim, 16), nn.ReLU(), nn.Linear(16, n_outputs))


def mapped(X: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def continued(vae: Any, X: Any) -> Any:
    """Fit, and continue with `warm_start` and then with `partial_fit`."""
    vae.fit(X)
    return vae.set_params(warm_start=True).fit(X).partial_fit(X)


def partial(vae: Any, X: Any) -> Any:
    return vae.partial_fit(X).partial_fit(X[::2])


def fit(vae: Any, X: Any) -> Any:
    return vae.fit(X)


def fits(folder: Path) -> dict[str, tuple[Callable[..., Any], Any, Any]]:
    """Return a function that fits, an estimator and the data, by name."""
    counts = np.random.RandomState(0).poisson(4, (300, 6))
    cancer = load_breast_cancer().data
    sparse = csr_matrix(np.where(digits() > 0.3, digits(), 0))
    small = {**FAST, "hidden_layer_sizes": (16, 8)}
    conv = {"architecture": "conv", "image_shape": (8, 8), "hidden_layer_sizes": (4, 8, 8)}
    return {
        "default": (fit, VAETransformer(max_iter=10, random_state=0), wine()),
        "float32": (fit, VAETransformer(**FAST), cancer.astype(np.float32)),
        "linear": (fit, VAETransformer(3, hidden_layer_sizes=(), **FAST), wine()),
        "shared noise": (fit, VAETransformer(likelihood=Gaussian("shared"), **small), wine()),
        "fixed noise": (fit, VAETransformer(likelihood=Gaussian(2.0), **small), wine()),
        "row noise, floor": (
            fit,
            VAETransformer(likelihood=StudentT("row", floor=0.1, df=3), prior_std=2.0, **small),
            cancer,
        ),
        "bernoulli": (fit, VAETransformer(likelihood="bernoulli", **small), digits()),
        "continuous bernoulli": (
            fit,
            VAETransformer(likelihood="continuous_bernoulli", beta=2.0, kl_warmup=0.5, **small),
            digits(),
        ),
        "poisson": (fit, VAETransformer(likelihood="poisson", **small), counts),
        "negative binomial": (
            fit,
            VAETransformer(likelihood=NegativeBinomial("row"), solver="rmsprop", **small),
            counts,
        ),
        "fourier": (fit, VAETransformer(architecture="fourier_mlp", **small), digits()),
        "conv": (fit, VAETransformer(likelihood="bernoulli", **{**FAST, **conv}), digits()),
        "own networks": (fit, VAETransformer(architecture=dropout_networks, **FAST), wine()),
        "early stopping": (
            fit,
            VAETransformer(early_stopping=True, n_iter_no_change=2, **{**small, "max_iter": 30}),
            cancer,
        ),
        "constant rate": (
            fit,
            VAETransformer(
                learning_rate="constant",
                solver="adamw",
                n_iter_no_change=2,
                tol=1.0,
                **{**small, "max_iter": 40},
            ),
            wine(),
        ),
        "bfloat16": (fit, VAETransformer(precision="bfloat16", **small), digits()),
        "sparse": (fit, VAETransformer(**small), sparse),
        "memory map": (fit, VAETransformer(**small), mapped(cancer, folder)),
        "warm start": (continued, VAETransformer(**small), wine()),
        "partial fit": (partial, VAETransformer(**small), wine()),
        "checkpoint": (
            fit,
            VAETransformer(checkpoint=Checkpoint(folder / "run.skvae", seconds=0), **small),
            wine(),
        ),
        "detector": (fit, VAEOutlierDetector(**{**FAST, "max_iter": 6}), cancer),
        "detector, contamination": (
            fit,
            VAEOutlierDetector(contamination=0.1, trim=0.0, **small),
            wine(),
        ),
        "imputer": (fit, VAEImputer(add_indicator=True, **FAST), with_missing(wine())),
        "imputer, mixed": (fit, VAEImputer(likelihood="mixed", **FAST), frame()),
        "imputer, bernoulli": (
            fit,
            VAEImputer(likelihood="bernoulli", early_stopping=True, **FAST),
            with_missing(digits()),
        ),
        "tabular": (fit, TabularVAE(**FAST), frame()),
        "tabular, independent": (fit, TabularVAE(autoregressive=False, **FAST), frame()),
        "tabular, early stopping": (
            fit,
            TabularVAE(early_stopping=True, column_types={"integer": "ordinal"}, **FAST),
            frame(),
        ),
        "tabular, array": (partial, TabularVAE(**small), wine()),
    }


def results(estimator: Any, X: Any) -> Iterable[Any]:
    """Yield the weights, the history and the results of an estimator."""
    yield from (w.cpu().numpy() for w in estimator.module_.state_dict().values())
    yield from estimator.history_.values()
    rows = X[:50]
    yield estimator.score_samples(rows)
    mean, std = estimator.encode(rows)
    yield mean
    yield std
    if isinstance(estimator, VAEImputer):
        yield estimator.transform(rows)
    else:
        yield estimator.sample(20, random_state=1)
        yield estimator.reconstruct(rows)
    if isinstance(estimator, VAEOutlierDetector):
        yield estimator.decision_function(rows)
        yield estimator.explain(rows)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="FILE")
    action.add_argument("--compare", type=Path, metavar="FILE")
    options = parser.parse_args()
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (train, estimator, X) in fits(Path(folder)).items():
            digests[name] = digest(results(train(estimator, X), X))
            print(f"{digests[name]}  {name}", flush=True)
    if options.write:
        options.write.write_text(json.dumps(digests, indent=1) + "\n")
        return
    before = json.loads(options.compare.read_text())
    different = [name for name in before if digests.get(name) != before[name]]
    if different or digests.keys() != before.keys():
        raise SystemExit(f"Different: {', '.join(different) or 'the set of fits'}")
    print(f"All {len(digests)} fits are equal bit for bit.")


if __name__ == "__main__":
    main()
