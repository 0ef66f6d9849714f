"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ..utils import check_choice, soft_clamp, soft_clamp_inverse
from . import _correlated_noise as correlated
from ._base import Likelihood, Marginals, Parameters, ParameterScope

_NOISES = ("feature", "shared", "row")
# Learned noise stays within a factor e^7 (about 1,100) of the standard deviation of the data.
_MAX_LOG_NOISE = 7.0
# The square of a learned noise starts with this fraction of the squared floor at least, so that
# training can change the noise, and with e^-12.6, the smallest value that `soft_clamp_inverse`
# inverts exactly.
_MIN_FRACTION_OF_FLOOR = 0.01
_MIN_INITIAL_VARIANCE = math.exp(-2 * 0.9 * _MAX_LOG_NOISE)
# Learned degrees of freedom start at 10 and stay within a factor of 5: between 2, below which the
# variance is infinite, and 50, where the distribution is practically normal, except that single
# far outliers do not dominate the sum over rows.
INITIAL_DF = 10.0
_MAX_DF_FACTOR = 5.0
_MAX_LOG_DF_FACTOR = math.log(_MAX_DF_FACTOR)
DF_BOUNDS = (INITIAL_DF / _MAX_DF_FACTOR, INITIAL_DF * _MAX_DF_FACTOR)


