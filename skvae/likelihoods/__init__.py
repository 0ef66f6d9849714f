"""Likelihoods p(x | z): the distribution of a row of data given the outputs of a decoder.

A likelihood is an immutable value without weights. The module owns every parameter and passes the
parameters in, so a likelihood can be compared, copied by `sklearn.base.clone`, and listed in a
grid. A new likelihood is one class and its entry in `LIKELIHOODS`. May import serialization and
utils.
"""

from __future__ import annotations

from ._base import Likelihood, Marginals, Parameters, ParameterScope
from ._counts import NegativeBinomial, Poisson
from ._histogram import ColumnBins, Histogram
from ._real import Gaussian, StudentT
from ._unit_interval import Bernoulli, ContinuousBernoulli

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "ColumnBins",
    "ContinuousBernoulli",
    "Gaussian",
    "Histogram",
    "Likelihood",
    "Marginals",
    "NegativeBinomial",
    "ParameterScope",
    "Parameters",
    "Poisson",
    "StudentT",
    "resolve_likelihood",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}


def resolve_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """Return the likelihood of that name, or the object itself."""
    return LIKELIHOODS[likelihood]() if isinstance(likelihood, str) else likelihood
