"""Densities, samples and initial values of every prior."""

import math

import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import chisquare
from torch import distributions as D

from helpers import normal, seeded, unchanged_random_states
from skvae.priors import PRIORS, Flow, Mixture, Normal, VampPrior, normal_log_prob, resolve_prior
from skvae.priors._splines import BOUND, N_PARAMS, spline, spline_inverse

pytestmark = pytest.mark.torch_only

N_INPUTS = 6
EVERY = [Normal(), Mixture(1), Mixture(3), VampPrior(4), Flow(3, 16)]
every_prior = pytest.mark.parametrize("prior", EVERY, ids=repr)
every_dim = pytest.mark.parametrize("latent_dim", [1, 2, 5])


def encode(inputs):
    """Return means and log-variances of an encoder without weights, for two dimensions."""
    return inputs[:, :2], inputs[:, 2:4] - 1


def initial(prior, latent_dim=2):
    return prior.initial_params(latent_dim, normal(10, N_INPUTS).float(), seeded())


def trained(prior, latent_dim=2):
    """Return parameters of the distribution, after a change that stands for training."""
    params = {
        name: value.double() + (0 if prior.is_fixed(name) else 0.2 * normal(*value.shape, seed=i))
        for i, (name, value) in enumerate(initial(prior, latent_dim).items())
    }
    return prior.derived_params(params, encode)


@every_prior
@every_dim
def test_initial_parameters_have_the_declared_shapes(prior, latent_dim):
    params = initial(prior, latent_dim)
    shapes = {name: tuple(value.shape) for name, value in params.items()}
    assert shapes == prior.parameter_shapes(latent_dim, N_INPUTS)
    assert {value.dtype for value in params.values()} <= {torch.float32}


@every_prior
def test_densities_integrate_to_one(prior):
    axis = torch.linspace(-9, 9, 501, dtype=torch.float64)
    cell = (axis[1] - axis[0]) ** 2
    total = prior.log_prob(torch.cartesian_prod(axis, axis), trained(prior)).exp().sum() * cell
    assert_allclose(total, 1, atol=1e-3)


