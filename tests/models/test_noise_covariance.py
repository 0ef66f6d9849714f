"""The covariance of what the factors of a linear model leave unexplained."""

import pytest
import torch
from numpy.testing import assert_allclose

from helpers import normal
from skvae.models import _noise_covariance
from skvae.models._linear_model import factor_analysis
from skvae.models._noise_covariance import noise_covariance

pytestmark = pytest.mark.torch_only

D = 6


def fit(x):
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    return factor_analysis(covariance, 1, min_noise_var=1e-6)._replace(mean=mean).rotated()


def correlated_rows(n):
    """Return rows whose correlations take far more than one factor."""
    return normal(n, D) @ (torch.eye(D) + 0.8 * normal(D, D, seed=1)).double() + 3


def covariance_of(x):
    return (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)


def test_loadings_and_noise_have_the_covariance_of_many_rows():
    x = correlated_rows(4000)
    model = fit(x)
    total = noise_covariance(x, model, fit) + model.loadings @ model.loadings.T
    assert_allclose(total, covariance_of(x), atol=0.01)
    # The variances of factor analysis alone leave the correlations out.
    alone = model.loadings @ model.loadings.T + model.noise_var.diag()
    assert (alone - covariance_of(x)).abs().max() > 0.2


def test_the_posterior_is_that_of_factor_analysis():
    x = correlated_rows(200)
    model = fit(x)
    noise = noise_covariance(x, model, fit)
    weight, var = model.posterior()
    # Gaussian conditioning with the full covariance of the noise.
    precise = model.loadings.T @ torch.linalg.inv(noise)
    exact = torch.linalg.inv(torch.eye(1) + precise @ model.loadings)
    assert_allclose(exact, var.diag(), rtol=1e-8)
    assert_allclose(exact @ precise, weight, rtol=1e-8)


def test_rows_of_factor_analysis_get_hardly_any_correlations():
    x = normal(300, 1) @ normal(1, D, seed=1) + normal(300, D, seed=2)
    noise = noise_covariance(x, fit(x), fit)
    std = noise.diagonal().sqrt()
    correlations = noise / std / std[:, None] - torch.eye(D)
    assert correlations.abs().max() < 0.1


@pytest.mark.parametrize("n", [3, 9, 12])
def test_fewer_rows_than_columns_have_a_regular_covariance(n):
    x = correlated_rows(n)[:, : D + 10]
    model = fit(x)
    noise = noise_covariance(x, model, fit)
    assert torch.linalg.cholesky_ex(noise).info == 0
    if n < 10:  # too few rows to hold some out
        assert_allclose(noise, model.noise_var.diag(), rtol=1e-9, atol=1e-12)


def test_the_weight_has_the_highest_density_of_new_rows(monkeypatch):
    x, new = correlated_rows(40), correlated_rows(4000)[2000:]
    model = fit(x)

    def density(weights):
        monkeypatch.setattr(_noise_covariance, "_WEIGHTS", weights)
        total = noise_covariance(x, model, fit) + model.loadings @ model.loadings.T
        return torch.distributions.MultivariateNormal(model.mean, total).log_prob(new).mean()

    weights = _noise_covariance._WEIGHTS
    chosen, best = density(weights), max(density((weight,)) for weight in weights)
    assert chosen > best - 0.2
    assert chosen > density((1.0,)) + 0.5


@pytest.mark.parametrize("n_ones", [0, 1], ids=["constant", "one in a single row"])
def test_a_column_that_hardly_varies_does_not_decide_the_weight(n_ones):
    x = correlated_rows(200)
    column = torch.zeros(200, 1, dtype=x.dtype)
    column[:n_ones] = 1
    both = torch.cat([x, column], 1)
    expected = noise_covariance(x, fit(x), fit)
    actual = noise_covariance(both, fit(both), fit)
    assert_allclose(actual[:D, :D], expected, rtol=0.05, atol=0.05)
    if n_ones == 0:
        assert_allclose(actual[D, D], 1e-6)  # the smallest variance of the linear model


def test_columns_with_hardly_any_noise_keep_their_relations():
    x = normal(2000, D)
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    x[:, 2] = x[:, 0] + 1e-3 * x[:, 2]
    model = fit(x)
    total = noise_covariance(x, model, fit) + model.loadings @ model.loadings.T
    smallest = torch.linalg.eigvalsh(covariance_of(x))[:2]
    assert_allclose(torch.linalg.eigvalsh(total)[:2], smallest, rtol=0.2)
