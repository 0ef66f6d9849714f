"""Likelihoods of values in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ..utils import uniform
from ._base import Likelihood, Marginals, Parameters, ParameterScope

# The tolerance admits values such as 1 + 1e-7, as scalers produce by rounding.
_UNIT_INTERVAL = constraints.interval(-1e-6, 1 + 1e-6)


class _UnitIntervalLikelihood(Likelihood):
    """Columns in [0, 1] with one natural parameter, the logit, per row and column."""

    support = _UNIT_INTERVAL
    remedy = (
        "Scale the columns to [0, 1], for example with sklearn.preprocessing."
        "MinMaxScaler(clip=True) or by dividing bytes by 255, or use likelihood='gaussian'."
    )

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"logits": "row"}


@serializable
@dataclass(frozen=True)
class Bernoulli(_UnitIntervalLikelihood):
    """Bernoulli distribution of binary columns with values 0 and 1.

    Parameters
    ----------
    binarize : bool, default=False
        Whether training draws zeros and ones, with the values of X as probabilities of 1, in each
        step: dynamic binarisation. Scores are those of the values that are passed.

    Notes
    -----
    With success probability p, the sigmoid of the logit predicted by the decoder [1]_::

        log p(x | z) = x log(p) + (1 - x) log(1 - p)

    Grey values between 0 and 1 are allowed, as in most tutorials on images. The expression is
    then a cross-entropy: the expected log-probability of the row after random binarisation. The
    cross-entropy is a valid loss, but not a density of grey values. For a density, use
    `ContinuousBernoulli`.

    References
    ----------
    .. [1] Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix C.1.

    Examples
    --------
    >>> from skvae import Bernoulli
    >>> Bernoulli()
    Bernoulli(binarize=False)
    """

    binarize: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.binarize, bool):
            raise ValueError(
                f"Bernoulli(binarize=...) must be True or False; got {self.binarize!r}."
            )

    @property
    def is_row_random(self) -> bool:
        return self.binarize

    def draw_rows(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.where(x.isnan(), x, (u < x).to(x.dtype))

    def initial_params(self, marginals: Marginals) -> Parameters:
        # Jeffreys' prior, half a success and half a failure, keeps logits of constant columns
        # finite.
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


@serializable
@dataclass(frozen=True)
class ContinuousBernoulli(_UnitIntervalLikelihood):
    """Continuous Bernoulli distribution of grey values in [0, 1].

    Notes
    -----
    With natural parameter eta, the logit predicted by the decoder [1]_::

        log p(x | z) = eta x - log((exp(eta) - 1) / eta)
        E[x | z] = 1 / (1 - exp(-eta)) - 1 / eta

    Both formulas have a removable singularity at eta = 0, and are replaced by Taylor series near
    0.

    References
    ----------
    .. [1] Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in
       variational autoencoders", NeurIPS 2019, equations 6 to 8, rewritten in eta.

    Examples
    --------
    >>> from skvae import ContinuousBernoulli
    >>> ContinuousBernoulli()
    ContinuousBernoulli()
    """

    def initial_params(self, marginals: Marginals) -> Parameters:
        # The mean has no inverse in closed form, but increases with eta: use bisection.
        low = torch.full_like(marginals.mean, -1e4)
        high = -low
        for _ in range(60):
            midpoint = (low + high) / 2
            too_low = self.mean({"logits": midpoint}) < marginals.mean
            low, high = torch.where(too_low, midpoint, low), torch.where(too_low, high, midpoint)
        return {"logits": (low + high) / 2}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        return x * params["logits"] - _log_partition(params["logits"])

    def mean(self, params: Parameters) -> Tensor:
        eta = params["logits"]
        near_zero = eta.abs() < 0.1
        safe_eta = torch.where(near_zero, torch.ones_like(eta), eta)
        closed_form = -1 / torch.expm1(-safe_eta) - 1 / safe_eta
        return torch.where(near_zero, 0.5 + eta / 12 - eta**3 / 720, closed_form)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        # Invert the distribution function, (exp(eta x) - 1) / (exp(eta) - 1), at uniform numbers.
        eta = params["logits"]
        u = uniform(eta.shape, generator, like=eta)
        near_zero = eta.abs() < 1e-3
        safe_eta = torch.where(near_zero, torch.ones_like(eta), eta)
        closed_form = torch.logaddexp(u.log() + safe_eta, torch.log1p(-u)) / safe_eta
        return torch.where(near_zero, u + eta * u * (1 - u) / 2, closed_form).clamp(0, 1)


def _log_partition(eta: Tensor) -> Tensor:
    """Return log((e^eta - 1) / eta), with a Taylor series near 0.

    `torch.where` also backpropagates through the branch without effect, so `safe_eta` keeps the
    closed form finite where the series applies.
    """
    near_zero = eta.abs() < 0.1
    safe_eta = torch.where(near_zero, torch.ones_like(eta), eta).abs()
    closed_form = F.relu(eta) + torch.log(-torch.expm1(-safe_eta) / safe_eta)
    return torch.where(near_zero, eta / 2 + eta**2 / 24 - eta**4 / 2880, closed_form)
