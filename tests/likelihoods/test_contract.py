"""The contract of every likelihood: shapes, precision, gradients, initial parameters, equality."""

import copy
import dataclasses
import inspect
import math
import pickle

import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone

import skvae
from helpers import f64
from helpers_likelihoods import (
    ALL_LIKELIHOODS,
    every_likelihood,
    marginals,
    random_params,
    random_rows,
    shape_of,
)
from skvae import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    StudentT,
    VAETransformer,
    likelihoods,
)
from skvae.likelihoods import LIKELIHOODS, resolve_likelihood

pytestmark = pytest.mark.torch_only


# ---- log_prob ------------------------------------------------------------------------


@every_likelihood
def test_log_prob_broadcasts_over_several_codes_per_row(likelihood):
    x = random_rows(likelihood, 3, 4)
    per_code = [random_params(likelihood, 3, 4, seed) for seed in range(5)]
    for name, scope in likelihood.parameters.items():
        if scope != "row":
            for params in per_code:
                params[name] = per_code[0][name]
    stacked = {
        name: torch.stack([p[name] for p in per_code]) if scope == "row" else per_code[0][name]
        for name, scope in likelihood.parameters.items()
    }
    expected = torch.stack([likelihood.log_prob(x, params) for params in per_code])
    assert expected.shape == (5, 3, 4)
    torch.testing.assert_close(likelihood.log_prob(x, stacked), expected, rtol=0, atol=0)


@every_likelihood
def test_log_prob_in_float32_agrees_with_float64(likelihood):
    x, params = random_rows(likelihood, 50, 4), random_params(likelihood, 50, 4)
    float32 = {name: p.float() for name, p in params.items()}
    actual = likelihood.log_prob(x.float(), float32)
    assert actual.dtype == torch.float32
    assert_allclose(actual, likelihood.log_prob(x, params), rtol=1e-5, atol=1e-4)


@every_likelihood
def test_contributions_have_the_sum_of_log_prob(likelihood):
    x, params = random_rows(likelihood, 3, 4), random_params(likelihood, 3, 4)
    contributions = likelihood.contributions(x, params)
    assert contributions.shape == (3, 4)
    assert_allclose(contributions.sum(-1), likelihood.log_prob(x, params).sum(-1), rtol=1e-9)


@every_likelihood
def test_complete_rows_have_no_entries_to_fill(likelihood):
    x, params = random_rows(likelihood, 3, 4), random_params(likelihood, 3, 4)
    observed = likelihood.observed_log_prob(x, params, torch.full((4,), 0.5).double())
    assert_allclose(observed, likelihood.log_prob(x, params), rtol=1e-8)
    assert torch.equal(likelihood.complete(x, params), x)


@pytest.mark.parametrize(
    ("likelihood", "params", "largest"),
    [
        (Bernoulli(), {"logits": f64(-30, -2, 0, 1, 30)}, 1),
        (Poisson(), {"log_rate": f64(-8, -1, 0, 2, 4)}, 200),
        (NegativeBinomial(), {"log_mean": f64(-8, 0, 3), "log_dispersion": f64(1, 2, 3)}, 4000),
    ],
    ids=repr,
)
def test_discrete_probabilities_sum_to_1_and_have_the_stated_mean(likelihood, params, largest):
    x = torch.arange(largest + 1, dtype=torch.float64)[:, None]
    rows = {name: p.expand(len(x), -1) for name, p in params.items()}
    probability = likelihood.log_prob(x, rows).exp()
    assert_allclose(probability.sum(0), 1, rtol=1e-11)
    assert_allclose((x * probability).sum(0), likelihood.mean(params), rtol=1e-10)


@every_likelihood
def test_gradient_of_log_prob_is_correct(likelihood):
    x, params = random_rows(likelihood, 3, 2), random_params(likelihood, 3, 2)
    names = list(params)

    def log_prob(*values):
        return likelihood.log_prob(x, dict(zip(names, values, strict=True)))

    assert torch.autograd.gradcheck(log_prob, [p.requires_grad_() for p in params.values()])


# ---- Initial parameters --------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "mean"),
    [
        (Gaussian("feature"), [-3, 0, 8]),
        (Gaussian("shared"), [-3, 0, 8]),
        (Gaussian("row"), [-3, 0, 8]),
        (Gaussian("full"), [-3, 0, 8]),
        (Gaussian(0.2), [-3, 0, 8]),
        (StudentT(), [-3, 0, 8]),
        (Bernoulli(), [1e-3, 0.5, 0.9]),
        (ContinuousBernoulli(), [0.03, 0.3, 0.5, 0.97]),
        (Poisson(), [1e-3, 1, 300]),
        (NegativeBinomial("feature"), [1e-3, 1, 300]),
        (NegativeBinomial("shared"), [1e-3, 1, 300]),
        (NegativeBinomial("row"), [1e-3, 1, 300]),
    ],
    ids=repr,
)
def test_initial_mean_is_the_mean_of_each_column(likelihood, mean):
    params = likelihood.initial_params(marginals(mean, [1] * len(mean)))
    assert_allclose(likelihood.mean(params), mean, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Poisson(), NegativeBinomial()], ids=repr)
def test_initial_mean_of_a_small_sample_has_a_pseudocount_of_one_half(likelihood):
    mean = f64(0.0, 0.1, 0.5, 1.0)
    params = likelihood.initial_params(marginals(mean, f64(0, 1, 1, 0), n_samples=10))
    shift = likelihood.mean(params) - mean
    assert (shift.abs() <= 0.5 / 10 + 1e-12).all()
    assert shift[0] > 0.4 / 10


