"""Poisson and negative binomial distribution against scipy.stats."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import f64
from helpers_likelihoods import marginals, negative_binomial_params, sample_columns
from skvae.likelihoods import NegativeBinomial, Poisson
from skvae.utils import soft_clamp

pytestmark = pytest.mark.torch_only


def test_poisson_log_prob_agrees_with_scipy():
    x, rate = np.arange(40.0)[:, None], np.geomspace(1e-4, 1e3, 15)
    actual = Poisson().log_prob(torch.tensor(x), {"log_rate": torch.tensor(np.log(rate))})
    assert_allclose(actual, stats.poisson.logpmf(x, rate), rtol=1e-12)


@pytest.mark.parametrize("theta", [0.01, 0.5, 3.0, 2000.0])
def test_negative_binomial_log_prob_agrees_with_scipy(theta):
    x, mean = np.arange(40.0)[:, None], np.geomspace(1e-3, 1e3, 15)
    params = negative_binomial_params(torch.tensor(mean), f64(theta))
    expected = stats.nbinom.logpmf(x, theta, theta / (theta + mean))
    actual = NegativeBinomial().log_prob(torch.tensor(x), params)
    assert_allclose(actual, expected, rtol=1e-9, atol=1e-10)


def test_negative_binomial_with_little_overdispersion_is_accurate_in_float32():
    # A large theta has a large log Gamma, with a rounding error of a hundredth of a nat.
    x, mean = torch.arange(30.0), torch.full((30,), 8.0)
    params = negative_binomial_params(mean.double(), f64(8000.0))
    float32 = {name: p.float() for name, p in params.items()}
    expected = NegativeBinomial().log_prob(x.double(), params)
    assert_allclose(NegativeBinomial().log_prob(x, float32), expected, atol=0.01)


def test_negative_binomial_samples_follow_the_probabilities():
    mean, theta, n = 3.0, 1.5, 5000
    x = sample_columns(NegativeBinomial(), negative_binomial_params(f64(mean), f64(theta)), n)
    p = stats.nbinom.pmf(np.arange(15), theta, theta / (theta + mean))
    counts = np.bincount(x[:, 0].int().clamp_max(15), minlength=16)
    assert stats.chisquare(counts, n * np.append(p, 1 - p.sum())).pvalue > 1e-3


@pytest.mark.parametrize("dispersion", ["feature", "row"])
def test_initial_dispersion_matches_the_variance_of_each_column(dispersion):
    likelihood = NegativeBinomial(dispersion)
    mean, var = f64(0.5, 4, 50), f64(0.8, 30, 90)
    params = likelihood.initial_params(marginals(mean, var))
    theta = soft_clamp(params["log_dispersion"], 10.0).exp()
    assert_allclose(mean + mean**2 / theta, var, rtol=1e-10)


def test_initial_dispersion_without_overdispersion_is_nearly_poisson():
    params = NegativeBinomial().initial_params(marginals(f64(4, 4, 4), f64(4, 3.9, 0)))
    theta = soft_clamp(params["log_dispersion"], 10.0).exp()
    assert_allclose(theta, 100, rtol=1e-10)


def test_initial_shared_dispersion_is_an_average_over_columns():
    columns = marginals([4, 4], [12, 40])
    each = NegativeBinomial("feature").initial_params(columns)["log_dispersion"]
    shared = NegativeBinomial("shared").initial_params(columns)["log_dispersion"]
    assert shared.shape == ()
    assert each.min() < shared < each.max()


@pytest.mark.parametrize("dispersion", ["cell", "", 1.0, None])
def test_invalid_dispersion_is_an_error(dispersion):
    with pytest.raises(ValueError, match=r"NegativeBinomial\(dispersion=\.\.\.\) must be one of"):
        NegativeBinomial(dispersion)


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()])
def test_terms_of_large_counts_do_not_cancel_in_float32(likelihood):
    rng = np.random.RandomState(0)
    x = torch.tensor(rng.poisson(1e7, size=(50, 3)).astype(np.float32))
    params = {"log_rate": torch.tensor(1e7).log(), "log_mean": torch.tensor(1e7).log()}
    params |= {"log_dispersion": torch.tensor(1.0)}
    wide = {name: value.double() for name, value in params.items()}
    actual, expected = likelihood.log_prob(x, params), likelihood.log_prob(x.double(), wide)
    assert actual.dtype == torch.float32
    assert_allclose(actual, expected, rtol=1e-5)
