"""Likelihoods of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import constraints

from ..utils import soft_clamp, soft_clamp_inverse
from ._base import Likelihood, Marginals, Parameters, ParameterScope, check_choice

# exp(10): beyond that a negative binomial is a Poisson to float32 precision.
_MAX_LOG_DISPERSION = 10.0


class _Count(Likelihood):
    """Columns of counts 0, 1, 2, ..., which the encoder sees as log(1 + x)."""

    support = constraints.nonnegative_integer
    remedy = "Counts must be the integers 0, 1, 2, ...; for other data use likelihood='gaussian'."

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        return torch.log1p(x)


def _log_mean_count(marginals: Marginals) -> Tensor:
    # Half a count more in all keeps columns of zeros finite.
    return torch.log((marginals.mean * marginals.n_samples + 0.5) / marginals.n_samples)


@dataclass(frozen=True)
class Poisson(_Count):
    """Poisson distribution of counts, whose variance is their mean.

    Examples
    --------
    >>> from skvae import Poisson
    >>> Poisson()
    Poisson()
    """

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"log_rate": "row"}

    def initial_params(self, marginals: Marginals) -> Parameters:
        return {"log_rate": _log_mean_count(marginals)}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_rate = params["log_rate"]
        return x * log_rate - log_rate.exp() - torch.lgamma(x + 1)

    def mean(self, params: Parameters) -> Tensor:
        return params["log_rate"].exp()

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        return torch.poisson(self.mean(params), generator=generator)


@dataclass(frozen=True)
class NegativeBinomial(_Count):
    """Negative binomial distribution of counts that vary more than a Poisson allows.

    Parameters
    ----------
    dispersion : {"feature", "shared", "row"}, default="feature"
        What the inverse dispersion theta varies with: the variance is
        ``mean + mean**2 / theta``. "row" lets the decoder predict it.

    Notes
    -----
    In mean and inverse dispersion, as in the analysis of single-cell counts; in the words
    of `scipy.stats.nbinom`, ``n = theta`` and ``p = theta / (theta + mean)``.

    References
    ----------
    Hilbe, "Negative Binomial Regression", 2nd ed., Cambridge, 2011: the NB2 form.

    Examples
    --------
    >>> from skvae import NegativeBinomial
    >>> NegativeBinomial(dispersion="shared")
    NegativeBinomial(dispersion='shared')
    """

    dispersion: Literal["feature", "shared", "row"] = "feature"

    def __post_init__(self) -> None:
        choices = ("feature", "shared", "row")
        check_choice("NegativeBinomial", "dispersion", self.dispersion, choices)

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"log_mean": "row", "log_dispersion": self.dispersion}

    def initial_params(self, marginals: Marginals) -> Parameters:
        mean, excess = marginals.mean, marginals.var - marginals.mean
        theta = torch.where(excess > 0, mean.square() / excess.clamp_min(1e-12), 100.0)
        log_theta = soft_clamp_inverse(theta.clamp_min(1e-3).log(), _MAX_LOG_DISPERSION)
        if self.dispersion == "shared":
            log_theta = log_theta.mean()
        return {"log_mean": _log_mean_count(marginals), "log_dispersion": log_theta}

    def _log_theta(self, params: Parameters) -> Tensor:
        return soft_clamp(params["log_dispersion"], _MAX_LOG_DISPERSION)

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_theta = self._log_theta(params)
        theta, log_odds = log_theta.exp(), params["log_mean"] - log_theta
        log_choose = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
        return log_choose + x * F.logsigmoid(log_odds) + theta * F.logsigmoid(-log_odds)

    def mean(self, params: Parameters) -> Tensor:
        return params["log_mean"].exp()

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        return {
            **super().public_parameters(params, scale),
            "log_dispersion": self._log_theta(params),
        }

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean = self.mean(params)
        theta = self._log_theta(params).exp().expand_as(mean)
        # The only gamma sampler of torch that takes a generator; torch.distributions
        # calls the same one, but draws from the global state.
        rate = torch._standard_gamma(theta.contiguous(), generator=generator) * mean / theta
        return torch.poisson(rate, generator=generator)
