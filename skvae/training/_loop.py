"""Epoch after epoch, until it is time to stop. What was reached so far is never lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from torch import Tensor

from ._batches import Rows
from ._trainer import DivergenceError, Metrics, Trainer

_LOSSES = ("loss", "reconstruction_loss", "kl_loss")
Weights = dict[str, Tensor]


class Epoch(NamedTuple):
    """What one epoch came to, and whether training ends with it."""

    record: Metrics
    is_last: bool


class Training:
    """Training of at most `max_iter` epochs.

    With validation rows, it stops once their loss has not fallen by more than `tol` for
    `n_iter_no_change` epochs, and the module ends with the weights of the best epoch. Without,
    and at a constant learning rate, it stops once the objective, averaged over
    `n_iter_no_change` epochs, is no lower by `tol` than over as many epochs before. A descending
    rate is planned to its end, and gains most near it: there `max_iter` alone decides.

    Parameters
    ----------
    trainer : Trainer
    rows : Rows
        What to train on.
    validation : Rows, optional
    n_iter_no_change : int
    tol : float

    Attributes
    ----------
    records : list of dict
        Each epoch's figures.
    is_over : bool
        Whether the last epoch was the last to be.
    """

    def __init__(
        self,
        trainer: Trainer,
        rows: Rows,
        validation: Rows | None = None,
        *,
        n_iter_no_change: int,
        tol: float,
    ) -> None:
        self.trainer = trainer
        self.rows = rows
        self.validation = validation
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.records: list[Metrics] = []
        self.is_over = False
        self._lowest = self._threshold = math.inf  # of the validation loss
        self._n_stalled = 0
        # Of the best epoch, or without validation rows, of the last, and how many there were.
        self._kept: tuple[Weights | None, int] = None, 0

    def epochs(self, after_step: Callable[[], None] | None = None) -> Generator[Epoch]:
        """Train, and yield each epoch's figures. Call `after_step` after each step within one.

        Even if the caller closes the iterator, or interrupts an epoch, the module ends with the
        weights of the best epoch, or without validation rows, of the last one that was finished.

        Raises
        ------
        DivergenceError
            If the loss is not finite during an epoch, after its last step, or on the
            validation rows.
        """
        try:
            while not self.is_over:
                record = self.trainer.epoch(self.rows, after_step)
                if self.validation is None:
                    self._keep(record, is_best=True)
                    stalled = self._has_plateaued()
                else:
                    stalled = self._has_stalled(record)
                self.is_over = stalled or len(self.records) == self.trainer.recipe.max_iter
                yield Epoch(record, self.is_over)
        finally:
            self.end()

    def end(self) -> None:
        """Go back to the best epoch, or without validation rows, to the last that was finished."""
        weights, n_epochs = self._kept
        del self.records[n_epochs:]
        if weights is not None:
            self.trainer.module.load_state_dict(weights)
        self.trainer.leave_epoch()

    def _keep(self, record: Metrics, *, is_best: bool) -> None:
        weights = self._kept[0]
        if is_best:
            weights = {name: w.clone() for name, w in self.trainer.module.state_dict().items()}
        self.records.append(record)
        self._kept = weights, len(self.records)

    def _has_stalled(self, record: Metrics) -> bool:
        """Add the validation rows' figures, and tell whether it is time to stop."""
        assert self.validation is not None
        held_out = self.trainer.evaluate(self.validation)
        loss = held_out["loss"]
        if not math.isfinite(loss):
            raise DivergenceError
        record |= {f"validation_{name}": held_out[name] for name in _LOSSES}
        self._keep(record, is_best=loss < self._lowest)
        self._lowest = min(self._lowest, loss)
        if loss < self._threshold - self.tol:
            self._threshold, self._n_stalled = loss, 0
        else:
            self._n_stalled += 1
        return self._n_stalled >= self.n_iter_no_change

    def _has_plateaued(self) -> bool:
        """Whether the last objectives are on average no lower than those before them.

        Averages, because the draws of an epoch make its loss jump about its trend.
        """
        recipe, window = self.trainer.recipe, self.n_iter_no_change
        if recipe.learning_rate != "constant" or len(self.records) < 2 * window:
            return False
        values = [recipe.objective(record) for record in self.records[-2 * window :]]
        return math.fsum(values[:window]) - math.fsum(values[window:]) < self.tol * window

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs in order to go on from the last step, bit for bit."""
        # At the end of an epoch without validation rows, the module's weights are those kept.
        is_apart = self.validation is not None or self.trainer.is_within_epoch
        return {
            "trainer": self.trainer.state(),
            "records": self.records,
            "is_over": self.is_over,
            "stopping": [self._lowest, self._threshold, self._n_stalled],
            "kept": self._kept[0] if is_apart else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where another training was when it returned that state."""
        self.trainer.restore(state["trainer"])
        self.records = list(state["records"])
        self.is_over = state["is_over"]
        self._lowest, self._threshold, self._n_stalled = state["stopping"]
        weights = state["kept"]
        if self.records:
            weights = weights or self.trainer.module.state_dict()
            weights = {name: w.clone() for name, w in weights.items()}
        self._kept = weights, len(self.records)
        if self.is_over:
            self.end()


def history_of(records: list[Metrics]) -> dict[str, list[float]]:
    """Return each figure's values over the epochs, NaN where an epoch lacks it."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name, math.nan) for record in records] for name in names}
