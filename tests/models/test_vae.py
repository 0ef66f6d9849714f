"""The module: units, shapes, initial values and state."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import (
    build_vae,
    f64,
    linear_networks,
    normal,
    seeded,
    unchanged_random_states,
)
from helpers_histogram import UNORDERED
from skvae import Bernoulli, Gaussian, Likelihood, NegativeBinomial, Poisson, models
from skvae.likelihoods import LIKELIHOODS, Histogram
from skvae.models import VAE, VAEConfig, weight_shapes
from skvae.models._objectives import kl_divergence
from skvae.models._posterior import Posterior
from skvae.utils._numerics import soft_clamp, soft_clamp_inverse

pytestmark = pytest.mark.torch_only

N_FEATURES, LATENT_DIM = 4, 3
NOISES = ["feature", "shared", "row", 0.3]

every_likelihood = pytest.mark.parametrize("likelihood", [*LIKELIHOODS, Gaussian("row")], ids=str)


def build(likelihood: str | Likelihood = "gaussian", *, seed: int = 0, **options) -> VAE:
    """Return a small model in single precision, in evaluation mode and without gradients."""
    module = build_vae(N_FEATURES, LATENT_DIM, seed=seed, likelihood=likelihood, **options)
    return module.eval().requires_grad_(False)


def rows(likelihood: str | Likelihood, n: int = 5) -> torch.Tensor:
    """Return counts for count likelihoods, and rows in the unit interval for the others."""
    counts = likelihood in ("poisson", "negative_binomial")
    return normal(n, N_FEATURES).abs().round() if counts else torch.sigmoid(normal(n, N_FEATURES))


# ---- Forward pass --------------------------------------------------------------------


def test_a_forward_pass_encodes_draws_codes_and_evaluates_the_rows():
    module, x = build().double(), rows("gaussian").double()
    eps = normal(3, len(x), LATENT_DIM, seed=1)
    output, posterior = module(x, eps), module.encode(x)
    assert torch.equal(output.posterior.mean, posterior.mean)
    assert torch.equal(output.z, posterior.mean + posterior.std * eps)
    assert output.log_likelihood.shape == (3, len(x))
    for draw in range(3):
        expected = module.log_likelihood(x, output.z[draw])
        assert_allclose(output.log_likelihood[draw], expected, rtol=1e-12)


def test_a_forward_pass_without_draws_takes_the_posterior_means():
    module, x = build().double(), rows("gaussian").double()
    output = module(x)
    assert torch.equal(output.z, module.encode(x).mean)
    assert torch.equal(output.log_likelihood, module.log_likelihood(x, output.z))


# ---- Units ---------------------------------------------------------------------------


def test_unstandardize_inverts_standardize_in_double_precision():
    module = build().double()
    shift, scale = f64(1e8, 0, -1e-6, 3), f64(1, 1e-6, 1e-9, 1e8)
    module.initialize(9, shift, scale.square())
    X = shift + scale * normal(50, N_FEATURES)
    back = module.unstandardize(module.standardize(X))
    assert_allclose(back, X, rtol=4e-16, atol=0)


@pytest.mark.parametrize("noise", ["feature", "row"])
def test_standardized_columns_have_mean_0_and_standard_deviation_1(noise):
    module = build(Gaussian(noise)).double()
    X = normal(50, N_FEATURES) * f64(1e-6, 1, 50, 1e8) + f64(1, -3, 1e3, 1e8)
    module.initialize(50, X.mean(0), X.var(0, correction=0))
    x = module.standardize(X)
    assert_allclose(x.mean(0), 0, atol=1e-9)
    assert_allclose(x.std(0, correction=0), 1, rtol=1e-9)


@pytest.mark.parametrize("noise", ["shared", 0.3])
def test_shared_noise_gives_a_shared_scale(noise):
    module = build(Gaussian(noise))
    module.initialize(50, f64(1, 2, 3, 4), f64(1, 0, 4, 7))
    assert_allclose(module.units.scale, [3**0.5] * 4, rtol=1e-15)
    assert_allclose(module.units.shift, [1, 2, 3, 4], rtol=0)


def test_constant_columns_have_scale_1():
    module = build()
    module.initialize(50, f64(1, 2, 3, 4), f64(4, 0, 0, 9))
    assert module.units.scale.tolist() == [2, 1, 1, 3]


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "poisson"])
def test_other_likelihoods_do_not_standardize(likelihood):
    module = build(likelihood)
    module.initialize(50, f64(0.1, 0.2, 0.3, 0.4), f64(4, 1, 1, 9))
    X = rows(likelihood)
    assert torch.equal(module.standardize(X), X.float())
    assert torch.equal(module.unstandardize(X), X)


def test_a_large_offset_costs_no_precision():
    module = build()
    module.initialize(9, f64(1e8, 1e8, 1e8, 1e8), f64(1, 1, 1, 1))
    x = normal(20, N_FEATURES)
    standardized = module.standardize(1e8 + x)
    assert standardized.dtype == torch.float32
    assert_allclose(standardized, x, atol=2e-7 + 2**-26)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float32])
def test_standardize_accepts_any_dtype(dtype):
    module = build()
    module.initialize(9, f64(0.5, 0.5, 0.5, 0.5), f64(4, 4, 4, 4))
    X = torch.tensor([[0, 1, 0, 1]])
    assert module.standardize(X.to(dtype)).tolist() == [[-0.25, 0.25, -0.25, 0.25]]


# ---- Log-likelihood ------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("factor", [1e-6, 0.1, 1e8])
def test_rescaling_data_by_c_changes_the_log_likelihood_by_minus_d_log_c(noise, factor):
    X, z = normal(5, N_FEATURES), normal(5, LATENT_DIM, seed=1)
    log_likelihoods = []
    for c in (1.0, factor):
        likelihood = Gaussian(noise if isinstance(noise, str) else noise * c)
        module = build(likelihood).double()
        module.initialize(5, c * X.mean(0), c**2 * X.var(0))
        log_likelihoods.append(module.log_likelihood(module.standardize(c * X), z))
    change = log_likelihoods[1] - log_likelihoods[0]
    assert_allclose(change, [-N_FEATURES * math.log(factor)] * 5, rtol=1e-12)


def test_rescaling_each_column_changes_the_log_likelihood_by_the_sum_of_logs():
    X, z, c = normal(5, N_FEATURES), normal(5, LATENT_DIM, seed=1), f64(1e-6, 0.1, 7, 1e8)
    before, after = build().double(), build().double()
    before.initialize(5, X.mean(0), X.var(0))
    after.initialize(5, c * X.mean(0), c**2 * X.var(0))
    change = after.log_likelihood(after.standardize(c * X), z) - before.log_likelihood(
        before.standardize(X), z
    )
    assert_allclose(change, -c.log().sum().expand(5), rtol=1e-11)


@pytest.mark.parametrize("noise", NOISES)
def test_log_likelihood_is_the_normal_density_in_the_units_of_the_data(noise):
    X = normal(5, N_FEATURES) * f64(0.1, 1, 5, 20) + 3
    z = normal(5, LATENT_DIM, seed=1)
    module = build(Gaussian(noise)).double()
    module.initialize(5, X.mean(0), X.var(0))
    log_std = module.decode(z)["log_noise"]
    std = soft_clamp(log_std, 7.0).exp() * module.units.scale if isinstance(noise, str) else noise
    expected = stats.norm.logpdf(X, module.mean(z), std).sum(1)
    assert_allclose(module.log_likelihood(module.standardize(X), z), expected, rtol=1e-11)


@every_likelihood
def test_log_likelihood_mean_and_sample_have_the_leading_shape_of_the_codes(likelihood):
    module, X = build(likelihood), rows(likelihood)
    x = module.standardize(X)
    for draws in ((), (7,), (2, 7)):
        z = normal(*draws, 5, LATENT_DIM).float()
        assert module.log_likelihood(x, z).shape == (*draws, 5)
        assert module.mean(z).shape == (*draws, 5, N_FEATURES)
        assert module.sample(z, seeded()).shape == (*draws, 5, N_FEATURES)


@every_likelihood
def test_the_log_likelihood_of_many_draws_equals_that_of_each_draw(likelihood):
    module, x = build(likelihood).double(), rows(likelihood)
    z = normal(7, 5, LATENT_DIM)
    expected = torch.stack([module.log_likelihood(x, draw) for draw in z])
    assert_allclose(module.log_likelihood(x, z), expected, rtol=1e-12)


def test_decoder_outputs_are_one_block_per_parameter():
    module = build(Gaussian("row"))
    z = normal(5, LATENT_DIM).float()
    mean, log_std = (module.decoder(z) + module.bias.reshape(-1)).split(N_FEATURES, dim=1)
    params = module.decode(z)
    torch.testing.assert_close(params["mean"], mean)
    torch.testing.assert_close(params["log_noise"], log_std)


# ---- Initial values ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "mean"),
    [
        ("gaussian", [-2, 0, 1e8, 3e-6]),
        (Gaussian("shared"), [-2, 0, 5, 7]),
        (Gaussian(0.1), [-2, 0, 5, 7]),
        ("bernoulli", [0.01, 0.2, 0.5, 0.9]),
        ("continuous_bernoulli", [0.1, 0.2, 0.5, 0.9]),
        ("poisson", [0.1, 1, 20, 300]),
        ("negative_binomial", [0.1, 1, 20, 300]),
    ],
    ids=str,
)
def test_the_initial_mean_without_decoder_weights_is_the_column_mean(likelihood, mean):
    module = build(likelihood).double()
    module.initialize(10**9, f64(*mean), f64(*mean).abs() + 1)
    for weight in module.decoder.parameters():
        torch.nn.init.zeros_(weight)
    start = module.mean(normal(3, LATENT_DIM))
    assert_allclose(start, f64(*mean).expand(3, -1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("likelihood", "shape", "learned"),
    [
        (Gaussian("feature"), (N_FEATURES,), True),
        (Gaussian("shared"), (), True),
        (Gaussian(0.5), (), False),
        (NegativeBinomial("feature"), (N_FEATURES,), True),
        (NegativeBinomial("shared"), (), True),
    ],
    ids=repr,
)
def test_global_parameters_have_the_shape_of_their_scope(likelihood, shape, learned):
    module = VAE(build(likelihood).config, seeded())
    (params,) = module.global_params.values()
    assert params.shape == shape
    assert params.requires_grad is learned


@pytest.mark.parametrize(
    "likelihood", [Gaussian("row"), NegativeBinomial("row"), Bernoulli(), Poisson()], ids=repr
)
def test_parameters_of_each_row_come_from_the_decoder(likelihood):
    module = build(likelihood)
    assert not module.global_params
    assert module.bias.shape == (len(likelihood.parameters), N_FEATURES)


# ---- Posterior and prior -------------------------------------------------------------


def test_posterior_draws_are_mean_plus_noise_times_standard_deviation():
    posterior = Posterior(f64(1, 2)[None], f64(4, 9).log()[None])
    assert_allclose(posterior.std, [[2, 3]], rtol=1e-15)
    assert_allclose(posterior.rsample(f64(1, -1)), [[3, -1]], rtol=1e-15)


@pytest.mark.parametrize("out", [-1e30, 1e30])
def test_the_posterior_variance_is_finite_and_positive_for_extreme_encoder_outputs(out):
    module = build(hidden_layer_sizes=())
    torch.nn.init.constant_(module.encoder.linear.bias, out)
    std = module.encode(torch.zeros(1, N_FEATURES)).std
    assert std.isfinite().all()
    assert (std > 0).all()


def test_the_posterior_variance_grows_exponentially_up_to_the_prior_variance_and_then_linearly():
    module = build(hidden_layer_sizes=()).double()
    module.encoder.linear.weight.zero_()
    out = f64(-3, -1, 0, 1e-6, 1, 9)
    for value, var in zip(out, [*out[:3].exp(), *(1 + out[3:])], strict=True):
        module.encoder.linear.bias.fill_(soft_clamp_inverse(value, 20.0))
        posterior = module.encode(normal(1, N_FEATURES))
        assert_allclose(posterior.log_var.exp(), np.full((1, LATENT_DIM), var), rtol=1e-12)


@pytest.mark.parametrize("out", [-1e30, -1.0, 0.0, 1.0, 10.0, 1e3, 1e30])
def test_the_gradient_of_the_kl_divergence_with_respect_to_log_variances_is_at_most_a_half(out):
    module = build(hidden_layer_sizes=())
    bias = torch.nn.Parameter(torch.full((2 * LATENT_DIM,), out))
    module.encoder.linear.bias = bias
    kl_divergence(module.encode(torch.zeros(1, N_FEATURES))).sum().backward()
    assert (bias.grad[LATENT_DIM:].abs() <= 0.5).all()
    if out == 0:  # the posterior is the prior
        assert (bias.grad == 0).all()


@pytest.mark.parametrize("prior_std", [0.1, 30.0])
def test_prior_std_does_not_change_the_module(prior_std):
    unit, module = build(), build(prior_std=prior_std)
    x, z = normal(5, N_FEATURES).float(), normal(5, LATENT_DIM).float()
    assert torch.equal(module.encode(x).mean, unit.encode(x).mean)
    assert torch.equal(module.encode(x).std, unit.encode(x).std)
    assert torch.equal(module.mean(z), unit.mean(z))
    assert torch.equal(module.sample_prior(5, seeded()), unit.sample_prior(5, seeded()))


def test_prior_draws_are_standard_normal():
    z = build().sample_prior(4000, seeded())
    assert z.shape == (4000, LATENT_DIM)
    # Five standard errors of a mean and of a variance.
    assert (z.mean(0).abs() < 5 / 4000**0.5).all()
    assert ((z.var(0) - 1).abs() < 5 * (2 / 4000) ** 0.5).all()


def test_draws_come_from_the_given_generator_alone():
    module = build()
    with unchanged_random_states():
        z = [module.sample_prior(5, seeded(seed)) for seed in (1, 1, 2)]
        x = [module.sample(z[0], seeded(seed)) for seed in (1, 1, 2)]
    for first, same, other in (z, x):
        assert torch.equal(first, same)
        assert not torch.equal(first, other)


# ---- State ---------------------------------------------------------------------------


@every_likelihood
def test_state_dict_restores_all_weights_and_units(likelihood):
    source, target = build(likelihood, seed=0), build(likelihood, seed=1)
    source.initialize(9, f64(0.1, 0.2, 0.3, 0.4), f64(1, 2, 3, 4))
    x, z = source.standardize(rows(likelihood)), normal(5, LATENT_DIM).float()
    assert not torch.equal(target.log_likelihood(x, z), source.log_likelihood(x, z))
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.log_likelihood(x, z), source.log_likelihood(x, z))
    assert torch.equal(target.encode(x).mean, source.encode(x).mean)
    assert torch.equal(target.mean(z), source.mean(z))


def test_units_are_in_double_precision():
    module = build()
    assert module.dtype == torch.float32
    assert module.units.shift.dtype == module.units.scale.dtype == torch.float64
    assert module.double().dtype == torch.float64


def test_equal_configurations_and_seeds_build_equal_modules():
    states = [build("negative_binomial", seed=seed).state_dict() for seed in (3, 3, 4)]
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_configurations_compare_by_value():
    config = build(Gaussian("shared")).config
    assert copy.deepcopy(config) == config
    assert build(Gaussian("row")).config != config


# ---- Shapes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"architecture": "fourier_mlp", "hidden_layer_sizes": (4,)},
        {"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": (5, 4, 3)},
        {"likelihood": Gaussian("row"), "missing": True},
        {"likelihood": Histogram((UNORDERED,) * 6), "missing": True, "autoregressive": True},
    ],
    ids=lambda options: ", ".join(options) or "default",
)
def test_shapes_of_weights_are_known_before_the_module_is_built(options):
    module = models.build_vae(build_vae(6, 2, **options).config, seeded())
    shapes = {name: tuple(weight.shape) for name, weight in module.state_dict().items()}
    assert weight_shapes(module.config) == shapes


def test_shapes_of_a_module_larger_than_any_memory_are_known():
    config = VAEConfig(10**5, 10**5, (10**9, 10**9), "gelu", "gaussian")
    assert weight_shapes(config)["encoder.2.weight"] == (10**9, 10**9)


def test_shapes_of_custom_networks_are_not_known_before_they_are_built():
    with pytest.raises(TypeError, match="custom networks"):
        weight_shapes(build(architecture=linear_networks).config)
