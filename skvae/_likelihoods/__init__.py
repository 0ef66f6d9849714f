"""Likelihoods p(x | z): what a decoder's outputs say about a row of data.

A likelihood is an immutable value without weights: the module owns every parameter and
hands it in. So a likelihood can be compared, copied by `sklearn.base.clone`, and listed
in a grid. Adding one takes one class and its line in `LIKELIHOODS`.
"""

from __future__ import annotations

from ._base import Likelihood, Marginals, Parameters, Share
from ._counts import NegativeBinomial, Poisson
from ._histogram import Cells, Histogram
from ._real import Gaussian, StudentT
from ._unit_interval import Bernoulli, ContinuousBernoulli

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Cells",
    "ContinuousBernoulli",
    "Gaussian",
    "Histogram",
    "Likelihood",
    "Marginals",
    "NegativeBinomial",
    "Parameters",
    "Poisson",
    "Share",
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
