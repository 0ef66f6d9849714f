"""Columns of bins, and a naive implementation of histograms, for tests of several modules."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import special, stats

from skvae.likelihoods import ColumnBins

# ---- Columns -------------------------------------------------------------------------


def column_bins(levels, counts, representative_bin, n_ordered=0):
    """Return the bins of levels, each a list of fraction, width and whether observed."""
    flat = [(number, *bin_) for number, level in enumerate(levels) for bin_ in level]
    number, fraction, width, observed = zip(*flat, strict=True)
    return ColumnBins(
        level=number,
        log_fraction=tuple(map(math.log, fraction)),
        log_width=tuple(map(math.log, width)),
        observed=observed,
        counts=counts,
        representative_bin=tuple(representative_bin),
        n_ordered=n_ordered,
    )


def single_bin(width=1.0):
    return [(1.0, width, True)]


# Two categories, of which the first also has a bin without training values.
UNORDERED = column_bins([[(0.6, 1, True), (0.4, 1, False)], single_bin()], (7.0, 3.0), (0, 2))
# Five levels of numbers, with bins beyond both ends, and a level of missing values.
ORDERED = column_bins(
    [
        [(0.1, 50, False), (0.9, 0.5, True)],
        single_bin(0.25),
        [(0.5, 1.0, True), (0.2, 3.0, True), (0.3, 0.5, True)],
        single_bin(),
        [(0.7, 2.0, True), (0.3, 1e3, False)],
        single_bin(),
    ],
    (3.0, 6.0, 9.0, 2.0, 1.0, 4.0),
    (1, 2, 4, 6, 7, 9),
    n_ordered=5,
)
# Fewer ordered levels than smoothing requires.
TWO_ORDERED = column_bins(
    [single_bin(2.0), [(0.5, 2.0, True), (0.5, 1.0, False)]], (2.0, 5.0), (0, 1), n_ordered=2
)
# Exactly as many ordered levels as smoothing requires.
FOUR_ORDERED = column_bins(
    [single_bin(w) for w in (1.0, 2.0, 0.5, 4.0)], (2.0, 5.0, 4.0, 1.0), range(4), n_ordered=4
)
# The last level has no training rows.
EMPTY_LEVEL = column_bins(
    [single_bin(), single_bin(), [(1.0, 1, False)]], (5.0, 1.0, 0.0), (0, 1, 2)
)

COLUMNS = {
    "unordered": UNORDERED,
    "ordered": ORDERED,
    "two ordered": TWO_ORDERED,
    "four ordered": FOUR_ORDERED,
    "empty level": EMPTY_LEVEL,
}
TABLES = {
    "unordered first": (UNORDERED, ORDERED, TWO_ORDERED),
    "ordered first": (ORDERED, TWO_ORDERED, UNORDERED),
    "equal columns": (UNORDERED, UNORDERED),
    "empty level": (EMPTY_LEVEL, TWO_ORDERED),
    "single column": (ORDERED,),
    "four ordered": (FOUR_ORDERED, TWO_ORDERED),
}


def naive_is_known(column, value):
    """Return whether a value is neither missing nor an unseen category."""
    if np.isnan(value) or column.n_ordered:
        return not np.isnan(value)
    level = column.level[int(value)]
    has_rows = any(o for k, o in zip(column.level, column.observed, strict=True) if k == level)
    return column.observed[int(value)] or not has_rows


every_column = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
every_table = pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)


# ---- Rows ----------------------------------------------------------------------------


def all_rows(columns):
    """Return every combination of bins."""
    rows = [*product(*(range(column.n_bins) for column in columns))]
    return torch.tensor(rows, dtype=torch.float64)


def random_rows(columns, n=12, seed=3):
    """Return rows of random bins, with missing entries."""
    rng = np.random.RandomState(seed)
    rows = np.stack([rng.randint(column.n_bins, size=n) for column in columns], 1).astype(float)
    rows[rng.uniform(size=rows.shape) < 0.2] = np.nan
    rows[0], rows[1] = np.nan, 0
    return torch.from_numpy(rows)


def row_number(rows, columns):
    """Return the position of each row in `all_rows`."""
    sizes = [column.n_bins for column in columns]
    return np.ravel_multi_index(np.asarray(rows, dtype=int).T, sizes)


# ---- A naive implementation ----------------------------------------------------------


def naive_basis(column):
    """Return the basis functions, (n_coefficients, n_levels)."""
    n, n_levels = column.n_ordered, len(column.counts)
    if n < 4:
        return np.eye(n_levels)
    counts = np.array(column.counts[:n]) + 0.5
    rank = [(counts[:k].sum() + counts[k] / 2) / counts.sum() for k in range(n)]
    score = stats.norm.ppf(rank)
    rows = [score, (score**2 - 1) / np.sqrt(2)]
    rows += [np.sqrt(2) * np.cos(np.pi * k * np.array(rank)) / k**2 for k in range(1, n)]
    basis = np.zeros((len(rows) + n_levels - n, n_levels))
    basis[: len(rows), :n] = rows
    basis[len(rows) :, n:] = np.eye(n_levels - n)
    return basis


def naive_marginal(column):
    """Return the smoothed fraction of rows in each level."""
    counts = np.array(column.counts) + 0.5
    return counts / counts.sum()


def naive_level_probability(column, coefficients):
    """Return the probability of each level."""
    return special.softmax(np.log(naive_marginal(column)) + coefficients @ naive_basis(column))


def naive_bin_probability(column, level_probability):
    """Return the probability of each bin; that of an unseen category is fixed."""
    known = np.array([naive_is_known(column, k) for k in range(len(column.level))])
    level, fraction = np.array(column.level), np.exp(column.log_fraction)
    fixed = np.where(known, 0, naive_marginal(column)[level] * fraction)
    share = known * fraction / np.bincount(level, known * fraction)[level]
    return fixed + (1 - fixed.sum()) * level_probability[level] * share


def naive_sampling_probability(column, level_probability):
    """Return the probability to sample each bin."""
    level = np.array(column.level)
    fraction = np.exp(column.log_fraction) * column.observed
    fraction /= np.maximum(np.bincount(level, fraction), 1e-300)[level]
    p = level_probability[level] * fraction
    return p / p.sum()


# ---- Frequencies ---------------------------------------------------------------------


def check_frequencies(samples, p):
    """Test by chi-squared that samples of 0, 1, ... follow the probabilities p."""
    counts = np.bincount(np.asarray(samples, dtype=int), minlength=len(p))
    assert counts[p == 0].sum() == 0
    if np.sum(p > 0) == 1:
        return
    frequent = p * len(samples) > 5
    assert frequent.sum() > 1
    observed, expected = counts[frequent], len(samples) * p[frequent]
    if not frequent.all():
        observed = np.append(observed, len(samples) - observed.sum())
        expected = np.append(expected, len(samples) * (1 - p[frequent].sum()))
        if expected[-1] < 1e-6:
            observed, expected = observed[:-1], expected[:-1]
    assert stats.chisquare(observed, expected).pvalue > 1e-3
