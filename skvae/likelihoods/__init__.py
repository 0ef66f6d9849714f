"""Likelihoods p(x | z): the distribution of a row of data given the output of a decoder.

A likelihood is an immutable value without weights: the module owns all parameters, and passes
`params` to each method. Likelihoods can therefore be compared, copied by `sklearn.base.clone` and
listed in a parameter grid. To add a likelihood, write a class and register it in `LIKELIHOODS`.

May import serialization and utils.
"""

from __future__ import annotations

from ._base import Likelihood, Marginals, Parameters, ParameterScope
from ._column_bins import ColumnBins as ColumnBins
from ._correlated_noise import correlated_params as correlated_params
from ._counts import NegativeBinomial, Poisson
from ._histogram import Histogram as Histogram
from ._real import DF_BOUNDS as DF_BOUNDS
from ._real import INITIAL_DF as INITIAL_DF
from ._real import Gaussian, StudentT
from ._real import LocationScale as LocationScale
from ._registry import LIKELIHOODS as LIKELIHOODS
from ._registry import resolve_likelihood as resolve_likelihood
from ._unit_interval import Bernoulli, ContinuousBernoulli

# The public names. Other packages of skvae also import the names with `as`.
__all__ = [
    "Bernoulli",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "Marginals",
    "NegativeBinomial",
    "ParameterScope",
    "Parameters",
    "Poisson",
    "StudentT",
]
