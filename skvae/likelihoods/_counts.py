"""Likelihoods of counts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ..utils import check_choice, soft_clamp, soft_clamp_inverse
from ._base import Likelihood, Marginals, Parameters, ParameterScope

# In float32, a negative binomial with theta = exp(10) equals a Poisson distribution.
_MAX_LOG_DISPERSION = 10.0


class _CountLikelihood(Likelihood):
    """Counts 0, 1, 2, ..., transformed to log(1 + x) for the encoder."""

    support = constraints.nonnegative_integer
    remedy = "Counts must be the integers 0, 1, 2, ...; for other data use likelihood='gaussian'."

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        return torch.log1p(x)

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        """Return log p(x | z) of each entry, (..., n, d).

        The terms of large counts nearly cancel, so they are computed in float64.
        """
        narrow = {name: params[name] for name in self.parameters}
        if x.device.type == "mps":  # has no float64
            return self._log_prob(x, narrow)
        wide = {name: value.double() for name, value in narrow.items()}
        return self._log_prob(x.double(), wide).to(x.dtype)

    @abstractmethod
    def _log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        """Return log p(x | z) of each entry, (..., n, d), in the dtype of `x`."""


def _initial_log_mean(marginals: Marginals) -> Tensor:
    """Return the log of the mean count of each column, (d,).

    Jeffreys' prior for the rate of a Poisson distribution adds half a count to the sum of each
    column, so the log of an all-zero column is finite.
    """
    return torch.log((marginals.mean * marginals.n_samples + 0.5) / marginals.n_samples)


@serializable
@dataclass(frozen=True)
class Poisson(_CountLikelihood):
    """Poisson distribution of counts, with variance equal to the mean.

    Notes
    -----
    With rate lambda, ``log p(x | z) = x log(lambda) - lambda - log(x!)`` [1]_. The decoder predicts
    ``log_rate`` for each row and column.

    References
    ----------
    .. [1] Johnson, Kemp and Kotz, "Univariate Discrete Distributions", 3rd ed., Wiley, 2005,
       chapter 4.

    Examples
    --------
    >>> from skvae import Poisson
    >>> Poisson()
    Poisson()
    """

    exposure_parameter = "log_rate"

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"log_rate": "row"}

    def initial_params(self, marginals: Marginals) -> Parameters:
        return {"log_rate": _initial_log_mean(marginals)}

    def _log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_rate = params["log_rate"]
        return x * log_rate - log_rate.exp() - torch.lgamma(x + 1)

    def mean(self, params: Parameters) -> Tensor:
        return params["log_rate"].exp()

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        return torch.poisson(self.mean(params), generator=generator)


@serializable
@dataclass(frozen=True)
class NegativeBinomial(_CountLikelihood):
    """Negative binomial distribution of overdispersed counts.

    Parameters
    ----------
    dispersion : {"feature", "shared", "row"}, default="feature"
        Scope of the inverse dispersion theta. The variance of a count is
        ``mean + mean**2 / theta``.

        - "feature": a learned value per column.
        - "shared": a single learned value for all columns.
        - "row": predicted by the decoder for each row and column.

    Notes
    -----
    The parameters are the mean mu and the inverse dispersion theta, as in the analysis of
    single-cell counts. The form is known as NB2 [1]_::

        log p(x | z) = log Gamma(x + theta) - log Gamma(theta) - log(x!)
                       + x log(mu / (mu + theta)) + theta log(theta / (mu + theta))

    The equivalent parameters of `scipy.stats.nbinom` are ``n = theta`` and
    ``p = theta / (theta + mu)``. ``log_dispersion``, the log of theta, is squashed smoothly into
    (-10, 10).

    References
    ----------
    .. [1] Hilbe, "Negative Binomial Regression", 2nd ed., Cambridge University Press, 2011.

    Examples
    --------
    >>> from skvae import NegativeBinomial
    >>> NegativeBinomial(dispersion="shared")
    NegativeBinomial(dispersion='shared')
    """

    exposure_parameter = "log_mean"

    dispersion: Literal["feature", "shared", "row"] = "feature"

    def __post_init__(self) -> None:
        choices = ("feature", "shared", "row")
        check_choice("NegativeBinomial(dispersion=...)", self.dispersion, choices)

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"log_mean": "row", "log_dispersion": self.dispersion}

    def initial_params(self, marginals: Marginals) -> Parameters:
        # The method of moments: var = mean + mean^2 / theta, so theta = mean^2 / (var - mean).
        mean, excess = marginals.mean, marginals.var - marginals.mean
        theta = torch.where(excess > 0, mean.square() / excess.clamp_min(1e-12), 100.0)
        log_theta = soft_clamp_inverse(theta.clamp_min(1e-3).log(), _MAX_LOG_DISPERSION)
        if self.dispersion == "shared":
            log_theta = log_theta.mean()
        return {"log_mean": _initial_log_mean(marginals), "log_dispersion": log_theta}

    def _log_theta(self, params: Parameters) -> Tensor:
        return soft_clamp(params["log_dispersion"], _MAX_LOG_DISPERSION)

    def _log_prob(self, x: Tensor, params: Parameters) -> Tensor:
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
        # A Poisson distribution whose rate follows a gamma distribution.
        mean = self.mean(params)
        theta = self._log_theta(params).exp().expand_as(mean)
        # torch has no other gamma sampler with a generator argument. torch.distributions calls
        # the same function, but with the global random state.
        rate = torch._standard_gamma(theta.contiguous(), generator=generator) * mean / theta
        return torch.poisson(rate, generator=generator)