@every_likelihood
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_initial_params_of_a_constant_column_are_finite(likelihood, value):
    params = likelihood.initial_params(marginals([value], [0], n_samples=20))
    assert all(p.isfinite().all() for p in params.values())
    assert likelihood.log_prob(f64(value), params).isfinite().all()


@every_likelihood
def test_initial_params_have_the_shapes_of_their_scopes(likelihood):
    params = likelihood.initial_params(marginals([0.2, 0.5, 0.7], [1, 1, 1]))
    assert list(params) == list(likelihood.parameters)
    for name, scope in likelihood.parameters.items():
        expected = (3,) if scope == "row" else shape_of(scope, 1, 3)
        assert params[name].shape == expected


# ---- Units and support ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (Gaussian("feature"), "feature"),
        (Gaussian("row"), "feature"),
        (Gaussian("full"), "feature"),
        (Gaussian("shared"), "shared"),
        (Gaussian(0.1), "shared"),
        (StudentT(), "feature"),
        (StudentT(0.1), "shared"),
        (Bernoulli(), None),
        (ContinuousBernoulli(), None),
        (Poisson(), None),
        (NegativeBinomial(), None),
    ],
    ids=repr,
)
def test_only_real_columns_are_standardized(likelihood, expected):
    assert likelihood.standardize == expected


@pytest.mark.parametrize(
    ("kinds", "inside", "outside"),
    [
        ([Bernoulli(), ContinuousBernoulli()], [0, 0.5, 1, 1 + 1e-7], [-0.1, 1.1, 255]),
        ([Poisson(), NegativeBinomial()], [0, 1, 1000], [-1, 0.5]),
        ([Gaussian(), StudentT()], [-1e30, 0, 1e30], [math.nan]),
    ],
)
def test_support_separates_valid_from_invalid_values(kinds, inside, outside):
    for likelihood in kinds:
        assert likelihood.support.check(f64(*inside)).all()
        assert not likelihood.support.check(f64(*outside)).any()


def test_encoder_input_is_log1p_for_counts_and_unchanged_otherwise():
    x = f64(0, 1, 1e6)
    for likelihood in ALL_LIKELIHOODS:
        counts = isinstance(likelihood, Poisson | NegativeBinomial)
        expected = torch.log1p(x) if counts else x
        assert_allclose(likelihood.encoder_input(x, {}), expected, rtol=1e-15)


@pytest.mark.parametrize("likelihood", [Gaussian(floor=0.5), StudentT("row")], ids=repr)
def test_public_noise_is_bounded_and_in_the_units_of_x(likelihood):
    params = random_params(likelihood, 3, 2)
    (noise,) = likelihood.public_parameters(params, f64(10, 0.1)).values()
    assert_allclose(noise.exp(), likelihood.log_noise(params).exp() * f64(10, 0.1), rtol=1e-12)


def test_public_dispersion_is_bounded():
    params = {"log_mean": f64(1.0), "log_dispersion": f64(1e9)}
    public = NegativeBinomial().public_parameters(params, f64(1.0))
    assert public["log_mean"] is params["log_mean"]
    assert_allclose(public["log_dispersion"], 10, rtol=1e-6)


@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli(), Poisson()], ids=repr)
def test_public_parameters_are_unchanged_by_default(likelihood):
    params = random_params(likelihood, 3, 2)
    assert likelihood.public_parameters(params, f64(1, 1)) == params


# ---- Likelihoods as values -----------------------------------------------------------


@every_likelihood
def test_copies_are_equal(likelihood):
    for twin in (
        copy.copy(likelihood),
        copy.deepcopy(likelihood),
        pickle.loads(pickle.dumps(likelihood)),
        eval(repr(likelihood), vars(skvae)),
    ):
        assert twin == likelihood
        assert hash(twin) == hash(likelihood)


def test_different_likelihoods_are_unequal():
    assert len(set(ALL_LIKELIHOODS)) == len(ALL_LIKELIHOODS)
    assert Gaussian(0.5) != Gaussian(0.6)


@every_likelihood
def test_likelihoods_are_immutable(likelihood):
    with pytest.raises(dataclasses.FrozenInstanceError):
        likelihood.noise = "row"


@every_likelihood
def test_clone_of_an_estimator_has_an_equal_likelihood(likelihood):
    estimator = VAETransformer(likelihood=likelihood)
    assert clone(estimator).likelihood == likelihood


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gaussian", Gaussian()),
        ("student_t", StudentT()),
        ("bernoulli", Bernoulli()),
        ("continuous_bernoulli", ContinuousBernoulli()),
        ("poisson", Poisson()),
        ("negative_binomial", NegativeBinomial()),
    ],
)
def test_name_resolves_to_the_likelihood_with_defaults(name, expected):
    assert resolve_likelihood(name) == expected


def test_likelihood_object_resolves_to_itself():
    likelihood = Gaussian(0.1)
    assert resolve_likelihood(likelihood) is likelihood


def test_every_public_likelihood_has_a_name():
    for package in (skvae, likelihoods):
        public = {
            kind
            for kind in (getattr(package, name) for name in package.__all__)
            if inspect.isclass(kind)
            and issubclass(kind, Likelihood)
            and not inspect.isabstract(kind)
        }
        assert set(LIKELIHOODS.values()) == public


@pytest.mark.parametrize("kind", [Likelihood, *LIKELIHOODS.values()])
def test_every_public_method_is_documented(kind):
    methods = {
        name: method
        for name, method in inspect.getmembers(kind)
        if not name.startswith("_") and (callable(method) or isinstance(method, property))
    }
    assert len(methods) >= 11
    for name, method in methods.items():
        assert inspect.getdoc(getattr(kind, name)) or inspect.getdoc(method), name
