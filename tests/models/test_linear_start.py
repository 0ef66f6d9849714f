"""Initial weights at the linear model, and the weights that decay."""

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from helpers import build_vae, linear_networks, normal, seeded
from skvae import Gaussian, StudentT
from skvae.models import (
    decaying_weights,
    departures_of_noise,
    elbo_terms,
    importance_weighted_bound,
    start_at_linear_model,
)
from skvae.models._linear_start import _fit

pytestmark = pytest.mark.torch_only

D = 6


@pytest.fixture(scope="module")
def X():
    return 3 * normal(80, 2) @ normal(2, D, seed=1) + normal(80, D, seed=2)


def start(X, *, likelihood, latent_dim=2, **options):
    """Return a module in double precision that starts at the linear model of rows."""
    module = build_vae(X.shape[1], latent_dim, likelihood=likelihood, **options).double()
    module.initialize(len(X), X.mean(0), X.var(0, correction=0))
    start_at_linear_model(module, module.standardize(X))
    return module.eval().requires_grad_(False)


def evidence(module, X):
    """Return log p(x) of a module whose mean is linear in the code, with normal noise."""
    zero = torch.zeros(1, module.latent_dim, dtype=torch.float64)
    b, params = module.mean(zero)[0], module.decode(zero)
    W = (module.mean(torch.eye(module.latent_dim, dtype=torch.float64)) - b).T
    if module.likelihood.noise == "full":
        (whitening,) = module.likelihood.public_parameters(params, module.units.scale).values()
        noise = torch.linalg.inv(whitening.T @ whitening)
    else:
        std = module.likelihood.log_noise(params).exp() * module.units.scale
        noise = torch.diag(std.square().expand(1, len(b))[0])
    density = torch.distributions.MultivariateNormal(b, W @ W.T + noise)
    return density.log_prob(X)


@pytest.mark.parametrize(
    "likelihood",
    [
        Gaussian(),
        Gaussian("shared"),
        Gaussian("row"),
        Gaussian("full"),
        Gaussian(0.7),
        Gaussian(floor=0.9),
    ],
    ids=repr,
)
@pytest.mark.parametrize("latent_dim", [1, 2, D, D + 2])
@pytest.mark.parametrize("sizes", [(), (5,)])
def test_the_bound_is_the_evidence_for_each_row_and_draw(X, likelihood, latent_dim, sizes):
    module = start(X, likelihood=likelihood, latent_dim=latent_dim, hidden_layer_sizes=sizes)
    for seed in range(3):
        # With the exact posterior, the weight of each draw is the evidence.
        bound = importance_weighted_bound(
            module, module.standardize(X), normal(1, latent_dim, seed=seed)
        )
        assert_allclose(bound, evidence(module, X), rtol=1e-6)


def test_perceptrons_start_at_zero_with_enlarged_hidden_weights(X):
    module, new = start(X, likelihood=Gaussian()), build_vae(D, 2).double()
    for network, drawn in ((module.encoder, new.encoder), (module.decoder, new.decoder)):
        assert (network.perceptron(normal(5, network.perceptron[0].in_features)) == 0).all()
        assert torch.equal(network.perceptron[0].weight, 1.5 * drawn.perceptron[0].weight)


@pytest.mark.parametrize("likelihood", [StudentT("row", df="feature"), StudentT(df="feature")])
def test_students_t_starts_at_the_parameters_of_expectation_maximisation(X, likelihood):
    module = start(X, likelihood=likelihood)
    model, df = _fit(module, likelihood, module.standardize(X))
    params = module.decode(torch.zeros(1, 2, dtype=torch.float64))
    assert_allclose(likelihood.degrees_of_freedom(params), df.clamp(2.4, 42.5), rtol=0.05)
    assert_allclose(likelihood.log_noise(params).exp().reshape(-1), model.noise_var.sqrt(), 1e-6)
    assert_allclose(params["mean"][0], model.mean, atol=1e-7)
    # The posterior is near the exact posterior: many draws gain little.
    few, many = (
        importance_weighted_bound(module, module.standardize(X), normal(n, 2)).mean()
        for n in (16, 2000)
    )
    assert few < many < few + 0.3