@dataclass(frozen=True)
class LocationScale(Likelihood):
    """Distribution with a mean predicted by the decoder and a scale, called the noise."""

    noise: Any = "feature"
    floor: float = 0.0

    support = constraints.real
    remedy = "Remove or impute it."
    _noises: ClassVar[tuple[str, ...]] = _NOISES

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.noise, str):
            check_choice(f"{name}(noise=...)", self.noise, self._noises)
        elif not _is_positive(self.noise):
            raise ValueError(
                f"{name}(noise=...) must be a positive finite number; got {self.noise!r}."
            )
        if self.floor != 0 and not (_is_positive(self.floor) and self.noise in _NOISES):
            raise ValueError(
                f"{name}(floor=...) must be a finite number of at least 0, and 0 if the noise is "
                f"fixed or 'full'; got {self!r}."
            )

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        scope: Any = self.noise if isinstance(self.noise, str) else "fixed"
        return {"mean": "row", "log_noise": scope}

    @property
    def standardize(self) -> Literal["feature", "shared"]:
        return "feature" if self.noise in ("feature", "row") else "shared"

    def initial_params(self, marginals: Marginals) -> Parameters:
        if isinstance(self.noise, str):
            # Learned noise and floor together have the variance of a standardised column, 1.
            log_noise = self.initial_log_noise(torch.ones_like(marginals.mean))
        else:
            log_noise = math.log(self.noise) - marginals.scale[0].log()
        return {"mean": marginals.mean, "log_noise": log_noise}

    @property
    def min_initial_variance(self) -> float:
        """Smallest square of a learned noise before training, floor included."""
        floor_var = self.floor**2
        return floor_var + max(_MIN_FRACTION_OF_FLOOR * floor_var, _MIN_INITIAL_VARIANCE)

    def initial_log_noise(self, variance: Tensor) -> Tensor:
        """Return the parameter of a learned noise with a given variance.

        Parameters
        ----------
        variance : Tensor of shape (d,)
            Squared noise of each column, in the units of the likelihood, floor included. Smaller
            values than `min_initial_variance` count as `min_initial_variance`.

        Returns
        -------
        log_noise : Tensor of shape (d,) or, if the noise is shared, ()
            Parameter in the form of ``params["log_noise"]``.
        """
        learned = variance.clamp_min(self.min_initial_variance) - self.floor**2
        log_noise = soft_clamp_inverse(0.5 * learned.log(), _MAX_LOG_NOISE)
        return log_noise.mean() if self.noise == "shared" else log_noise

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
class Gaussian(LocationScale):
    """Normal distribution of real-valued columns.

    Parameters
    ----------
    noise : {"feature", "shared", "row", "full"} or float, default="feature"
        Standard deviation sigma of x given z.

        - "feature": a learned value per column, as in factor analysis.
        - "shared": a single learned value for all columns in the units of X, as in probabilistic
          PCA.
        - "row": predicted by the decoder for each row and column.
        - "full": a learned covariance of all columns, as in a single multivariate normal
          distribution. For columns that nearly determine each other.
        - a positive number: fixed, in the units of X.
    floor : float, default=0.0
        Lower bound of a learned noise, in standard deviations of the column, or of all columns if
        the noise is shared. The variance is the sum of ``floor**2`` and a learned variance. A high
        floor gives a smooth density with broad structure only. Must be 0 if the noise is fixed or
        "full".

    Notes
    -----
    With mean mu and noise sigma [1]_::

        log p(x | z) = -(x - mu)**2 / (2 sigma**2) - log(sigma) - log(2 pi) / 2

    Columns are standardised: each column by its own standard deviation if the noise is "feature",
    "row" or "full", and all columns by one common scale if the noise is "shared" or fixed, because
    a common noise must mean the same in every column. In a model with condition columns and a
    linear path, each column's own standard deviation is that of the residuals of a linear
    regression on the conditions. ``log_noise``, the log of a learned sigma in
    standardised units, is squashed smoothly into (-7, 7). The noise therefore never falls below
    about a thousandth of a standard deviation, and the density of a perfectly reconstructed
    column stays finite. In a column that is a linear function of other columns, the unit is the
    standard deviation from the function instead: a row far from the function then has an extremely
    low density, unless the tails are those of `StudentT`.

    With shared noise and linear networks, the model is probabilistic PCA [2]_.

    With "full" noise and covariance S of the noise, for a row of d columns::

        log p(x | z) = -(x - mu)^T S^-1 (x - mu) / 2 - log(det S) / 2 - d log(2 pi) / 2

    Networks with a linear path start at factor analysis, with the covariance of what the factors
    leave unexplained as S. The correlations in S are shrunk towards 0, as strongly as is best for
    held-out rows. The linear model is then the covariance of the rows, shrunk towards the
    covariance of factor analysis [3]_. Weight decay, `alpha` of the estimators, also pulls S
    towards its initial value. Other networks start at independent columns. Bounds hold for the
    determinant of S, so the density of a perfectly reconstructed row stays finite. In
    `VAEOutlierDetector.explain`, correlated columns share the log-density of a row regardless of
    their order [4]_.

    References
    ----------
    .. [1] Bishop, "Pattern Recognition and Machine Learning", Springer, 2006, section 2.3.

    .. [2] Tipping and Bishop, "Probabilistic principal component analysis", JRSS B, 1999.

    .. [3] Ledoit and Wolf, "Improved estimation of the covariance matrix of stock returns with an
       application to portfolio selection", Journal of Empirical Finance, 2003.

    .. [4] Garthwaite and Koch, "Evaluating the contributions of individual variables to a
       quadratic form", Australian and New Zealand Journal of Statistics, 2016.

    Examples
    --------
    >>> from skvae import Gaussian
    >>> Gaussian(noise="shared")
    Gaussian(noise='shared', floor=0.0)
    """

    _noises = (*_NOISES, "full")

    @property
    def is_correlated(self) -> bool:
        return bool(self.noise == "full")

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return dict(correlated.SCOPES) if self.is_correlated else super().parameters

    @property
    def standardize(self) -> Literal["feature", "shared"]:
        return "feature" if self.is_correlated else super().standardize

    def initial_params(self, marginals: Marginals) -> Parameters:
        if not self.is_correlated:
            return super().initial_params(marginals)
        return correlated.correlated_params(marginals.mean, torch.ones_like(marginals.mean).diag())

    def _bounded(self, params: Parameters) -> Parameters:
        """Return the parameters with bounds applied to the noise."""
        return {**params, "log_noise": self.log_noise(params)}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        params = self._bounded(params)
        if self.is_correlated:
            return correlated.log_prob(x, params)
        log_std = params["log_noise"]
        residual = (x - params["mean"]) * torch.exp(-log_std)
        log_peak = -log_std - 0.5 * math.log(2 * math.pi)
        return torch.addcmul(log_peak, residual, residual, value=-0.5)

    def observed_log_prob(self, x: Tensor, params: Parameters, placeholder: Tensor) -> Tensor:
        if not self.is_correlated:
            return super().observed_log_prob(x, params, placeholder)
        return correlated.observed_log_prob(x, self._bounded(params))

    def contributions(self, x: Tensor, params: Parameters) -> Tensor:
        if not self.is_correlated:
            return super().contributions(x, params)
        return correlated.contributions(x, self._bounded(params))

    def mean(self, params: Parameters) -> Tensor:
        return correlated.mean(params) if self.is_correlated else super().mean(params)

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        if not self.is_correlated:
            return super().public_parameters(params, scale)
        return {"whitening": correlated.whitening_matrix(self._bounded(params)) / scale}

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        mean, params = self.mean(params), self._bounded(params)
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        if self.is_correlated:
            return mean + correlated.color(eps, params)
        return mean + torch.exp(params["log_noise"]) * eps

    def complete(self, x: Tensor, params: Parameters, generator: Generator | None = None) -> Tensor:
        if not self.is_correlated:
            return super().complete(x, params, generator)
        draw = self.mean(params) if generator is None else self.sample(params, generator)
        return correlated.complete(x, draw, self._bounded(params))


