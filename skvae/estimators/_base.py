"""The base class of the estimators: `fit` and `partial_fit`."""

from __future__ import annotations

import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.model_selection import train_test_split

from ..models import VAE
from ..serialization import digest_of
from ..training import (
    DivergenceError,
    LoopCallback,
    Metrics,
    ProcessGroup,
    ProgressBar,
    Rows,
    RunIdentity,
    Trainer,
    TrainingConfig,
    TrainingLoop,
    by_metric,
    init_process_group,
    make_checkpointer,
    new_module,
)
from ..utils import (
    draw_seed,
    find_stack_level,
    hold_interrupts,
    init_threads,
    isolate,
    local_random_state,
    resolve_device,
    seeded_generator,
    to_device,
)
from ._callbacks import CallbackSupportMixin, SklearnCallbacks, with_callbacks
from ._conditions import are_conditions, fit_conditions
from ._fit_warnings import warn_about_fit
from ._identity import identify_fit, identify_process
from ._parameters import VAEParameters
from ._persistence import PersistenceMixin
from ._prior import PriorMixin
from ._readers import ArrayReader, FrameReader
from ._table_columns import as_columns
from ._validation import check_support

History = dict[str, list[float]]


def rollback_on_error(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method: if the method fails, all attributes are restored."""

    @wraps(method)
    def wrapper(self: BaseVAE, *args: Any, **kwargs: Any) -> Any:
        before = self.__dict__.copy()
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            self.__dict__ = before  # a single step, so an interruption never leaves a part
            raise

    return wrapper


class BaseVAE(CallbackSupportMixin, PriorMixin, PersistenceMixin, VAEParameters):
    """Base class of the estimators; see `skvae.VAETransformer` for parameters and attributes."""

    module_: VAE
    history_: History
    device_: torch.device
    n_iter_: int

    # Link of scikit-learn's HTML diagram. Read the Docs redirects to the default version.
    _doc_link_module = "skvae"
    _doc_link_template = "https://skvae.readthedocs.io/page/generated/skvae.{estimator_name}.html"

    # ---- Fitting ---------------------------------------------------------------------

    @isolate
    @rollback_on_error
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data within the support of the likelihood. Arrays and memory maps are read
            batch by batch and never copied as a whole. Estimators that take missing entries accept
            them in any feature and pattern.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, if an imputer finds no observed entry, if training
            diverges, if the checkpoint belongs to another fit or is in use, or if processes that
            train together differ in X, the parameters or the checkpoint.
        RuntimeError
            If a process that trains together with this process ends or does not answer.
        """
        group = init_process_group()
        with group.sharing_failures():
            self._fit(X, y, group)
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X: Any, y: Any, group: ProcessGroup) -> None:
        resume = self.warm_start and hasattr(self, "module_")
        data = self._read_training_data(X, resume=resume)
        identity = self._identify("fit", data, group, resume=resume)
        rng = self._make_rng(group)
        with make_checkpointer(self.checkpoint, identity, rng, group) as checkpointer:
            rows, validation = self._split(data, rng, group)
            trainer = self._make_trainer(rows, rng, group, resume=resume)
            callbacks: list[LoopCallback] = [ProgressBar()] if self.verbose else []
            callbacks += [checkpointer, *self._sklearn_callbacks(X, y)]
            loop = TrainingLoop(trainer, rows, validation, callbacks=callbacks)
            checkpointer.resume(loop)
            group.begin_training()
            self._run(loop)
            group.end_training()
        with hold_interrupts() if self.on_interrupt == "keep" else nullcontext():
            self.__dict__.update(_fitted_attributes(trainer, by_metric(loop.history)))
            self._after_training(X, reset=True)
        if group.is_main and len(rows) > 1:
            warn_about_fit(loop, self.get_params(deep=False))

    def _run(self, loop: TrainingLoop) -> None:
        """Train to the end, or until the user interrupts training."""
        trainer, validation = loop.trainer, loop.validation
        try:
            loop.run()
        except DivergenceError as error:
            trainer.group.end_training()
            raise _explain_divergence(trainer, len(loop.history)) from error
        except KeyboardInterrupt:
            is_fitted = loop.history and not trainer.group.is_distributed
            if self.on_interrupt == "raise" or not is_fitted:
                raise
            loop.restore_best()  # the interruption may have come before or after the loop
            kept = "last" if validation is None else "best"
            warnings.warn(
                f"Training was interrupted after {len(loop.history)} of {trainer.config.max_iter} "
                f"epochs. The model is that of the {kept} epoch.",
                stacklevel=find_stack_level(),
            )

    @isolate
    @rollback_on_error
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, on X only.

        The first call on an unfitted estimator builds the model and takes the means and scales of
        the columns, and a linear model to start at, from X, so X should be representative. The
        state of the optimizer carries over between calls. The learning rate is `learning_rate_init`
        throughout; "auto" is the rate for `max_iter` calls of the same size. ``alpha="auto"`` is
        the weight decay for the rows of this call: for a stream of small tables, set 0. With
        ``learning_rate="constant"``, k calls are equivalent to a `fit` of k epochs. Checkpoints are
        neither read nor written. An imputer never learns from features without any observed entry
        in the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data within the support of the likelihood.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, if training diverges, or if processes that train
            together differ. A fitted model is then unchanged.
        RuntimeError
            If a process that trains together with this process ends or does not answer.
        """
        group = init_process_group()
        with group.sharing_failures():
            self._partial_fit(X, group)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def _partial_fit(self, X: Any, group: ProcessGroup) -> None:
        resume = hasattr(self, "module_")
        data = self._read_training_data(X, resume=resume)
        self._identify("partial_fit", data, group, resume=resume)
        rows = self._make_rows(data, group)
        trainer = getattr(self, "_trainer", None)
        if trainer is None:
            trainer = self._make_trainer(rows, self._make_rng(group), group, resume=resume)
        group.begin_training()
        config = self._training_config(trainer.module, len(rows))
        trainer.config = replace(config, learning_rate="constant")
        before = copy.deepcopy(trainer.state_dict())
        history = copy.deepcopy(self.history_) if resume else {}
        try:
            _append(history, trainer.train_epoch(rows))
            trainer.check_finite(rows)
            group.end_training()
            self.__dict__.update(_fitted_attributes(trainer, history))
            self._after_training(X, reset=not resume)
        except BaseException as error:
            trainer.load_state_dict(before)
            if isinstance(error, DivergenceError):
                group.end_training()
                raise _explain_divergence(trainer, len(history.get("loss", ()))) from error
            raise

    def _after_training(self, X: Any, *, reset: bool) -> None:
        """Learn further attributes from X, with the trained module.

        `reset` is False after a call of `partial_fit` for an estimator that was fitted before.
        """

    # ---- Data ------------------------------------------------------------------------

    @abstractmethod
    def _make_reader(self, X_valid: Any) -> ArrayReader | FrameReader:
        """Return a reader that is fitted to valid training data."""

    def _read_training_data(self, X: Any, *, resume: bool) -> Any:
        """Return training data as rows of numbers, with a new reader unless training continues."""
        if resume:
            given = self._reader.conditions
            if not are_conditions(self.condition_columns, given, self.n_features_in_):
                names = [] if given is None else given.names
                raise ValueError(
                    f"The fitted model has the condition columns {names}, but condition_columns is "
                    f"now {self.condition_columns!r}: training cannot continue. Fit a new model."
                )
        return self._read(X, reset=not resume)

    def _encode_conditions(self, X: Any, *, reset: bool) -> Any:
        """Return X with numbers in place of the categories of condition columns.

        With `reset`, a new reader learns the condition columns of training data.
        """
        if reset:
            if self.condition_columns is not None:
                X = as_columns(X)
            conditions = fit_conditions(self.condition_columns, X)
            self._reader = ArrayReader(takes_missing=self._takes_missing, conditions=conditions)
        conditions = self._reader.conditions
        return X if conditions is None else conditions.code(as_columns(X))

    def _read_valid(self, X_valid: Any, *, reset: bool = False, source: Any = None) -> Any:
        """Return valid data as rows of numbers within the support of the likelihood.

        Parameters
        ----------
        X_valid : ndarray, CSR matrix or Table of shape (n_samples, n_features)
            Data from `_validate`.
        reset : bool, default=False
            Whether this is training data, to which a new reader is fitted.
        source : object, optional
            Data before `_validate`, for the labels of rows in errors.

        Returns
        -------
        rows : ndarray or CSR matrix of shape (n_samples, n_observed)
            NaN stands for missing entries.
        """
        init_threads()
        if reset:
            self._reader = self._make_reader(X_valid)
        rows = self._reader.read(X_valid)
        likelihood = self._resolve_likelihood() if reset else self.module_.likelihood
        reader = self._reader
        check_support(self, rows, likelihood, reader.observed, source, reader.given)
        if reader.conditions is not None:
            reader.conditions.check(rows, reader.observed, source)
        return rows

    def _make_rows(self, X: Any, group: ProcessGroup, index: np.ndarray | None = None) -> Rows:
        n_rows = X.shape[0] if index is None else len(index)
        partition = group.partition(n_rows) if group.is_distributed else None
        return Rows(X, resolve_device(self.device), index, partition)

    def _split(
        self, X: Any, rng: np.random.RandomState, group: ProcessGroup
    ) -> tuple[Rows, Rows | None]:
        """Return the training rows and, for early stopping, the validation rows."""
        if not self.early_stopping:
            return self._make_rows(X, group), None
        n_rows = X.shape[0]
        if n_rows < 2:
            raise ValueError("early_stopping=True needs at least 2 samples; X has 1 sample.")
        if math.ceil(self.validation_fraction * n_rows) == n_rows:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {n_rows} samples leaves no "
                "samples to train on."
            )
        train, held_out = train_test_split(
            np.arange(n_rows), test_size=self.validation_fraction, random_state=rng
        )
        return self._make_rows(X, group, np.sort(train)), self._make_rows(
            X, group, np.sort(held_out)
        )

    # ---- Training --------------------------------------------------------------------

    def _identify(
        self, method: str, rows: Any, group: ProcessGroup, *, resume: bool
    ) -> RunIdentity:
        """Return the identity of a fit, if anybody needs it, and compare it between processes."""
        if self.checkpoint is None and not group.is_distributed:
            return {}
        identity = identify_fit(self, rows, resume=resume)
        if group.is_distributed:
            trainer = getattr(self, "_trainer", None) if method == "partial_fit" else None
            group.check_equal({**identify_process(self, method, trainer), **identity})
        return identity

    def _make_rng(self, group: ProcessGroup) -> np.random.RandomState:
        """Return the random generator of training, with the same state in all processes."""
        rng = local_random_state(self.random_state)
        rng.set_state(group.on_main_process(rng.get_state))
        return rng

    def _make_trainer(
        self, rows: Rows, rng: np.random.RandomState, group: ProcessGroup, *, resume: bool
    ) -> Trainer:
        """Return a trainer of a new module, or of a copy of the fitted module."""
        weight_seed, training_seed = draw_seed(rng), draw_seed(rng)
        config = self._module_config(rows.X.shape[1])
        if not resume:
            trim = self._params_for(TrainingConfig).get("trim", 0.0)
            module = new_module(config, rows, seeded_generator(weight_seed), trim=trim)
        elif config == replace(self.module_.config, dependent_columns=False):
            module = copy.deepcopy(self.module_)
        else:
            raise ValueError(
                f"The fitted model was built as {self.module_.config}, but the parameters now "
                f"specify {config}: training cannot continue. Fit with warm_start=False."
            )
        if group.is_distributed:
            group.check_equal({"the initial weights": digest_of(module.state_dict())})
        module = to_device(module, rows.device)
        return Trainer(module, self._training_config(module, len(rows)), training_seed, group)

    def _sklearn_callbacks(self, X: Any, y: Any) -> list[LoopCallback]:
        if not hasattr(self, "_init_callback_context"):
            return []

        def fitted_attributes(loop: TrainingLoop) -> dict[str, Any]:
            attributes = _fitted_attributes(loop.trainer, by_metric(loop.history))
            return copy.deepcopy({**attributes, "_trainer": None})

        return [SklearnCallbacks(self, X, y, fitted_attributes)]

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
        with suppress(KeyError, TypeError, AttributeError):  # invalid parameters, or not fitted
            support = self._resolve_likelihood().support
            tags.input_tags.positive_only = not support.check(
                torch.tensor(-1.0, dtype=torch.float32, device="cpu")
            )
        return tags


def _explain_divergence(trainer: Trainer, n_epochs: int) -> ValueError:
    return ValueError(
        f"Training diverged in epoch {n_epochs + 1}: the loss is not finite. Lower "
        f"learning_rate_init, which is {trainer.config.learning_rate_init:.3g}, or look for "
        "extreme values in X."
    )


def _append(history: History, metrics: Metrics) -> None:
    """Add an epoch to the lists of a history. Metrics that are absent become NaN."""
    n_epochs = len(history.get("loss", ()))
    for name in dict.fromkeys([*history, *metrics]):
        history.setdefault(name, [math.nan] * n_epochs).append(metrics.get(name, math.nan))


def _fitted_attributes(trainer: Trainer, history: History) -> dict[str, Any]:
    """Return the fitted attributes that follow from training."""
    module = trainer.module
    return {
        "module_": module,
        "history_": history,
        "n_iter_": len(history["loss"]),
        "device_": module.bias.device,
        "_n_features_out": module.latent_dim,
        "_trainer": trainer,
    }
