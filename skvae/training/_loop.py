"""The training loop: epoch after epoch, until training is over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor

from ._batches import Rows
from ._early_stopping import EarlyStopping, PlateauStopping, StoppingRule
from ._metrics import LOSSES, Metrics
from ._trainer import DivergenceError, Trainer


class LoopCallback:
    """Base class of callbacks: hooks of the training loop, which do nothing by default.

    In a group of processes, only the main process runs hooks.
    """

    def on_train_begin(self, loop: TrainingLoop) -> None:
        """Run before the first epoch."""

    def on_epoch_begin(self, loop: TrainingLoop) -> None:
        """Run before each epoch."""

    def on_step_end(self, loop: TrainingLoop) -> None:
        """Run after each step except the last step of an epoch."""

    def on_epoch_end(self, loop: TrainingLoop) -> bool:
        """Run after each epoch, and return whether to stop training."""
        return False

    def on_train_end(self, loop: TrainingLoop) -> None:
        """Run after training, with the final weights."""

    def on_exit(self, loop: TrainingLoop) -> None:
        """Run at the end of the loop, even after an error or an interruption."""


class _Kept(NamedTuple):
    """Weights to end training with, and the number of complete epochs.

    A single assignment replaces both, so an interruption never leaves one without the other.
    """

    weights: dict[str, Tensor] | None
    n_epochs: int


class TrainingLoop:
    """Training for at most `max_iter` epochs.

    With validation rows, training stops early by `EarlyStopping`, and the module ends with the
    weights of the best epoch, or of the start if no epoch is better. A learning rate on a schedule
    first descends to zero. Without validation rows, training at a constant learning rate stops by
    `PlateauStopping`, and the module ends with the weights of the last epoch.

    Parameters
    ----------
    trainer : Trainer
    rows : Rows
        Training rows.
    validation : Rows, optional
        Rows held out for early stopping.
    callbacks : iterable of LoopCallback, default=()
        Progress, checkpoints and other hooks, in order. Training stops if any callback asks to
        stop.

    Attributes
    ----------
    history : list of dict
        Metrics of each epoch.
    is_finished : bool
        Whether training is over.
    """

    def __init__(
        self,
        trainer: Trainer,
        rows: Rows,
        validation: Rows | None = None,
        *,
        callbacks: Iterable[LoopCallback] = (),
    ) -> None:
        self.trainer = trainer
        self.rows = rows
        self.validation = validation
        self.callbacks = tuple(callbacks) if trainer.group.is_main else ()
        self.history: list[Metrics] = []
        self.is_finished = False
        self._stopping: StoppingRule = (
            PlateauStopping(trainer.config) if validation is None else EarlyStopping(trainer.config)
        )
        self._kept = _Kept(None, 0)

    def run(self) -> None:
        """Train until early stopping, a callback or `max_iter` ends training.

        The module ends with the weights of the best epoch, or without validation rows with the
        weights of the last complete epoch, even after an error or an interruption.

        Raises
        ------
        DivergenceError
            If the loss is not finite during an epoch, after the last step, or on the validation
            rows.
        """
        if self.is_finished:
            return
        on_main_process = self.trainer.group.on_main_process  # an error there ends all processes
        try:
            on_main_process(self._on_train_begin)
            self._keep_start()
            while not self.is_finished:
                on_main_process(self._on_epoch_begin)
                metrics = self.trainer.train_epoch(self.rows, on_step_end=self._on_step_end)
                self._record(metrics)
                if on_main_process(self._on_epoch_end):
                    self._check_end()
                    break
        finally:
            self.restore_best()
            self.trainer.release_memory()
            for callback in self.callbacks:
                callback.on_exit(self)
        on_main_process(self._on_train_end)

    def restore_best(self) -> None:
        """Return to the best epoch or the start, or without validation rows to the last epoch."""
        del self.history[self._kept.n_epochs :]
        if self._kept.weights is not None:
            self.trainer.module.load_state_dict(self._kept.weights)
        self.trainer.abandon_epoch()

    def _keep_start(self) -> None:
        """Keep the initial weights, which may start at a linear model, until an epoch is better."""
        if not isinstance(self._stopping, EarlyStopping) or self.validation is None:
            return
        # A loop that continues from a checkpoint already has weights to keep.
        if self._kept.weights is None:
            start = self.trainer.evaluate(self.validation)
            if self._stopping.is_lowest(start["loss"]):
                self._kept = _Kept(_copy(self.trainer.module.state_dict()), 0)

    def _record(self, metrics: Metrics) -> None:
        """Add an epoch to the history, and decide which weights to keep and whether to stop."""
        if self.validation is not None:
            held_out = self.trainer.evaluate(self.validation)
            if not math.isfinite(held_out["loss"]):
                raise DivergenceError
            metrics |= {f"validation_{name}": held_out[name] for name in LOSSES}
        self.history.append(metrics)
        is_best = self._stopping.update(self.history)
        if self._stopping.should_stop:
            self.trainer.begin_descent()
        is_finished = len(self.history) == self.trainer.last_epoch
        if is_finished:
            self._check_end()
        weights = _copy(self.trainer.module.state_dict()) if is_best else self._kept.weights
        self._kept = _Kept(weights, len(self.history))
        self.is_finished = is_finished

    def _check_end(self) -> None:
        """Check the last step of training, whose effect is in no metric of training rows."""
        if self.validation is None:
            self.trainer.check_finite(self.rows)

    def _on_train_begin(self) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(self)

    def _on_epoch_begin(self) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(self)

    def _on_step_end(self) -> None:
        for callback in self.callbacks:
            callback.on_step_end(self)

    def _on_epoch_end(self) -> bool:
        asks_to_stop = [callback.on_epoch_end(self) for callback in self.callbacks]
        return any(asks_to_stop)

    def _on_train_end(self) -> None:
        for callback in self.callbacks:
            callback.on_train_end(self)

    # ---- Results ---------------------------------------------------------------------

    @property
    def has_stalled(self) -> bool:
        """Whether a stopping rule saw no further improvement, before `max_iter` or with it."""
        is_descending = self.trainer.descent_start < self.trainer.config.max_iter
        return self._stopping.should_stop or is_descending

    # ---- State -----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state of training after the last step, for `load_state_dict`."""
        # At the end of an epoch without validation rows, the kept weights are those of the module.
        is_separate = self.validation is not None or self.trainer.is_within_epoch
        return {
            "trainer": self.trainer.state_dict(),
            "history": self.history,
            "is_finished": self.is_finished,
            "stopping": self._stopping.state_dict(),
            "kept_weights": self._kept.weights if is_separate else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, bit for bit."""
        self.trainer.load_state_dict(state["trainer"])
        self.history = list(state["history"])
        self.is_finished = state["is_finished"]
        self._stopping.load_state_dict(state["stopping"])
        weights = state["kept_weights"]
        if self.history:
            weights = _copy(weights or self.trainer.module.state_dict())
        self._kept = _Kept(weights, len(self.history))
        if self.is_finished:
            self.restore_best()


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in weights.items()}


def by_metric(history: list[Metrics]) -> dict[str, list[float]]:
    """Return the values of each metric over the epochs, NaN where an epoch lacks the metric."""
    names = dict.fromkeys(name for metrics in history for name in metrics)
    return {name: [metrics.get(name, math.nan) for metrics in history] for name in names}
