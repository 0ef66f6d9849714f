"""The histogram likelihood against a naive implementation."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import f64, normal, seeded, unchanged_random_states
from helpers_histogram import (
    ORDERED,
    TWO_ORDERED,
    UNORDERED,
    all_rows,
    check_frequencies,
    column_bins,
    every_table,
    naive_bin_probability,
    naive_is_known,
    naive_level_probability,
    naive_marginal,
    naive_sampling_probability,
    random_rows,
)
from skvae.likelihoods import Histogram, Marginals

pytestmark = pytest.mark.torch_only


def histogram_and_params(columns, *shape, seed=0, scale=1.0):
    """Return a likelihood, and parameters with random coefficients."""
    likelihood = Histogram(columns)
    width = likelihood.decoder_width(len(columns))
    coefficients = scale * normal(*shape, width, seed=seed)
    return likelihood, {"coefficients": coefficients, **likelihood.constants()}


# ---- log_prob ------------------------------------------------------------------------


@every_table
def test_log_prob_adds_level_probability_and_density_within_the_level(columns):
    likelihood, params = histogram_and_params(columns, 1)
    rows = all_rows(columns)
    expanded = {**params, "coefficients": params["coefficients"].expand(len(rows), -1)}
    actual = likelihood.log_prob(rows, expanded)
    per_column = likelihood.split(params["coefficients"][0])
    for j, column in enumerate(columns):
        p = naive_level_probability(column, per_column[j].numpy())
        bin_index = rows[:, j].int().numpy()
        expected = np.log(naive_bin_probability(column, p))[bin_index]
        expected -= np.array(column.log_width)[bin_index]
        assert_allclose(actual[:, j], expected, rtol=1e-11, atol=1e-12)


@every_table
def test_zero_coefficients_give_the_marginals(columns):
    likelihood, params = histogram_and_params(columns, 1, scale=0.0)
    initial = likelihood.initial_params(Marginals(10, *normal(3, len(columns))))
    assert torch.equal(initial["coefficients"], params["coefficients"][0])
    for j, column in enumerate(columns):
        (coefficients,) = likelihood.split(params["coefficients"])[j]
        p = likelihood.log_p(j, coefficients, params).exp()
        assert_allclose(p, naive_marginal(column), rtol=1e-12)


def test_first_coefficient_of_an_ordered_column_shifts_the_distribution():
    likelihood = Histogram((ORDERED,))
    constants = likelihood.constants()
    means = []
    for tilt in (-2.0, -0.5, 0.0, 0.5, 2.0):
        coefficients = torch.zeros(ORDERED.n_coefficients, dtype=torch.float64)
        coefficients[0] = tilt
        p = likelihood.log_p(0, coefficients, constants).exp()[:5]
        means.append((p * torch.arange(5)).sum() / p.sum())
    assert (np.diff(means) > 0.1).all()


@every_table
def test_log_prob_broadcasts_over_several_codes_per_row(columns):
    likelihood, params = histogram_and_params(columns, 4, 6)
    x = random_rows(columns, 6).nan_to_num(0)
    each = [likelihood.log_prob(x, {**params, "coefficients": c}) for c in params["coefficients"]]
    torch.testing.assert_close(likelihood.log_prob(x, params), torch.stack(each), rtol=0, atol=0)


def test_log_prob_broadcasts_parameters_of_one_row():
    likelihood, params = histogram_and_params((TWO_ORDERED,), 1)
    assert likelihood.log_prob(torch.zeros(5, 1, dtype=torch.float64), params).shape == (5, 1)


@every_table
def test_float32_agrees_with_float64(columns):
    likelihood, params = histogram_and_params(columns, 6, scale=3.0)
    x = random_rows(columns, 6).nan_to_num(0)
    float32 = {**params, "coefficients": params["coefficients"].float()}
    actual = likelihood.log_prob(x.float(), float32)
    assert_allclose(actual, likelihood.log_prob(x, params), rtol=1e-5, atol=1e-4)
    first = likelihood.split(float32["coefficients"])[0]
    for result in (
        actual,
        likelihood.encoder_input(x.float(), params),
        likelihood.mean(float32),
        likelihood.sampling_weights(0, first, params),
    ):
        assert result.dtype == torch.float32


@every_table
def test_log_prob_and_gradient_are_finite_for_extreme_coefficients(columns):
    likelihood, params = histogram_and_params(columns, 6, scale=1e4)
    coefficients = params["coefficients"].float().requires_grad_()
    x = random_rows(columns, 6).nan_to_num(0)
    log_prob = likelihood.log_prob(x.float(), {**params, "coefficients": coefficients})
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert coefficients.grad.isfinite().all()


@every_table
def test_gradient_of_log_prob_is_correct(columns):
    likelihood, params = histogram_and_params(columns, 5)
    x = random_rows(columns, 5).nan_to_num(0)

    def log_prob(coefficients):
        return likelihood.log_prob(x, {**params, "coefficients": coefficients})

    assert torch.autograd.gradcheck(log_prob, params["coefficients"].requires_grad_())


# ---- Encoder -------------------------------------------------------------------------


@every_table
def test_encoder_input_has_indicators_and_scores_and_zeros_for_unknown_entries(columns):
    likelihood = Histogram(columns)
    x = random_rows(columns)
    actual = likelihood.encoder_input(torch.where(x.isnan(), -1.0, x), likelihood.constants())
    assert actual.shape == (len(x), likelihood.encoder_width(len(columns)))
    expected = np.zeros(actual.shape)
    n_levels = [column.n_levels for column in columns]
    for i, j in product(range(len(x)), range(len(columns))):
        if naive_is_known(columns[j], float(x[i, j])):
            level = columns[j].level[int(x[i, j])]
            expected[i, sum(n_levels[:j]) + level] = 1
            expected[i, sum(n_levels) + j] = columns[j].scores()[level]
    assert_allclose(actual, expected, rtol=1e-14)


# ---- Samples -------------------------------------------------------------------------


@every_table
@pytest.mark.usefixtures("sampling_steps")
def test_samples_follow_the_probabilities_of_observed_bins(columns):
    n = 20_000
    likelihood, params = histogram_and_params(columns, 1)
    rows = {**params, "coefficients": params["coefficients"].expand(n, -1)}
    x = likelihood.sample(rows, seeded())
    assert x.dtype == torch.float64
    per_column = likelihood.split(params["coefficients"][0])
    for j, column in enumerate(columns):
        p = naive_level_probability(column, per_column[j].numpy())
        check_frequencies(x[:, j], naive_sampling_probability(column, p))


def test_columns_with_very_many_bins_are_sampled_in_proportion_to_rows_within_few_groups():
    rows, n = np.random.RandomState(0).randint(0, 4, size=3000).astype(float), 200_000
    fractions = np.where(rows > 0, rows, 1.0) / rows.sum()
    many = [(fraction, 1, bool(n)) for fraction, n in zip(fractions, rows, strict=True)]
    levels = [[(1.0, 1, True)], many, [(0.4, 1, True), (0.6, 1, False)]]
    likelihood = Histogram((column_bins(levels, (50.0, rows.sum(), 20.0), (0, 1, 3001)),))
    params = {"coefficients": f64(0.5, -1.0, 0.0).expand(n, -1), **likelihood.constants()}
    weights = likelihood.sampling_weights(0, params["coefficients"], params)
    assert weights.shape == (n, 3)
    x = likelihood.sample(params, seeded()).numpy().ravel().astype(int)
    in_level = np.bincount(x[(x > 0) & (x <= 3000)] - 1, minlength=3000)
    assert (in_level[rows == 0] == 0).all()
    expected = in_level.sum() * rows / rows.sum()
    assert stats.chisquare(in_level[rows > 0], expected[rows > 0]).pvalue > 1e-3
    p = naive_level_probability(likelihood.columns[0], np.array([0.5, -1.0, 0.0]))
    counts = np.bincount(np.array(likelihood.columns[0].level)[x], minlength=3)
    assert stats.chisquare(counts, n * p).pvalue > 1e-3
    assert (x != 3002).all()


def test_columns_with_few_bins_are_sampled_by_one_multinomial_draw():
    likelihood, params = histogram_and_params((ORDERED,), 50)
    weights = likelihood.sampling_weights(0, params["coefficients"], params)
    assert weights.shape == (50, ORDERED.n_bins)
    expected = torch.multinomial(weights, 1, generator=seeded(3)).double()
    assert torch.equal(likelihood.sample(params, seeded(3)), expected)


def test_samples_depend_on_the_given_generator_only():
    likelihood, params = histogram_and_params((UNORDERED, ORDERED), 50)
    with unchanged_random_states():
        first = likelihood.sample(params, seeded(3))
    assert torch.equal(likelihood.sample(params, seeded(3)), first)
    assert not torch.equal(likelihood.sample(params, seeded(4)), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_weights_of_zero_give_uniform_samples(dtype):
    weights = torch.zeros(50, 4, dtype=dtype)
    weights[0, 2] = 1
    x = Histogram.draw(weights, seeded())
    assert x[0] == 2
    assert x[1:].unique().tolist() == [0, 1, 2, 3]


# ---- Representative bins -------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "p", "expected"),
    [
        (UNORDERED, [0.6, 0.4], 0),
        (UNORDERED, [0.4, 0.6], 2),
        # The median, although the first level is the most probable.
        (ORDERED, [0.4, 0.05, 0.15, 0.2, 0.2, 0], 4),
        (ORDERED, [0.6, 0.1, 0.1, 0.1, 0.1, 0], 1),
        (ORDERED, [0.1, 0.1, 0.1, 0.1, 0.6, 0], 7),
        # The last level has missing values, and does not count for the median.
        (ORDERED, [0.1, 0.1, 0.1, 0.21, 0, 0.49], 4),
        (ORDERED, [0.1, 0.1, 0.1, 0.19, 0, 0.51], 9),
        (TWO_ORDERED, [0.6, 0.4], 0),
        (TWO_ORDERED, [0.4, 0.6], 1),
    ],
)
def test_mean_is_the_median_of_ordered_and_the_mode_of_unordered_levels(column, p, expected):
    likelihood = Histogram((column,))
    constants = likelihood.constants()
    # Solve for coefficients with the given probabilities, up to a constant.
    log_p = np.log(np.maximum(p, 1e-9))
    basis = np.vstack([column.basis(), np.ones(column.n_levels)])
    solution = np.linalg.lstsq(basis.T, log_p - column.log_marginal().numpy(), rcond=None)[0]
    coefficients = torch.from_numpy(solution[:-1])
    assert_allclose(likelihood.log_p(0, coefficients, constants).exp(), p, atol=1e-8)
    assert likelihood.representative_bin(0, coefficients, constants) == expected
    assert likelihood.mean({**constants, "coefficients": coefficients}).tolist() == [expected]


@every_table
def test_mean_of_many_rows_is_the_mean_of_each_row(columns):
    likelihood, params = histogram_and_params(columns, 4, 6, scale=2.0)
    rows = params["coefficients"].flatten(0, 1)
    each = torch.stack([likelihood.mean({**params, "coefficients": c}) for c in rows])
    assert torch.equal(likelihood.mean(params).flatten(0, 1), each)
    assert each.unique(dim=0).shape[0] > 1


def test_placeholder_stands_for_missing_entries():
    likelihood = Histogram((UNORDERED, ORDERED))
    placeholder = likelihood.placeholder(Marginals(10, f64(0, 1), f64(1, 1), f64(1, 1)))
    _, is_observed = likelihood.levels(placeholder[None], likelihood.constants())
    assert is_observed.tolist() == [[0, 0]]