@pytest.mark.parametrize("n_rows", [1, 2, 3])
@pytest.mark.parametrize(
    "likelihood", [Gaussian(), Gaussian("shared"), Gaussian("full"), StudentT("row")], ids=repr
)
def test_few_rows_and_constant_columns_have_a_finite_start(X, n_rows, likelihood):
    rows = X[:n_rows].clone()
    rows[:, 1] = 7
    module = start(rows, likelihood=likelihood, latent_dim=4)
    terms = elbo_terms(module, module.standardize(X), normal(80, 4))
    assert terms.elbo.isfinite().all()


def test_noise_at_its_smallest_value_has_the_posterior_of_this_noise(X):
    # Two dimensions explain the rows exactly, so the noise is as small as a noise can start.
    rows = normal(80, 2) @ normal(2, D, seed=1)
    module = start(rows, likelihood=Gaussian("shared"))
    bound = importance_weighted_bound(module, module.standardize(rows), normal(1, 2))
    assert_allclose(bound, evidence(module, rows), rtol=1e-6)


# ---- Weights that decay --------------------------------------------------------------


def names_of_decaying_weights(module):
    """Return names and first decaying rows: weights that share memory with parameters."""
    found = {}
    for weight in decaying_weights(module):
        for name, parameter in module.named_parameters():
            start_of, end = parameter.data_ptr(), parameter.data_ptr() + parameter.nbytes
            if start_of <= weight.data_ptr() < end:
                row_bytes = parameter[0].nbytes
                found[name] = (weight.data_ptr() - start_of) // row_bytes
                assert weight.nbytes == end - weight.data_ptr()
    return found


def test_the_perceptron_and_the_path_to_the_noise_decay():
    module = build_vae(D, 2, hidden_layer_sizes=(5,), likelihood=StudentT("row"))
    assert names_of_decaying_weights(module) == {
        "decoder.perceptron.0.weight": 0,
        "decoder.perceptron.2.weight": 0,
        "decoder.linear.weight": D,  # the rows of the noise
    }


@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian("shared"), StudentT(0.5)], ids=repr)
def test_a_linear_path_without_noise_does_not_decay(likelihood):
    assert decaying_weights(build_vae(D, 2, hidden_layer_sizes=(), likelihood=likelihood)) == []


@pytest.mark.parametrize("options", [{"likelihood": "poisson"}, {"architecture": "fourier_mlp"}])
def test_all_matrices_of_other_decoders_decay(options):
    found = names_of_decaying_weights(build_vae(D, 2, hidden_layer_sizes=(5,), **options))
    layers = (0, 2) if "likelihood" in options else (1, 3)
    assert found == {f"decoder.{layer}.weight": 0 for layer in layers}


def test_custom_decoders_decay_without_biases():
    module = build_vae(D, 2, architecture=linear_networks)
    assert names_of_decaying_weights(module) == {"decoder.weight": 0}


def test_frozen_parameters_do_not_decay():
    module = build_vae(D, 2, hidden_layer_sizes=(5,), likelihood=StudentT("row"))
    module.decoder.perceptron[0].weight.requires_grad_(False)
    module.decoder.linear.weight.requires_grad_(False)
    assert names_of_decaying_weights(module) == {"decoder.perceptron.2.weight": 0}


def test_departures_from_the_initial_covariance_of_a_full_noise_decay(X):
    module = start(X, likelihood=Gaussian("full")).requires_grad_(True)
    module.global_params["whitening"].requires_grad_(False)
    module.global_params["coloring"].requires_grad_(False)
    log_noise, change = departures_of_noise(module)
    assert log_noise.data_ptr() == module.global_params["log_noise"].data_ptr()
    assert change.data_ptr() == module.global_params["whitening_change"].data_ptr()
    assert not log_noise.any()
    assert not change.any()


@pytest.mark.parametrize(
    "options",
    [{"likelihood": Gaussian()}, {"likelihood": Gaussian("full"), "architecture": "fourier_mlp"}],
)
def test_the_noise_of_other_models_does_not_decay(options):
    assert departures_of_noise(build_vae(D, 2, **options)) == []


def test_set_zero_leaves_hidden_layers():
    encoder = build_vae(D, 2, hidden_layer_sizes=(5, 4)).encoder
    encoder.set_zero()
    assert (encoder(torch.randn(3, D, generator=seeded())) == 0).all()
    hidden = [layer for layer in encoder.perceptron if isinstance(layer, nn.Linear)][:-1]
    assert all((layer.weight != 0).all() for layer in hidden)
