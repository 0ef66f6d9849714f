"""The posterior of codes, q(z | x)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..utils import soft_clamp
from ._custom_networks import join_outputs

# Posterior variances stay above e^-20, below the relative precision of float32 around the prior
# variance, 1.
MAX_LOG_VAR = 20.0


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z | x) of each row."""

    mean: Tensor  # (n, k)
    log_var: Tensor  # (n, k)

    @property
    def std(self) -> Tensor:  # (n, k)
        return torch.exp(0.5 * self.log_var)

    @classmethod
    def from_outputs(cls, outputs: Tensor | tuple[Tensor, Tensor], dtype: torch.dtype) -> Posterior:
        """Return the posterior for outputs of the encoder."""
        mean, log_var = join_outputs(outputs).to(dtype).chunk(2, dim=-1)
        return cls(mean, _limit_log_var(log_var))

    def rsample(self, eps: Tensor) -> Tensor:
        """Return the codes ``mean + std * eps``; `eps` is (..., n, k) or broadcasts to it."""
        return self.mean + self.std * eps


def _limit_log_var(out: Tensor) -> Tensor:
    """Return log-variances of the posterior for outputs of the encoder, (n, k).

    The variance is exp(out) below the prior variance, 1, and 1 + out above, with equal slopes at 0.
    Good posteriors are hardly wider than the prior. With the exponential function above 1 as well,
    one step too large can make a variance, the KL divergence and the gradients astronomic, and
    encoders rarely recover from the next step.
    """
    log_var = soft_clamp(out, MAX_LOG_VAR)
    excess = log_var.relu()
    return log_var - excess + excess.log1p()
