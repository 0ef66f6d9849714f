"""Likelihood of real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from .._numerics import soft_bound, soft_bound_inverse
from ._base import Likelihood, Marginals, Parameters, Share, check_choice

# Learned log standard deviations stay within a factor e^7 (about 1,100) of the data's.
_MAX_LOG_STD = 7.0


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
            check_choice("Gaussian", "noise", self.noise, ("feature", "shared", "row"))
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


def _is_positive(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and 0 < float(value) < math.inf
