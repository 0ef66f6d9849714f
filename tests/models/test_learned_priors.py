"""Objectives with learned priors, several draws and hidden entries."""

import math

import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from helpers import build_vae, normal
from skvae.models._objectives import (
    elbo_terms,
    importance_weighted_bound,
    importance_weighted_terms,
    kl_divergence,
)
from skvae.priors import Flow, Mixture, VampPrior

pytestmark = pytest.mark.torch_only

N_FEATURES, LATENT_DIM = 5, 2
PRIORS = [Mixture(3), VampPrior(4), Flow(2, 8)]
every_prior = pytest.mark.parametrize("prior", PRIORS, ids=repr)
CONSTANT = Mixture(1), Flow(2, 8)


def separate(prior):
    return type(prior)(**{**vars(prior), "training": "separate"})


def build(prior, *, changed=True, **options):
    """Return a module in double precision, with a prior that differs from the normal prior."""
    module = build_vae(N_FEATURES, LATENT_DIM, prior=prior, **options).double()
    if changed:
        with torch.no_grad():
            for name, weight in module.prior_weights.items():
                if not module.prior.is_fixed(name):
                    weight += 0.3 * normal(*weight.shape, seed=4)
    return module


def gradients(value, parameters):
    """Return gradients as one vector, with zeros for parameters without influence."""
    parameters = list(parameters)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(parameters, found, strict=True)
        ]
    )


# ---- The divergence from the prior ---------------------------------------------------


@every_prior
def test_the_divergence_is_the_mean_log_ratio_of_posterior_and_prior(prior):
    module, x = build(prior), normal(1, N_FEATURES)
    eps = normal(20_000, LATENT_DIM, seed=1)
    with torch.no_grad():
        terms = elbo_terms(module, x.expand(20_000, -1), eps)
        q = module.encode(x)
        log_q = torch.distributions.Normal(q.mean, q.std).log_prob(q.rsample(eps)).sum(-1)
        log_p = module.prior.log_prob(q.rsample(eps), module.prior_params())
    ratio = log_q - log_p
    error = (ratio - terms.kl_divergence).std() / math.sqrt(20_000)
    assert_allclose(terms.kl_divergence.mean(), ratio.mean(), atol=5 * error)


@pytest.mark.parametrize("prior", CONSTANT, ids=repr)
def test_at_the_start_the_bound_is_that_of_the_normal_prior(prior):
    module, plain = build(prior, changed=False), build("normal")
    x, eps = normal(6, N_FEATURES), normal(6, LATENT_DIM, seed=1)
    assert_allclose(
        elbo_terms(module, x, eps).elbo.detach(),
        elbo_terms(plain, x, eps).elbo.detach(),
        rtol=1e-5,
    )


def test_a_linear_model_with_one_component_is_a_linear_model_with_another_normal_prior():
    module = build(Mixture(1), hidden_layer_sizes=()).requires_grad_(False)
    weight = module.prior.derived_params(dict(module.prior_weights), None)
    W, b = module.decoder.linear.weight, module.bias[0]
    noise = torch.exp(module.likelihood.log_noise(dict(module.global_params)))
    mean = b + W @ weight["mean"][0]
    covariance = (W * weight["log_var"][0].exp()) @ W.T + noise.square().diag()
    x = normal(8, N_FEATURES, seed=2)
    bound = importance_weighted_bound(module, x, normal(100_000, LATENT_DIM, seed=3))
    assert_allclose(bound, multivariate_normal(mean, covariance).logpdf(x), atol=0.05)


# ---- Separate training ---------------------------------------------------------------


def loss_of(module, x, n_draws):
    if n_draws == 1:
        return -elbo_terms(module, x, normal(len(x), LATENT_DIM, seed=1)).elbo.sum()
    eps = normal(n_draws, len(x), LATENT_DIM, seed=1)
    return -importance_weighted_terms(module, x, eps)[0].sum()


@every_prior
@pytest.mark.parametrize("n_draws", [1, 4])
def test_a_separate_prior_does_not_change_the_gradients_of_the_networks(prior, n_draws):
    module, plain, x = build(separate(prior)), build("normal"), normal(6, N_FEATURES)
    names = [name for name, _ in plain.named_parameters()]
    parameters = dict(module.named_parameters())
    assert_allclose(
        gradients(loss_of(module, x, n_draws), [parameters[name] for name in names]),
        gradients(loss_of(plain, x, n_draws), plain.parameters()),
        atol=1e-12,
    )


@every_prior
@pytest.mark.parametrize("n_draws", [1, 4])
def test_a_prior_has_the_same_loss_and_gradient_in_both_ways_of_training(prior, n_draws):
    x, losses, slopes = normal(6, N_FEATURES), [], []
    for module in (build(prior), build(separate(prior))):
        loss = loss_of(module, x, n_draws)
        learned = [p for p in module.prior_weights.values() if p.requires_grad]
        losses.append(loss.detach())
        slopes.append(gradients(loss, learned))
    assert_allclose(*losses, rtol=1e-12)
    assert_allclose(*slopes, atol=1e-12)
    assert slopes[0].abs().max() > 0


@every_prior
def test_a_joint_prior_changes_the_gradients_of_the_encoder(prior):
    module, plain, x = build(prior), build("normal"), normal(6, N_FEATURES)
    own = gradients(loss_of(module, x, 1), module.encoder.parameters())
    others = gradients(loss_of(plain, x, 1), plain.encoder.parameters())
    assert (own - others).abs().max() > 0.01


