"""Warnings about fits that ended, but did not succeed."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ..likelihoods import Gaussian
from ..models import VAE, elbo_terms
from ..training import Rows, TrainingLoop, by_metric, objective
from ..utils import find_stack_level, limit_threads, seeded_generator

# Training rows whose losses are compared with the losses of held-out rows.
_MAX_COMPARED_ROWS = 1000
# Fewer steps are a trial of the code rather than of the model.
_MIN_STEPS = 50
# On a schedule, training ends too early if the last tenth of the epochs contributes this fraction
# of the fall of the objective, and this multiple of the noise. At the end of the schedule, the
# learning rate is almost zero: 2 % are usual, whether or not longer training would gain much.
_LAST_FRACTION = 0.1
_MIN_Z = 3.0
# Higher than any automatic learning rate: an even higher rate would not help.
_HIGH_RATE = 0.02


def warn_about_fit(loop: TrainingLoop, params: dict[str, Any]) -> None:
    """Warn about a fit on two or more rows that ended, but did not succeed.

    Training that the user or a callback ended early is only checked for collapse.

    Parameters
    ----------
    loop : TrainingLoop
        Training, with the final weights.
    params : dict
        Parameters of the estimator.
    """
    warn_if_collapsed(params, by_metric(loop.history))
    if loop.is_finished:
        warn_if_overfitted(loop)
        warn_if_not_converged(loop)


def warn_if_collapsed(params: dict[str, Any], history: dict[str, list[float]]) -> None:
    """Warn if the fitted model has no active latent unit, so codes carry no information.

    Parameters
    ----------
    params : dict
        Parameters of the estimator.
    history : dict of list
        Metrics of each epoch.
    """
    kept = _kept_epoch(history)
    if history["active_units"][kept] > 0:
        return
    remedies = ["train for more epochs (max_iter)", "lower learning_rate_init"]
    if "kl_warmup" in params:
        remedies[:0] = ["set kl_warmup=0.3"]
    if params.get("beta", 1) > 1:
        remedies[:0] = [f"lower beta, which is {params['beta']:g}"]
    warnings.warn(
        f"No latent dimension is active after {len(history['loss'])} epochs: the posterior has "
        f"collapsed to the prior, with a KL divergence of {history['kl_loss'][kept]:.2g} nats, so "
        "codes carry no information about the rows. This is right only if the columns are "
        f"independent of each other. Otherwise, {', '.join(remedies[:-1])} or {remedies[-1]}.",
        ConvergenceWarning,
        stacklevel=find_stack_level(),
    )


def warn_about_identifiers(names: list[Any]) -> None:
    """Warn if synthetic rows would contain names of training rows.

    Parameters
    ----------
    names : list
        Names of columns with another category in each row.
    """
    if not names:
        return
    warnings.warn(
        f"Each row has another category in {names}. If the categories are identifiers, such as "
        "names of people, drop the columns before fit: a model cannot learn anything from "
        "identifiers, and synthetic rows would contain the identifiers of training rows.",
        stacklevel=find_stack_level(),
    )


def warn_about_classes(names: list[Any], kinds: dict[Any, Any]) -> None:
    """Warn if condition columns that are taken as numbers may have classes.

    Parameters
    ----------
    names : list
        Names of the columns.
    kinds : dict
        Kinds of all condition columns, by name.
    """
    if not names:
        return
    categorical = {name: "categorical" if name in names else kinds[name] for name in kinds}
    warnings.warn(
        f"The condition columns {names} have few different integers, and are taken as numbers. If "
        f"the integers are classes, pass condition_columns={categorical}. If they are numbers, "
        f"pass condition_columns={kinds}.",
        stacklevel=find_stack_level(),
    )


def warn_if_overfitted(loop: TrainingLoop) -> None:
    """Warn if held-out rows have far higher losses than training rows.

    The losses of training rows define what is far: more than two standard deviations, and more than
    four standard errors of a mean over as many rows as were held out.
    """
    if loop.validation is None:
        return
    losses = _row_losses(loop.trainer.module, loop.rows)
    training, spread = losses.mean().item(), losses.std().item()
    held_out = min(metrics["validation_loss"] for metrics in loop.history)
    if held_out - training <= spread * max(2.0, 4 / math.sqrt(len(loop.validation))):
        return
    remedies = ["a smaller latent_dim", "smaller hidden_layer_sizes", "a larger alpha", "more rows"]
    if isinstance(loop.trainer.module.likelihood, Gaussian):
        remedies[:0] = ["likelihood='student_t', for which outlying rows cost less"]
    warnings.warn(
        f"Held-out rows score {-held_out:.4g} nats per row, far below the {-training:.4g} of "
        "training rows: the model overfits, or some held-out rows lie far from all training rows. "
        f"Try {', '.join(remedies[:-1])} or {remedies[-1]}.",
        stacklevel=find_stack_level(),
    )


def warn_if_not_converged(loop: TrainingLoop) -> None:
    """Warn if training reached `max_iter` while the loss was still falling.

    At a constant learning rate, a stopping rule ends training that has converged. On a schedule,
    the loss levels off with the learning rate, even if longer training on a longer schedule would
    gain much. Only an objective that falls in spite of the low rate is a clear sign.
    """
    config = loop.trainer.config
    objectives = [objective(metrics, config.beta) for metrics in loop.history]
    n_steps = len(objectives) * math.ceil(len(loop.rows) / config.batch_size)
    if loop.has_stalled or n_steps < _MIN_STEPS:
        return
    if config.learning_rate != "constant" and not _still_falls(objectives):
        return
    change = "raise" if config.learning_rate_init <= _HIGH_RATE else "lower"
    warnings.warn(
        f"Training has not converged: the loss was still falling after max_iter={config.max_iter} "
        "epochs. Raise max_iter if held-out rows then score higher, because a model that over-fits "
        f"improves on the training rows only. Or {change} learning_rate_init, which is "
        f"{config.learning_rate_init:.3g}.",
        ConvergenceWarning,
        stacklevel=find_stack_level(),
    )


def _still_falls(losses: list[float]) -> bool:
    """Return whether the losses fall clearly in the last tenth of training."""
    n = len(losses) // 10
    if n == 0:
        return False
    last = np.mean(losses[-n:])
    fall = np.mean(losses[-2 * n : -n]) - last
    # Second differences do not contain the trend. Their variance is six times that of the noise.
    noise = np.sqrt(np.mean(np.diff(losses[-max(2 * n, 8) :], 2) ** 2) / 6)
    is_clear = fall > _MIN_Z * noise * math.sqrt(2 / n)
    return bool(is_clear and fall > _LAST_FRACTION * (losses[0] - last))


@torch.no_grad()
def _row_losses(module: VAE, rows: Rows) -> Tensor:
    """Return the losses of rows, evenly spaced if there are very many, with one draw for each."""
    n = min(len(rows), _MAX_COMPARED_ROWS)
    positions = np.linspace(0, len(rows) - 1, n).astype(np.intp)
    with limit_threads(module.networks, n):
        x = module.standardize(rows.take(positions))
        generator = seeded_generator(0, x.device)
        eps = torch.randn(n, module.latent_dim, generator=generator, dtype=x.dtype, device=x.device)
        return -elbo_terms(module, x, eps).elbo


def _kept_epoch(history: dict[str, list[float]]) -> int:
    """Return the position of the epoch with the weights of the fitted model."""
    losses = history.get("validation_loss")
    if losses is None:
        return -1
    return min(range(len(losses)), key=lambda epoch: (math.isnan(losses[epoch]), losses[epoch]))
