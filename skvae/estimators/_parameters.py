"""Parameters of the estimators, and the configurations of module and training."""

from __future__ import annotations

import inspect
import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from numbers import Integral, Real
from typing import Any, ClassVar, ParamSpec, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from ..likelihoods import LIKELIHOODS, Likelihood
from ..models import ACTIVATIONS, ARCHITECTURES, VAE, VAEConfig, widest_layer
from ..priors import PRIORS, Prior, resolve_prior
from ..training import Checkpoint, TrainingConfig
from ..utils import training_dtype
from ._automatic import (
    auto_alpha,
    auto_batch_size,
    auto_learning_rate,
    auto_n_steps,
    auto_patience,
    auto_warmup,
)

# Parameters that have no influence on the result of training.
_WITHOUT_EFFECT = ("checkpoint", "device", "on_interrupt", "random_state", "verbose")

# Names of parameters in other libraries, and the names here.
_NAMES_ELSEWHERE = {
    "latent_dim": ("n_components", "n_latent", "latent_dims", "latent_size", "z_dim"),
    "hidden_layer_sizes": ("hidden_dims", "hidden_sizes", "hidden_layers", "n_hidden"),
    "solver": ("optimizer",),
    "learning_rate_init": ("lr",),
    "max_iter": ("epochs", "n_epochs", "max_epochs", "num_epochs", "n_iter"),
    "n_iter_no_change": ("patience",),
    "random_state": ("seed", "random_seed"),
    "column_types": ("categorical_features", "discrete_columns"),
}
_NAMES_HERE = {other: name for name, others in _NAMES_ELSEWHERE.items() for other in others}

P = ParamSpec("P")


def names_in_errors(init: Callable[P, None]) -> Callable[P, None]:
    """Decorate a constructor: errors for names of other libraries have the names here."""

    @wraps(init)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        if not kwargs.keys().isdisjoint(_NAMES_HERE):
            names = list(inspect.signature(init).parameters)
            _check_names(kwargs, names, init.__qualname__.split(".")[-2], TypeError)
        init(*args, **kwargs)

    return wrapper


def _check_names(
    names: Iterable[str], known: list[str], cls: str, error: type[TypeError] | type[ValueError]
) -> None:
    """Raise an error if a name is unknown, but other libraries have a parameter of this name."""
    for name in names:
        replacement = _NAMES_HERE.get(name)
        if name not in known and replacement in known:
            raise error(f"{cls} has no parameter {name!r}: the name is {replacement!r}.")


def one_of(*options: str) -> StrOptions:
    """Return the constraint of a parameter that may be one of some names."""
    return StrOptions(dict.fromkeys(options).keys())  # in order, in contrast to a set


# Constraints of parameters of several estimators, but not all.
NETWORK_CONSTRAINTS: dict[str, list[Any]] = {
    "architecture": [one_of(*ARCHITECTURES), callable],
    "image_shape": ["array-like", None],
    "likelihood": [one_of(*LIKELIHOODS), Likelihood],
}
OBJECTIVE_CONSTRAINTS: dict[str, list[Any]] = {
    "beta": [Interval(Real, 0, None, closed="left")],
    "kl_warmup": [Interval(Real, 0, 1, closed="both")],
    "prior_std": [Interval(Real, 0, None, closed="neither")],
}