# ---- Several draws -------------------------------------------------------------------


def usual_bound(module, x, eps):
    """Return the importance-weighted bound with the usual gradient, as score_samples does."""
    q = module.encode(x)
    z = q.rsample(eps)
    log_q = torch.distributions.Normal(q.mean, q.std).log_prob(z).sum(-1)
    log_p = module.prior.log_prob(z, module.prior_params())
    log_weights = module.log_likelihood(x, z) + log_p - log_q
    return torch.logsumexp(log_weights, 0) - math.log(len(eps))


@pytest.mark.parametrize("prior", ["normal", Mixture(3)], ids=repr)
def test_the_gradient_of_the_encoder_has_the_right_mean_and_a_lower_variance(prior):
    module, x = build(prior), normal(1, N_FEATURES)
    n_repeats, n_draws = 2000, 20
    many = x.expand(n_repeats, -1)
    weight = next(module.encoder.parameters())
    ours, usual = [], []
    for seed in range(2):
        eps = normal(n_draws, n_repeats, LATENT_DIM, seed=seed)
        # The gradient on the shift of each row is the gradient of an encoder's bias.
        for found, bound in (
            (ours, lambda x, e: importance_weighted_terms(module, x, e)[0]),
            (usual, lambda x, e: usual_bound(module, x, e)),
        ):
            found.append(_gradients_by_row(module, bound, many, eps))
    ours, usual = torch.cat(ours), torch.cat(usual)
    assert weight.grad is None
    error = ((ours.var(0) + usual.var(0)) / len(ours)).sqrt()
    assert ((ours.mean(0) - usual.mean(0)).abs() < 5 * error).all()
    assert (ours.var(0) < 0.5 * usual.var(0)).all()


def _gradients_by_row(module, bound, x, eps):
    """Return the gradient of each row's bound on the outputs of the encoder, (n, 2 k)."""
    outputs = []

    def keep(_, __, output):
        outputs.append(output)

    handle = module.encoder.register_forward_hook(keep)
    value = bound(x, eps)
    handle.remove()
    return torch.autograd.grad(value.sum(), outputs[0])[0]


@pytest.mark.parametrize("prior", ["normal", Mixture(3), Flow(2, 8)], ids=repr)
def test_the_gradient_of_the_decoder_is_the_usual_gradient(prior):
    module, x, eps = build(prior), normal(6, N_FEATURES), normal(5, 6, LATENT_DIM, seed=1)
    bound, _ = importance_weighted_terms(module, x, eps)
    usual = usual_bound(module, x, eps)
    assert_allclose(bound.detach(), usual.detach(), rtol=1e-10)
    of_decoder = [*module.decoder.parameters(), module.bias]
    assert_allclose(
        gradients(bound.sum(), of_decoder), gradients(usual.sum(), of_decoder), atol=1e-10
    )


def test_without_a_weight_of_the_divergence_codes_are_not_compared_with_the_prior():
    module, x, eps = build("normal"), normal(6, N_FEATURES), normal(5, 6, LATENT_DIM, seed=1)
    bound, _ = importance_weighted_terms(module, x, eps, kl_weight=0.0)
    log_likelihood = module(x, eps).log_likelihood
    expected = torch.logsumexp(log_likelihood, 0) - math.log(5)
    assert_allclose(bound.detach(), expected.detach(), rtol=1e-12)


# ---- Hidden entries ------------------------------------------------------------------


def test_visible_entries_are_enlarged_and_hidden_entries_are_placeholders_for_the_encoder():
    module, x = build("normal").requires_grad_(False), normal(6, N_FEATURES)
    module.placeholder.copy_(normal(N_FEATURES, seed=7))
    hidden = normal(6, N_FEATURES, seed=8) > 0
    hidden[0] = True
    output = module(x, None, hidden)
    fraction = (~hidden).double().mean(1, keepdim=True).clamp_min(0.2)
    departures = (x - module.placeholder).masked_fill(hidden, 0) / fraction
    replaced = module.encode(module.placeholder + departures)
    assert_allclose(output.posterior.mean, replaced.mean)
    # All entries count in the likelihood.
    assert_allclose(output.log_likelihood, module.log_likelihood(x, replaced.mean))


@pytest.mark.parametrize("missing", [False, True])
def test_the_values_of_hidden_entries_have_no_influence_on_the_posterior(missing):
    module = build("normal", missing=missing).requires_grad_(False)
    x, hidden = normal(6, N_FEATURES), normal(6, N_FEATURES, seed=8) > 0
    expected = module.encode(x, hidden)
    changed = x.masked_fill(hidden, math.nan if missing else 5.0)
    assert_allclose(module.encode(changed, hidden).mean, expected.mean)
    assert_allclose(module.encode(changed, hidden).log_var, expected.log_var)


def test_without_hidden_entries_inputs_do_not_change():
    module, x = build("normal").requires_grad_(False), normal(6, N_FEATURES)
    hidden = torch.zeros(6, N_FEATURES, dtype=torch.bool)
    assert_allclose(module.encode(x, hidden).mean, module.encode(x).mean)


def test_the_closed_form_is_used_for_the_normal_prior():
    module, x = build("normal"), normal(6, N_FEATURES)
    terms = elbo_terms(module, x, normal(6, LATENT_DIM, seed=1))
    assert torch.equal(terms.kl_divergence, kl_divergence(module.encode(x)))
