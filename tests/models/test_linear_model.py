"""Probabilistic PCA and factor analysis against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis

from helpers import f64, normal
from skvae.models._linear_model import factor_analysis, probabilistic_pca

pytestmark = pytest.mark.torch_only

MIN_NOISE_VAR = 3e-6


@pytest.fixture(scope="module")
def rows():
    x = normal(300, 2) @ normal(2, 6, seed=1) + normal(300, 6, seed=2) * f64(0.2, 0.4, 1, 1, 2, 3)
    return (x - x.mean(0)) / x.std(0, correction=0)


def covariance_of(x):
    return x.T @ x / len(x)


def pca(covariance, k, *, noise_var=None, min_noise_var=MIN_NOISE_VAR):
    return probabilistic_pca(covariance, k, noise_var=noise_var, min_noise_var=min_noise_var)


def fa(covariance, k, *, min_noise_var=MIN_NOISE_VAR):
    return factor_analysis(covariance, k, min_noise_var=min_noise_var)


every_model = pytest.mark.parametrize("fit", [pca, fa])


def model_covariance(model):
    return model.loadings @ model.loadings.T + torch.diag(model.noise_var)


def log_likelihood(model, x):
    return multivariate_normal(model.mean, model_covariance(model)).logpdf(x).mean()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_factor_analysis_reaches_the_likelihood_of_scikit_learn(rows, k):
    expected = FactorAnalysis(k, tol=1e-4, max_iter=5000, svd_method="lapack").fit(rows)
    # Both end when an iteration gains little, and the likelihood is flat.
    assert log_likelihood(fa(covariance_of(rows), k), rows) > expected.score(rows) - 2e-3


def test_factor_analysis_of_columns_with_more_than_one_scale_is_the_same_model(rows):
    scale = f64(1e-3, 0.1, 1, 5, 20, 1e4)
    model, scaled = (fa(covariance_of(x), 2, min_noise_var=1e-20) for x in (rows, rows * scale))
    assert_allclose(model.noise_var.sqrt() * scale, scaled.noise_var.sqrt(), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_noise_of_probabilistic_pca_is_the_mean_of_the_other_variances(rows, k):
    covariance = covariance_of(rows)
    model, variances = pca(covariance, k), torch.linalg.eigvalsh(covariance)
    assert_allclose(model.noise_var, variances[:-k].mean().expand(6), rtol=1e-12)
    # The model has the exact variances along the axes of the codes, and the mean of the others.
    expected = [*variances[:-k].mean().expand(6 - k), *variances[-k:]]
    assert_allclose(torch.linalg.eigvalsh(model_covariance(model)), expected, rtol=1e-12)


def test_a_given_noise_stays_and_larger_noise_than_variances_leaves_no_loadings(rows):
    model = pca(covariance_of(rows), 2, noise_var=f64(0.5)[0])
    assert_allclose(model.noise_var, [0.5] * 6)
    assert model.loadings.abs().max() > 0.1
    assert_allclose(pca(covariance_of(rows), 2, noise_var=f64(100)[0]).loadings, np.zeros((6, 2)))


@every_model
@pytest.mark.parametrize("floor", [MIN_NOISE_VAR, 0.09])
def test_the_noise_stays_above_its_lower_bound(rows, fit, floor):
    flat = rows[:, :2] @ normal(2, 6, seed=3)  # two dimensions explain all columns
    model = fit(covariance_of(flat), 2, min_noise_var=floor)
    assert_allclose(model.noise_var, [floor] * 6, rtol=1e-3)


@every_model
def test_as_many_factors_as_columns_reproduce_the_covariance(rows, fit):
    covariance = covariance_of(rows)
    assert_allclose(model_covariance(fit(covariance, 6)), covariance, atol=2e-3)


@every_model
@pytest.mark.parametrize("k", [1, 3])
def test_constant_columns_have_no_loadings(fit, k):
    covariance = torch.diag(f64(1, 0, 2, 0))
    model = fit(covariance, k)
    assert all(part.isfinite().all() for part in model)
    assert_allclose(model.loadings[[1, 3]], np.zeros((2, k)), atol=1e-12)
    assert_allclose(fit(torch.zeros_like(covariance), k).loadings, np.zeros((4, k)))


@every_model
def test_the_posterior_of_the_rotated_model_is_the_exact_posterior(rows, fit):
    model = fit(covariance_of(rows), 2)
    rotated = model.rotated()
    assert_allclose(model_covariance(rotated), model_covariance(model), rtol=1e-12)
    weight, var = rotated.posterior()
    # Gaussian conditioning, in the space of the columns.
    inverse = torch.linalg.inv(model_covariance(rotated))
    expected = torch.eye(2) - rotated.loadings.T @ inverse @ rotated.loadings
    assert_allclose(torch.diag(var), expected, atol=1e-12)
    assert_allclose(weight, rotated.loadings.T @ inverse, atol=1e-12)
    assert var[0] < var[1]  # the dimension that the row determines best comes first


@every_model
def test_distances_are_mahalanobis_distances(rows, fit):
    model = fit(covariance_of(rows), 2).rotated()
    expected = ((rows @ torch.linalg.inv(model_covariance(model))) * rows).sum(1)
    assert_allclose(model.distances(rows), expected, rtol=1e-9)
