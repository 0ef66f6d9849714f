"""Linear VAEs against exact models: probabilistic PCA and factor analysis."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from helpers import linear_networks
from skvae import Gaussian, VAETransformer
from skvae.models import _noise_covariance

pytestmark = pytest.mark.torch_only


@pytest.fixture(scope="module")
def tables(wine, digits):
    return {
        "wine": (StandardScaler().fit_transform(wine), 2),
        "digits": (StandardScaler().fit_transform(digits), 8),
        "raw wine": (wine, 2),
        "raw digits": (digits, 8),
    }


def linear_vae(k, noise, **params):
    return VAETransformer(
        k, hidden_layer_sizes=(), likelihood=Gaussian(noise), random_state=0, **params
    )


def exact(k, noise):
    """Return the linear model of scikit-learn with the same noise."""
    if noise == "shared":
        return PCA(k)
    return FactorAnalysis(k, tol=1e-8, max_iter=5000, svd_method="lapack")


def best_evidence(X, k, noise_var=None):
    """Return the mean evidence of probabilistic PCA by maximum likelihood.

    The noise of scikit-learn's PCA has n - 1 in the denominator, which matters for few rows.
    """
    values, axes = np.linalg.eigh(np.cov(X.T, bias=True))
    if noise_var is None:
        noise_var = values[:-k].mean()
    loadings = axes[:, -k:] * np.sqrt(np.maximum(values[-k:] - noise_var, 0))
    covariance = loadings @ loadings.T + noise_var * np.eye(X.shape[1])
    return multivariate_normal(X.mean(0), covariance).logpdf(X).mean()


@torch.no_grad()
def exact_evidence(vae, X):
    """Return log N(x; b, W W^T + noise) per row, at the parameters of a linear VAE."""
    k, d, module = vae.latent_dim, X.shape[1], vae.module_
    b = vae.inverse_transform(np.zeros((1, k)))[0]
    W = (vae.inverse_transform(np.eye(k)) - b).T
    params = dict(module.global_params)
    if module.likelihood.noise == "full":
        (whitening,) = module.likelihood.public_parameters(params, module.units.scale).values()
        noise = np.linalg.inv((whitening.T @ whitening).numpy())
    else:
        std = module.likelihood.log_noise(params).double().exp() * module.units.scale
        noise = np.diag(np.broadcast_to(std.numpy() ** 2, d))
    covariance = W @ W.T + noise
    return multivariate_normal(b, covariance).logpdf(X)


# A rate at which a single epoch hardly moves the weights.
AT_THE_START = {"max_iter": 1, "learning_rate_init": 1e-6, "n_importance_samples": 1}
every_case = pytest.mark.parametrize(
    ("data", "noise"),
    [
        ("wine", "shared"),
        ("raw wine", "shared"),
        ("raw digits", "shared"),
        ("wine", "feature"),
        ("digits", "feature"),
    ],
)


@every_case
def test_a_linear_vae_starts_at_the_optimum_with_the_exact_posterior(tables, data, noise):
    X, k = tables[data]
    vae = linear_vae(k, noise, **AT_THE_START).fit(X)
    # With the exact posterior, the bound is the evidence for each row, even with a single draw.
    # The tolerance covers rounding to float32.
    np.testing.assert_allclose(vae.score_samples(X), exact_evidence(vae, X), atol=5e-3)
    assert vae.score(X) == pytest.approx(exact(k, noise).fit(X).score(X), abs=1e-3)


@pytest.mark.parametrize("data", ["wine", "raw wine"])
def test_a_full_noise_starts_at_the_normal_density_of_the_rows(tables, data, monkeypatch):
    X, k = tables[data]
    monkeypatch.setattr(_noise_covariance, "_WEIGHTS", (1e-6,))  # hardly any shrinkage
    vae = linear_vae(k, "full", **AT_THE_START).fit(X)
    best = multivariate_normal(X.mean(0), np.cov(X.T, bias=True)).logpdf(X).mean()
    assert vae.score(X) == pytest.approx(best, abs=1e-2)
    np.testing.assert_allclose(vae.score_samples(X), exact_evidence(vae, X), atol=1e-2)


@pytest.mark.parametrize("noise", ["shared", "feature"])
@pytest.mark.parametrize(("max_iter", "tolerance"), [(1, 0.05), ("auto", 0.005)])
def test_training_stays_at_the_optimum(tables, noise, max_iter, tolerance):
    X, k = tables["wine"]
    vae = linear_vae(k, noise, max_iter=max_iter).fit(X)
    assert vae.score(X) == pytest.approx(exact(k, noise).fit(X).score(X), abs=tolerance)
    assert_is_a_bound(vae, X)


@pytest.mark.parametrize("n_rows", [10, 20])
def test_a_start_at_few_rows_is_probabilistic_pca_of_these_rows(tables, n_rows):
    X, k = tables["wine"][0][:n_rows], 2
    vae = linear_vae(k, "shared", **AT_THE_START).fit(X)
    assert vae.score(X) == pytest.approx(best_evidence(X, k), abs=1e-3)


def test_as_many_dimensions_as_columns_reach_the_full_normal_density(tables):
    X = tables["wine"][0]
    d = X.shape[1]
    best = multivariate_normal(X.mean(0), np.cov(X.T, bias=True)).logpdf(X).mean()
    for k in (d, d + 3):  # codes of more dimensions than columns are not used
        vae = linear_vae(k, "shared", **AT_THE_START).fit(X)
        # Between d - 1 and d dimensions, the likelihood falls by the noise that must be positive.
        assert vae.score(X) == pytest.approx(best, abs=1e-2)
        assert (vae.transform(X)[:, d:].std(0) < 1e-5).all()


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_a_fixed_noise_has_the_best_loadings_given_the_noise(tables, sigma):
    X, k = tables["raw wine"]
    vae = linear_vae(k, sigma, **AT_THE_START).fit(X)
    assert vae.score(X) == pytest.approx(best_evidence(X, k, noise_var=sigma**2), rel=1e-4)


def test_a_linear_vae_learns_probabilistic_pca_from_random_weights(tables):
    X, k = tables["wine"]
    vae = linear_vae(k, "shared", max_iter=300, learning_rate_init=0.01, batch_size=64)
    vae.set_params(architecture=linear_networks).fit(X)
    assert vae.score(X) == pytest.approx(PCA(k).fit(X).score(X), rel=0.005)
    assert_is_a_bound(vae, X)


def assert_is_a_bound(vae, X):
    """Check that the score is at most the evidence, and equal to the evidence with many draws."""
    evidence = exact_evidence(vae, X)
    # All rows share the few draws, so the error does not average out over rows.
    assert vae.score(X) <= evidence.mean() + 0.02
    vae.set_params(n_importance_samples=4096)
    np.testing.assert_allclose(vae.score_samples(X[:100]), evidence[:100], atol=0.02)


def test_the_bound_tightens_with_the_number_of_draws(tables):
    X, k = tables["wine"]
    # After one epoch from random weights, the encoder is far from the true posterior, so the first
    # bound is loose.
    vae = linear_vae(k, "shared", max_iter=1).set_params(architecture=linear_networks).fit(X)
    evidence = exact_evidence(vae, X).mean()
    gaps = [evidence - vae.set_params(n_importance_samples=n).score(X) for n in (1, 4, 16, 1024)]
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[3] == pytest.approx(0, abs=0.02)
