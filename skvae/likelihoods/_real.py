"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ..utils import check_choice, soft_clamp, soft_clamp_inverse
from ._base import Likelihood, Marginals, Parameters, ParameterScope

# Learned noise stays within a factor e^7 (about 1,100) of the standard deviation of the data.
_MAX_LOG_NOISE = 7.0
# A learned noise starts with this fraction of the variance at least, however high the floor is.
_MIN_INITIAL_VARIANCE = 0.01


@dataclass(frozen=True)
class _LocationScale(Likelihood):
    """Distribution with a mean predicted by the decoder and a scale, called the noise."""

    noise: Literal["feature", "shared", "row"] | float = "feature"
    floor: float = 0.0

    support = constraints.real
    remedy = "Remove or impute it."

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.noise, str):
            check_choice(f"{name}(noise=...)", self.noise, ("feature", "shared", "row"))
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
            # Learned noise and floor together have the variance of a standardised column, 1.
            variance = max(1 - self.floor**2, _MIN_INITIAL_VARIANCE)
            log_noise = torch.full_like(marginals.mean, 0.5 * math.log(variance))
            log_noise = soft_clamp_inverse(log_noise, _MAX_LOG_NOISE)
            return {
                "mean": marginals.mean,
                "log_noise": log_noise[0] if self.noise == "shared" else log_noise,
            }
        log_noise = math.log(self.noise) - marginals.scale[0].log()
        return {"mean": marginals.mean, "log_noise": log_noise}

    def log_noise(self, params: Parameters) -> Tensor:
        """Return the log of the noise, with bounds and floor applied to learned noise.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters in the units of the likelihood.

        Returns
        -------
        log_noise : Tensor
            Same shape as ``params["log_noise"]``.
        """
        if not isinstance(self.noise, str):
            return params["log_noise"]
        log_noise = soft_clamp(params["log_noise"], _MAX_LOG_NOISE)
        if not self.floor:
            return log_noise
        log_floor = torch.full_like(log_noise, math.log(self.floor))
        return 0.5 * torch.logaddexp(2 * log_noise, 2 * log_floor)

    def mean(self, params: Parameters) -> Tensor:
        return params["mean"]

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        # Without "mean": an exported file contains the mean of x anyway.
        return {"log_noise": self.log_noise(params) + scale.log()}


@serializable
@dataclass(frozen=True)
class Gaussian(_LocationScale):
    """Normal distribution of real-valued columns.

    Parameters
    ----------
    noise : {"feature", "shared", "row"} or float, default="feature"
        Standard deviation sigma of x given z.

        - "feature": a learned value per column, as in factor analysis.
        - "shared": a single learned value for all columns in the units of X, as in probabilistic
          PCA.
        - "row": predicted by the decoder for each row and column.
        - a positive number: fixed, in the units of X.
    floor : float, default=0.0
        Lower bound of a learned noise, in standard deviations of the column, or of all columns if
        the noise is shared. The variance is the sum of ``floor**2`` and a learned variance. A high
        floor gives a smooth density with broad structure only. Must be 0 if the noise is fixed.

    Notes
    -----
    With mean mu and noise sigma [1]_::

        log p(x | z) = -(x - mu)**2 / (2 sigma**2) - log(sigma) - log(2 pi) / 2

    Columns are standardised: each column by its own standard deviation if the noise is "feature"
    or "row", and all columns by one common scale if the noise is "shared" or fixed, because a
    common noise must mean the same in every column. ``log_noise``, the log of a learned sigma in
    standardised units, is squashed smoothly into (-7, 7). The noise therefore never falls below
    about a thousandth of a standard deviation, and the density of a perfectly reconstructed
    column stays finite.

    With shared noise and linear networks, the model is probabilistic PCA [2]_.

    References
    ----------
    .. [1] Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, section 2.3.

    .. [2] Tipping and Bishop, "Probabilistic principal component analysis", JRSS B, 1999.

    Examples
    --------
    >>> from skvae import Gaussian
    >>> Gaussian(noise="shared")
    Gaussian(noise='shared', floor=0.0)
    """

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_std = self.log_noise(params)
        residual = (x - params["mean"]) * torch.exp(-log_std)
        log_peak = -log_std - 0.5 * math.log(2 * math.pi)
        return torch.addcmul(log_peak, residual, residual, value=-0.5)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean = params["mean"]
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + torch.exp(self.log_noise(params)) * eps


@serializable
@dataclass(frozen=True)
class StudentT(_LocationScale):
    """Student's t-distribution of real-valued columns with heavy tails.

    The log-density of a value far from the mean falls with the logarithm of the distance; the
    log-density of a normal distribution falls with the square. Isolated outlying entries
    therefore influence the model, and the score of a row, less than with `Gaussian`.

    Parameters
    ----------
    noise : {"feature", "shared", "row"} or float, default="feature"
        Scale sigma of the t-distribution. The standard deviation of x given z is
        ``sigma * sqrt(df / (df - 2))`` if ``df > 2``, and infinite otherwise.

        - "feature": a learned value per column.
        - "shared": a single learned value for all columns in the units of X.
        - "row": predicted by the decoder for each row and column.
        - a positive number: fixed, in the units of X.
    floor : float, default=0.0
        Lower bound of a learned scale, in standard deviations of the column, or of all columns if
        the noise is shared. The squared scale is the sum of ``floor**2`` and a learned square. A
        high floor gives a smooth density with broad structure only. Must be 0 if the noise is
        fixed.
    df : float, default=4.0
        Degrees of freedom, in (1, 1e6]. The fewer degrees of freedom, the heavier the tails. With
        a million, the distribution is practically normal. Four are recommended if the data are
        too few to estimate the number [2]_.

    Notes
    -----
    With mean mu, scale sigma and nu = df degrees of freedom [1]_::

        log p(x | z) = log Gamma((nu + 1) / 2) - log Gamma(nu / 2) - log(pi nu) / 2 - log(sigma)
                       - (nu + 1) / 2 log(1 + ((x - mu) / sigma)**2 / nu)

    Columns are standardised, and ``log_noise`` is bounded, in the same way as by `Gaussian`.

    References
    ----------
    .. [1] Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, section 2.3.7.

    .. [2] Lange, Little and Taylor, "Robust statistical modeling using the t distribution", JASA,
       1989.

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
            raise ValueError(
                f"StudentT(df=...) must be a number greater than 1 and at most 1e6; "
                f"got {self.df!r}."
            )

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_scale, df = self.log_noise(params), float(self.df)
        residual = (x - params["mean"]) * torch.exp(-log_scale)
        half = (df + 1) / 2
        log_peak = math.lgamma(half) - math.lgamma(df / 2) - 0.5 * math.log(math.pi * df)
        return log_peak - log_scale - half * torch.log1p(residual.square() / df)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        # A normal variable divided by the root of an independent chi-squared variable over df.
        mean, df = params["mean"], float(self.df)
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        # Half of the chi-squared variable. torch has no other sampler with a generator argument.
        gamma = torch._standard_gamma(torch.full_like(mean, df / 2), generator=generator)
        return mean + torch.exp(self.log_noise(params)) * eps * torch.sqrt(df / (2 * gamma))


def _is_positive(value: Any) -> bool:
    """Return whether `value` is a positive finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf
