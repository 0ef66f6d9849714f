"""The options of training as plain data, and the schedules of learning rate and KL weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TrainingConfig:
    """Hyperparameters of training.

    The fields have the names of the estimators' parameters. `progress` is the completed fraction of
    training, in [0, 1].

    Parameters
    ----------
    solver : {"adam", "adamw", "rmsprop"}
    learning_rate : {"cosine", "constant"}
        Schedule of the learning rate.
    learning_rate_init : float
        Highest learning rate.
    batch_size : int
        Rows per step, over all processes.
    max_iter : int
        Largest number of epochs.
    n_iter_no_change : int
        Number of epochs to wait for an improvement.
    tol : float
        Smallest improvement that counts, in nats per row.
    beta : float, default=1.0
        Weight of the KL term.
    kl_warmup : float, default=0.0
        Fraction of training over which the weight of the KL term rises from 0 to `beta`.
    warmup : float, default=0.05
        Fraction of training over which the learning rate rises before its cosine descent.
    trim : float, default=0.0
        Fraction of the rows of each step to leave out: the rows of highest loss, but at most half
        of the rows of each category of the conditions.
    n_training_draws : int, default=1
        Draws from the posterior for each row. With more than one draw, the loss is the negative
        importance-weighted bound.
    encoder_dropout : float, default=0.0
        Fraction of the entries of each step that are hidden from the encoder.
    alpha : float, default=0.0
        Strength of weight decay. Each step multiplies the weight matrices of the decoder, except
        the linear path, by one minus `alpha` times the learning rate.
    dtype : torch.dtype, default=torch.float32
        Precision of matrix products.
    """

    solver: str
    learning_rate: str
    learning_rate_init: float
    batch_size: int
    max_iter: int
    n_iter_no_change: int = 10
    tol: float = 0.0
    beta: float = 1.0
    kl_warmup: float = 0.0
    warmup: float = 0.05
    trim: float = 0.0
    n_training_draws: int = 1
    encoder_dropout: float = 0.0
    alpha: float = 0.0
    dtype: torch.dtype = torch.float32

    def learning_rate_at(self, progress: float, descent_start: float = 1.0) -> float:
        """Return the learning rate: a linear rise and a cosine descent, or a constant.

        Parameters
        ----------
        progress : float
            Completed fraction of training.
        descent_start : float, default=1.0
            Progress at which early stopping ended the schedule. From there, the rate falls from its
            current value to zero along a cosine, in `n_descent_epochs`.
        """
        if self.learning_rate == "constant":
            return self.learning_rate_init
        if progress > descent_start:
            rate = self.learning_rate_at(descent_start)
            descent = (progress - descent_start) * self.max_iter / self.n_descent_epochs
            return rate * _cosine_descent(descent)
        if progress < self.warmup:
            return self.learning_rate_init * progress / self.warmup
        descent = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate_init * _cosine_descent(descent)

    def kl_weight_at(self, progress: float) -> float:
        """Return the weight of the KL term: a linear rise, and then `beta`."""
        return self.beta * min(1.0, progress / self.kl_warmup) if self.kl_warmup else self.beta

    @property
    def n_rising_epochs(self) -> float:
        """Number of epochs with a rising learning rate or weight of the KL term."""
        warmup = 0.0 if self.learning_rate == "constant" else self.warmup
        return max(warmup, self.kl_warmup) * self.max_iter

    @property
    def n_descent_epochs(self) -> int:
        """Number of epochs over which the rate falls to zero when training ends early."""
        return 0 if self.learning_rate == "constant" else self.n_iter_no_change

    def last_epoch(self, descent_start: int) -> int:
        """Return the number of epochs at the end, given the epoch at which the descent begins."""
        return min(self.max_iter, descent_start + self.n_descent_epochs)


def _cosine_descent(fraction: float) -> float:
    """Return the factor of a rate after a fraction of a descent from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
