"""Libraries that `speed.py` compares, each in a separate process.

A contestant is a function of the training data and a clock. The function imports the library, calls
``clock.begin()``, trains by the methods of the library, and calls ``clock.lap(encode, decode)``
after each epoch or once after training. The clock stops during a lap, which measures the bound of
the test rows in the same way for all contestants.

Usage by `speed.py`::

    python benchmarks/contestants.py TASK CONTESTANT SEED
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Encode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Decode = Callable[[np.ndarray], np.ndarray]

# Networks of the tutorials: hidden units of the perceptron, and filters and dense units of the
# convolutional network.
MLP_HIDDEN = (256,)
CONV_FILTERS = (32, 64, 16)
TABLE_HIDDEN, TABLE_LATENT = (64, 64), 4
TABLE_SHAPE = (1_000_000, 18)
RATE = 0.001


class Clock:
    """Clock that measures the seconds of training, memory, and the bounds of test rows."""

    def __init__(self, X_test: np.ndarray, density: str) -> None:
        self.X_test = X_test
        self.density = density
        self.laps: list[dict[str, float]] = []

    def begin(self) -> None:
        """Start the clock, and the measurement of memory."""
        gc.collect()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        self.resident = _memory("VmRSS")
        self.paused = 0.0
        self.start = time.perf_counter()

    def lap(self, encode: Encode | None = None, decode: Decode | None = None) -> None:
        """Record the time and, if there are networks, the test bound."""
        stopped = time.perf_counter()
        lap = {"seconds": stopped - self.start - self.paused}
        if not self.laps:  # later laps include the memory of evaluation
            lap["memory"] = _memory("VmHWM") - self.resident
        if encode is not None and decode is not None:
            lap["loss"] = negative_bound(encode, decode, self.X_test, self.density)
        self.laps.append(lap)
        self.paused += time.perf_counter() - stopped


def _memory(field: str) -> float:
    """Return the current ("VmRSS") or peak ("VmHWM") resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def negative_bound(encode: Encode, decode: Decode, X: np.ndarray, density: str) -> float:
    """Return the mean negative evidence lower bound with one draw per row, in nats.

    `encode` returns means and log-variances. `decode` returns logits for the density "bernoulli",
    and means of a normal distribution with standard deviation 1 for "gaussian".
    """
    rng = np.random.default_rng(0)
    losses = []
    for x in np.array_split(X, max(1, len(X) // 1000)):
        mean, log_var = (np.asarray(part, np.float64) for part in encode(x))
        z = mean + np.exp(0.5 * log_var) * rng.standard_normal(mean.shape)
        out = np.asarray(decode(z.astype(np.float32)), np.float64)
        if density == "bernoulli":
            nll = np.logaddexp(0, out) - x * out
        else:
            nll = 0.5 * (x - out) ** 2 + 0.5 * np.log(2 * np.pi)
        kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1)
        losses.append(nll.sum(1) + kl.sum(1))
    return float(np.concatenate(losses).mean())


# ---- Data ------------------------------------------------------------------------------------


def images() -> tuple[np.ndarray, np.ndarray]:
    from skvae.datasets import fetch_mnist

    return fetch_mnist().data, fetch_mnist(subset="test").data


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return standardised rows near a curved 4-D surface, with as many columns as SUSY."""
    rng = np.random.default_rng(0)
    n_rows, n_features = TABLE_SHAPE
    n_rows += 10_000
    z = rng.standard_normal((n_rows, TABLE_LATENT), dtype=np.float32)
    bent = np.tanh(z @ rng.standard_normal((TABLE_LATENT, 32), dtype=np.float32))
    X = bent @ rng.standard_normal((32, n_features), dtype=np.float32) / 4
    X += 0.3 * rng.standard_normal(X.shape, dtype=np.float32)
    X = (X - X.mean(0)) / X.std(0)
    return X[:-10_000], X[-10_000:]


def small_table() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).standard_normal((600, 10)).astype(np.float32)
    return X[:500], X[500:]


def few_images() -> tuple[np.ndarray, np.ndarray]:
    X, X_test = images()
    return X[:10_000], X_test


def all_images() -> tuple[np.ndarray, np.ndarray]:
    X, X_test = images()
    return np.concatenate([X, X_test]), X_test


# ---- skvae -----------------------------------------------------------------------------------


def skvae(X: np.ndarray, clock: Clock, seed: int, **params: Any) -> None:
    import torch

    from skvae import Bernoulli, Gaussian, VAETransformer

    likelihood = Bernoulli() if clock.density == "bernoulli" else Gaussian(1.0)
    clock.begin()
    vae = VAETransformer(likelihood=likelihood, random_state=seed, **params).fit(X)
    module = vae.module_

    @torch.inference_mode()
    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        posterior = module.encode(module.standardize(torch.from_numpy(x)))
        return posterior.mean.numpy(), posterior.log_var.numpy()

    @torch.inference_mode()
    def decode(z: np.ndarray) -> np.ndarray:
        out = module.decode(torch.from_numpy(z))[module.decoder_param_names[0]]
        if module.likelihood.standardize:
            out = module.unstandardize(out)
        return out.numpy()

    clock.lap(encode, decode)


def skvae_defaults(X: np.ndarray, clock: Clock, seed: int) -> None:
    from skvae import VAETransformer

    clock.begin()
    VAETransformer(random_state=seed).fit(X)
    clock.lap()


# ---- A plain PyTorch loop --------------------------------------------------------------------


def torch_mlp(hidden: tuple[int, ...], n_features: int, latent_dim: int) -> tuple[Any, Any]:
    from torch import nn

    def layers(widths: list[int]) -> list[Any]:
        return [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]

    encoder = nn.Sequential(*layers([n_features, *hidden]), nn.Linear(hidden[-1], 2 * latent_dim))
    decoder = nn.Sequential(
        *layers([latent_dim, *reversed(hidden)]), nn.Linear(hidden[0], n_features)
    )
    return encoder, decoder


def torch_conv(latent_dim: int = 2) -> tuple[Any, Any]:
    from torch import nn

    low, high, dense = CONV_FILTERS
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, low, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(low, high, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(high * 49, dense),
        nn.ReLU(),
        nn.Linear(dense, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, high * 49),
        nn.ReLU(),
        nn.Unflatten(1, (high, 7, 7)),
        nn.ConvTranspose2d(high, high, 3, 2, 1, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(high, low, 3, 2, 1, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(low, 1, 3, 1, 1),
        nn.Flatten(),
    )
    return encoder, decoder


def as_array_functions(encoder: Any, decoder: Any) -> tuple[Encode, Decode]:
    """Return the networks as functions of arrays."""
    import torch

    @torch.inference_mode()
    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, log_var = encoder(torch.from_numpy(x)).chunk(2, 1)
        return mean.numpy(), log_var.numpy()

    @torch.inference_mode()
    def decode(z: np.ndarray) -> np.ndarray:
        return decoder(torch.from_numpy(z)).numpy()

    return encode, decode


def plain_torch(
    X: np.ndarray,
    clock: Clock,
    seed: int,
    *,
    networks: Callable[[], tuple[Any, Any]],
    epochs: int,
    batch_size: int,
) -> None:
    """Train as in PyTorch's example of a VAE: DataLoader, Adam, float32."""
    import torch
    import torch.nn.functional as F
    from torch.utils.data import DataLoader, TensorDataset

    clock.begin()
    torch.manual_seed(seed)
    encoder, decoder = networks()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    loader = DataLoader(TensorDataset(torch.from_numpy(X)), batch_size, shuffle=True)

    encode, decode = as_array_functions(encoder, decoder)
    for _ in range(epochs):
        for (x,) in loader:
            mean, log_var = encoder(x).chunk(2, 1)
            out = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
            if clock.density == "bernoulli":
                nll = F.binary_cross_entropy_with_logits(out, x, reduction="sum")
            else:
                nll = 0.5 * F.mse_loss(out, x, reduction="sum")
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            optimizer.zero_grad()
            ((nll + kl) / len(x)).backward()
            optimizer.step()
        clock.lap(encode, decode)


# ---- Keras -----------------------------------------------------------------------------------


def keras_networks(kind: str) -> tuple[Any, Any]:
    from keras import Input, Sequential, layers

    if kind == "mlp":
        (units,) = MLP_HIDDEN
        encoder = [Input((784,)), layers.Dense(units, "relu"), layers.Dense(4)]
        decoder = [Input((2,)), layers.Dense(units, "relu"), layers.Dense(784)]
        return Sequential(encoder), Sequential(decoder)
    low, high, dense = CONV_FILTERS
    same: dict[str, Any] = {"strides": 2, "padding": "same", "activation": "relu"}
    encoder = [
        Input((784,)),
        layers.Reshape((28, 28, 1)),
        layers.Conv2D(low, 3, **same),
        layers.Conv2D(high, 3, **same),
        layers.Flatten(),
        layers.Dense(dense, "relu"),
        layers.Dense(4),
    ]
    decoder = [
        Input((2,)),
        layers.Dense(7 * 7 * high, "relu"),
        layers.Reshape((7, 7, high)),
        layers.Conv2DTranspose(high, 3, **same),
        layers.Conv2DTranspose(low, 3, **same),
        layers.Conv2DTranspose(1, 3, padding="same"),
        layers.Flatten(),
    ]
    return Sequential(encoder), Sequential(decoder)


def keras_tensorflow(
    X: np.ndarray, clock: Clock, seed: int, *, kind: str, epochs: int, batch_size: int
) -> None:
    """Train as in the Keras tutorials: `fit` of a `Model` with a custom `train_step`."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    from keras import ops

    clock.begin()
    keras.utils.set_random_seed(seed)

    class VAE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = keras_networks(kind)
            self.draws = keras.random.SeedGenerator(seed)

        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                mean, log_var = ops.split(self.encoder(data, training=True), 2, axis=1)
                eps = keras.random.normal(ops.shape(mean), seed=self.draws)
                out = self.decoder(mean + ops.exp(0.5 * log_var) * eps, training=True)
                cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(data, out)
                kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
                loss = ops.mean(ops.sum(cross_entropy, 1) + ops.sum(kl, 1))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
            return {"loss": loss}

    vae = VAE()
    vae.compile(optimizer=keras.optimizers.Adam(RATE))

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, log_var = np.split(np.asarray(vae.encoder(x)), 2, axis=1)
        return mean, log_var

    class Laps(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            clock.lap(encode, lambda z: np.asarray(vae.decoder(z)))

    vae.fit(X, epochs=epochs, batch_size=batch_size, verbose=0, callbacks=[Laps()])


# ---- pythae ----------------------------------------------------------------------------------


def pythae_mlp(X: np.ndarray, clock: Clock, seed: int, *, epochs: int, batch_size: int) -> None:
    import logging

    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.disable(logging.INFO)
    clock.begin()
    torch.manual_seed(seed)
    encoder_layers, decoder_layers = torch_mlp(MLP_HIDDEN, X.shape[1], 2)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = encoder_layers

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_var = self.layers(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = decoder_layers

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    config = VAEConfig(input_dim=X.shape[1:], latent_dim=2, reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder())

    encode, decode = as_array_functions(encoder_layers, decoder_layers)

    class Laps(TrainingCallback):
        def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
            clock.lap(encode, decode)

    rows = torch.from_numpy(X)
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            per_device_train_batch_size=batch_size,
            learning_rate=RATE,
            keep_best_on_train=True,
            seed=seed,
        )
        BaseTrainer(
            model=model,
            train_dataset=BaseDataset(rows, torch.zeros(len(rows))),
            training_config=training,
            callbacks=[Laps()],
        ).train()


# ---- PyOD ------------------------------------------------------------------------------------


def pyod_table(X: np.ndarray, clock: Clock, seed: int, *, epochs: int, batch_size: int) -> None:
    """Time PyOD's VAE. Its scores are random reconstruction errors, so there is no bound."""
    from pyod.models.vae import VAE

    hidden = list(TABLE_HIDDEN)
    clock.begin()
    VAE(
        epoch_num=epochs,
        batch_size=batch_size,
        encoder_neuron_list=hidden,
        decoder_neuron_list=hidden[::-1],
        latent_dim=TABLE_LATENT,
        dropout_rate=0.0,
        random_state=seed,
        verbose=0,
    ).fit(X)
    clock.lap()


# ---- Inference, and other embedders --------------------------------------------------------


def infer(X: np.ndarray, clock: Clock, seed: int, *, method: str, model: str) -> None:
    """Time one call of a fitted VAE or PCA: `transform` or `score` of all rows, or `sample`."""
    if model == "PCA":
        from sklearn.decomposition import PCA

        fitted: Any = PCA(2, random_state=seed).fit(X[:10_000])
    else:
        from skvae import VAETransformer

        fitted = VAETransformer(
            likelihood="bernoulli", hidden_layer_sizes=MLP_HIDDEN, max_iter=1, random_state=seed
        ).fit(X[:10_000])
    call = getattr(fitted, method)
    argument = 100_000 if method == "sample" else X
    call(10 if method == "sample" else X[:1000])  # warm up
    clock.begin()
    call(argument)
    clock.lap()


EMBEDDERS = {
    "PCA": "sklearn.decomposition.PCA",
    "t-SNE": "sklearn.manifold.TSNE",
    "UMAP": "umap.UMAP",
}


def embed(X: np.ndarray, clock: Clock, seed: int, *, method: str) -> None:
    """Time `fit_transform` of another method, in two dimensions."""
    module, _, name = EMBEDDERS[method].rpartition(".")
    embedder = getattr(importlib.import_module(module), name)(n_components=2, random_state=seed)
    clock.begin()
    embedder.fit_transform(X)
    clock.lap()


# ---- Tasks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Training and test rows, the density of rows given codes, and the contestants.

    Ratios refer to the first contestant.
    """

    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    density: str
    contestants: dict[str, tuple[Callable[..., None], dict[str, Any]]]
    # Floating point operations per epoch, if equal for all contestants.
    flops: float = float("nan")

    def epochs(self, contestant: str) -> float:
        """Return the number of epochs of a contestant."""
        _, options = self.contestants[contestant]
        return float(options.get("epochs", options.get("max_iter", "nan")))


def _flops(rows: int, n_features: int, hidden: tuple[int, ...], latent_dim: int) -> float:
    """Return the floating point operations per epoch of a perceptron and its mirror image.

    Each layer has three matrix products, with two operations per weight and row: the output, the
    gradient of the weights and the gradient of the input. The first layer has no gradient of the
    input.
    """
    encoder = [a * b for a, b in pairwise([n_features, *hidden, 2 * latent_dim])]
    decoder = [a * b for a, b in pairwise([latent_dim, *reversed(hidden), n_features])]
    return float(rows * (6 * sum(encoder + decoder) - 2 * encoder[0]))


def limit(X: np.ndarray, clock: Clock, seed: int) -> None:
    """Measure operations per second of a product of large float32 matrices, the best of ten."""
    import torch

    a, b = torch.rand(2, 2048, 2048)
    seconds = []
    clock.begin()
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    clock.lap()
    clock.laps[-1]["flops per second"] = 2 * 2048**3 / min(seconds)


_MLP: dict[str, Any] = {"epochs": 3, "batch_size": 100}
_CONV: dict[str, Any] = {"epochs": 14, "batch_size": 128}
_TABLE: dict[str, Any] = {"epochs": 3, "batch_size": 500}

# Tasks that measure the machine, and the curve of skvae.
LIMIT, CURVE = "limit", "curve"
# Hidden units, epochs and other parameters of the fits on the curve, shortest first.
_LONG_STEPS: dict[str, Any] = {"batch_size": 256, "learning_rate_init": 0.008}
FITS: list[tuple[tuple[int, ...], int, dict[str, Any]]] = [
    ((128,), 1, {"batch_size": 500, "learning_rate_init": 0.015, "activation": "relu"}),
    ((256,), 1, _LONG_STEPS),
    ((256,), 2, _LONG_STEPS),
    ((512, 256, 128), 5, {}),
    ((512, 256, 128), 10, {}),
    ((512, 256, 128), 46, {"batch_size": 1000, "encoder_dropout": 0.3, "kl_warmup": 0.2}),
]

_SKVAE_MLP: dict[str, Any] = {
    "hidden_layer_sizes": MLP_HIDDEN,
    "activation": "relu",
    "batch_size": 100,
    "max_iter": 3,
}

TASKS = {
    "mlp": Task(
        images,
        "bernoulli",
        {
            "skvae": (skvae, _SKVAE_MLP),
            # As on a CPU without bfloat16.
            "skvae, float32": (skvae, {**_SKVAE_MLP, "precision": "float32"}),
            "PyTorch loop": (
                plain_torch,
                _MLP | {"networks": lambda: torch_mlp(MLP_HIDDEN, 784, 2)},
            ),
            "Keras": (keras_tensorflow, _MLP | {"kind": "mlp"}),
            "pythae": (pythae_mlp, _MLP),
        },
        _flops(60_000, 784, MLP_HIDDEN, 2),
    ),
    "conv": Task(
        images,
        "bernoulli",
        {
            "skvae": (
                skvae,
                {
                    "architecture": "conv",
                    "image_shape": (28, 28),
                    "hidden_layer_sizes": CONV_FILTERS,
                    "activation": "relu",
                    "batch_size": 128,
                    "max_iter": 14,
                },
            ),
            # Slow: two epochs suffice to measure the speed.
            "PyTorch loop": (plain_torch, _CONV | {"epochs": 2, "networks": torch_conv}),
            "Keras": (keras_tensorflow, _CONV | {"kind": "conv"}),
        },
    ),
    # Networks and batch sizes chosen for skvae. The learning rate falls to 0 during each fit, so
    # each point of the curve is a separate fit.
    CURVE: Task(
        images,
        "bernoulli",
        {
            f"skvae, {hidden}, epochs: {epochs}": (
                skvae,
                {
                    "architecture": "fourier_mlp",
                    "hidden_layer_sizes": hidden,
                    "max_iter": epochs,
                    **params,
                },
            )
            for hidden, epochs, params in FITS
        },
    ),
    "table": Task(
        table,
        "gaussian",
        {
            "skvae": (
                skvae,
                {
                    "latent_dim": TABLE_LATENT,
                    "hidden_layer_sizes": TABLE_HIDDEN,
                    "activation": "relu",
                    "batch_size": 1000,
                    "max_iter": 1,
                },
            ),
            "PyTorch loop": (
                plain_torch,
                _TABLE
                | {"networks": lambda: torch_mlp(TABLE_HIDDEN, TABLE_SHAPE[1], TABLE_LATENT)},
            ),
            "PyOD": (pyod_table, _TABLE),
        },
        _flops(*TABLE_SHAPE, TABLE_HIDDEN, TABLE_LATENT),
    ),
    LIMIT: Task(small_table, "gaussian", {"matrix product": (limit, {})}),
    "small": Task(small_table, "gaussian", {"skvae": (skvae_defaults, {})}),
    "embedding": Task(
        few_images,
        "bernoulli",
        {
            "skvae": (skvae, {}),
            **{method: (embed, {"method": method}) for method in EMBEDDERS},
        },
    ),
    "transform": Task(
        all_images,
        "bernoulli",
        {
            "skvae": (infer, {"method": "transform", "model": "VAE"}),
            "PCA": (infer, {"method": "transform", "model": "PCA"}),
        },
    ),
    **{
        method: Task(
            all_images, "bernoulli", {"skvae": (infer, {"method": method, "model": "VAE"})}
        )
        for method in ("score", "sample")
    },
}


def main() -> None:
    name, contestant, seed = sys.argv[1:]
    task = TASKS[name]
    run, options = task.contestants[contestant]
    X, X_test = task.data()
    clock = Clock(X_test, task.density)
    with contextlib.redirect_stdout(sys.stderr):  # progress bars
        run(X, clock, int(seed), **options)
    print(json.dumps(clock.laps))


if __name__ == "__main__":
    main()