@serializable
@dataclass(frozen=True)
class StudentT(LocationScale):
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
    df : float or "feature", default=4.0
        Degrees of freedom: the fewer, the heavier the tails. A number must lie in (1, 1e6]. With a
        million, the distribution is practically normal. "feature" learns a value between 2 and 50
        for each column, from 10 as the initial value. For fixed degrees of freedom, four are
        recommended if the data are too few to estimate the number [2]_.

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

    df: float | Literal["feature"] = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.df == "feature":
            return
        if not _is_positive(self.df) or not 1 < float(self.df) <= 1e6:
            raise ValueError(
                "StudentT(df=...) must be a number greater than 1 and at most 1e6, or 'feature'; "
                f"got {self.df!r}."
            )

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        parameters = super().parameters
        if self.df == "feature":
            parameters["log_df"] = "feature"
        return parameters

    def initial_params(self, marginals: Marginals) -> Parameters:
        params = super().initial_params(marginals)
        if self.df == "feature":
            params["log_df"] = torch.zeros_like(marginals.mean)
        return params

    def initial_log_df(self, df: Tensor) -> Tensor:
        """Return the parameter of given degrees of freedom of each column, (d,)."""
        return soft_clamp_inverse((df / INITIAL_DF).log(), _MAX_LOG_DF_FACTOR)

    def degrees_of_freedom(self, params: Parameters) -> Tensor | float:
        """Return the degrees of freedom, with bounds applied to learned values.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters in the units of the likelihood.

        Returns
        -------
        df : Tensor of shape (d,) or float
            One value per column if learned, otherwise a single value.
        """
        if isinstance(self.df, str):
            return INITIAL_DF * soft_clamp(params["log_df"], _MAX_LOG_DF_FACTOR).exp()
        return float(self.df)

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_scale, df = self.log_noise(params), self.degrees_of_freedom(params)
        residual = (x - params["mean"]) * torch.exp(-log_scale)
        log_tail = (df + 1) / 2 * torch.log1p(residual.square() / df)
        return _log_normalizer(df) - log_scale - log_tail

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        public = super().public_parameters(params, scale)
        df = self.degrees_of_freedom(params)
        return {**public, "df": df} if isinstance(df, Tensor) else public

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        # A normal variable divided by the root of an independent chi-squared variable over df.
        mean, df = params["mean"], self.degrees_of_freedom(params)
        eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        # Half of the chi-squared variable. torch has no other sampler with a generator argument.
        gamma = torch._standard_gamma(torch.zeros_like(mean) + df / 2, generator=generator)
        return mean + torch.exp(self.log_noise(params)) * eps * torch.sqrt(df / (2 * gamma))


def _log_normalizer(df: Tensor | float) -> Tensor | float:
    """Return the log-density of a t-distribution with scale 1 at the mean."""
    if isinstance(df, Tensor):
        log_pi_df = torch.log(math.pi * df)
        return torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * log_pi_df
    return math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(math.pi * df)


def _is_positive(value: Any) -> bool:
    """Return whether `value` is a positive finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf
