"""Likelihoods p(x | z): what a decoder's outputs say about a row of data.

A likelihood is an immutable value without weights: the module owns every parameter and
hands it in. So a likelihood can be compared, copied by `sklearn.base.clone`, and listed
in a grid. Adding one takes one class here and its line in `LIKELIHOODS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import constraints

from ._numerics import soft_bound, soft_bound_inverse, uniform

Parameters = dict[str, Tensor]
Share = Literal["row", "feature", "shared", "fixed"]

# Rows that a scaler put at 1 + 1e-7 are inside the unit interval for every purpose here.
_UNIT_INTERVAL = constraints.interval(-1e-6, 1 + 1e-6)
# Learned log standard deviations stay within a factor e^7 (about 1,100) of the data's.
_MAX_LOG_STD = 7.0
# exp(10): beyond that a negative binomial is a Poisson to float32 precision.
_MAX_LOG_DISPERSION = 10.0


class Marginals(NamedTuple):
    """What is known of each column before training, in the likelihood's own units."""

    n_samples: int
    mean: Tensor  # (d,)
    var: Tensor  # (d,)
    scale: Tensor  # (d,), the size of one such unit in units of X


class Likelihood(ABC):
    """Conditional distribution of one row given its code, independent over columns.

    Subclasses are frozen dataclasses. Tensor arguments carry rows first and columns
    last; `params` maps each name in `parameters` to a tensor that broadcasts against
    ``(..., n, d)``. Everything is in the likelihood's own units: the module converts.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        Values the likelihood can explain.
    remedy : str
        What to do about a value outside `support`, for the error message.
    """

    support: ClassVar[constraints.Constraint]
    remedy: ClassVar[str]

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Share]:
        """Name of each parameter, and what it varies with.

        "row" parameters come out of the decoder, "feature" and "shared" ones are learned
        apart from it, one per column or one in all, and "fixed" ones are given.
        """

    @property
    def standardize(self) -> Literal["feature", "shared"] | None:
        """Whether to standardise columns before use: each, by one common scale, or not."""
        return None

    def encoder_input(self, x: Tensor) -> Tensor:
        """Return what the encoder sees of `x`, at a size that suits a network."""
        return x

    @abstractmethod
    def start(self, marginals: Marginals) -> Parameters:
        """Return the parameters, (d,) or scalars, that describe the columns before training."""

    @abstractmethod
    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        """Return log p(x | z) per row and column in nats, all constants included."""

    @abstractmethod
    def mean(self, params: Parameters) -> Tensor:
        """Return E[x | z] per row and column."""

    @abstractmethod
    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        """Draw x from p(x | z), one value per row and column."""


def _check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{owner}({name}=...) must be one of {list(choices)}; got {value!r}.")


