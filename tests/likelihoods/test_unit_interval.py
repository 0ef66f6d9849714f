"""Bernoulli and continuous Bernoulli distribution against scipy.stats and quadrature."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import special, stats

from helpers import f64, seeded
from helpers_likelihoods import marginals, sample_columns
from skvae.likelihoods import Bernoulli, ContinuousBernoulli

pytestmark = pytest.mark.torch_only

# Logits at which the formulas of the continuous Bernoulli are delicate: 0, the limits of the
# Taylor series, and large values.
ETAS = [-50.0, -9.0, -1.0, -0.1 - 1e-12, -0.1, -0.1 + 1e-12, -1e-3, -1e-8, 0.0]
ETAS = torch.tensor(ETAS + [-eta for eta in reversed(ETAS[:-1])], dtype=torch.float64)
both_likelihoods = pytest.mark.parametrize(
    "likelihood", [Bernoulli(), ContinuousBernoulli()], ids=repr
)


def gauss_legendre() -> tuple[torch.Tensor, torch.Tensor]:
    """Return nodes and weights on [0, 1], exact up to rounding for ETAS."""
    node, weight = np.polynomial.legendre.leggauss(100)
    return torch.from_numpy((node + 1) / 2), torch.from_numpy(weight / 2)


# ---- Bernoulli -----------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_bernoulli_log_prob_agrees_with_scipy(x):
    logits = np.linspace(-12, 12, 25)
    actual = Bernoulli().log_prob(torch.full((25,), x).double(), {"logits": torch.tensor(logits)})
    assert_allclose(actual, stats.bernoulli.logpmf(x, special.expit(logits)), rtol=1e-10)


def test_bernoulli_log_prob_is_exact_at_extreme_logits():
    x, logits = f64(0, 1, 0, 1), f64(800, 800, -800, -800)
    assert_allclose(Bernoulli().log_prob(x, {"logits": logits}), [-800, 0, 0, -800])


def test_bernoulli_log_prob_of_grey_values_is_the_cross_entropy():
    x, logits = np.linspace(0, 1, 11), np.linspace(-3, 3, 11)
    p = special.expit(logits)
    actual = Bernoulli().log_prob(torch.tensor(x), {"logits": torch.tensor(logits)})
    assert_allclose(actual, x * np.log(p) + (1 - x) * np.log1p(-p), rtol=1e-12)


# ---- Continuous Bernoulli ------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_log_prob_is_the_formula_of_the_density(x):
    eta = ETAS[ETAS != 0].numpy()
    expected = x * eta + np.log(eta / np.expm1(eta))
    actual = ContinuousBernoulli().log_prob(f64(x), {"logits": torch.from_numpy(eta)})
    # The first omitted term of the Taylor series is 6e-12 at the limit of the series.
    assert_allclose(actual, expected, rtol=1e-13, atol=6e-12)


def test_continuous_bernoulli_is_uniform_at_logit_0():
    log_prob = ContinuousBernoulli().log_prob(f64(0, 0.25, 1), {"logits": f64(0, 0, 0)})
    assert log_prob.tolist() == [0, 0, 0]


def test_continuous_bernoulli_density_integrates_to_1():
    x, weight = gauss_legendre()
    density = ContinuousBernoulli().log_prob(x[:, None], {"logits": ETAS}).exp()
    assert_allclose(weight @ density, 1, atol=1e-11)


def test_continuous_bernoulli_log_prob_is_finite_at_extreme_logits():
    log_prob = ContinuousBernoulli().log_prob(
        f64(0, 1, 0, 1), {"logits": f64(-1e4, -1e4, 1e4, 1e4)}
    )
    edge = math.log(1e4)
    assert_allclose(log_prob, [edge, edge - 1e4, edge - 1e4, edge], rtol=1e-12)


def test_continuous_bernoulli_mean_is_the_expectation():
    x, weight = gauss_legendre()
    likelihood = ContinuousBernoulli()
    expected = (weight * x) @ likelihood.log_prob(x[:, None], {"logits": ETAS}).exp()
    assert_allclose(likelihood.mean({"logits": ETAS}), expected, atol=1e-9)


@pytest.mark.parametrize("eta", [-20.0, -1e-4, 0.0, 0.01, 4.0])
def test_continuous_bernoulli_samples_have_the_variance_of_the_density(eta):
    x, weight = gauss_legendre()
    likelihood, params, n = ContinuousBernoulli(), {"logits": f64(eta)}, 20_000
    density = likelihood.log_prob(x[:, None], params).exp()[:, 0]
    mean = weight * x @ density
    squares = (sample_columns(likelihood, params, n)[:, 0] - mean).square()
    # Five standard errors.
    tolerance = 5 * squares.std() / math.sqrt(n)
    assert (squares.mean() - weight * (x - mean) ** 2 @ density).abs() < tolerance


@pytest.mark.parametrize("eta", [-50.0, -0.11, -0.09, -1e-8, 0.0, 1e-8, 0.09, 0.11, 50.0])
def test_continuous_bernoulli_gradient_is_correct_near_0_and_far_away(eta):
    logits = f64(eta).requires_grad_()
    x = f64(0.3)
    likelihood = ContinuousBernoulli()
    assert torch.autograd.gradcheck(lambda eta: likelihood.log_prob(x, {"logits": eta}), logits)
    # The derivative of a log-partition function is the mean.
    (gradient,) = torch.autograd.grad(likelihood.log_prob(x, {"logits": logits}), logits)
    assert_allclose(gradient, x - likelihood.mean({"logits": logits.detach()}), atol=1e-9)


@pytest.mark.parametrize("eta", [-30.0, -1.01e-3, -0.99e-3, 0.0, 0.05, 2.0])
def test_continuous_bernoulli_samples_follow_the_distribution_function(eta):
    x = sample_columns(ContinuousBernoulli(), {"logits": f64(eta)}, 5000)[:, 0]

    def cdf(x):
        return np.expm1(eta * x) / np.expm1(eta) if eta else x

    assert stats.kstest(x.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("eta", [-30.0, -0.05, -1.01e-3, -0.99e-3, 1e-8, 0.99e-3, 0.05, 2.0])
def test_continuous_bernoulli_samples_are_quantiles_of_uniform_numbers(eta):
    def sample(eta):
        return sample_columns(ContinuousBernoulli(), {"logits": f64(eta)}, 500)[:, 0]

    u = sample(0.0)
    assert_allclose(np.expm1(eta * sample(eta).numpy()) / np.expm1(eta), u, atol=1e-7)


# ---- Both ----------------------------------------------------------------------------


@both_likelihoods
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_gradient_at_an_extreme_logit_is_finite(likelihood, value):
    logits = torch.tensor([value], requires_grad=True)
    likelihood.log_prob(torch.tensor([0.5]), {"logits": logits}).backward()
    assert_allclose(logits.grad, [-math.copysign(0.5, value)], rtol=1e-3)


@both_likelihoods
def test_initial_logits_are_finite_for_means_just_outside_of_the_interval(likelihood):
    params = likelihood.initial_params(marginals([1 + 5e-7, -5e-7], [0, 0]))
    assert params["logits"].isfinite().all()


def test_binarised_rows_have_the_mean_of_the_grey_values_and_keep_missing_entries():
    likelihood, u = Bernoulli(binarize=True), torch.rand(10_000, 4, generator=seeded())
    x = torch.tensor([0.0, 0.3, 1.0, math.nan]).expand(10_000, -1)
    drawn = likelihood.draw_rows(x, u)
    assert likelihood.is_row_random
    assert set(drawn[:, :3].unique().tolist()) == {0, 1}
    assert_allclose(drawn.mean(0), [0, 0.3, 1, math.nan], atol=0.02)
    assert not Bernoulli().is_row_random


def test_binarize_must_be_a_boolean():
    with pytest.raises(ValueError, match=r"Bernoulli\(binarize=\.\.\.\) must be True or False"):
        Bernoulli(binarize="yes")
