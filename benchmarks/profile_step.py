"""Profile of a training step by operators.

The script trains a network on MNIST under torch's profiler. The table contains the operators with
the longest self time, in microseconds per step. The last lines compare the duration of a step with
and without the profiler.

Usage::

    python benchmarks/profile_step.py [--network mlp] [--batch-size 100] [--precision auto]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from skvae import VAETransformer
from skvae.datasets import fetch_mnist

NETWORKS: dict[str, dict[str, object]] = {
    "mlp": {"hidden_layer_sizes": (256,)},
    "deep": {"hidden_layer_sizes": (512, 256, 128)},
    "conv": {
        "architecture": "conv",
        "image_shape": (28, 28),
        "hidden_layer_sizes": (32, 64, 16),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="mlp")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=25, help="number of operators to print")
    arguments = parser.parse_args()
    X: np.ndarray = fetch_mnist().data[: arguments.steps * arguments.batch_size]
    vae = VAETransformer(
        2,
        likelihood="bernoulli",
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        random_state=0,
        **NETWORKS[arguments.network],
    )
    vae.partial_fit(X)  # builds the model, and warms up
    start = time.perf_counter()
    vae.partial_fit(X)
    seconds = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        vae.partial_fit(X)
    averages = profiler.key_averages()
    per_step = pd.DataFrame(
        {
            "operator": [event.key for event in averages],
            "calls": [event.count / arguments.steps for event in averages],
            "microseconds": [event.self_cpu_time_total / arguments.steps for event in averages],
        }
    ).sort_values("microseconds", ascending=False)
    print(per_step.head(arguments.rows).round(1).to_string(index=False))
    print(f"all operators: {per_step['microseconds'].sum():.0f} us per step, with profiler")
    print(f"without profiler: {1e6 * seconds / arguments.steps:.0f} us per step")
    print(f"threads: {torch.get_num_threads()}")


if __name__ == "__main__":
    main()
