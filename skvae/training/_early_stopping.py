"""When to stop training, and which epoch to keep."""

from __future__ import annotations

import math
from typing import Any, Protocol

from ._config import TrainingConfig
from ._metrics import Metrics, objective


class StoppingRule(Protocol):
    """Decides after each epoch whether to keep the weights, and whether to stop training."""

    @property
    def should_stop(self) -> bool:
        """Whether training should come to its end: see `Trainer.begin_descent`."""

    def update(self, history: list[Metrics]) -> bool:
        """Consider the last epoch of the history, and return whether to keep its weights."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""


class EarlyStopping:
    """Stop when the validation loss has not improved for `n_iter_no_change` epochs.

    An epoch is an improvement if the loss falls by more than `tol` below the loss of the last
    improvement. While the learning rate or the weight of the KL term rises, no epoch counts: a loss
    that rises with the learning rate is no sign of overfitting. The epoch of the lowest validation
    loss is kept, or the start of training if the loss was lowest there.

    Parameters
    ----------
    config : TrainingConfig
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.patience = config.n_iter_no_change
        self.tol = config.tol
        self.n_rising_epochs = config.n_rising_epochs
        self.lowest = math.inf
        self.threshold = math.inf  # the loss at the last improvement
        self.n_stalled = 0

    @property
    def should_stop(self) -> bool:
        return self.n_stalled >= self.patience

    def update(self, history: list[Metrics]) -> bool:
        loss = history[-1]["validation_loss"]
        if len(history) > self.n_rising_epochs:
            if loss < self.threshold - self.tol:
                self.threshold, self.n_stalled = loss, 0
            else:
                self.n_stalled += 1
        return self.is_lowest(loss)

    def is_lowest(self, loss: float) -> bool:
        """Return whether a validation loss is below all before."""
        is_lowest = loss < self.lowest
        self.lowest = min(self.lowest, loss)
        return is_lowest

    def state_dict(self) -> dict[str, Any]:
        return {
            "lowest": self.lowest,
            "threshold": self.threshold,
            "n_stalled": self.n_stalled,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lowest, self.threshold = state["lowest"], state["threshold"]
        self.n_stalled = state["n_stalled"]


class PlateauStopping:
    """Stop when the training objective has reached a plateau, at a constant learning rate.

    The average objective of the last `n_iter_no_change` epochs is compared with the average of the
    `n_iter_no_change` epochs before. Averages are used because single losses fluctuate with the
    posterior draws. With a cosine schedule, most of the improvement comes near the end of the
    schedule, so training never stops early. The last epoch is kept.

    Parameters
    ----------
    config : TrainingConfig
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.should_stop = False

    def update(self, history: list[Metrics]) -> bool:
        window = self.config.n_iter_no_change
        if self.config.learning_rate == "constant" and len(history) >= 2 * window:
            objectives = [
                objective(metrics, self.config.beta) for metrics in history[-2 * window :]
            ]
            improvement = math.fsum(objectives[:window]) - math.fsum(objectives[window:])
            self.should_stop = improvement < self.config.tol * window
        return True

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
