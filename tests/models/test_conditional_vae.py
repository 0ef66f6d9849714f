"""Modules with conditions: encoding, decoders, exposures and the linear start."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import LinearRegression

from helpers import linear_networks, normal, seeded
from skvae import Gaussian, NegativeBinomial, Poisson
from skvae.models import Condition, VAEConfig, importance_weighted_bound, weight_shapes
from skvae.priors import VampPrior
from skvae.training import Rows
from skvae.training._new_module import new_module

pytestmark = pytest.mark.torch_only

N, D = 150, 6
LABEL, NUMBER = Condition(2, "categorical", (0.0, 1.0, 4.0)), Condition(7, "numeric")


def table(seed=0):
    """Return rows with a label in column 2 and a number in column 7, and both of them."""
    rng = np.random.RandomState(seed)
    label, number = rng.choice([0, 1, 4], N), 3 + 5 * rng.normal(size=N)
    X = rng.normal(size=(N, 2)) @ rng.normal(size=(2, D)) + 0.5 * rng.normal(size=(N, D))
    X += np.array([-3, 3, 0, 0, 1])[label][:, None] + np.outer(number, rng.normal(size=D))
    return np.column_stack([X[:, :2], label, X[:, 2:], number])


def build(rows, conditions=(LABEL, NUMBER), **options):
    config = {
        "n_features": rows.shape[1] - len(conditions),
        "latent_dim": 2,
        "hidden_layer_sizes": (5,),
        "activation": "tanh",
        "likelihood": Gaussian("feature"),
    }
    config = VAEConfig(**config | options, conditions=conditions)
    return (
        new_module(config, Rows(rows, torch.device("cpu")), seeded())
        .eval()
        .double()
        .requires_grad_(False)
    )


def test_standardised_rows_end_with_covariates_and_then_exposures():
    rows = np.array([[2.0, 10, 7, 4], [6.0, 30, 3, 0], [4.0, 20, 5, 4]])
    exposure, label = Condition(0, "exposure"), Condition(3, "categorical", (0.0, 4.0))
    module = build(rows, (exposure, Condition(1, "numeric"), label), likelihood=Poisson())
    x = module.standardize(torch.tensor(rows))
    assert_allclose(x[:, 0], rows[:, 2])
    scaled = (rows[:, 1] - 20) / rows[:, 1].std()
    assert_allclose(x[:, 1], scaled, rtol=1e-6)
    assert_allclose(x[:, 2:4], [[0, 1], [1, 0], [0, 1]])
    assert_allclose(x[:, 4], np.log(rows[:, 0] / 4), rtol=1e-6)
    assert_allclose(module.split(x)[1], x[:, 1:])


@pytest.mark.parametrize("sizes", [(), (5,)])
def test_the_linear_start_is_factor_analysis_of_residuals(sizes):
    rows = table()
    module = build(rows, hidden_layer_sizes=sizes)
    x = module.standardize(torch.tensor(rows))
    bound = importance_weighted_bound(module, x, normal(1, 2))  # the same for each draw
    X = np.delete(rows, [2, 7], axis=1)
    C = np.column_stack([rows[:, [2]] == [0, 1, 4], rows[:, 7]])
    residual = X - LinearRegression().fit(C, X).predict(C)
    exact = FactorAnalysis(2, tol=1e-10, max_iter=10_000, svd_method="lapack").fit(residual)
    assert_allclose(bound, exact.score_samples(residual), atol=0.1)
    assert_allclose(bound.mean(), exact.score(residual), atol=0.01)


def test_an_exposure_multiplies_the_rate_and_leaves_the_code_to_the_encoder():
    rng = np.random.RandomState(0)
    size = rng.choice([10.0, 100.0], N)
    rows = np.column_stack([rng.poisson(size[:, None] * [0.1, 0.2, 0.7]), size])
    for likelihood in (Poisson(), NegativeBinomial()):
        module = build(rows, (Condition(3, "exposure"),), likelihood=likelihood)
        z, c = normal(4, 2), module.conditions(torch.tensor([[10.0], [20], [40], [80]]))
        means = module.mean(z, c)
        assert_allclose(module.mean(z, c + np.log(3)), 3 * means)
        assert module.decoder[0].in_features == 2
        assert module.encoder[0].in_features == 4


def test_an_exposure_needs_a_likelihood_of_counts():
    with pytest.raises(ValueError, match="multiplies the rate of counts"):
        build(np.abs(table()), (Condition(7, "exposure"),))


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "fourier_mlp"},
        {"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": (4, 5)},
        {"architecture": linear_networks},
        {"prior": VampPrior(3)},
    ],
    ids=["fourier", "conv", "custom", "vamp"],
)
def test_encoder_and_decoder_of_each_architecture_depend_on_conditions(options):
    rows = table()
    module = build(rows, **options)
    x, z = module.standardize(torch.tensor(rows)), normal(N, 2)
    other = torch.cat([x[:, :D], x[:, D:].flip(0)], 1)
    assert not torch.equal(module.encode(x).mean, module.encode(other).mean)
    assert not torch.equal(module.mean(z, x[:, D:]), module.mean(z, other[:, D:]))
    if not callable(module.config.architecture):
        shapes = {name: tuple(w.shape) for name, w in module.state_dict().items()}
        assert shapes == weight_shapes(module.config)


def test_codes_with_several_draws_share_the_conditions_of_their_row():
    rows = table()
    module = build(rows)
    c, z = module.split(module.standardize(torch.tensor(rows)))[1], normal(3, N, 2)
    assert_allclose(module.mean(z, c)[1], module.mean(z[1], c))
    by_row = module.mean(z.transpose(0, 1), c.unsqueeze(1))
    assert_allclose(by_row[:, 1], module.mean(z[1], c))
