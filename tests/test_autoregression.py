"""Histograms of cells, and columns that depend on those before them, against exact references."""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import special, stats

from skvae.likelihoods import ColumnBins, Histogram, Marginals
from skvae.models._autoregressive import AutoregressiveVAE
from skvae.models._objectives import elbo_terms
from skvae.models._vae import VAE, VAEConfig

pytestmark = pytest.mark.torch_only

LATENT_DIM = 2
CONTEXT = ("code_weight", "level_embedding", "column_bias", "output_weight")


def cells(levels, counts, middle, n_ordered=0):
    """Return the bins of levels, each a list of fraction, width and whether it is drawn from."""
    flat = [(number, *cell) for number, level in enumerate(levels) for cell in level]
    number, share, width, observed = zip(*flat, strict=True)
    return ColumnBins(
        level=number,
        log_fraction=tuple(map(math.log, share)),
        log_width=tuple(map(math.log, width)),
        observed=observed,
        counts=counts,
        representative_bin=middle,
        n_ordered=n_ordered,
    )


def single(width=1.0):
    return [(1.0, width, True)]


# Two categories, one with cells that are not drawn from.
UNORDERED = cells([[(0.6, 1, True), (0.4, 1, False)], single()], (7.0, 3.0), (0, 2))
# Five levels of a number, cells beyond both ends, and missing values.
ORDERED = cells(
    [
        [(0.1, 50, False), (0.9, 0.5, True)],
        single(0.25),
        [(0.5, 1.0, True), (0.2, 3.0, True), (0.3, 0.5, True)],
        single(),
        [(0.7, 2.0, True), (0.3, 1e3, False)],
        single(),
    ],
    (3.0, 6.0, 9.0, 2.0, 1.0, 4.0),
    (1, 2, 4, 6, 7, 9),
    n_ordered=5,
)
# Too few levels in order for any to be smoothed.
SHORT = cells([single(2.0), [(0.5, 2.0, True), (0.5, 1.0, False)]], (2.0, 5.0), (0, 1), n_ordered=2)
# Just enough.
ENOUGH = cells(
    [single(w) for w in (1.0, 2.0, 0.5, 4.0)], (2.0, 5.0, 4.0, 1.0), range(4), n_ordered=4
)
# Of no rows at all.
EMPTY_LEVEL = cells([single(), single(), [(1.0, 1, False)]], (5.0, 1.0, 0.0), (0, 1, 2))

