"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ..utils import soft_clamp, soft_clamp_inverse
from ._base import Likelihood, Marginals, Parameters, ParameterScope, check_choice

# The log of learned noise stays within a factor e^7 (about 1,100) of the data's.
_MAX_LOG_NOISE = 7.0


@dataclass(frozen=True)
class _Noisy(Likelihood):
    """What the decoder says, and noise of some size about it."""

    noise: Literal["feature", "shared", "row"] | float = "feature"
    floor: float = 0.0

    support = constraints.real
    remedy = "Remove or impute it."

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.noise, str):
            check_choice(name, "noise", self.noise, ("feature", "shared", "row"))
        elif not _is_positive(self.noise):
            raise ValueError(
                f"{name}(noise=...) must be a positive finite number; got {self.noise!r}."
            )
        if self.floor != 0 and not (_is_positive(self.floor) and isinstance(self.noise, str)):
            raise ValueError(
                f"{name}(floor=...) must be a finite number of at least 0, and 0 if the noise is "
                f"fixed; got {self!r}."
            )

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"mean": "row", "log_noise": self.noise if isinstance(self.noise, str) else "fixed"}

    @property
    def standardize(self) -> Literal["feature", "shared"]:
        return "feature" if self.noise in ("feature", "row") else "shared"

    def initial_params(self, marginals: Marginals) -> Parameters:
        if isinstance(self.noise, str):
            # With the floor, the columns' own.
            share = max(1 - self.floor**2, 0.01)
            log_noise = torch.full_like(marginals.mean, 0.5 * math.log(share))
            log_noise = soft_clamp_inverse(log_noise, _MAX_LOG_NOISE)
            return {
                "mean": marginals.mean,
                "log_noise": log_noise[0] if self.noise == "shared" else log_noise,
            }
        log_noise = math.log(self.noise) - marginals.scale[0].log()
        return {"mean": marginals.mean, "log_noise": log_noise}

    def log_noise(self, params: Parameters) -> Tensor:
        """Return the log of the noise, kept within bounds if learned."""
        if not isinstance(self.noise, str):
            return params["log_noise"]
        log_noise = soft_clamp(params["log_noise"], _MAX_LOG_NOISE)
        if not self.floor:
            return log_noise
        floor = torch.full_like(log_noise, math.log(self.floor))
        return 0.5 * torch.logaddexp(2 * log_noise, 2 * floor)

    def mean(self, params: Parameters) -> Tensor:
        return params["mean"]

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        # The mean is that of x.
        return {"log_noise": self.log_noise(params) + scale.log()}


@dataclass(frozen=True)
class Gaussian(_Noisy):
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

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_std = self.log_noise(params)
        residual = (x - params["mean"]) * torch.exp(-log_std)
        peak = -log_std - 0.5 * math.log(2 * math.pi)
        return torch.addcmul(peak, residual, residual, value=-0.5)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean = params["mean"]
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + torch.exp(self.log_noise(params)) * eps


@dataclass(frozen=True)
class StudentT(_Noisy):
    """Student's t-distribution of real-valued columns with heavy tails.

    A value far from what the decoder says costs a t-distribution the logarithm of the distance,
    and a normal one its square. So single entries that are far out move the model less, and
    weigh less in a row's score.

    Parameters
    ----------
    noise, floor
        As for `Gaussian`, with the scale of the t-distribution in place of the standard
        deviation, which is ``sqrt(df / (df - 2))`` times the scale if ``df > 2``, else infinite.
    df : float, default=4.0
        Degrees of freedom, more than 1: the fewer, the heavier the tails. At most a million,
        where it is a normal distribution.

    References
    ----------
    Lange, Little and Taylor, "Robust statistical modeling using the t distribution", JASA, 1989,
    who advise 4 degrees of freedom where there are too few data to estimate them.

    Examples
    --------
    >>> from skvae import StudentT
    >>> StudentT(df=3)
    StudentT(noise='feature', floor=0.0, df=3)
    """

    df: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_positive(self.df) or not 1 < self.df <= 1e6:
            raise ValueError(f"StudentT(df=...) must be in (1, 1e6]; got {self.df!r}.")

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_scale, df = self.log_noise(params), float(self.df)
        residual = (x - params["mean"]) * torch.exp(-log_scale)
        half = (df + 1) / 2
        peak = math.lgamma(half) - math.lgamma(df / 2) - 0.5 * math.log(math.pi * df)
        return peak - log_scale - half * torch.log1p(residual.square() / df)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean, df = params["mean"], float(self.df)
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        # Half a chi-squared variable. The only sampler of torch for it that takes a generator.
        gamma = torch._standard_gamma(torch.full_like(mean, df / 2), generator=generator)
        return mean + torch.exp(self.log_noise(params)) * eps * torch.sqrt(df / (2 * gamma))


def _is_positive(value: Any) -> bool:
    """Return whether `value` is a positive finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf
