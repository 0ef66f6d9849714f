"""Levels, scores and basis functions of the bins of one column."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from helpers_histogram import ORDERED, UNORDERED, every_column, naive_basis, naive_marginal

pytestmark = pytest.mark.torch_only


@every_column
def test_marginals_are_fractions_of_rows_with_a_pseudocount_of_one_half(column):
    assert_allclose(column.log_marginal().exp(), naive_marginal(column), rtol=1e-14)


@every_column
def test_basis_is_the_documented_formula(column):
    expected = naive_basis(column)
    assert column.n_coefficients == len(expected)
    assert_allclose(column.basis(), expected, rtol=1e-12, atol=1e-14)
    assert column.basis().shape == (column.n_coefficients, column.n_levels)


@every_column
def test_basis_spans_every_distribution_over_levels(column):
    # Up to a constant, which cancels in the softmax.
    basis = np.vstack([column.basis(), np.ones(column.n_levels)])
    assert np.linalg.matrix_rank(basis) == column.n_levels


def test_scores_are_normal_quantiles_of_mid_ranks():
    counts = np.array(ORDERED.counts[:5]) + 0.5
    rank = (counts.cumsum() - counts / 2) / counts.sum()
    assert_allclose(ORDERED.ranks(), rank, rtol=1e-14)
    assert_allclose(ORDERED.scores(), [*stats.norm.ppf(rank), 0], rtol=1e-12)


def test_scores_of_unordered_levels_are_0():
    assert UNORDERED.scores().tolist() == [0, 0]


@every_column
def test_numbers_of_bins_and_levels(column):
    assert column.n_bins == len(column.log_width)
    assert column.n_levels == len(column.counts) == max(column.level) + 1
