"""Warnings about fits that ended, but did not succeed."""

from __future__ import annotations

import math
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from ..utils import find_stack_level


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


def _kept_epoch(history: dict[str, list[float]]) -> int:
    """Return the position of the epoch with the weights of the fitted model."""
    losses = history.get("validation_loss")
    if losses is None:
        return -1
    return min(range(len(losses)), key=lambda epoch: (math.isnan(losses[epoch]), losses[epoch]))
