"""Normal noise with correlations against scipy.stats, and its split between columns."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from helpers import f64, normal, seeded
from helpers_likelihoods import marginals, random_params, random_rows
from skvae.likelihoods import Gaussian, StudentT, correlated_params

pytestmark = pytest.mark.torch_only

FULL = Gaussian("full")
N, D = 6, 4


@pytest.fixture
def params():
    return random_params(FULL, N, D)


@pytest.fixture
def x():
    return random_rows(FULL, N, D)


def covariance_of(params):
    (whitening,) = FULL.public_parameters(params, 1.0).values()
    return torch.linalg.inv(whitening.T @ whitening)


def log_density(x, mean, covariance):
    """Return the log-density of each row, which has a mean of its own."""
    zero = np.zeros(len(covariance))
    return multivariate_normal(zero, covariance).logpdf((x - mean).reshape(-1, len(covariance)))


def permuted(params, order):
    """Return parameters for columns in another order."""
    covariance = covariance_of(params)[order][:, order]
    return params_of(FULL.mean(params)[:, order], covariance)


def params_of(mean, covariance):
    """Return parameters for means, (n, d), and a covariance of the noise."""
    params = correlated_params(mean[0], covariance)
    return {**params, "whitened_mean": mean @ params["whitening"].T}


# ---- Density and samples -------------------------------------------------------------


def test_log_probs_add_up_to_the_multivariate_normal_density(x, params):
    expected = log_density(x, FULL.mean(params), covariance_of(params))
    assert_allclose(FULL.log_prob(x, params).sum(-1), expected, rtol=1e-8)


def test_the_first_columns_have_their_marginal_density(x, params):
    log_prob = FULL.log_prob(x, params)
    mean, covariance = FULL.mean(params), covariance_of(params)
    for j in range(1, D + 1):
        expected = log_density(x[:, :j], mean[:, :j], covariance[:j, :j])
        assert_allclose(log_prob[:, :j].sum(-1), expected, rtol=1e-8)


def test_initial_noise_is_independent_with_the_variance_of_the_columns(x):
    columns = marginals([0.3] * D, [1] * D)
    expected = Gaussian().log_prob(x, Gaussian().initial_params(columns))
    assert_allclose(FULL.log_prob(x, FULL.initial_params(columns)), expected, rtol=1e-12)


def test_initial_parameters_have_the_given_mean_and_covariance(params):
    mean, covariance = f64(1, -2, 3, 0), covariance_of(params)
    start = correlated_params(mean, covariance)
    assert_allclose(FULL.mean(start), mean, atol=1e-9)
    assert_allclose(covariance_of(start), covariance, rtol=1e-8)


def test_samples_have_the_mean_and_the_covariance_of_the_distribution(params):
    n, mean, covariance = 20_000, FULL.mean(params)[0], covariance_of(params)
    rows = params["whitened_mean"][0].expand(n, -1)
    x = FULL.sample({**params, "whitened_mean": rows}, seeded(1))
    var = covariance.diagonal()
    # Five standard errors each.
    assert ((x.mean(0) - mean).abs() < 5 * (var / n).sqrt()).all()
    products = (x - mean)[:, :, None] * (x - mean)[:, None]
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / n**0.5).all()


def test_samples_for_several_codes_have_the_shape_of_the_means(params):
    several = {**params, "whitened_mean": torch.stack([params["whitened_mean"]] * 3)}
    assert FULL.mean(several).shape == FULL.sample(several, seeded()).shape == (3, N, D)


def test_public_whitening_is_that_of_rows_in_the_units_of_x(params):
    scale = f64(0.1, 1, 10, 100)
    (whitening,) = FULL.public_parameters(params, scale).values()
    expected = covariance_of(params) * scale * scale[:, None]
    assert_allclose(torch.linalg.inv(whitening.T @ whitening), expected, rtol=1e-8)


def test_autocast_does_not_round_the_products(x, params):
    rows = {name: p.float() for name, p in params.items()}
    expected = FULL.log_prob(x.float(), rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(FULL.log_prob(x.float(), rows), expected)


# ---- Missing entries -----------------------------------------------------------------


@pytest.fixture
def holes(x):
    """Rows with different missing entries, a complete row, and a row without any entry."""
    is_missing = torch.rand(x.shape, generator=seeded(3)) < 0.5
    is_missing[0], is_missing[1] = False, True
    return x.masked_fill(is_missing, torch.nan)


def conditional(x, mean, covariance):
    """Return the mean and the covariance of missing entries given the others, for one row."""
    lost = x.isnan()
    weights = covariance[lost][:, ~lost] @ torch.linalg.inv(covariance[~lost][:, ~lost])
    rest = covariance[lost][:, lost] - weights @ covariance[~lost][:, lost]
    return mean[lost] + weights @ (x - mean)[~lost], rest


def test_observed_entries_have_their_marginal_density(holes, params):
    log_prob = FULL.observed_log_prob(holes, params, torch.zeros(D))
    mean, covariance = FULL.mean(params), covariance_of(params)
    for i, row in enumerate(holes):
        seen = ~row.isnan()
        expected = 0.0
        if seen.any():
            observed = covariance[seen][:, seen]
            expected = log_density(row[seen], mean[i, seen], observed)
        assert_allclose(log_prob[i, seen].sum(), expected, rtol=1e-7, atol=1e-12)
    assert_allclose(log_prob[0], FULL.log_prob(holes, params)[0], rtol=1e-8)


def test_observed_entries_for_several_codes_have_the_density_for_each_code(holes, params):
    placeholder, other = torch.zeros(D), random_params(FULL, N, D, seed=7)["whitened_mean"]
    both = {**params, "whitened_mean": torch.stack([params["whitened_mean"], other])}
    first, second = (
        FULL.observed_log_prob(holes, {**params, "whitened_mean": rows}, placeholder)
        for rows in both["whitened_mean"]
    )
    stacked = FULL.observed_log_prob(holes, both, placeholder)
    assert_allclose(stacked, torch.stack([first, second]), rtol=1e-12)


def test_the_gradient_of_the_density_of_observed_entries_is_correct(holes, params):
    holes = holes / holes.nan_to_num().abs().max()
    params |= correlated_params(torch.zeros(D).double(), torch.eye(D).double() + 0.5)
    params |= {"whitened_mean": normal(N, D), "whitening_change": 0.3 * normal(D, D, seed=1)}
    names = ["whitened_mean", "log_noise", "whitening_change"]

    def log_prob(*values):
        learned = dict(zip(names, values, strict=True))
        terms = FULL.observed_log_prob(holes, {**params, **learned}, torch.zeros(D))
        return terms.masked_fill(holes.isnan(), 0.0)

    assert torch.autograd.gradcheck(log_prob, [params[name].requires_grad_() for name in names])


def test_missing_entries_are_completed_by_their_conditional_means(holes, params):
    completed, mean = FULL.complete(holes, params), FULL.mean(params)
    assert torch.equal(completed[0], holes[0])
    assert_allclose(completed[1], mean[1], rtol=1e-12)
    for i, row in enumerate(holes[2:], 2):
        expected, _ = conditional(row, mean[i], covariance_of(params))
        assert_allclose(completed[i, row.isnan()], expected, rtol=1e-7)


def test_completing_draws_follow_the_conditional_distribution(x, params):
    n, row, mean = 20_000, x[0].clone(), FULL.mean(params)[0]
    row[[1, 3]] = torch.nan
    rows = params["whitened_mean"][0].expand(n, -1)
    completed = FULL.complete(row.expand(n, -1), {**params, "whitened_mean": rows}, seeded(1))
    assert (completed[:, [0, 2]] == row[[0, 2]]).all()
    expected, covariance = conditional(row, mean, covariance_of(params))
    draws = completed[:, [1, 3]] - expected
    # Five standard errors each.
    assert (draws.mean(0).abs() < 5 * (covariance.diagonal() / n).sqrt()).all()
    products = draws[:, :, None] * draws[:, None]
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / n**0.5).all()


# ---- Contributions -------------------------------------------------------------------


def test_contributions_follow_the_columns_to_any_order(x, params):
    order = [2, 0, 3, 1]
    expected = FULL.contributions(x, params)[:, order]
    assert_allclose(FULL.contributions(x[:, order], permuted(params, order)), expected, rtol=1e-7)
    sequential = FULL.log_prob(x[:, order], permuted(params, order))
    assert not np.allclose(sequential, FULL.log_prob(x, params)[:, order], rtol=0.1)


def test_contributions_of_independent_columns_are_their_log_densities(x, params):
    params = params_of(FULL.mean(params), torch.diag(f64(1, 4, 9, 0.25)))
    assert_allclose(FULL.contributions(x, params), FULL.log_prob(x, params), rtol=1e-9)


def test_two_columns_that_contradict_each_other_share_the_contribution():
    covariance = f64(1, 0.99, 0.99, 1).reshape(2, 2)
    params = params_of(f64(0, 0)[None], covariance)
    contributions = FULL.contributions(f64(2, -2)[None], params)[0]
    assert_allclose(contributions[0], contributions[1])
    assert contributions[0] < -100
    assert FULL.log_prob(f64(2, -2)[None], params)[0, 0] > -4


def test_the_broken_one_of_three_similar_columns_has_the_lowest_contribution():
    # Each column is the same quantity with an error of its own.
    covariance = torch.ones(3, 3, dtype=torch.float64) + 0.01 * torch.eye(3)
    params = params_of(torch.zeros_like(covariance), covariance)
    broken = normal(3, 1).expand(3, 3) + 2 * torch.eye(3)
    assert FULL.contributions(broken, params).argmin(-1).tolist() == [0, 1, 2]


# ---- Invalid options -----------------------------------------------------------------


def test_students_t_has_no_correlated_noise():
    with pytest.raises(ValueError, match="must be one of"):
        StudentT("full")


def test_correlated_noise_has_no_floor():
    with pytest.raises(ValueError, match="0 if the noise is fixed or 'full'"):
        Gaussian("full", floor=0.1)