def _is_positive(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Normal distribution of real-valued columns.

    Parameters
    ----------
    noise : {"feature", "shared", "row"} or float, default="feature"
        Standard deviation of x given z. "feature" learns one per column, as factor
        analysis does; "shared" learns one for all columns in the units of X, as
        probabilistic PCA does; "row" lets the decoder predict one for each row and
        column; a positive number fixes it, in the units of X.
    floor : float, default=0.0
        How small a learned noise may become, in standard deviations of the column, or of all
        columns where the noise is shared: its variance is that of the floor and a learned one
        together. A high floor makes a smooth density, which follows broad structure alone.

    Notes
    -----
    Columns are standardised on the way in: each by its own standard deviation, or, where
    one noise is common to all, by one common scale, so that the noise means the same in
    every column. The learned noise never falls below about a thousandth of that scale,
    which keeps the density of a column that the decoder explains exactly finite.

    References
    ----------
    Tipping and Bishop, "Probabilistic principal component analysis", JRSS B, 1999, for
    the shared noise and its linear limit.

    Examples
    --------
    >>> from skvae import Gaussian
    >>> Gaussian(noise="shared")
    Gaussian(noise='shared', floor=0.0)
    """

    noise: Literal["feature", "shared", "row"] | float = "feature"
    floor: float = 0.0

    support = constraints.real
    remedy = "Remove or impute it."

    def __post_init__(self) -> None:
        if isinstance(self.noise, str):
            _check_choice("Gaussian", "noise", self.noise, ("feature", "shared", "row"))
        elif not _is_positive(self.noise):
            raise ValueError(
                f"Gaussian(noise=...) must be a positive finite number; got {self.noise!r}."
            )
        if self.floor != 0 and not (_is_positive(self.floor) and isinstance(self.noise, str)):
            raise ValueError(
                "Gaussian(floor=...) must be a finite number of at least 0, and 0 if the noise is "
                f"fixed; got {self!r}."
            )

    @property
    def parameters(self) -> dict[str, Share]:
        return {"mean": "row", "log_std": self.noise if isinstance(self.noise, str) else "fixed"}

    @property
    def standardize(self) -> Literal["feature", "shared"]:
        return "feature" if self.noise in ("feature", "row") else "shared"

    def start(self, marginals: Marginals) -> Parameters:
        if isinstance(self.noise, str):
            # With the floor, the columns' own.
            share = max(1 - self.floor**2, 0.01)
            log_std = torch.full_like(marginals.mean, 0.5 * math.log(share))
            log_std = soft_bound_inverse(log_std, _MAX_LOG_STD)
            return {
                "mean": marginals.mean,
                "log_std": log_std[0] if self.noise == "shared" else log_std,
            }
        return {"mean": marginals.mean, "log_std": math.log(self.noise) - marginals.scale[0].log()}

    def log_std(self, params: Parameters) -> Tensor:
        """Return the log of the noise's standard deviation, kept within bounds if learned."""
        if not isinstance(self.noise, str):
            return params["log_std"]
        log_std = soft_bound(params["log_std"], _MAX_LOG_STD)
        if not self.floor:
            return log_std
        floor = torch.full_like(log_std, math.log(self.floor))
        return 0.5 * torch.logaddexp(2 * log_std, 2 * floor)

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_std = self.log_std(params)
        residual = (x - params["mean"]) * torch.exp(-log_std)
        peak = -log_std - 0.5 * math.log(2 * math.pi)
        return torch.addcmul(peak, residual, residual, value=-0.5)

    def mean(self, params: Parameters) -> Tensor:
        return params["mean"]

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean = params["mean"]
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + torch.exp(self.log_std(params)) * eps


class _UnitInterval(Likelihood):
    """Columns in [0, 1] with one natural parameter, the logit, per row and column."""

    support = _UNIT_INTERVAL
    remedy = (
        "Scale the columns to [0, 1], for example with sklearn.preprocessing."
        "MinMaxScaler(clip=True) or by dividing bytes by 255, or use likelihood='gaussian'."
    )

    @property
    def parameters(self) -> dict[str, Share]:
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

    def start(self, marginals: Marginals) -> Parameters:
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

    def start(self, marginals: Marginals) -> Parameters:
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


class _Count(Likelihood):
    """Columns of counts 0, 1, 2, ..., which the encoder sees as log(1 + x)."""

    support = constraints.nonnegative_integer
    remedy = "Counts must be the integers 0, 1, 2, ...; for other data use likelihood='gaussian'."

    def encoder_input(self, x: Tensor) -> Tensor:
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
    def parameters(self) -> dict[str, Share]:
        return {"log_rate": "row"}

    def start(self, marginals: Marginals) -> Parameters:
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
        _check_choice("NegativeBinomial", "dispersion", self.dispersion, choices)

    @property
    def parameters(self) -> dict[str, Share]:
        return {"log_mean": "row", "log_dispersion": self.dispersion}

    def start(self, marginals: Marginals) -> Parameters:
        mean, excess = marginals.mean, marginals.var - marginals.mean
        theta = torch.where(excess > 0, mean.square() / excess.clamp_min(1e-12), 100.0)
        log_theta = soft_bound_inverse(theta.clamp_min(1e-3).log(), _MAX_LOG_DISPERSION)
        if self.dispersion == "shared":
            log_theta = log_theta.mean()
        return {"log_mean": _log_mean_count(marginals), "log_dispersion": log_theta}

    def _log_theta(self, params: Parameters) -> Tensor:
        return soft_bound(params["log_dispersion"], _MAX_LOG_DISPERSION)

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_theta = self._log_theta(params)
        theta, log_odds = log_theta.exp(), params["log_mean"] - log_theta
        log_choose = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
        return log_choose + x * F.logsigmoid(log_odds) + theta * F.logsigmoid(-log_odds)

    def mean(self, params: Parameters) -> Tensor:
        return params["log_mean"].exp()

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean = self.mean(params)
        theta = self._log_theta(params).exp().expand_as(mean)
        # The only gamma sampler of torch that takes a generator; torch.distributions
        # calls the same one, but draws from the global state.
        rate = torch._standard_gamma(theta.contiguous(), generator=generator) * mean / theta
        return torch.poisson(rate, generator=generator)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}


def resolve_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """Return the likelihood of that name, or the object itself."""
    return LIKELIHOODS[likelihood]() if isinstance(likelihood, str) else likelihood
