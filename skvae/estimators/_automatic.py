"""Automatic values of the parameters of training.

Networks that start at a linear model need fewer steps, and tolerate larger steps and a shorter
warm-up than networks with random initial weights. The evidence is in ``benchmarks/defaults.py``.
"""

from __future__ import annotations

import math

from ..likelihoods import Gaussian, Likelihood

# Smallest fraction of training with a rising learning rate.
_MIN_WARMUP = 0.05
# Fewer steps do not show whether a loss still improves, and are too few for a descent of the rate.
_MIN_PATIENCE_STEPS = 100


def auto_batch_size(n_rows: int, starts_linear: bool) -> int:
    """Return a small fraction of the rows within limits, for batches of about equal size.

    A last batch of few rows would have the same influence as all others.
    """
    most = max(128, min(n_rows // 32, 256)) if starts_linear else max(64, min(n_rows // 50, 200))
    most = max(most, min(n_rows // 500, 2000))
    return math.ceil(n_rows / math.ceil(n_rows / most))


def auto_n_steps(n_rows: int, starts_linear: bool) -> float:
    """Return the number of training steps."""
    return min(120 + n_rows / 6, 20_000) if starts_linear else min(400 + 0.9 * n_rows, 30_000)


def auto_learning_rate(n_steps: int, starts_linear: bool, width: int) -> float:
    """Return a learning rate for training of `n_steps` steps: lower for longer training.

    Wide layers with random initial weights bear no high rates. The sum over their units changes
    too much in a step, and single fits end far from the others.
    """
    if starts_linear:
        return 0.013 * min(1.0, 500 / n_steps) ** 0.25
    return 0.006 * min(1.0, (2000 / n_steps) ** 0.25, (256 / width) ** 0.5)


def auto_warmup(n_steps: int, starts_linear: bool) -> float:
    """Return the fraction of training with a rising rate: 200 steps, within 5% and 20%.

    After fewer steps from random weights, Adam's averages of squared gradients are still noisy, and
    single steps may throw the encoder far off.
    """
    return _MIN_WARMUP if starts_linear else max(_MIN_WARMUP, min(0.2, 200 / n_steps))


def auto_alpha(n_rows: int, n_features: int, likelihood: Likelihood) -> float:
    """Return the strength of weight decay of networks that start at a linear model.

    Few rows hold networks close to the linear model. The more columns a code may reproduce, the
    more a decoder gains by memorising rows. With a normal distribution and one noise for all
    columns, the loss of a row that the decoder maps wrongly is largest. With a full noise, all
    directions are in units of their noise, so a decoder may memorise rows in all directions.
    """
    alpha = (300 / n_rows) ** 2 * min(2.0, n_features / 20)
    if isinstance(likelihood, Gaussian) and likelihood.noise in ("shared", "full"):
        alpha = max(alpha, min(10.0, alpha * min(3.0, n_features / 10)))
    return alpha


def auto_patience(n_steps: float) -> float:
    """Return the number of steps to wait for an improvement in training of `n_steps` steps."""
    return max(_MIN_PATIENCE_STEPS, n_steps / 10)
