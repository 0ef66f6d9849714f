"""Metrics of an epoch, summed on the device until the end of the epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..models import VAE, ElboTerms
from ._process_group import ProcessGroup

# The metrics of one epoch by name: an entry of each list in `history_`.
Metrics = dict[str, float]

LOSSES = ("loss", "reconstruction_loss", "kl_loss")
# A latent unit is active if the variance of its posterior mean exceeds this fraction of the
# variance of codes: Burda, Grosse and Salakhutdinov (2016), section 5.2, for codes of unit
# variance. A learned prior has no fixed scale.
_ACTIVE_FRACTION = 0.01
# On a CPU, sums over several steps are computed together: for small networks, one sum per step
# would take a noticeable part of the step.
_STEPS_PER_SUM = 32


def objective(metrics: Metrics, beta: float) -> float:
    """Return the training objective of an epoch, with the full weight of the KL term."""
    return metrics["reconstruction_loss"] + beta * metrics["kl_loss"]


class EpochMetrics:
    """Running sums over the rows of an epoch, with a single transfer from the device at the end.

    Parameters
    ----------
    module : VAE
        Gives the number of latent dimensions, the precision and the device.
    """

    def __init__(self, module: VAE) -> None:
        self.latent_dim = module.latent_dim
        # Log-likelihood, KL divergence, posterior means, their squares, and posterior variances.
        self.sums = module.units.scale.new_zeros(2 + 3 * module.latent_dim)
        self._pending: list[tuple[Tensor, ...]] = []  # steps that are not in the sums yet
        # A recorded step must add its rows itself.
        self._n_pending_steps = _STEPS_PER_SUM if self.sums.device.type == "cpu" else 1

    def reset(self) -> None:
        """Begin a new epoch."""
        self.sums.zero_()
        self._pending.clear()

    def add(self, terms: ElboTerms) -> None:
        """Add the rows of a step, or the part of the rows that belongs to this process."""
        tensors = (terms.log_likelihood, terms.kl_divergence, *terms.posterior)
        self._pending.append(tuple(tensor.detach() for tensor in tensors))
        if len(self._pending) == self._n_pending_steps:
            self._sum_pending()

    def _sum_pending(self) -> None:
        log_likelihood, kl, mean, log_var = map(torch.cat, zip(*self._pending, strict=True))
        columns = (log_likelihood[:, None], kl[:, None], mean, mean.square(), log_var.exp())
        self.sums += torch.cat(columns, dim=1).sum(0)
        self._pending.clear()

    def compute(self, group: ProcessGroup, n_rows: int) -> Metrics:
        """Return the means over the rows of all processes, which are `n_rows` together."""
        if self._pending:
            self._sum_pending()
        group.all_reduce([self.sums])
        sums = self.sums / n_rows
        log_likelihood, kl = sums[:2].tolist()
        mean, square, var = sums[2:].view(3, self.latent_dim)
        var_of_mean = square - mean.square()
        active = int((var_of_mean > _ACTIVE_FRACTION * (var_of_mean + var)).sum())
        return {
            "loss": kl - log_likelihood,
            "reconstruction_loss": -log_likelihood,
            "kl_loss": kl,
            "active_units": active,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`."""
        return {"sums": self.sums, "pending": self._pending}

    def load_state_dict(self, state: dict[str, Any], *, is_main: bool) -> None:
        """Continue from a saved state. Only the main process takes over the sums."""
        self.reset()
        if is_main:
            device = self.sums.device
            self.sums.copy_(state["sums"])
            self._pending = [tuple(t.to(device) for t in step) for step in state["pending"]]