class VAEParameters(BaseEstimator):
    """Parameters of all estimators; see `skvae.VAETransformer` for each parameter."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "prior": [one_of(*PRIORS), Prior],
        "condition_columns": ["array-like", dict, None],
        "encoder_dropout": [Interval(Real, 0, 1, closed="left")],
        "n_training_draws": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
            one_of("auto"),
        ],
        "activation": [one_of(*ACTIVATIONS)],
        "solver": [one_of("adam", "adamw", "rmsprop")],
        "alpha": [one_of("auto"), Interval(Real, 0, None, closed="left")],
        "learning_rate": [one_of("cosine", "constant")],
        "learning_rate_init": [one_of("auto"), Interval(Real, 0, None, closed="neither")],
        "batch_size": [one_of("auto"), Interval(Integral, 1, None, closed="left")],
        "max_iter": [one_of("auto"), Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [one_of("auto"), Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
        "on_interrupt": [one_of("keep", "raise")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "precision": [one_of("auto", "float32", "bfloat16")],
    }

    # Whether X may have missing entries.
    _takes_missing: ClassVar[bool] = False

    _reader: Any  # ArrayReader or FrameReader

    def __init__(
        self,
        latent_dim: int,
        *,
        prior: str | Prior,
        condition_columns: Any,
        n_training_draws: int,
        encoder_dropout: float,
        hidden_layer_sizes: Any,
        activation: str,
        solver: str,
        alpha: Any,
        learning_rate: str,
        learning_rate_init: Any,
        batch_size: Any,
        max_iter: Any,
        early_stopping: bool,
        validation_fraction: float,
        n_iter_no_change: Any,
        tol: float,
        n_importance_samples: int,
        warm_start: bool,
        checkpoint: Any,
        on_interrupt: str,
        verbose: int,
        random_state: Any,
        device: str | torch.device,
        precision: str,
    ) -> None:
        self.latent_dim = latent_dim
        self.prior = prior
        self.condition_columns = condition_columns
        self.n_training_draws = n_training_draws
        self.encoder_dropout = encoder_dropout
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
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

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the estimator.

        Parameters
        ----------
        **params : dict
            Values of the parameters, by name.

        Returns
        -------
        self : object
            The estimator.
        """
        cls = type(self)
        _check_names(params, cls._get_param_names(), cls.__name__, ValueError)  # as scikit-learn
        return super().set_params(**params)

    def _validate_params(self) -> None:
        schedule: Any = self.learning_rate
        if isinstance(schedule, Real):
            raise ValueError(
                "learning_rate is the schedule, 'cosine' or 'constant': pass the rate as "
                f"learning_rate_init={schedule!r}."
            )
        for name, constraints in self._parameter_constraints.items():
            self._check_spelling(name, getattr(self, name, None), constraints)
        super()._validate_params()

    def _check_spelling(self, name: str, value: Any, constraints: list[Any]) -> None:
        """Raise an error if the value of a parameter is a misspelt name."""
        options = [o for c in constraints if isinstance(c, StrOptions) for o in c.options]
        if isinstance(value, str) and value not in options:
            for close in get_close_matches(value.lower(), options, 1):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be one of {options}. "
                    f"Got {value!r} instead. Did you mean {close!r}?"
                )

    @abstractmethod
    def _resolve_likelihood(self) -> Likelihood:
        """Return the likelihood object of the parameters or of the training data."""

    def _training_params(self) -> dict[str, Any]:
        """Return the parameters with an influence on the result of training.

        A subclass may fix parameters: these are attributes, but `get_params` does not list them.
        """
        names = {
            name
            for cls in type(self).__mro__
            if issubclass(cls, VAEParameters) and "__init__" in vars(cls)
            for name in inspect.signature(cls.__init__).parameters
        }
        names |= self.get_params(deep=False).keys()
        return {
            name: getattr(self, name)
            for name in sorted(names - {"self", *_WITHOUT_EFFECT})
            if hasattr(self, name)
        }

    def _module_config(self, n_columns: int) -> VAEConfig:
        """Return the configuration of the module for rows, in a comparable form."""
        reader = self._reader
        given = reader.conditions
        conditions = () if given is None else given.for_module(reader.observed)
        options = self._params_for(VAEConfig)
        sizes, shape = self.hidden_layer_sizes, options.get("image_shape")
        if not isinstance(sizes, str):
            sizes = tuple(np.ravel(sizes).tolist())
        return VAEConfig(
            **{
                **options,
                "n_features": n_columns - len(conditions),
                "latent_dim": int(self.latent_dim),
                "hidden_layer_sizes": sizes,
                "image_shape": None if shape is None else tuple(np.ravel(shape).tolist()),
                "likelihood": self._resolve_likelihood(),
                "prior": resolve_prior(self.prior),
                "prior_std": float(options.get("prior_std", 1.0)),
                "missing": self._takes_missing,
                "conditions": conditions,
            }
        )

    def _training_config(self, module: VAE, n_rows: int) -> TrainingConfig:
        """Return the configuration of training on `n_rows` rows."""
        batch_size, max_iter = self.batch_size, self.max_iter
        rate, alpha, patience = self.learning_rate_init, self.alpha, self.n_iter_no_change
        starts_linear = module.config.has_linear_path
        if batch_size == "auto":
            batch_size = auto_batch_size(n_rows, starts_linear)
        batch_size = int(batch_size)
        steps_per_epoch = math.ceil(n_rows / batch_size)
        n_auto_steps = self._auto_n_steps(n_rows, steps_per_epoch, starts_linear)
        if max_iter == "auto":
            max_iter = max(1, round(n_auto_steps / steps_per_epoch))
        n_steps = max_iter * steps_per_epoch
        if rate == "auto":
            rate = auto_learning_rate(n_steps, starts_linear, widest_layer(module.encoder))
        if patience == "auto":
            patience = auto_patience(min(n_steps, n_auto_steps))
            patience = math.ceil(patience / steps_per_epoch)
        if alpha == "auto":
            n_features, likelihood = module.config.n_features, module.likelihood
            alpha = auto_alpha(n_rows, n_features, likelihood) if starts_linear else 0.0
        return TrainingConfig(
            **{
                **self._params_for(TrainingConfig),
                "batch_size": batch_size,
                "max_iter": max_iter,
                "n_iter_no_change": patience,
                "alpha": alpha,
                "learning_rate_init": rate,
                "warmup": auto_warmup(n_steps, starts_linear),
                "dtype": training_dtype(self.precision, module.bias.device, module.networks),
            }
        )

    def _auto_n_steps(self, n_rows: int, steps_per_epoch: int, starts_linear: bool) -> float:
        """Return the number of training steps with ``max_iter="auto"``."""
        return auto_n_steps(n_rows, starts_linear)

    def _params_for(self, config_class: type) -> dict[str, Any]:
        """Return the parameters of the estimator with the names of a configuration's fields.

        Attributes are read instead of `get_params`, because a subclass may fix parameters: such
        parameters are attributes, but no parameters of the subclass.
        """
        names = [field.name for field in fields(config_class)]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}
