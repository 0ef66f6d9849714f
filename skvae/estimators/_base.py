"""The estimator under every public one: how it is fitted."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import wraps
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.model_selection import train_test_split

from ..models import VAE
from ..serialization import digest_of
from ..training import (
    CheckpointFile,
    DivergenceError,
    Epoch,
    Metrics,
    ProcessGroup,
    Rows,
    Trainer,
    Training,
    column_moments,
    history_of,
    init_process_group,
)
from ..utils import (
    draw_seed,
    init_threads,
    local_random_state,
    place,
    resolve_device,
    seeded_generator,
)
from ._callbacks import CallbackSupportMixin, run_callbacks, show_progress, with_callbacks
from ._inference import InferenceMixin, result_dtype
from ._parameters import Hyperparameters
from ._persistence import PersistenceMixin
from ._validation import check_support, validate_rows

History = dict[str, list[float]]


def rollback_on_error(method: Callable[..., Any]) -> Callable[..., Any]:
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


class BaseVAE(CallbackSupportMixin, InferenceMixin, PersistenceMixin, Hyperparameters):
    """Base of the estimators; see `skvae.VAETransformer` for parameters and attributes."""

    _module_class: ClassVar[type[VAE]] = VAE
    module_: VAE
    history_: History
    device_: torch.device
    n_iter_: int

    # ---- Fitting ---------------------------------------------------------------------

    @rollback_on_error
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
        team, rng = init_process_group(), local_random_state(self.random_state)
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

        epochs = training.epochs(file.after_step(training))
        try:
            with closing(epochs):
                followed: Iterator[Epoch] = run_callbacks(epochs, self, X, y, fitted_so_far, team)
                if self.verbose and team.is_main:
                    followed = show_progress(followed, self.max_iter, len(training.records))
                for _ in () if training.is_over else followed:
                    file.after_epoch(training)
        except DivergenceError as error:
            raise _divergence(trainer, len(training.records)) from error
        except KeyboardInterrupt:
            if self.on_interrupt == "raise" or not (training.records and team.is_alone):
                raise
            training.end()  # it may not even have begun
            which = "last" if training.validation is None else "best"
            warnings.warn(
                f"Training was interrupted after {len(training.records)} of {self.max_iter} "
                f"epochs. The model is that of the {which} of them.",
                stacklevel=6,
            )

    @rollback_on_error
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
        team = init_process_group()
        rows = self._rows(self._validate(X, reset=not resume), team)
        trainer = getattr(self, "_trainer", None)
        if trainer is None:
            rng = local_random_state(self.random_state)
            rng.set_state(team.on_main_process(rng.get_state))
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
        init_threads()
        X = self._as_array(X, reset=reset)
        check_support(self, X, self._likelihood() if reset else self.module_.likelihood)
        if reset:
            self._dtype = result_dtype(X)
        return X

    def _as_array(self, X: Any, *, reset: bool) -> Any:
        """Return X as a 2-D numeric array or CSR matrix, with NaN for what is missing."""
        return validate_rows(self, X, reset=reset, accept_sparse=True)

    def _rows(self, X: Any, team: ProcessGroup, index: np.ndarray | None = None) -> Rows:
        n_rows = X.shape[0] if index is None else len(index)
        share = None if team.is_alone else team.share(n_rows)
        return Rows(X, resolve_device(self.device), index, share)

    def _split(
        self, X: Any, rng: np.random.RandomState, team: ProcessGroup
    ) -> tuple[Rows, Rows | None]:
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
        self, rows: Rows, rng: np.random.RandomState, team: ProcessGroup, *, resume: bool
    ) -> Trainer:
        """Return a trainer of a new module, or of a copy of the fitted one."""
        weight_seed, training_seed = draw_seed(rng), draw_seed(rng)
        config = self._config(rows.X.shape[1])
        if not resume:
            module = self._module_class(config, seeded_generator(weight_seed))
            module.initialize(len(rows), *column_moments(rows))
        elif config == self.module_.config:
            module = copy.deepcopy(self.module_)
        else:
            raise ValueError(
                f"The fitted model was built as {self.module_.config}, but the parameters now "
                f"ask for {config}: training cannot go on from it. Fit with warm_start=False."
            )
        if not (team.is_alone or team.all_equal(digest_of(module.state_dict()))):
            raise ValueError(
                "Processes that train together must have the same X and parameters, but those of "
                "this run differ. Each process reads its own share of X: give it all of it."
            )
        module = place(module, rows.device)
        return Trainer(module, self._recipe(module, len(rows)), training_seed, team)

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


def _divergence(trainer: Trainer, n_epochs: int) -> ValueError:
    return ValueError(
        f"Training diverged in epoch {n_epochs + 1}: the loss is not finite. Lower "
        f"learning_rate_init, here {trainer.recipe.learning_rate_init:.3g}, or look for extreme "
        "values in X."
    )


def _append(history: History, record: Metrics) -> None:
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
