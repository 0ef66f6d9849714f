"""Speed of training with one thread and with all, on an idle machine and beside another program.

The other program keeps one core busy. The script prints the median seconds of an epoch of random
images of 28 x 28 pixels, in fits of at least 300 steps, with one thread, with as many threads as
cores, and with the number that skvae chooses by trials, which take turns. Run the script while
nothing else runs, and once more with the environment variable GOMP_SPINCOUNT=0, with which waiting
threads sleep (on Linux).

Usage::

    python benchmarks/threads.py [--rounds 4]
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.training._threaded import ThreadedStep
from skvae.utils import _threads

N_STEPS = 300
FITS: dict[str, tuple[int, dict[str, Any]]] = {
    "256, batch 100": (20000, {"hidden_layer_sizes": (256,), "batch_size": 100}),
    "256, batch 500": (30000, {"hidden_layer_sizes": (256,), "batch_size": 500}),
    "512-256-128, batch 200": (20000, {"hidden_layer_sizes": (512, 256, 128), "batch_size": 200}),
    "1024-512-256, batch 500": (30000, {"hidden_layer_sizes": (1024, 512, 256), "batch_size": 500}),
    "conv 32-64-16, batch 128": (
        5000,
        {
            "architecture": "conv",
            "image_shape": (28, 28),
            "hidden_layer_sizes": (32, 64, 16),
            "batch_size": 128,
        },
    ),
}


@contextmanager
def other_program() -> Iterator[None]:
    """Keep one core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def seconds(X: np.ndarray, params: dict[str, Any], n_threads: int, *, trials: bool) -> float:
    torch.set_num_threads(n_threads)
    has_equal_bits = ThreadedStep._has_equal_bits if trials else lambda *_: False
    n_epochs = math.ceil(N_STEPS * params["batch_size"] / len(X))
    vae = VAETransformer(2, likelihood="bernoulli", max_iter=n_epochs, random_state=0, **params)
    with patch.object(ThreadedStep, "_has_equal_bits", has_equal_bits):
        start = time.perf_counter()
        vae.fit(X)
        return (time.perf_counter() - start) / n_epochs


def measure(name: str, n_threads: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of an epoch for each choice of threads."""
    n_rows, params = FITS[name]
    X = np.random.default_rng(0).random((n_rows, 784), dtype=np.float32)
    seconds(X, params, n_threads, trials=False)  # the first fit loads libraries
    choices = {
        "one thread": (1, False),
        "all threads": (n_threads, False),
        "trials": (n_threads, True),
    }
    rows = [
        {name: seconds(X, params, n, trials=trials) for name, (n, trials) in choices.items()}
        for _ in range(rounds)
    ]
    return {name: statistics.median(row[name] for row in rows) for name in choices}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore", ConvergenceWarning)
    _threads._MIN_WORK_FOR_THREADS = 0  # use all threads for any network
    n_threads = torch.get_num_threads()
    results = {}
    for name in FITS:
        idle = measure(name, n_threads, rounds)
        with other_program():
            busy = measure(name, n_threads, rounds)
        results[name] = idle | {f"{key}, busy": value for key, value in busy.items()}
        print(name, results[name], flush=True)
    print(pd.DataFrame(results).T.round(2).to_string())


if __name__ == "__main__":
    main()
