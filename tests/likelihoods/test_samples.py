"""Samples from every likelihood: moments, support, dtype and source of randomness."""

import math

import pytest
import torch

from helpers import f64, unchanged_random_states
from helpers_likelihoods import negative_binomial_params, sample_columns
from skvae.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from skvae.utils import soft_clamp

pytestmark = pytest.mark.torch_only

# A likelihood, parameters of each column, and variance of each column.
SAMPLED = {
    "gaussian": (
        Gaussian(),
        {"mean": f64(-5, 0, 3), "log_noise": f64(-1, 0, 1)},
        torch.exp(2 * soft_clamp(f64(-1, 0, 1), 7.0)),
    ),
    "gaussian_fixed": (
        Gaussian(2.0),
        {"mean": f64(-5, 0, 3), "log_noise": f64(math.log(2))[0]},
        f64(4, 4, 4),
    ),
    "student_t": (
        StudentT(df=12),
        {"mean": f64(-5, 0, 3), "log_noise": f64(-1, 0, 1)},
        torch.exp(2 * soft_clamp(f64(-1, 0, 1), 7.0)) * 12 / 10,
    ),
    "bernoulli": (
        Bernoulli(),
        {"logits": torch.logit(f64(0.5, 0.75, 0.1))},
        f64(0.25, 0.1875, 0.09),
    ),
    "continuous_bernoulli": (
        ContinuousBernoulli(),
        {"logits": f64(0, -20, 4)},
        # 1 / eta^2 - 1 / (4 sinh^2(eta / 2)), and 1 / 12 at eta = 0.
        f64(1 / 12, *(1 / eta**2 - 0.25 / math.sinh(eta / 2) ** 2 for eta in (20, 4))),
    ),
    "poisson": (Poisson(), {"log_rate": f64(-2, 0, 4)}, torch.exp(f64(-2, 0, 4))),
    "negative_binomial": (
        NegativeBinomial(),
        negative_binomial_params(f64(0.5, 4, 40), f64(0.5, 2, 100)),
        f64(0.5, 4, 40) + f64(0.5, 4, 40) ** 2 / f64(0.5, 2, 100),
    ),
}
every_sampler = pytest.mark.parametrize(
    ("likelihood", "params", "var"), SAMPLED.values(), ids=SAMPLED
)


@every_sampler
def test_samples_have_the_mean_and_variance_of_the_distribution(likelihood, params, var):
    n = 20_000
    x = sample_columns(likelihood, params, n)
    mean = likelihood.mean(params)
    squares = (x - mean).square()
    # Five standard errors each: a fraction of 10^-6 of all samples lies outside.
    assert ((x.mean(0) - mean).abs() < 5 * (var / n).sqrt()).all()
    # The squares of a fair coin have no variance, only rounding errors.
    assert ((squares.mean(0) - var).abs() < 5 * squares.std(0) / math.sqrt(n) + 1e-12).all()


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_samples_lie_in_the_support_and_have_the_dtype_of_the_parameters(
    likelihood, params, var, dtype
):
    cast = {name: p.to(dtype) for name, p in params.items()}
    x = sample_columns(likelihood, cast, 500)
    assert x.dtype == dtype
    assert likelihood.support.check(x).all()


@every_sampler
def test_samples_depend_on_the_given_generator_only(likelihood, params, var):
    with unchanged_random_states():
        first = sample_columns(likelihood, params, 50, seed=3)
    assert torch.equal(sample_columns(likelihood, params, 50, seed=3), first)
    assert not torch.equal(sample_columns(likelihood, params, 50, seed=4), first)
