"""Parameters of the estimators, and what they say about the module and its training."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from ..likelihoods import LIKELIHOODS, Likelihood, resolve_likelihood
from ..models import ACTIVATIONS, ARCHITECTURES, VAE, VAEConfig
from ..training import Checkpoint, TrainingConfig
from ..utils import training_dtype

# Parameters that do not change what training comes to.
_WITHOUT_EFFECT = ("checkpoint", "device", "on_interrupt", "random_state", "verbose")


class Hyperparameters(BaseEstimator):
    """What can be set; see `skvae.VAETransformer` for each."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "architecture": [StrOptions(set(ARCHITECTURES)), callable],
        "image_shape": ["array-like", None],
        "likelihood": [StrOptions(set(LIKELIHOODS)), Likelihood],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, 1, closed="both")],
        "prior_std": [Interval(Real, 0, None, closed="neither")],
        "solver": [StrOptions({"adam", "adamw", "rmsprop"})],
        "learning_rate": [StrOptions({"cosine", "constant"})],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
        "on_interrupt": [StrOptions({"keep", "raise"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    }

    # Whether NaN in X stands for entries that are missing.
    _takes_missing: ClassVar[bool] = False

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        hidden_layer_sizes: Any = "auto",
        activation: str = "gelu",
        architecture: Any = "mlp",
        image_shape: Any = None,
        likelihood: str | Likelihood = "gaussian",
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        prior_std: float = 1.0,
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: Any = "auto",
        batch_size: Any = "auto",
        max_iter: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        n_importance_samples: int = 16,
        warm_start: bool = False,
        checkpoint: Any = None,
        on_interrupt: str = "keep",
        verbose: int = 0,
        random_state: Any = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.architecture = architecture
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.prior_std = prior_std
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_importance_samples = n_importance_samples
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.on_interrupt = on_interrupt
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.precision = precision

    def _of_training(self) -> dict[str, Any]:
        """Return the parameters that decide what training comes to."""
        parameters = self.get_params(deep=False)
        return {name: parameters[name] for name in parameters if name not in _WITHOUT_EFFECT}

    def _config(self, n_features: int) -> VAEConfig:
        """Return what the parameters say about the module, in a comparable form."""
        sizes, shape = self.hidden_layer_sizes, self.image_shape
        if not isinstance(sizes, str):
            sizes = tuple(np.ravel(sizes).tolist())
        return VAEConfig(
            n_features=n_features,
            latent_dim=int(self.latent_dim),
            architecture=self.architecture,
            hidden_layer_sizes=sizes,
            activation=self.activation,
            image_shape=None if shape is None else tuple(np.ravel(shape).tolist()),
            likelihood=self._likelihood(),
            prior_std=float(self.prior_std),
            missing=self._takes_missing,
        )

    def _likelihood(self) -> Likelihood:
        return resolve_likelihood(self.likelihood)

    def _recipe(self, module: VAE, n_rows: int) -> TrainingConfig:
        batch_size = _auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size
        rate = self.learning_rate_init
        if rate == "auto":
            rate = _auto_learning_rate(self.max_iter * math.ceil(n_rows / batch_size))
        return TrainingConfig(
            solver=self.solver,
            learning_rate=self.learning_rate,
            learning_rate_init=rate,
            batch_size=batch_size,
            max_iter=self.max_iter,
            beta=self.beta,
            kl_warmup=self.kl_warmup,
            dtype=training_dtype(self.precision, module.bias.device, module),
        )


def _auto_batch_size(n_rows: int) -> int:
    """Return a fiftieth of the rows within limits, and a five-hundredth of very many."""
    return max(64, min(n_rows // 50, 200), min(n_rows // 500, 2000))


def _auto_learning_rate(n_steps: int) -> float:
    """Return a rate that suits training of so many steps: a lower one where there are many."""
    return 0.006 * min(1.0, 2000 / n_steps) ** 0.25
