"""Likelihoods by name."""

from __future__ import annotations

from ._base import Likelihood
from ._counts import NegativeBinomial, Poisson
from ._real import Gaussian, StudentT
from ._unit_interval import Bernoulli, ContinuousBernoulli

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}


def resolve_likelihood(likelihood: str | Likelihood) -> Likelihood:
    """Return the likelihood with the given name and default options, or the object passed in."""
    return LIKELIHOODS[likelihood]() if isinstance(likelihood, str) else likelihood
