"""The normal prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from ..serialization import serializable
from ._base import Parameters, Prior


def normal_log_prob(z: Tensor) -> Tensor:
    """Return log N(z; 0, I) of codes of shape (..., k), in nats."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


@serializable
@dataclass(frozen=True)
class Normal(Prior):
    """Standard normal distribution N(0, I), without parameters.

    The divergence of the posterior from the prior has a closed form: Kingma and Welling,
    "Auto-encoding variational Bayes", ICLR 2014, appendix B.

    Examples
    --------
    >>> from skvae.priors import Normal
    >>> Normal()
    Normal()
    """

    def parameter_shapes(self, latent_dim: int, n_inputs: int) -> dict[str, tuple[int, ...]]:
        return {}

    def initial_params(self, latent_dim: int, inputs: Tensor, generator: Generator) -> Parameters:
        return {}

    def log_prob(self, z: Tensor, params: Parameters) -> Tensor:
        return normal_log_prob(z)

    def sample(self, eps: Tensor, params: Parameters, generator: Generator) -> Tensor:
        return eps
