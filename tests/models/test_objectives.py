"""Terms of the bound against torch.distributions and exact evidence."""

import math

import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from torch import distributions as D

from helpers import build_vae, normal, seeded
from skvae import Bernoulli, Gaussian, Poisson
from skvae.likelihoods import Likelihood
from skvae.models import VAE
from skvae.models._objectives import (
    ElboTerms,
    contributions_to_bound,
    elbo_terms,
    importance_resampled_codes,
    importance_weighted_bound,
    importance_weighted_draws,
    importance_weighted_terms,
    kl_divergence,
)
from skvae.models._posterior import Posterior
from skvae.utils._numerics import soft_clamp_inverse

pytestmark = pytest.mark.torch_only

N_FEATURES, LATENT_DIM = 5, 2
PRIOR = D.Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))


def build(
    likelihood: str | Likelihood = "gaussian",
    hidden_layer_sizes: tuple[int, ...] = (7,),
    missing: bool = False,
) -> VAE:
    """Return a small model in double precision, in evaluation mode and without gradients."""
    options = {"hidden_layer_sizes": hidden_layer_sizes, "missing": missing}
    module = build_vae(N_FEATURES, LATENT_DIM, likelihood=likelihood, **options)
    return module.double().eval().requires_grad_(False)


def rows(likelihood: str | Likelihood, n: int = 6) -> torch.Tensor:
    x = normal(n, N_FEATURES, seed=1)
    if likelihood in ("bernoulli", Bernoulli()):
        return (x > 0).double()
    return x.abs().round() if likelihood in ("poisson", Poisson()) else x