COLUMNS = {
    "unordered first": (UNORDERED, ORDERED, SHORT),
    "ordered first": (ORDERED, SHORT, UNORDERED),
    "two alike": (UNORDERED, UNORDERED),
    "an empty level": (EMPTY_LEVEL, SHORT),
    "one": (ORDERED,),
    "just enough": (ENOUGH, SHORT),
}
every_set = pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
every_column = pytest.mark.parametrize(
    "column",
    [UNORDERED, ORDERED, SHORT, ENOUGH, EMPTY_LEVEL],
    ids=["unordered", "ordered", "short", "enough", "gap"],
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def build(columns, *, autoregressive=True, seed=0):
    """Return a small model in double precision, as it is before training."""
    config = VAEConfig(
        n_features=len(columns),
        latent_dim=LATENT_DIM,
        architecture="mlp",
        hidden_layer_sizes=(5,),
        activation="tanh",
        image_shape=None,
        likelihood=Histogram(columns),
        prior_std=1.0,
        missing=True,
        autoregressive=autoregressive,
    )
    module = AutoregressiveVAE(config, seeded(seed)).double().eval()
    zeros = torch.zeros(len(columns), dtype=torch.float64)
    module.initialize(10, zeros, zeros + 1)
    return module


def trained(columns, *, scale=0.7, seed=0):
    """Return a model with random numbers for weights, as if training had found them."""
    module = build(columns, seed=seed)
    with torch.no_grad():
        for number, parameter in enumerate([*(getattr(module, c) for c in CONTEXT), module.bias]):
            parameter.copy_(scale * normal(*parameter.shape, seed=100 + number))
    return module


def plain(module):
    """Return the model without its context."""
    columns = module.likelihood.columns
    other = build(columns, autoregressive=False)
    state = {n: w for n, w in module.state_dict().items() if n not in CONTEXT}
    other.load_state_dict(state)
    return other


def all_rows(columns):
    """Return every combination of cells, one row each."""
    return f64(*product(*(range(len(column.level)) for column in columns)))


def some_rows(columns, n=12, seed=3):
    """Return rows of random cells, with entries missing."""
    rng = np.random.RandomState(seed)
    rows = np.stack([rng.randint(len(column.level), size=n) for column in columns], 1).astype(float)
    rows[rng.uniform(size=rows.shape) < 0.2] = np.nan
    rows[0], rows[1] = np.nan, 0
    return torch.from_numpy(rows)


# ---- The same, naively ---------------------------------------------------------------


def naive_basis(column):
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


def naive_levels(column, coefficients):
    """Return the probability of each level."""
    counts = np.array(column.counts) + 0.5
    return special.softmax(np.log(counts / counts.sum()) + coefficients @ naive_basis(column))


def naive_drawn(column, levels):
    """Return the probability to draw each cell, from the levels' probabilities."""
    level = np.array(column.level)
    share = np.exp(column.log_fraction) * column.observed
    share /= np.maximum(np.bincount(level, share), 1e-300)[level]
    p = levels[level] * share
    return p / p.sum()


class Naive:
    """What a module says of one code, one column and one row at a time."""

    def __init__(self, module, z):
        weights = {name: w.detach().numpy() for name, w in module.named_parameters()}
        self.columns = module.likelihood.columns
        widths = [len(naive_basis(column)) for column in self.columns]
        self.parts = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
        n_levels = [len(column.counts) for column in self.columns]
        self.first_level = np.cumsum([0, *n_levels[:-1]])
        self.coefficients = module.decode(z)["coefficients"].detach().numpy()
        self.context = {name: weights[name] for name in CONTEXT if name in weights}
        self.z = z.numpy()

    def levels(self, j, row):
        """Return the probability of each level of column j, given the cells before it."""
        coefficients = self.coefficients[self.parts[j]]
        if self.context:
            summed = self.z @ self.context["code_weight"] + self.context["column_bias"][j]
            for i in range(j):
                if not np.isnan(row[i]):
                    level = self.columns[i].level[int(row[i])]
                    summed = summed + self.context["level_embedding"][self.first_level[i] + level]
            gelu = summed * stats.norm.cdf(summed)
            coefficients = coefficients + self.context["output_weight"][self.parts[j]] @ gelu
        return naive_levels(self.columns[j], coefficients)

    def cells(self, j, row):
        """Return the probability of each cell of column j, given the cells before it."""
        column = self.columns[j]
        return self.levels(j, row)[list(column.level)] * np.exp(column.log_fraction)

    def drawn(self, j, row):
        """Return the probability to draw each cell of column j."""
        return naive_drawn(self.columns[j], self.levels(j, row))

    def feature_log_likelihood(self, row):
        terms = np.zeros(len(row))
        for j, value in enumerate(row):
            if not np.isnan(value):
                p = self.cells(j, row)[int(value)]
                terms[j] = np.log(p) - self.columns[j].log_width[int(value)]
        return terms

    def p_drawn(self, row):
        return math.prod(self.drawn(j, row)[int(value)] for j, value in enumerate(row))

    def representative_bin(self):
        row = []
        for j, column in enumerate(self.columns):
            p = self.levels(j, row)
            level = p.argmax()
            n = column.n_ordered
            if n and p[:n].sum() >= 0.5:
                level = np.flatnonzero(p[:n].cumsum() >= p[:n].sum() / 2)[0]
            row.append(column.representative_bin[level])
        return row


# ---- Levels and cells ----------------------------------------------------------------


@every_column
def test_marginals_are_shares_of_rows_with_half_a_row_more_for_each_level(column):
    counts = np.array(column.counts) + 0.5
    assert_allclose(column.log_marginal().exp(), counts / counts.sum(), rtol=1e-14)


@every_column
def test_the_basis_is_its_formula_written_out(column):
    expected = naive_basis(column)
    assert column.n_coefficients == len(expected)
    assert_allclose(column.basis(), expected, rtol=1e-12, atol=1e-14)
    assert column.basis().shape == (column.n_coefficients, column.n_levels)


@every_column
def test_coefficients_reach_every_distribution_over_levels(column):
    # Up to a constant, which the softmax takes away.
    basis = np.vstack([column.basis(), np.ones(column.n_levels)])
    assert np.linalg.matrix_rank(basis) == column.n_levels


def test_scores_are_normal_quantiles_of_middle_ranks():
    counts = np.array(ORDERED.counts[:5]) + 0.5
    rank = (counts.cumsum() - counts / 2) / counts.sum()
    assert_allclose(ORDERED.ranks(), rank, rtol=1e-14)
    assert_allclose(ORDERED.scores(), [*stats.norm.ppf(rank), 0], rtol=1e-12)
    assert UNORDERED.scores().tolist() == [0, 0]


def test_the_first_coefficient_of_what_is_in_order_shifts_it():
    likelihood = Histogram((ORDERED,))
    tables = likelihood.constants()
    means = []
    for tilt in (-2.0, -0.5, 0.0, 0.5, 2.0):
        coefficients = torch.zeros(ORDERED.n_coefficients, dtype=torch.float64)
        coefficients[0] = tilt
        p = likelihood.log_p(0, coefficients, tables).exp()[:5]
        means.append((p * torch.arange(5)).sum() / p.sum())
    assert (np.diff(means) > 0.1).all()


# ---- Histogram -----------------------------------------------------------------------


def histogram_params(columns, *shape, seed=0, scale=1.0):
    likelihood = Histogram(columns)
    width = likelihood.decoder_width(len(columns))
    coefficients = scale * normal(*shape, width, seed=seed)
    return likelihood, {"coefficients": coefficients, **likelihood.constants()}


@every_set
def test_log_prob_is_the_probability_of_the_level_and_the_density_within_it(columns):
    likelihood, params = histogram_params(columns, 1)
    rows = all_rows(columns)
    expanded = {**params, "coefficients": params["coefficients"].expand(len(rows), -1)}
    actual = likelihood.log_prob(rows, expanded)
    per_column = likelihood.split(params["coefficients"][0])
    for j, column in enumerate(columns):
        p = naive_levels(column, per_column[j].numpy())
        cell = rows[:, j].int().numpy()
        expected = np.log(p)[np.array(column.level)[cell]]
        expected += np.array(column.log_fraction)[cell] - np.array(column.log_width)[cell]
        assert_allclose(actual[:, j], expected, rtol=1e-11, atol=1e-12)


@every_set
def test_coefficients_of_0_are_the_marginals(columns):
    likelihood, params = histogram_params(columns, 1, scale=0.0)
    start = likelihood.initial_params(Marginals(10, *normal(3, len(columns))))
    assert torch.equal(start["coefficients"], params["coefficients"][0])
    for j, column in enumerate(columns):
        counts = np.array(column.counts) + 0.5
        (coefficients,) = likelihood.split(params["coefficients"])[j]
        p = likelihood.log_p(j, coefficients, params).exp()
        assert_allclose(p, counts / counts.sum(), rtol=1e-12)


@every_set
def test_the_encoder_sees_levels_and_scores_and_nothing_of_what_is_missing(columns):
    likelihood = Histogram(columns)
    x = some_rows(columns)
    seen = likelihood.encoder_input(torch.where(x.isnan(), -1.0, x), likelihood.constants())
    assert seen.shape == (len(x), likelihood.encoder_width(len(columns)))
    expected = np.zeros(seen.shape)
    n_levels = [len(column.counts) for column in columns]
    for i, j in product(range(len(x)), range(len(columns))):
        if not x[i, j].isnan():
            level = columns[j].level[int(x[i, j])]
            expected[i, sum(n_levels[:j]) + level] = 1
            expected[i, sum(n_levels) + j] = columns[j].scores()[level]
    assert_allclose(seen, expected, rtol=1e-14)


@every_set
def test_log_prob_of_many_draws_is_that_of_each_draw(columns):
    likelihood, params = histogram_params(columns, 4, 6)
    x = some_rows(columns, 6).nan_to_num(0)
    each = [likelihood.log_prob(x, {**params, "coefficients": c}) for c in params["coefficients"]]
    torch.testing.assert_close(likelihood.log_prob(x, params), torch.stack(each), rtol=0, atol=0)


@every_set
def test_log_prob_in_single_precision_agrees_with_double(columns):
    likelihood, params = histogram_params(columns, 6, scale=3.0)
    x = some_rows(columns, 6).nan_to_num(0)
    single = {**params, "coefficients": params["coefficients"].float()}
    actual = likelihood.log_prob(x.float(), single)
    assert actual.dtype == torch.float32
    assert_allclose(actual, likelihood.log_prob(x, params), rtol=1e-5, atol=1e-4)
    assert likelihood.encoder_input(x.float(), params).dtype == torch.float32
    assert likelihood.mean(single).dtype == torch.float32
    sampling_weights = likelihood.sampling_weights(
        0, likelihood.split(single["coefficients"])[0], params
    )
    assert sampling_weights.dtype == torch.float32


@every_set
def test_log_prob_and_its_gradient_are_finite_at_extreme_coefficients(columns):
    likelihood, params = histogram_params(columns, 6, scale=1e4)
    coefficients = params["coefficients"].float().requires_grad_()
    x = some_rows(columns, 6).nan_to_num(0)
    log_prob = likelihood.log_prob(x.float(), {**params, "coefficients": coefficients})
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert coefficients.grad.isfinite().all()


@every_set
def test_gradient_of_log_prob_is_right(columns):
    likelihood, params = histogram_params(columns, 5)
    x = some_rows(columns, 5).nan_to_num(0)

    def log_prob(coefficients):
        return likelihood.log_prob(x, {**params, "coefficients": coefficients})

    assert torch.autograd.gradcheck(log_prob, params["coefficients"].requires_grad_())


@every_set
def test_samples_follow_the_probabilities_of_the_cells_that_are_drawn(columns):
    n = 20_000
    likelihood, params = histogram_params(columns, 1)
    rows = {**params, "coefficients": params["coefficients"].expand(n, -1)}
    x = likelihood.sample(rows, seeded())
    assert x.dtype == torch.float64
    per_column = likelihood.split(params["coefficients"][0])
    for j, column in enumerate(columns):
        p = naive_levels(column, per_column[j].numpy())
        check_frequencies(x[:, j], naive_drawn(column, p))


def test_samples_come_from_the_given_generator_alone():
    likelihood, params = histogram_params((UNORDERED, ORDERED), 50)
    before = torch.get_rng_state()
    first = likelihood.sample(params, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(likelihood.sample(params, seeded(3)), first)
    assert not torch.equal(likelihood.sample(params, seeded(4)), first)


@pytest.mark.parametrize(
    ("column", "p", "expected"),
    [
        (UNORDERED, [0.6, 0.4], 0),
        (UNORDERED, [0.4, 0.6], 2),
        # The median, though the first is the most probable.
        (ORDERED, [0.4, 0.05, 0.15, 0.2, 0.2, 0], 4),
        (ORDERED, [0.6, 0.1, 0.1, 0.1, 0.1, 0], 1),
        (ORDERED, [0.1, 0.1, 0.1, 0.1, 0.6, 0], 7),
        # Missing values are none of the order.
        (ORDERED, [0.1, 0.1, 0.1, 0.21, 0, 0.49], 4),
        (ORDERED, [0.1, 0.1, 0.1, 0.19, 0, 0.51], 9),
        (SHORT, [0.6, 0.4], 0),
        (SHORT, [0.4, 0.6], 1),
    ],
)
def test_the_middle_is_the_median_of_what_is_in_order_and_else_the_mode(column, p, expected):
    likelihood = Histogram((column,))
    tables = likelihood.constants()
    # Coefficients that make these the probabilities, up to a constant.
    log_p = np.log(np.maximum(p, 1e-9))
    basis = np.vstack([column.basis(), np.ones(column.n_levels)])
    found = np.linalg.lstsq(basis.T, log_p - column.log_marginal().numpy(), rcond=None)[0]
    coefficients = torch.from_numpy(found[:-1])
    assert_allclose(likelihood.log_p(0, coefficients, tables).exp(), p, atol=1e-8)
    assert likelihood.representative_bin(0, coefficients, tables) == expected
    assert likelihood.mean({**tables, "coefficients": coefficients}).tolist() == [expected]


@every_set
def test_middles_of_many_rows_are_those_of_each(columns):
    likelihood, params = histogram_params(columns, 4, 6, scale=2.0)
    rows = params["coefficients"].flatten(0, 1)
    each = torch.stack([likelihood.mean({**params, "coefficients": c}) for c in rows])
    assert torch.equal(likelihood.mean(params).flatten(0, 1), each)
    assert each.unique(dim=0).shape[0] > 1


# ---- Columns given those before them -------------------------------------------------


def check_frequencies(codes, p):
    """Check how often codes are drawn, and that those of probability 0 never are."""
    counts = np.bincount(np.asarray(codes, dtype=int), minlength=len(p))
    assert counts[p == 0].sum() == 0
    if np.sum(p > 0) == 1:
        return
    often = p * len(codes) > 5
    assert often.sum() > 1
    observed, expected = counts[often], len(codes) * p[often]
    if not often.all():
        observed = np.append(observed, len(codes) - observed.sum())
        expected = np.append(expected, len(codes) * (1 - p[often].sum()))
        if expected[-1] < 1e-6:
            observed, expected = observed[:-1], expected[:-1]
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def number_of(rows, columns):
    """Return the number of each row among all rows."""
    sizes = [len(column.level) for column in columns]
    return np.ravel_multi_index(np.asarray(rows, dtype=int).T, sizes)


@every_set
def test_log_likelihood_is_the_product_of_conditionals(columns):
    module = trained(columns)
    x, codes = some_rows(columns), normal(4, 12, LATENT_DIM)
    with torch.no_grad():
        actual = module.feature_log_likelihood(x, codes)
        assert actual.shape == (4, 12, len(columns))
        assert_allclose(module.log_likelihood(x, codes), actual.sum(-1), rtol=1e-12)
    for k, i in product(range(4), range(12)):
        expected = Naive(module, codes[k, i]).feature_log_likelihood(x[i].numpy())
        assert_allclose(actual[k, i], expected, rtol=1e-10, atol=1e-12)


@every_set
def test_probabilities_of_all_rows_sum_to_1(columns):
    module = trained(columns, scale=1.5)
    rows = all_rows(columns)
    log_width = sum(f64(*column.log_width)[rows[:, j].long()] for j, column in enumerate(columns))
    with torch.no_grad():
        for z in normal(3, LATENT_DIM):
            log_p = module.log_likelihood(rows, z.expand(len(rows), -1))
            assert_allclose((log_p + log_width).exp().sum(), 1, rtol=1e-10)


def test_columns_depend_on_those_before_them_and_on_no_others():
    columns = COLUMNS["unordered first"]
    module, z = trained(columns), normal(1, LATENT_DIM)
    x = f64(0, 2, 1)
    with torch.no_grad():
        before = module.feature_log_likelihood(x[None], z)[0]
        for j, other in enumerate((2.0, 5.0, 0.0)):
            changed = x.clone()
            changed[j] = other
            after = module.feature_log_likelihood(changed[None], z)[0]
            assert torch.equal(after[:j], before[:j])
            assert (after[j + 1 :] - before[j + 1 :]).abs().gt(1e-3).all()


def test_cells_of_one_level_mean_the_same_to_later_columns():
    module, z = trained((ORDERED, SHORT)), normal(1, LATENT_DIM)
    with torch.no_grad():
        one, same, other = (
            module.feature_log_likelihood(f64(cell, 1)[None], z)[0, 1] for cell in (3, 5, 6)
        )
    assert one == same
    assert one != other


@every_set
def test_missing_entries_add_nothing_and_say_nothing_to_other_columns(columns):
    module = trained(columns)
    x, z = some_rows(columns, 30), normal(30, LATENT_DIM)
    is_missing = x.isnan()
    assert is_missing[2:].any()
    with torch.no_grad():
        terms = module.feature_log_likelihood(x, z)
        assert (terms[is_missing] == 0).all()
        assert (terms[~is_missing] != 0).any()
        # They are like a level of which nothing was learned.
        for j, column in enumerate(columns):
            silent = copy.deepcopy(module)
            first = sum(len(c.counts) for c in columns[:j])
            silent.level_embedding[first : first + len(column.counts)] = 0
            seen = x.clone()
            seen[:, j] = x[:, j].nan_to_num(0)
            others = [i for i in range(len(columns)) if i != j]
            rows = is_missing[:, j]
            expected = silent.feature_log_likelihood(seen, z)[rows][:, others]
            assert_allclose(terms[rows][:, others], expected, rtol=1e-12, atol=1e-14)


@every_set
def test_samples_follow_the_joint_probabilities(columns):
    n = 20_000
    module = trained(columns)
    rows = all_rows(columns)
    for z in normal(2, LATENT_DIM, seed=5):
        naive = Naive(module, z)
        p = np.array([naive.p_drawn(row) for row in rows.numpy()])
        assert_allclose(p.sum(), 1, rtol=1e-10)
        with torch.no_grad():
            x = module.sample(z.expand(n, -1), seeded())
        check_frequencies(number_of(x, columns), p)


@every_set
def test_samples_of_several_codes_have_their_shape(columns):
    module = trained(columns)
    with torch.no_grad():
        assert module.sample(normal(3, 5, LATENT_DIM), seeded()).shape == (3, 5, len(columns))
        assert module.mean(normal(3, 5, LATENT_DIM)).shape == (3, 5, len(columns))


@every_set
def test_the_mean_is_the_middle_of_each_column_given_those_before(columns):
    module, codes = trained(columns, scale=1.5), 2 * normal(40, LATENT_DIM)
    with torch.no_grad():
        actual = module.mean(codes)
    expected = [Naive(module, z).representative_bin() for z in codes]
    assert actual.tolist() == expected
    assert len(np.unique(expected, axis=0)) > 1


# ---- Some cells alone ----------------------------------------------------------------


def allowed_shares(column, seed):
    """Return shares of cells that are allowed: all of some, part of others, nothing of others."""
    rng = np.random.RandomState(seed)
    shares = rng.choice([0.0, 0.3, 1.0], len(column.level))
    some, none = rng.permutation(np.flatnonzero(column.observed))[:2]
    shares[some], shares[none] = 0.6, 0.0
    return shares


@every_set
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_allowed_is_drawn_and_its_probability_told(columns, seed):
    n = 20_000
    module, z = trained(columns), normal(LATENT_DIM, seed=5 + seed)
    naive = Naive(module, z)
    # The last column, and another where there is one.
    restricted = sorted({len(columns) - 1, seed % len(columns)})
    allowed = {j: allowed_shares(columns[j], seed + j) for j in restricted}
    with torch.no_grad():
        x, log_p = module.sample_where(
            z.expand(n, -1), {j: torch.from_numpy(s) for j, s in allowed.items()}, seeded()
        )
    assert log_p.shape == (n,)
    rows, index = np.unique(x.numpy(), axis=0, return_inverse=True)
    p, log_allowed = {}, {}
    for row in all_rows(columns).numpy():
        p_row, log_allowed_row = 1.0, 0.0
        for j, value in enumerate(row):
            drawn = naive.drawn(j, row)
            if j in allowed:
                log_allowed_row += np.log((drawn * allowed[j]).sum())
                drawn = drawn * allowed[j] / (drawn * allowed[j]).sum()
            p_row *= drawn[int(value)]
        p[tuple(row)], log_allowed[tuple(row)] = p_row, log_allowed_row
    assert_allclose(sum(p.values()), 1, rtol=1e-10)
    expected = np.array([log_allowed[tuple(row)] for row in rows])
    assert_allclose(log_p, expected[np.ravel(index)], rtol=1e-9, atol=1e-12)
    check_frequencies(number_of(x, columns), np.array([*p.values()]))


def test_probabilities_told_make_draws_those_of_rejection():
    # Draws weighted by them are draws without conditions, of which those that satisfy are kept.
    columns, n = COLUMNS["ordered first"], 40_000
    module, z = trained(columns), normal(LATENT_DIM, seed=5).expand(n, -1)
    allowed = {1: f64(0, 1, 1), 2: f64(1, 1, 0)}
    with torch.no_grad():
        free = module.sample(z, seeded(0))
        bound, log_p = module.sample_where(z, allowed, seeded(1))
    kept = free[(free[:, 1] > 0) & (free[:, 2] < 2)]
    p = log_p.exp()
    error = math.sqrt(len(kept) / n / n) + (p.std() / math.sqrt(n)).item()
    assert abs(len(kept) / n - p.mean()) < 5 * error
    for cell in (1, 2, 4, 7, 9):
        share = (p * (bound[:, 0] == cell)).sum() / p.sum()
        assert abs((kept[:, 0] == cell).double().mean() - share) < 5 / math.sqrt(len(kept))


def test_without_restrictions_everything_is_allowed():
    module, z = trained(COLUMNS["unordered first"]), normal(50, LATENT_DIM)
    with torch.no_grad():
        x, log_p = module.sample_where(z, {}, seeded())
        assert torch.equal(x, module.sample(z, seeded()))
        every = {1: torch.ones(len(ORDERED.level))}
        same, all_of_it = module.sample_where(z, every, seeded())
    assert (log_p == 0).all()
    assert torch.equal(x, same)
    assert_allclose(all_of_it, 0, atol=1e-12)


# ---- Beside the plain model ----------------------------------------------------------


@every_set
def test_it_starts_as_the_plain_model(columns):
    module = build(columns)
    other = plain(module)
    x, z = some_rows(columns), normal(12, LATENT_DIM)
    with torch.no_grad():
        assert_allclose(
            module.feature_log_likelihood(x, z), other.feature_log_likelihood(x, z), rtol=1e-13
        )
        assert torch.equal(module.sample(z, seeded()), other.sample(z, seeded()))
        assert torch.equal(module.mean(z), other.mean(z))


@every_set
def test_it_starts_at_the_marginals_where_the_decoder_says_nothing(columns):
    module = build(columns)
    rows = all_rows(columns)
    with torch.no_grad():
        module.decoder[-1].weight.zero_()
        actual = module.feature_log_likelihood(rows, normal(len(rows), LATENT_DIM))
    for j, column in enumerate(columns):
        counts = np.array(column.counts) + 0.5
        level = np.array(column.level)
        log_p = (
            np.log(counts / counts.sum())[level] + column.log_fraction - np.array(column.log_width)
        )
        assert_allclose(actual[:, j], log_p[rows[:, j].int()], rtol=1e-12, atol=1e-14)


def test_without_autoregression_it_is_a_vae():
    columns = COLUMNS["unordered first"]
    module = build(columns, autoregressive=False)
    assert not any(hasattr(module, name) for name in CONTEXT)
    vae = VAE(module.config, seeded()).double()
    vae.load_state_dict(module.state_dict())
    x, z = some_rows(columns), normal(12, LATENT_DIM)
    with torch.no_grad():
        assert torch.equal(module.log_likelihood(x, z), vae.log_likelihood(x, z))
        assert torch.equal(module.mean(z), vae.mean(z))
        for j, column in enumerate(columns):
            naive = [Naive(module, code).drawn(j, None) for code in z]
            p = module.likelihood.split(module.decode(z)["coefficients"])[j]
            drawn = module.likelihood.sampling_weights(j, p, module.constants)
            assert_allclose(drawn / drawn.sum(-1, keepdim=True), naive, rtol=1e-9)
            assert len(column.level) == drawn.shape[-1]


def gradients(module, x, eps):
    module.zero_grad()
    elbo_terms(module, x, eps).elbo.sum().backward()
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}


@every_set
def test_encoder_and_decoder_learn_as_in_the_plain_model(columns):
    module = trained(columns)
    x, eps = some_rows(columns), normal(12, LATENT_DIM)
    actual, expected = gradients(module, x, eps), gradients(plain(module), x, eps)
    assert set(actual) - set(expected) == set(CONTEXT)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        assert_allclose(actual[name], gradient, rtol=1e-9, atol=1e-11)


@every_set
def test_the_context_learns_by_the_gradient_of_the_log_likelihood(columns):
    module = trained(columns)
    x, z = some_rows(columns), normal(12, LATENT_DIM)
    module.log_likelihood(x, z).sum().backward()
    for name in CONTEXT:
        parameter = getattr(module, name)
        direction = normal(*parameter.shape, seed=9)
        values = []
        with torch.no_grad():
            start = parameter.clone()
            for step in (1e-5, -1e-5):
                parameter.copy_(start + step * direction)
                values.append(module.log_likelihood(x, z).sum())
            parameter.copy_(start)
        slope = (values[0] - values[1]) / 2e-5
        assert abs(slope) > 1e-3 or (name == "level_embedding" and len(columns) == 1)
        assert_allclose((parameter.grad * direction).sum(), slope, rtol=1e-5, atol=1e-7)


@every_set
def test_no_gradient_of_the_context_reaches_codes(columns):
    module = trained(columns)
    other = plain(module)
    x, z = some_rows(columns), normal(12, LATENT_DIM)
    slopes = []
    for model in (module, other):
        codes = z.clone().requires_grad_()
        model.log_likelihood(x, codes).sum().backward()
        slopes.append(codes.grad)
    assert_allclose(slopes[0], slopes[1], rtol=1e-9, atol=1e-12)


@every_set
def test_the_value_is_the_same_with_and_without_gradients(columns):
    module = trained(columns)
    x, z = some_rows(columns), normal(4, 12, LATENT_DIM)
    with torch.no_grad():
        expected = module.feature_log_likelihood(x, z)
        assert not torch.allclose(expected, plain(module).feature_log_likelihood(x, z))
    assert_allclose(module.feature_log_likelihood(x, z).detach(), expected, rtol=1e-12, atol=1e-14)


def test_what_is_widest_bounds_the_context_too():
    columns = (UNORDERED,) * 30
    width = build(columns).code_weight.shape[1]
    assert build(columns).max_width >= 30 * width > build(columns, autoregressive=False).max_width
