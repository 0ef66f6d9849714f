"""Likelihoods of values in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import constraints

from ..utils import uniform
from ._base import Likelihood, Marginals, Parameters, ParameterScope

# Rows that a scaler put at 1 + 1e-7 are inside the unit interval for every purpose here.
_UNIT_INTERVAL = constraints.interval(-1e-6, 1 + 1e-6)


class _UnitInterval(Likelihood):
    """Columns in [0, 1] with one natural parameter, the logit, per row and column."""

    support = _UNIT_INTERVAL
    remedy = (
        "Scale the columns to [0, 1], for example with sklearn.preprocessing."
        "MinMaxScaler(clip=True) or by dividing bytes by 255, or use likelihood='gaussian'."
    )

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"logits": "row"}


@dataclass(frozen=True)
class Bernoulli(_UnitInterval):
    """Bernoulli distribution of binary columns, coded 0 and 1.

    Notes
    -----
    Grey values between 0 and 1 are allowed, as most tutorials do with images: the
    expression ``x log p + (1 - x) log(1 - p)`` is then the cross-entropy between a coin
    that shows x and the decoder's. It is a fine loss and bounds the log-probability of
    the randomly binarised row, but it is not a density over grey values. For
    one, use `ContinuousBernoulli`.

    Examples
    --------
    >>> from skvae import Bernoulli
    >>> Bernoulli()
    Bernoulli()
    """

    def initial_params(self, marginals: Marginals) -> Parameters:
        # Half a success and half a failure more (Jeffreys) keep constant columns finite.
        p = (marginals.mean * marginals.n_samples + 0.5) / (marginals.n_samples + 1)
        return {"logits": torch.logit(p.clamp(1e-9, 1 - 1e-9))}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        logits = params["logits"]
        target = x.expand_as(logits)
        return -F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def mean(self, params: Parameters) -> Tensor:
        return torch.sigmoid(params["logits"])

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        return torch.bernoulli(self.mean(params), generator=generator)


@dataclass(frozen=True)
class ContinuousBernoulli(_UnitInterval):
    """Continuous Bernoulli distribution of grey values in [0, 1].

    Notes
    -----
    With natural parameter eta, the logit, the density is ``exp(eta x) eta / (e^eta - 1)``
    on [0, 1]. Its log-partition function and mean have removable singularities at
    eta = 0, where both are evaluated by their series.

    References
    ----------
    Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in
    variational autoencoders", NeurIPS 2019, equations 6 to 8, rewritten in eta.

    Examples
    --------
    >>> from skvae import ContinuousBernoulli
    >>> ContinuousBernoulli()
    ContinuousBernoulli()
    """

    def initial_params(self, marginals: Marginals) -> Parameters:
        # The mean has no closed-form inverse, but it rises with eta: bisect.
        low = torch.full_like(marginals.mean, -1e4)
        high = -low
        for _ in range(60):
            middle = (low + high) / 2
            too_low = self.mean({"logits": middle}) < marginals.mean
            low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
        return {"logits": (low + high) / 2}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        return x * params["logits"] - _log_partition(params["logits"])

    def mean(self, params: Parameters) -> Tensor:
        eta = params["logits"]
        near_zero = eta.abs() < 0.1
        away = torch.where(near_zero, torch.ones_like(eta), eta)
        exact = -1 / torch.expm1(-away) - 1 / away
        return torch.where(near_zero, 0.5 + eta / 12 - eta**3 / 720, exact)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        eta = params["logits"]
        u = uniform(eta.shape, generator, like=eta)
        near_zero = eta.abs() < 1e-3
        away = torch.where(near_zero, torch.ones_like(eta), eta)
        exact = torch.logaddexp(u.log() + away, torch.log1p(-u)) / away
        return torch.where(near_zero, u + eta * u * (1 - u) / 2, exact).clamp(0, 1)


def _log_partition(eta: Tensor) -> Tensor:
    """Log of (e^eta - 1) / eta, stable for any eta, with its gradient at 0."""
    near_zero = eta.abs() < 0.1
    away = torch.where(near_zero, torch.ones_like(eta), eta).abs()
    exact = F.relu(eta) + torch.log(-torch.expm1(-away) / away)
    return torch.where(near_zero, eta / 2 + eta**2 / 24 - eta**4 / 2880, exact)
