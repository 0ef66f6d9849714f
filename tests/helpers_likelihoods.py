"""Parameters and rows for tests of several likelihoods."""

import pytest
import torch

from helpers import f64, seeded
from skvae.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    Marginals,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from skvae.utils import soft_clamp_inverse

ALL_LIKELIHOODS = [
    Gaussian("feature"),
    Gaussian("shared"),
    Gaussian("row"),
    Gaussian("full"),
    Gaussian(0.7),
    StudentT(),
    StudentT("shared", floor=0.5, df=1.5),
    StudentT("row", df=30),
    StudentT(0.7, df=2),
    StudentT(df="feature"),
    StudentT("row", floor=0.1, df="feature"),
    Bernoulli(),
    ContinuousBernoulli(),
    Poisson(),
    NegativeBinomial("feature"),
    NegativeBinomial("shared"),
    NegativeBinomial("row"),
]
every_likelihood = pytest.mark.parametrize("likelihood", ALL_LIKELIHOODS, ids=repr)


def random_params(likelihood: Likelihood, n: int, d: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return standard normal parameters, in the shapes that the scopes require.

    The whitening matrix is lower triangular, with a positive diagonal.
    """
    generator = seeded(seed)
    params = {
        name: torch.randn(shape_of(scope, n, d), generator=generator, dtype=torch.float64)
        for name, scope in likelihood.parameters.items()
    }
    if "whitening" in params:
        whitening = params["whitening"].tril(-1) + params["whitening"].diagonal().exp().diag()
        params |= {"whitening": whitening, "coloring": torch.linalg.inv(whitening)}
    return params


def shape_of(scope, n, d):
    """Return the shape of a parameter for n rows and d columns."""
    shapes = {"row": (n, d), "feature": (d,), "matrix": (d, d), "fixed_matrix": (d, d)}
    return shapes.get(scope, ())


def random_rows(likelihood: Likelihood, n: int, d: int, seed: int = 1) -> torch.Tensor:
    """Return rows within the support."""
    if isinstance(likelihood, ContinuousBernoulli):
        return torch.rand(n, d, generator=seeded(seed), dtype=torch.float64)
    return likelihood.sample(random_params(likelihood, n, d, seed), seeded(seed))


def sample_columns(likelihood, params, n, seed=0):
    """Return n samples per column, from parameters expanded as by a decoder."""
    rows = {
        name: params[name].expand(n, -1) if scope == "row" else params[name]
        for name, scope in likelihood.parameters.items()
    }
    return likelihood.sample(rows, seeded(seed))


def negative_binomial_params(mean: torch.Tensor, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"log_mean": mean.log(), "log_dispersion": soft_clamp_inverse(theta.log(), 10.0)}


def marginals(mean, var, n_samples=10**12, scale=1.0) -> Marginals:
    mean, var = f64(*mean), f64(*var)
    return Marginals(n_samples, mean, var, torch.full_like(mean, scale))
