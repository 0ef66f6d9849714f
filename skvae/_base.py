"""The estimator under every public one: parameters, fitting, inference, pickling."""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import wraps
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions

from ._batches import Rows, column_moments
from ._callbacks import CallbackSupportMixin, run_callbacks, show_progress, with_callbacks
from ._checkpoint import Checkpoint, CheckpointFile
from ._device import place, resolve_device, seeded_generator, settle_threads, training_dtype
from ._distributed import Team, join_team
from ._epochs import Epoch, Training, history_of
from ._inference import InferenceMixin, answer_dtype
from ._likelihoods import LIKELIHOODS, Likelihood, resolve_likelihood
from ._module import VAE, VAEConfig
from ._networks import ACTIVATIONS, ARCHITECTURES
from ._random_state import draw_seed, local_random_state
from ._saving import SavingMixin
from ._state import digest_of
from ._training import DivergenceError, Recipe, Record, Trainer
from ._validation import check_support, validate_rows

History = dict[str, list[float]]

# Parameters that do not change what training comes to.
_WITHOUT_EFFECT = ("checkpoint", "device", "on_interrupt", "random_state", "verbose")


def _nothing_on_failure(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method that fails take back the attributes that it has set."""

    @wraps(method)
    def restoring(self: BaseVAE, *args: Any, **kwargs: Any) -> Any:
        before = self.__dict__.copy()
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    return restoring


class BaseVAE(CallbackSupportMixin, InferenceMixin, SavingMixin, BaseEstimator):
    """Base of the estimators; see `skvae.VAETransformer` for parameters and attributes."""

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

    _module_class: ClassVar[type[VAE]] = VAE
    # Whether NaN in X stands for entries that are missing.
    _takes_missing: ClassVar[bool] = False

    module_: VAE
    history_: History
    device_: torch.device
    n_iter_: int

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

    # ---- Fitting ---------------------------------------------------------------------

    @_nothing_on_failure
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data: numbers within the support of the likelihood. Arrays and
            memory maps are read batch by batch and never copied whole.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if training diverges.
        """
        resume = self.warm_start and hasattr(self, "module_")
        X_valid = self._validate(X, reset=not resume)
        team, rng = join_team(), local_random_state(self.random_state)
        file = CheckpointFile(self.checkpoint, self._of_training(), team)
        file.settle(rng)
        rows, validation = self._split(X_valid, rng, team)
        trainer = self._start(rows, rng, team, resume=resume)
        training = Training(
            trainer, rows, validation, n_iter_no_change=self.n_iter_no_change, tol=self.tol
        )
        file.resume(training)
        self._train(training, file, X, y)
        self.__dict__.update(_fitted_attributes(trainer, history_of(training.records)))
        self._after_training(X)
        return self

    def _train(self, training: Training, file: CheckpointFile, X: Any, y: Any) -> None:
        """Train to the end, or until the user interrupts, and tell all who want to know."""
        trainer, team = training.trainer, training.trainer.team

        def fitted_so_far() -> dict[str, Any]:
            attributes = _fitted_attributes(trainer, history_of(training.records))
            return copy.deepcopy({**attributes, "_trainer": None})

        epochs = training.epochs()
        try:
            with closing(epochs):
                followed: Iterator[Epoch] = run_callbacks(epochs, self, X, y, fitted_so_far, team)
                if self.verbose and team.is_first:
                    followed = show_progress(followed, self.max_iter, len(training.records))
                for _ in () if training.is_over else followed:
                    file.write(training)
        except DivergenceError as error:
            raise _divergence(trainer, len(training.records)) from error
        except KeyboardInterrupt:
            if self.on_interrupt == "raise" or not (training.records and team.is_alone):
                raise
            which = "last" if training.validation is None else "best"
            warnings.warn(
                f"Training was interrupted after {len(training.records)} of {self.max_iter} "
                f"epochs. The model is that of the {which} of them.",
                stacklevel=6,
            )

    @_nothing_on_failure
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, on X alone.

        The first call on an unfitted estimator builds the model and takes the columns'
        means and scales from this X: it should be representative. The optimiser's state
        carries over between calls. The learning rate stays at `learning_rate_init`; "auto"
        is the rate that suits `max_iter` calls like this one. With
        ``learning_rate="constant"``, k calls equal a `fit` of k epochs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if training diverges; a fitted model is
            then left as it was before the call.
        """
        resume = hasattr(self, "module_")
        team = join_team()
        rows = self._rows(self._validate(X, reset=not resume), team)
        trainer = getattr(self, "_trainer", None)
        if trainer is None:
            rng = local_random_state(self.random_state)
            rng.set_state(team.by_first(rng.get_state))
            trainer = self._start(rows, rng, team, resume=resume)
        trainer.recipe = replace(self._recipe(trainer.module, len(rows)), learning_rate="constant")
        before = copy.deepcopy(trainer.state())
        history = copy.deepcopy(self.history_) if resume else {}
        try:
            _append(history, trainer.epoch(rows))
            self.__dict__.update(_fitted_attributes(trainer, history))
            self._after_training(X)
        except BaseException as error:
            trainer.restore(before)
            if isinstance(error, DivergenceError):
                raise _divergence(trainer, len(history.get("loss", ()))) from error
            raise
        return self

    def _after_training(self, X: Any) -> None:
        """Learn what else the estimator is to know of X, with the trained module."""

    def _validate(self, X: Any, *, reset: bool) -> Any:
        """Return X, checked against the estimator and the likelihood's support."""
        settle_threads()
        X = self._as_array(X, reset=reset)
        check_support(self, X, self._likelihood() if reset else self.module_.likelihood)
        if reset:
            self._dtype = answer_dtype(X)
        return X

    def _as_array(self, X: Any, *, reset: bool) -> Any:
        """Return X as a 2-D numeric array or CSR matrix, with NaN for what is missing."""
        return validate_rows(self, X, reset=reset, accept_sparse=True)

    def _of_training(self) -> dict[str, Any]:
        """Return the parameters that decide what training comes to."""
        parameters = self.get_params(deep=False)
        return {name: parameters[name] for name in parameters if name not in _WITHOUT_EFFECT}

    def _rows(self, X: Any, team: Team, index: np.ndarray | None = None) -> Rows:
        n_rows = X.shape[0] if index is None else len(index)
        share = None if team.is_alone else team.share(n_rows)
        return Rows(X, resolve_device(self.device), index, share)

    def _split(self, X: Any, rng: np.random.RandomState, team: Team) -> tuple[Rows, Rows | None]:
        """Return the rows to train on and, for early stopping, those to validate on."""
        if not self.early_stopping:
            return self._rows(X, team), None
        n_rows = X.shape[0]
        if n_rows < 2:
            raise ValueError("early_stopping=True needs at least 2 samples; X has 1 sample.")
        if math.ceil(self.validation_fraction * n_rows) == n_rows:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {n_rows} samples leaves none "
                "to train on."
            )
        index, held_out = train_test_split(
            np.arange(n_rows), test_size=self.validation_fraction, random_state=rng
        )
        return self._rows(X, team, np.sort(index)), self._rows(X, team, np.sort(held_out))

    def _start(
        self, rows: Rows, rng: np.random.RandomState, team: Team, *, resume: bool
    ) -> Trainer:
        """Return a trainer of a new module, or of a copy of the fitted one."""
        weight_seed, training_seed = draw_seed(rng), draw_seed(rng)
        config = self._config(rows.X.shape[1])
        if not resume:
            module = self._module_class(config, seeded_generator(weight_seed))
            module.start_at(len(rows), *column_moments(rows))
        elif config == self.module_.config:
            module = copy.deepcopy(self.module_)
        else:
            raise ValueError(
                f"The fitted model was built as {self.module_.config}, but the parameters now "
                f"ask for {config}: training cannot go on from it. Fit with warm_start=False."
            )
        if not (team.is_alone or team.agrees_on(digest_of(module.state_dict()))):
            raise ValueError(
                "Processes that train together must have the same X and parameters, but those of "
                "this run differ. Each process reads its own share of X: give it all of it."
            )
        module = place(module, rows.device)
        return Trainer(module, self._recipe(module, len(rows)), training_seed, team)

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

    def _recipe(self, module: VAE, n_rows: int) -> Recipe:
        batch_size = _auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size
        rate = self.learning_rate_init
        if rate == "auto":
            rate = _auto_learning_rate(self.max_iter * math.ceil(n_rows / batch_size))
        return Recipe(
            solver=self.solver,
            learning_rate=self.learning_rate,
            learning_rate_init=rate,
            batch_size=batch_size,
            max_iter=self.max_iter,
            beta=self.beta,
            kl_warmup=self.kl_warmup,
            dtype=training_dtype(self.precision, module.bias.device, module),
        )

    # ---- State -----------------------------------------------------------------------

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss of each epoch, in nats per row: ``history_["loss"]``."""
        return self.history_["loss"]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing
        tags.input_tags.sparse = not self._takes_missing
        with suppress(KeyError, TypeError):  # of parameters that `fit` would refuse
            support = self._likelihood().support
            tags.input_tags.positive_only = not support.check(torch.tensor(-1.0))
        return tags


def _auto_batch_size(n_rows: int) -> int:
    """Return a fiftieth of the rows within limits, and a five-hundredth of very many."""
    return max(64, min(n_rows // 50, 200), min(n_rows // 500, 2000))


def _auto_learning_rate(n_steps: int) -> float:
    """Return a rate that suits training of so many steps: a lower one where there are many."""
    return 0.006 * min(1.0, 2000 / n_steps) ** 0.25


def _divergence(trainer: Trainer, n_epochs: int) -> ValueError:
    return ValueError(
        f"Training diverged in epoch {n_epochs + 1}: the loss is not finite. Lower "
        f"learning_rate_init, here {trainer.recipe.learning_rate_init:.3g}, or look for extreme "
        "values in X."
    )


def _append(history: History, record: Record) -> None:
    """Add an epoch to the lists, all of which stay equally long."""
    n_epochs = len(history.get("loss", ()))
    for name in dict.fromkeys([*history, *record]):
        history.setdefault(name, [math.nan] * n_epochs).append(record.get(name, math.nan))


def _fitted_attributes(trainer: Trainer, history: History) -> dict[str, Any]:
    """Return the attributes of an estimator that training leaves."""
    module = trainer.module
    return {
        "module_": module,
        "history_": history,
        "n_iter_": len(history["loss"]),
        "device_": module.bias.device,
        "_n_features_out": module.latent_dim,
        "_trainer": trainer,
    }