@every_prior
def test_samples_have_the_density(prior):
    n, params = 20_000, trained(prior)
    z = prior.sample(normal(n, 2, seed=5), params, seeded(6))
    axis = torch.linspace(-9, 9, 451, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = prior.log_prob(grid, params).exp()
    # Counts and probabilities of squares of unit size; rare squares together.
    expected = torch.zeros(20, 20, dtype=torch.float64)
    square = (grid + 10).floor().long()
    expected.index_put_((square[:, 0], square[:, 1]), density, accumulate=True)
    counts = torch.zeros_like(expected)
    square = (z.clamp(-9, 9) + 10).floor().long()
    counts.index_put_((square[:, 0], square[:, 1]), torch.ones_like(z[:, 0]), accumulate=True)
    expected *= n / expected.sum()
    is_rare = expected < 20
    observed = [*counts[~is_rare].tolist(), counts[is_rare].sum().item()]
    expected = [*expected[~is_rare].tolist(), expected[is_rare].sum().item()]
    assert len(observed) > 8
    assert chisquare(observed, expected, sum_check=False).pvalue > 1e-4


@pytest.mark.parametrize("prior", [Normal(), Mixture(1), Flow()], ids=repr)
@every_dim
def test_one_component_and_a_new_flow_are_the_normal_prior(prior, latent_dim):
    z = 2 * normal(50, latent_dim)
    params = prior.derived_params(initial(prior, latent_dim), encode)
    expected = D.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert_allclose(normal_log_prob(z), expected)
    assert_allclose(prior.log_prob(z.float(), params), expected, atol=2e-5)


@pytest.mark.parametrize("n_components", [2, 10, 100])
def test_a_new_mixture_has_about_the_moments_of_the_normal_prior(n_components):
    prior = Mixture(n_components)
    params = prior.derived_params(initial(prior, 8), encode)
    z = prior.sample(normal(20_000, 8).float(), params, seeded())
    assert_allclose(z.mean(), 0, atol=0.02)
    assert_allclose(z.var(), 1, atol=0.1)


@pytest.mark.parametrize("prior", [Mixture(3), VampPrior(4)], ids=repr)
def test_mixtures_have_the_density_of_torch_distributions(prior):
    params, z = trained(prior), normal(7, 2, seed=3)
    components = D.Independent(D.Normal(params["mean"], (params["log_var"] / 2).exp()), 1)
    weights = D.Categorical(logits=params["log_weight"])
    mixture = D.MixtureSameFamily(weights, components)
    assert_allclose(prior.log_prob(z, params), mixture.log_prob(z))
    joint = prior.log_joint(z, params)
    assert joint.shape == (7, prior.size)
    assert_allclose(joint[:, 1], weights.logits[1] + components.log_prob(z[:, None])[:, 1])


def test_components_of_a_vamp_prior_are_posteriors_of_training_rows_with_a_bandwidth():
    prior, inputs = VampPrior(4), normal(10, N_INPUTS).float()
    params = prior.initial_params(2, inputs, seeded())
    rows = params["pseudo_inputs"]
    assert len(rows.unique(dim=0)) == 4
    assert all((inputs == row).all(1).any() for row in rows)
    bandwidth = params["log_bandwidth"].exp()
    assert_allclose(bandwidth, 4 ** (-1 / 6), rtol=1e-6)  # Scott's rule
    derived = prior.derived_params(params, encode)
    assert_allclose(derived["mean"], rows[:, :2])
    assert_allclose(derived["log_var"].exp(), (rows[:, 2:4] - 1).exp() + bandwidth**2, rtol=0.02)


def test_more_pseudo_inputs_than_rows_repeat_rows():
    rows = VampPrior(25).initial_params(2, normal(10, N_INPUTS), seeded())["pseudo_inputs"]
    counts = rows.unique(dim=0, return_counts=True)[1]
    assert sorted(counts.tolist()) == [2] * 5 + [3] * 5


def test_pseudo_inputs_are_fixed_on_request():
    fixed = VampPrior(learned=False)
    assert fixed.is_fixed("pseudo_inputs")
    assert not fixed.is_fixed("log_bandwidth")
    assert not VampPrior().is_fixed("pseudo_inputs")


@every_prior
def test_draws_leave_global_random_states_alone(prior):
    with unchanged_random_states():
        prior.sample(normal(3, 2), trained(prior), seeded())


@every_prior
def test_priors_are_values(prior):
    assert prior == type(prior)(**vars(prior))
    assert hash(prior) == hash(type(prior)(**vars(prior)))


def test_priors_have_names():
    assert {name: resolve_prior(name) for name in PRIORS} == {
        "normal": Normal(),
        "mixture": Mixture(),
        "vamp": VampPrior(),
        "flow": Flow(),
    }


@pytest.mark.parametrize(
    ("prior", "options", "message"),
    [
        (Mixture, {"n_components": 0}, r"Mixture\(n_components=\.\.\.\).*at least 1; got 0"),
        (Mixture, {"n_components": 2.0}, "integer of at least 1; got 2.0"),
        (VampPrior, {"n_pseudo_inputs": True}, "integer of at least 1; got True"),
        (VampPrior, {"learned": 1}, r"VampPrior\(learned=\.\.\.\) must be True or False; got 1"),
        (Flow, {"n_layers": 0}, r"Flow\(n_layers=\.\.\.\)"),
        (Flow, {"hidden": -3}, r"Flow\(hidden=\.\.\.\)"),
        (Flow, {"training": "after"}, "must be one of 'joint', 'separate'; got 'after'"),
    ],
)
def test_invalid_options_are_refused(prior, options, message):
    with pytest.raises(ValueError, match=message):
        prior(**options)


# ---- Splines -------------------------------------------------------------------------


def spline_params(n, scale=1.0):
    return scale * normal(n, N_PARAMS, seed=4)


def test_a_spline_without_parameters_is_the_identity():
    x = torch.linspace(-7, 7, 101, dtype=torch.float64)
    y, log_slope = spline(x, torch.zeros(101, N_PARAMS, dtype=torch.float64))
    assert_allclose(y, x, atol=1e-12)
    assert_allclose(log_slope, 0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_splines_increase_and_have_inverses(scale):
    params = spline_params(1, scale).expand(501, -1)
    x = torch.linspace(-BOUND, BOUND, 501, dtype=torch.float64)
    y, _ = spline(x, params)
    assert (y.diff() > 0).all()
    assert_allclose(y[[0, -1]], [-BOUND, BOUND], atol=1e-12)
    assert_allclose(spline_inverse(y, params), x, atol=1e-8)


def test_the_log_slope_is_that_of_autograd():
    x = (3 * normal(200, seed=1)).requires_grad_()
    y, log_slope = spline(x, spline_params(200))
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert_allclose(log_slope.detach(), slope.log(), atol=1e-8)


def test_splines_are_the_identity_far_outside():
    x = torch.tensor([-1e10, -6.0, 6.0, math.inf], dtype=torch.float64)
    y, log_slope = spline(x, spline_params(4))
    assert y.tolist() == x.tolist()
    assert log_slope.tolist() == [0] * 4
    assert spline_inverse(x, spline_params(4)).tolist() == x.tolist()
