"""Linear VAEs against exact models: probabilistic PCA and factor analysis."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, VAETransformer

pytestmark = pytest.mark.torch_only


@pytest.fixture(scope="module")
def tables(wine, digits):
    return {
        "wine": (StandardScaler().fit_transform(wine), 2),
        "digits": (StandardScaler().fit_transform(digits), 8),
        "raw digits": (digits, 8),
    }


def linear_vae(k, noise, n_epochs, **params):
    return VAETransformer(
        k,
        hidden_layer_sizes=(),
        likelihood=Gaussian(noise),
        max_iter=n_epochs,
        random_state=0,
        **{"learning_rate_init": 0.01, "batch_size": 64, **params},
    )


@torch.no_grad()
def exact_evidence(vae, X):
    """Return log N(x; b, W W^T + noise) per row, at the parameters of a linear VAE."""
    k, d, module = vae.latent_dim, X.shape[1], vae.module_
    b = vae.inverse_transform(np.zeros((1, k)))[0]
    W = (vae.inverse_transform(np.eye(k)) - b).T
    std = module.likelihood.log_noise(dict(module.global_params)).double().exp() * module.scale
    covariance = W @ W.T + np.diag(np.broadcast_to(std.numpy() ** 2, d))
    return multivariate_normal(b, covariance).logpdf(X)


@pytest.mark.parametrize(
    ("data", "n_epochs", "params"),
    [
        ("wine", 300, {}),
        # Many steps: after fewer, what is left to learn is as large as the tolerance.
        ("raw digits", 300, {"learning_rate_init": 0.02, "batch_size": 200}),
    ],
)
def test_linear_vae_with_shared_noise_is_probabilistic_pca(tables, data, n_epochs, params):
    X, k = tables[data]
    vae = linear_vae(k, "shared", n_epochs, **params).fit(X)
    assert vae.score(X) == pytest.approx(PCA(k).fit(X).score(X), rel=0.005)
    assert_is_a_bound(vae, X)


@pytest.mark.parametrize(("data", "n_epochs"), [("wine", 600), ("digits", 150)])
def test_linear_vae_with_noise_per_feature_is_factor_analysis(tables, data, n_epochs):
    X, k = tables[data]
    vae = linear_vae(k, "feature", n_epochs).fit(X)
    exact = FactorAnalysis(k, tol=1e-6, max_iter=5000).fit(X)
    assert vae.score(X) == pytest.approx(exact.score(X), rel=0.005)
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
    # After few epochs the encoder is far from the true posterior, so the first bound is loose.
    vae = linear_vae(k, "shared", 3).fit(X)
    evidence = exact_evidence(vae, X).mean()
    gaps = [evidence - vae.set_params(n_importance_samples=n).score(X) for n in (1, 4, 16, 1024)]
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[3] == pytest.approx(0, abs=0.02)
