"""Test bounds on MNIST for the networks of the tutorials, with one draw per row.

Each network is fitted to the 60,000 training images with grey values, with a Bernoulli likelihood
and two latent dimensions, unless the name of the run says otherwise. The script prints the mean
negative lower bound of the 10,000 test images. The Keras tutorials report 165.8 after 3 epochs of
the first network, and 151.7 after 14 epochs of a convolutional network.

Usage::

    python benchmarks/mnist.py [--only "mlp, 3 epochs"] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

from skvae import VAETransformer
from skvae.datasets import fetch_mnist
from skvae.training._batches import Rows
from skvae.training._trainer import evaluate

# Parameters of each run, and the target for the negative bound, if any.
RUNS: dict[str, tuple[dict[str, object], float]] = {
    "mlp, 3 epochs": ({"hidden_layer_sizes": (256,), "max_iter": 3}, 162.0),
    "mlp, 10 epochs": ({"hidden_layer_sizes": (256,), "max_iter": 10}, 153.5),
    # The network of the example in pytorch/examples, which reports 105.6 after 10 epochs.
    "mlp 400-20, 10 epochs": (
        {"latent_dim": 20, "hidden_layer_sizes": (400,), "batch_size": 128, "max_iter": 10},
        100.5,
    ),
    "conv, 14 epochs": (
        {
            "architecture": "conv",
            "image_shape": (28, 28),
            "hidden_layer_sizes": (32, 64, 16),
            "max_iter": 14,
        },
        151.3,
    ),
    **{
        f"conv, 10 dimensions, {width} dense units, 6 epochs": (
            {
                "latent_dim": 10,
                "architecture": "conv",
                "image_shape": (28, 28),
                "hidden_layer_sizes": (32, 64, width),
                "max_iter": 6,
            },
            float("nan"),
        )
        for width in (16, 128)
    },
    "deep mlp, 40 epochs": ({"hidden_layer_sizes": (512, 256, 128), "max_iter": 40}, 136.0),
    **{
        f"deep {name}, {epochs} epochs": (
            {
                "architecture": name,
                "hidden_layer_sizes": (512, 256, 128),
                "max_iter": epochs,
            },
            float("nan"),
        )
        for name, lengths in (("mlp", (10, 12)), ("fourier_mlp", (10, 12, 40)))
        for epochs in lengths
    },
    # About 75 seconds on two cores with AVX-512.
    "deep fourier_mlp, encoder_dropout, 64 epochs": (
        {
            "architecture": "fourier_mlp",
            "hidden_layer_sizes": (512, 256, 128),
            "batch_size": 1000,
            "encoder_dropout": 0.3,
            "kl_warmup": 0.2,
            "max_iter": 64,
        },
        131.5,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--learning-rate-init", type=float)
    parser.add_argument("--activation", default="gelu")
    arguments = parser.parse_args()
    train, test = fetch_mnist().data, fetch_mnist(subset="test").data
    rows = []
    for name in arguments.only:
        params, target = RUNS[name]
        for seed in range(arguments.seeds):
            defaults = {"latent_dim": 2, "batch_size": arguments.batch_size}
            vae = VAETransformer(
                likelihood="bernoulli",
                random_state=seed,
                precision=arguments.precision,
                learning_rate_init=arguments.learning_rate_init or "auto",
                activation=arguments.activation,
                verbose=1,
                **{**defaults, **params},
            )
            start = time.perf_counter()
            vae.fit(train)
            seconds = time.perf_counter() - start
            metrics = evaluate(vae.module_, Rows(test, vae.device_), seed=0)
            rows.append(
                {
                    "run": name,
                    "seed": seed,
                    "fit seconds": round(seconds, 1),
                    "negative bound": round(metrics["loss"], 2),
                    "reconstruction": round(metrics["reconstruction_loss"], 2),
                    "KL": round(metrics["kl_loss"], 2),
                    "target": target,
                    "-score, 16 draws": round(-vae.score(test), 2),
                }
            )
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
