"""Speed of training on an NVIDIA GPU, with recorded steps, with eager steps and as plain loops.

The script first runs the tests marked ``gpu``, and then prints a table of seconds:

- "MLP", "convolutions" and "a million rows": seconds of an epoch, from the difference between a
  long and a short fit. "recorded" are the default steps of skvae, replayed as a CUDA graph, and
  "eager" the same steps without a recording. "resident loop" is a plain loop of PyTorch over rows
  in GPU memory, and "DataLoader" the same loop with PyTorch's loader: float32, the same network,
  Adam.
- "digits", "Adult" and "imputer": seconds of a whole fit with default parameters, on the GPU and on
  the CPU of the same machine, after a first fit of a few rows.

All fits of a row of the table take turns over two or three rounds, and the table has medians.
Without MNIST or Adult, random rows of the same shape take their place.

Usage::

    [SKVAE_DATA=...] python benchmarks/gpu.py [--skip-tests] [--output gpu.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from contestants import table, torch_mlp
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning

from skvae import TabularVAE, VAEImputer, VAETransformer
from skvae.datasets import fetch_adult, fetch_mnist
from skvae.training import _trainer

ROOT = Path(__file__).parent.parent
DEVICES = ("cuda", "cpu")
MLP = {"likelihood": "bernoulli", "hidden_layer_sizes": (256,)}
CONV = {
    "likelihood": "bernoulli",
    "architecture": "conv",
    "image_shape": (28, 28),
    "hidden_layer_sizes": (32, 64, 16),
    "batch_size": 500,
}
Fit = Callable[[int], Any]


def images() -> np.ndarray:
    try:
        return fetch_mnist().data
    except OSError:
        print("MNIST is not available: random images take its place.")
        return np.random.default_rng(0).random((60_000, 784), dtype=np.float32)


def adult() -> pd.DataFrame:
    try:
        return fetch_adult().data[:8000]
    except OSError:
        print("Adult is not available: random columns take its place.")
        rng = np.random.default_rng(0)
        numbers = {f"number {j}": rng.integers(0, 100, 8000) for j in range(6)}
        letters = {f"letter {j}": rng.choice([*"abcdefgh"], 8000) for j in range(8)}
        return pd.DataFrame({**numbers, **letters})


# ---- Fits ------------------------------------------------------------------------------------


def fit_skvae(X: np.ndarray, params: dict[str, Any], max_iter: int) -> None:
    VAETransformer(device="cuda", max_iter=max_iter, random_state=0, **params).fit(X)


@contextmanager
def eager_steps() -> Any:
    """Train without recorded steps."""
    original = _trainer.make_recorder
    _trainer.make_recorder = lambda noise, group: None
    try:
        yield
    finally:
        _trainer.make_recorder = original


def fit_eager(X: np.ndarray, params: dict[str, Any], max_iter: int) -> None:
    with eager_steps():
        fit_skvae(X, params, max_iter)


def plain_loop(X: np.ndarray, batch_size: int, n_epochs: int, *, loader: bool) -> None:
    """Train the network of `MLP` as in PyTorch's example of a VAE."""
    import torch.nn.functional as F
    from torch.utils.data import DataLoader, TensorDataset

    encoder, decoder = (network.cuda() for network in torch_mlp((256,), X.shape[1], 2))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.001)
    rows = torch.from_numpy(X)
    batches: Any
    if loader:
        batches = DataLoader(TensorDataset(rows), batch_size, shuffle=True, pin_memory=True)
    else:
        rows = rows.cuda()
    for _ in range(n_epochs):
        if not loader:
            order = torch.randperm(len(rows), device="cuda").split(batch_size)
            batches = ((rows[index],) for index in order)
        for (batch,) in batches:
            x = batch.cuda(non_blocking=True)
            mean, log_var = encoder(x).chunk(2, 1)
            out = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
            nll = F.binary_cross_entropy_with_logits(out, x, reduction="sum")
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            optimizer.zero_grad()
            ((nll + kl) / len(x)).backward()
            optimizer.step()


# ---- Measurements ----------------------------------------------------------------------------


def seconds(function: Callable[[], Any]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def seconds_per_epoch(fit: Fit, n_epochs: int) -> float:
    """Return the seconds of an epoch: the difference between a long and a short fit."""
    short = seconds(partial(fit, 1))
    return (seconds(partial(fit, 1 + n_epochs)) - short) / n_epochs


def compete(contestants: dict[str, Callable[[], float]], n_rounds: int = 3) -> dict[str, float]:
    """Return the median result of each contestant over rounds in turns."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(n_rounds):
        for name, measure in contestants.items():
            results[name].append(measure())
    return {name: statistics.median(values) for name, values in results.items()}


def epochs() -> dict[str, dict[str, float]]:
    """Return the seconds of an epoch of each fit and contestant."""
    X = images()
    fits: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "MLP 256-2, batch 100": (X, {**MLP, "batch_size": 100}),
        "MLP 256-2, batch 500": (X, {**MLP, "batch_size": 500}),
        "convolutions 32-64-16, batch 500": (X, CONV),
        "a million rows x 18, automatic batch": (
            table()[0],
            {"latent_dim": 4, "hidden_layer_sizes": (64, 64)},
        ),
    }
    results = {}
    for name, (data, params) in fits.items():
        fit_skvae(data[:5000], params, 1)  # the first fit loads libraries
        contestants = {
            "recorded": partial(seconds_per_epoch, partial(fit_skvae, data, params), 5),
            "eager": partial(seconds_per_epoch, partial(fit_eager, data, params), 1),
        }
        if name.startswith("MLP"):
            loop = partial(plain_loop, data, params["batch_size"])
            contestants |= {
                "resident loop": partial(seconds_per_epoch, partial(loop, loader=False), 1),
                "DataLoader": partial(seconds_per_epoch, partial(loop, loader=True), 1),
            }
        results[name] = compete(contestants)
        print(name, results[name], flush=True)
    return results


def fits() -> dict[str, dict[str, float]]:
    """Return the seconds of whole fits with default parameters, on the GPU and on the CPU."""
    X = load_breast_cancer().data
    X_missing = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    cases: dict[str, tuple[Any, Any]] = {
        "digits": (VAETransformer(likelihood="bernoulli"), load_digits().data / 16),
        "digits, Gaussian": (VAETransformer(), load_digits().data),
        "breast cancer": (VAETransformer(), X),
        "Adult, 8,000 rows, 10 epochs": (TabularVAE(max_iter=10), adult()),
        "imputer, breast cancer": (VAEImputer(), X_missing),
    }
    results = {}
    for name, (estimator, data) in cases.items():
        estimator.set_params(random_state=0)

        def fit(device: str, estimator: Any = estimator, data: Any = data) -> None:
            estimator.set_params(device=device).fit(data)

        for device in DEVICES:
            fit(device, data=data[:100])
        contestants = {device: partial(seconds, partial(fit, device)) for device in DEVICES}
        results[name] = compete(contestants, n_rounds=2)
        print(name, results[name], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/gpu.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not torch.cuda.is_available():
        raise SystemExit("This script needs an NVIDIA GPU.")
    document: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if not arguments.skip_tests:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
        run = subprocess.run([*command, "tests"], cwd=ROOT, capture_output=True, text=True)
        output = (run.stdout + run.stderr).strip()
        print(output)
        document["tests"] = output.splitlines()[-1]
    document |= {"seconds per epoch": epochs(), "seconds": fits()}
    for key in ("seconds per epoch", "seconds"):
        print(pd.DataFrame(document[key]).T.round(4).to_string())
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