def joint_and_posterior(
    module: VAE, x: torch.Tensor, z: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log p(x, z) and log q(z | x), both (..., n), by torch.distributions."""
    q = module.encode(x)
    log_prior = PRIOR.log_prob(z).sum(-1)
    log_posterior = D.Normal(q.mean, q.log_var.exp().sqrt()).log_prob(z).sum(-1)
    return module.log_likelihood(x, z) + log_prior, log_posterior


# ---- The terms -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-3, 0.5, 1.0, 8.0])
def test_kl_divergence_equals_that_of_torch(size):
    mean, log_var = size * normal(6, 3), size * normal(6, 3, seed=1)
    expected = D.kl_divergence(D.Normal(mean, (log_var / 2).exp()), PRIOR).sum(-1)
    actual = kl_divergence(Posterior(mean, log_var))
    assert actual.shape == (6,)
    # The formula of torch cancels near the prior, hence the absolute tolerance.
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


def test_kl_divergence_near_the_prior_is_accurate():
    mean, log_var = torch.full((1, 1), 1e-4), torch.full((1, 1), 1e-3)  # in single precision
    exact = 0.5 * (1e-8 + math.expm1(1e-3) - 1e-3)
    assert_allclose(kl_divergence(Posterior(mean, log_var)), [exact], rtol=1e-3)


def test_kl_divergence_of_the_prior_from_itself_is_0():
    zero = torch.zeros(4, 2, dtype=torch.float64)
    assert kl_divergence(Posterior(zero, zero)).tolist() == [0] * 4


def test_elbo_is_the_log_likelihood_minus_the_kl_divergence():
    log_likelihood, kl = normal(4), normal(4, seed=1)
    terms = ElboTerms(log_likelihood, kl, Posterior(kl, kl))
    assert torch.equal(terms.elbo, log_likelihood - kl)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_elbo_terms_are_evaluated_at_the_drawn_code(likelihood):
    module, x, eps = build(likelihood), rows(likelihood), normal(6, LATENT_DIM)
    terms = elbo_terms(module, x, eps)
    q = module.encode(x)
    z = q.mean + (q.log_var / 2).exp() * eps
    expected = D.kl_divergence(D.Normal(q.mean, q.std), PRIOR).sum(-1)
    assert_allclose(terms.log_likelihood, module.log_likelihood(x, z), rtol=1e-13)
    assert_allclose(terms.kl_divergence, expected, rtol=1e-12)
    assert torch.equal(terms.posterior.mean, q.mean)


# ---- The importance-weighted bound ---------------------------------------------------


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_the_bound_of_one_draw_is_the_log_ratio_of_joint_and_posterior(likelihood):
    module, x = build(likelihood), rows(likelihood)
    eps = normal(1, LATENT_DIM)
    log_joint, log_posterior = joint_and_posterior(module, x, module.encode(x).rsample(eps))
    expected = log_joint - log_posterior
    assert_allclose(importance_weighted_bound(module, x, eps), expected, rtol=1e-12)


def test_the_bound_of_many_draws_is_the_log_of_the_mean_weight():
    module, x, eps = build(), rows("gaussian"), normal(9, LATENT_DIM)
    log_joint, log_posterior = joint_and_posterior(
        module, x, module.encode(x).rsample(eps[:, None])
    )
    expected = (log_joint - log_posterior).exp().mean(0).log()
    assert_allclose(importance_weighted_bound(module, x, eps), expected, rtol=1e-12)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_the_mean_bound_increases_with_the_number_of_draws(likelihood):
    module, x, eps = build(likelihood), rows(likelihood), normal(64, LATENT_DIM)
    # The mean over disjoint groups of the same draws increases strictly with the size of
    # the groups, by Jensen's inequality.
    bounds = torch.stack(
        [
            torch.stack(
                [importance_weighted_bound(module, x, group) for group in eps.split(size)]
            ).mean(0)
            for size in (1, 4, 16, 64)
        ]
    )
    assert (bounds.diff(dim=0) > 0).all()


def test_the_mean_bound_of_one_draw_is_the_elbo():
    module, x = build(), rows("gaussian", 1)
    eps = normal(4000, LATENT_DIM)
    many = x.expand(4000, -1)
    elbo = elbo_terms(module, many, eps).elbo
    log_joint, log_posterior = joint_and_posterior(module, many, module.encode(many).rsample(eps))
    difference = (log_joint - log_posterior) - elbo
    assert difference.mean().abs() < 4 * difference.std() / math.sqrt(4000)


def test_the_bound_of_a_row_does_not_depend_on_other_rows():
    module, x, eps = build(), rows("gaussian"), normal(8, LATENT_DIM)
    together = importance_weighted_bound(module, x, eps)
    alone = torch.cat([importance_weighted_bound(module, row[None], eps) for row in x])
    assert_allclose(together, alone, rtol=1e-12)


# ---- Exact evidence ------------------------------------------------------------------


def solved_linear_vae(noise: float | str) -> tuple[VAE, multivariate_normal]:
    """Return a linear VAE whose encoder is the exact posterior, and p(x) in units of X.

    Bishop, "Pattern Recognition and Machine Learning", equations 12.35 and 12.42: with
    orthogonal loadings W, the posterior covariance is diagonal, like that of the encoder.
    """
    module = build(Gaussian(noise), hidden_layer_sizes=())
    W, _ = torch.linalg.qr(normal(N_FEATURES, LATENT_DIM, seed=5))
    W *= torch.tensor([2.0, 0.6])
    b, std = normal(N_FEATURES, seed=6), 0.4
    M = 1 + W.square().sum(0) / std**2  # (k,), the posterior precision
    module.units.shift.copy_(normal(N_FEATURES, seed=7))
    module.units.scale.fill_(3.0)

    decoder, encoder = module.decoder.linear, module.encoder.linear
    decoder.weight.copy_(W)
    module.bias.copy_(b[None])
    log_std = torch.tensor(math.log(std), dtype=torch.float64)
    module.global_params["log_noise"].copy_(
        soft_clamp_inverse(log_std, 7.0) if isinstance(noise, str) else log_std
    )
    to_mean = W.T / std**2 / M[:, None]
    encoder.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
    encoder.bias.copy_(torch.cat([-to_mean @ b, soft_clamp_inverse(-M.log(), 20.0)]))

    covariance = W @ W.T + std**2 * torch.eye(N_FEATURES, dtype=torch.float64)
    mean = 3.0 * b + module.units.shift
    evidence = multivariate_normal(mean.numpy(), (9.0 * covariance).numpy())
    return module, evidence


@pytest.mark.parametrize("noise", ["feature", "shared", 1.2])
@pytest.mark.parametrize("n_draws", [1, 7])
def test_the_bound_with_the_exact_posterior_is_the_evidence_for_any_draw(noise, n_draws):
    module, evidence = solved_linear_vae(noise)
    X = 3 * normal(20, N_FEATURES, seed=8)
    eps = 3 * normal(n_draws, LATENT_DIM, seed=9)
    actual = importance_weighted_bound(module, module.standardize(X), eps)
    assert_allclose(actual, evidence.logpdf(X.numpy()), rtol=1e-12)


def test_the_mean_elbo_with_the_exact_posterior_is_the_evidence():
    module, evidence = solved_linear_vae("shared")
    X = normal(1, N_FEATURES, seed=8)
    x = module.standardize(X).expand(4, -1)
    # The four draws have the mean and the covariance of a standard normal distribution, and
    # the log-likelihood is quadratic: the mean over the draws is the expectation.
    eps = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert_allclose(elbo_terms(module, x, eps).elbo.mean(), evidence.logpdf(X[0]), rtol=1e-12)


def test_any_other_posterior_has_a_lower_elbo_than_the_exact_posterior():
    module, evidence = solved_linear_vae("shared")
    X = normal(1, N_FEATURES, seed=8)
    x = module.standardize(X).expand(4, -1)
    eps = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    for index in range(2 * LATENT_DIM):
        for step in (-0.1, 0.1):
            module.encoder.linear.bias[index] += step
            assert elbo_terms(module, x, eps).elbo.mean() < evidence.logpdf(X[0]) - 1e-4
            module.encoder.linear.bias[index] -= step


# ---- Contributions to the bound ------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian("row"), "bernoulli", "poisson"])
def test_contributions_add_up_to_the_bound(likelihood):
    module, x, eps = build(likelihood), rows(likelihood), normal(16, LATENT_DIM, seed=2)
    contributions = contributions_to_bound(module, x, eps)
    assert contributions.shape == (len(x), N_FEATURES + 1)
    assert_allclose(contributions.sum(-1), importance_weighted_bound(module, x, eps), rtol=1e-12)


def test_the_contribution_of_a_feature_is_the_expected_log_likelihood():
    module, x = build(), rows("gaussian")
    module.units.scale.copy_(torch.arange(1.0, N_FEATURES + 1))
    eps = normal(20_000, LATENT_DIM, seed=2)
    z = module.encode(x).rsample(eps.unsqueeze(1))
    joint, log_posterior = joint_and_posterior(module, x, z)
    params = module.decode(z)
    of_features = D.Normal(params["mean"], module.likelihood.log_noise(params).exp()).log_prob(x)
    of_features = of_features - module.units.scale.log()
    weights = torch.softmax(joint - log_posterior, 0).unsqueeze(-1)
    expected = (weights * of_features).sum(0)
    assert_allclose(contributions_to_bound(module, x, eps)[:, :-1], expected, rtol=1e-9)


def test_the_contribution_of_the_code_is_minus_the_kl_divergence():
    # The decoder ignores the code, so the weighted draws are draws from the prior.
    module, x = build(), rows("gaussian")
    module.decoder.set_zero()
    contributions = contributions_to_bound(module, x, normal(50_000, LATENT_DIM, seed=2))
    assert_allclose(contributions[:, -1], torch.zeros(len(x)), atol=0.05)


# ---- Several draws for each row ------------------------------------------------------


def test_importance_weighted_terms_are_the_bound_and_mean_terms_of_the_elbo():
    module, x, eps = build(), rows("gaussian"), normal(5, 6, LATENT_DIM, seed=2)
    bound, terms = importance_weighted_terms(module, x, eps)
    for row in range(len(x)):
        alone = importance_weighted_bound(module, x[row : row + 1], eps[:, row])
        assert_allclose(bound[row], alone[0], rtol=1e-12)
    plain = [elbo_terms(module, x, draw) for draw in eps]
    expected = torch.stack([terms.log_likelihood for terms in plain]).mean(0)
    assert_allclose(terms.log_likelihood, expected, rtol=1e-12)
    assert_allclose(terms.kl_divergence, plain[0].kl_divergence, rtol=1e-12)


def test_weighted_draws_have_the_exact_posterior_mean_of_a_linear_model():
    module, x = build(hidden_layer_sizes=()), rows("gaussian")
    z, weights = importance_weighted_draws(module, x, normal(200_000, 1, LATENT_DIM, seed=2))
    assert_allclose(weights.sum(0), torch.ones(len(x)), rtol=1e-12)
    decoder = module.decoder.linear.weight
    precision = torch.eye(LATENT_DIM, dtype=torch.float64) + decoder.T @ decoder  # noise is 1
    exact = torch.linalg.solve(precision, decoder.T @ (x - module.bias[0]).T).T
    assert_allclose((weights.unsqueeze(-1) * z).sum(0), exact, atol=0.02)


# ---- Missing entries -----------------------------------------------------------------


def test_resampled_codes_occur_as_often_as_their_weights():
    module, x = build("gaussian"), rows("gaussian", n=3)
    x, eps = module.standardize(x), normal(4, 3, module.latent_dim)
    z, weights = importance_weighted_draws(module, x, eps)
    codes = importance_resampled_codes(module, x, eps, 20_000, seeded(0))
    assert codes.shape == (3, 20_000, module.latent_dim)
    again = importance_resampled_codes(module, x, eps, 20_000, seeded(0))
    assert torch.equal(again, codes)
    for row in range(3):
        is_draw = (codes[row].unsqueeze(1) == z[:, row]).all(-1)  # (20000, 4)
        assert (is_draw.sum(1) == 1).all()
        # Four standard deviations of a frequency are at most 2 / sqrt(20000).
        frequencies = is_draw.double().mean(0)
        assert_allclose(frequencies, weights[:, row].detach(), atol=0.0142)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
def test_missing_entries_do_not_count_in_the_likelihood(likelihood):
    module, x = build(likelihood, missing=True), rows(likelihood)
    module.units.scale.copy_(torch.arange(1.0, N_FEATURES + 1))
    holes = x.clone()
    holes[:, [1, 3]] = math.nan
    holes[0] = math.nan
    z = normal(4, len(x), LATENT_DIM, seed=2)
    by_feature = module.feature_log_likelihood(x, z)
    observed = ~holes.isnan()
    assert_allclose(module.log_likelihood(holes, z), (by_feature * observed).sum(-1), rtol=1e-12)
    assert_allclose(module.log_likelihood(x, z), by_feature.sum(-1), rtol=1e-12)
    assert (module.log_likelihood(holes, z)[:, 0] == 0).all()


def test_the_encoder_receives_placeholders_for_missing_entries():
    module, x = build(missing=True), rows("gaussian")
    module.placeholder.copy_(torch.arange(N_FEATURES))
    holes, filled = x.clone(), x.clone()
    holes[:, 2], filled[:, 2] = math.nan, 2.0
    assert torch.equal(module.encode(holes).mean, module.encode(filled).mean)


def test_gradients_of_rows_with_missing_entries_are_finite():
    module, x = build(missing=True).requires_grad_(True), rows("gaussian")
    x[:, 1] = math.nan
    bound, _ = importance_weighted_terms(module, x, normal(3, len(x), LATENT_DIM))
    bound.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
