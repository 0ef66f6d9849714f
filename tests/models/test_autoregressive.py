"""Columns given preceding columns, against a naive implementation."""

import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import f64, normal, seeded
from helpers_histogram import (
    ORDERED,
    TABLES,
    TWO_ORDERED,
    UNORDERED,
    all_rows,
    check_frequencies,
    every_table,
    naive_basis,
    naive_bin_probability,
    naive_is_known,
    naive_level_probability,
    naive_marginal,
    naive_sampling_probability,
    random_rows,
    row_number,
)
from skvae.likelihoods import Histogram
from skvae.models import VAE, AutoregressiveVAE, HistogramVAE, VAEConfig, build_vae
from skvae.models._objectives import elbo_terms

pytestmark = pytest.mark.torch_only

LATENT_DIM = 2
# Weights of the part that an independent model lacks.
CONTEXT = ("code_weight", "level_embedding", "column_bias", "output_weight")


# ---- Models --------------------------------------------------------------------------


def build_model(columns, *, autoregressive=True, seed=0):
    """Return a small model in float64, before training."""
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
    module = build_vae(config, seeded(seed)).double().eval()
    zeros = torch.zeros(len(columns), dtype=torch.float64)
    module.initialize(10, zeros, zeros + 1)
    return module


def random_model(columns, *, scale=0.7, seed=0):
    """Return a model with random weights, in place of a trained model."""
    module = build_model(columns, seed=seed)
    with torch.no_grad():
        for number, parameter in enumerate([*(getattr(module, c) for c in CONTEXT), module.bias]):
            parameter.copy_(scale * normal(*parameter.shape, seed=100 + number))
    return module


def independent_model(module):
    """Return a model with the same weights, but with independent columns given the code."""
    independent = build_model(module.likelihood.columns, autoregressive=False)
    state = {name: w for name, w in module.state_dict().items() if name not in CONTEXT}
    independent.load_state_dict(state)
    return independent


class NaiveModel:
    """The distribution of one row given one code, column by column."""

    def __init__(self, module, z):
        weights = {name: w.detach().numpy() for name, w in module.named_parameters()}
        self.columns = module.likelihood.columns
        widths = [len(naive_basis(column)) for column in self.columns]
        self.slices = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
        self.level_offset = np.cumsum([0, *(column.n_levels for column in self.columns)])
        self.coefficients = module.decode(z)["coefficients"].detach().numpy()
        self.context = {name: weights[name] for name in CONTEXT if name in weights}
        self.z = z.numpy()

    def level_probability(self, j, row):
        """Return the probability of each level of column j, given the preceding bins."""
        coefficients = self.coefficients[self.slices[j]]
        if self.context:
            total = self.z @ self.context["code_weight"] + self.context["column_bias"][j]
            for i in range(j):
                if naive_is_known(self.columns[i], row[i]):
                    level = self.level_offset[i] + self.columns[i].level[int(row[i])]
                    total = total + self.context["level_embedding"][level]
            gelu = total * stats.norm.cdf(total)
            coefficients = coefficients + self.context["output_weight"][self.slices[j]] @ gelu
        return naive_level_probability(self.columns[j], coefficients)

    def sampling_probability(self, j, row):
        """Return the probability to sample each bin of column j, given the preceding bins."""
        return naive_sampling_probability(self.columns[j], self.level_probability(j, row))

    def row_sampling_probability(self, row):
        return math.prod(
            self.sampling_probability(j, row)[int(value)] for j, value in enumerate(row)
        )

    def feature_log_likelihood(self, row):
        terms = np.zeros(len(row))
        for j, value in enumerate(row):
            if not np.isnan(value):
                column, bin_index = self.columns[j], int(value)
                p = naive_bin_probability(column, self.level_probability(j, row))
                terms[j] = np.log(p[bin_index]) - column.log_width[bin_index]
        return terms

    def representative_bins(self):
        row = []
        for j, column in enumerate(self.columns):
            p = self.level_probability(j, row)
            observed = np.exp(column.log_fraction) * column.observed
            total = np.bincount(column.level, observed)
            representative = list(column.representative_bin)
            level = (p * observed[representative] / np.maximum(total, 1e-300)).argmax()
            n = column.n_ordered
            if n and p[:n].sum() >= 0.5:
                level = np.flatnonzero(p[:n].cumsum() >= p[:n].sum() / 2)[0]
            row.append(column.representative_bin[level])
        return row


# ---- Likelihood ----------------------------------------------------------------------


@every_table
def test_log_likelihood_is_the_product_of_conditionals(columns):
    module = random_model(columns)
    x, codes = random_rows(columns), normal(4, 12, LATENT_DIM)
    with torch.no_grad():
        actual = module.feature_log_likelihood(x, codes)
        assert actual.shape == (4, 12, len(columns))
        assert_allclose(module.log_likelihood(x, codes), actual.sum(-1), rtol=1e-12)
    for k, i in product(range(4), range(12)):
        expected = NaiveModel(module, codes[k, i]).feature_log_likelihood(x[i].numpy())
        assert_allclose(actual[k, i], expected, rtol=1e-10, atol=1e-12)


@every_table
def test_probabilities_of_all_rows_sum_to_1(columns):
    module = random_model(columns, scale=1.5)
    rows = all_rows(columns)
    log_width = sum(f64(*column.log_width)[rows[:, j].long()] for j, column in enumerate(columns))
    with torch.no_grad():
        for z in normal(3, LATENT_DIM):
            log_p = module.log_likelihood(rows, z.expand(len(rows), -1))
            assert_allclose((log_p + log_width).exp().sum(), 1, rtol=1e-10)


def test_columns_depend_on_preceding_columns_only():
    columns = TABLES["unordered first"]
    module, z = random_model(columns), normal(1, LATENT_DIM)
    x = f64(0, 2, 1)
    with torch.no_grad():
        before = module.feature_log_likelihood(x[None], z)[0]
        for j, other in enumerate((2.0, 5.0, 0.0)):
            changed = x.clone()
            changed[j] = other
            after = module.feature_log_likelihood(changed[None], z)[0]
            assert torch.equal(after[:j], before[:j])
            assert (after[j + 1 :] - before[j + 1 :]).abs().gt(1e-3).all()


def test_bins_of_one_level_have_the_same_effect_on_following_columns():
    module, z = random_model((ORDERED, TWO_ORDERED)), normal(1, LATENT_DIM)
    with torch.no_grad():
        first, same_level, other_level = (
            module.feature_log_likelihood(f64(bin_index, 1)[None], z)[0, 1]
            for bin_index in (3, 5, 6)
        )
    assert first == same_level
    assert first != other_level


@every_table
def test_missing_entries_have_likelihood_0_and_no_effect_on_other_columns(columns):
    module = random_model(columns)
    x, z = random_rows(columns, 30), normal(30, LATENT_DIM)
    is_missing = x.isnan()
    assert is_missing[2:].any()
    with torch.no_grad():
        terms = module.feature_log_likelihood(x, z)
        assert (terms[is_missing] == 0).all()
        assert (terms[~is_missing] != 0).any()
        # A missing entry is equivalent to a level with an embedding of 0.
        for j, column in enumerate(columns):
            silent = copy.deepcopy(module)
            offset = sum(c.n_levels for c in columns[:j])
            silent.level_embedding[offset : offset + column.n_levels] = 0
            filled = x.clone()
            filled[:, j] = x[:, j].nan_to_num(0)
            others = [i for i in range(len(columns)) if i != j]
            rows = is_missing[:, j]
            expected = silent.feature_log_likelihood(filled, z)[rows][:, others]
            assert_allclose(terms[rows][:, others], expected, rtol=1e-12, atol=1e-14)


# ---- Samples and means ---------------------------------------------------------------


@every_table
def test_samples_follow_the_joint_probabilities(columns):
    n = 20_000
    module = random_model(columns)
    rows = all_rows(columns)
    for z in normal(2, LATENT_DIM, seed=5):
        naive = NaiveModel(module, z)
        p = np.array([naive.row_sampling_probability(row) for row in rows.numpy()])
        assert_allclose(p.sum(), 1, rtol=1e-10)
        with torch.no_grad():
            x = module.sample(z.expand(n, -1), seeded())
        check_frequencies(row_number(x, columns), p)


@every_table
def test_samples_and_means_have_the_shape_of_the_codes(columns):
    module = random_model(columns)
    with torch.no_grad():
        assert module.sample(normal(3, 5, LATENT_DIM), seeded()).shape == (3, 5, len(columns))
        assert module.mean(normal(3, 5, LATENT_DIM)).shape == (3, 5, len(columns))


@every_table
def test_mean_is_the_representative_bin_of_each_column_given_preceding_columns(columns):
    module, codes = random_model(columns, scale=1.5), 2 * normal(40, LATENT_DIM)
    with torch.no_grad():
        actual = module.mean(codes)
    expected = [NaiveModel(module, z).representative_bins() for z in codes]
    assert actual.tolist() == expected
    assert len(np.unique(expected, axis=0)) > 1


# ---- Conditional samples -------------------------------------------------------------


def random_fractions(column, seed):
    """Return the allowed fraction of each bin: 0, 1 or in between."""
    rng = np.random.RandomState(seed)
    fractions = rng.choice([0.0, 0.3, 1.0], column.n_bins)
    partly_allowed, forbidden = rng.permutation(np.flatnonzero(column.observed))[:2]
    fractions[partly_allowed], fractions[forbidden] = 0.6, 0.0
    return fractions


@every_table
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.usefixtures("sampling_steps")
def test_conditional_samples_follow_the_restricted_probabilities(columns, seed):
    n = 20_000
    module, z = random_model(columns), normal(LATENT_DIM, seed=5 + seed)
    naive = NaiveModel(module, z)
    # The last column, and another column if there are several.
    restricted = sorted({len(columns) - 1, seed % len(columns)})
    allowed = {j: random_fractions(columns[j], seed + j) for j in restricted}
    with torch.no_grad():
        x, log_p = module.sample_allowed(
            z.expand(n, -1), {j: torch.from_numpy(a) for j, a in allowed.items()}, seeded()
        )
    assert log_p.shape == (n,)
    rows, index = np.unique(x.numpy(), axis=0, return_inverse=True)
    p, log_allowed = {}, {}
    for row in all_rows(columns).numpy():
        p_row, log_allowed_row = 1.0, 0.0
        for j, value in enumerate(row):
            p_bin = naive.sampling_probability(j, row)
            if j in allowed:
                log_allowed_row += np.log((p_bin * allowed[j]).sum())
                p_bin = p_bin * allowed[j] / (p_bin * allowed[j]).sum()
            p_row *= p_bin[int(value)]
        p[tuple(row)], log_allowed[tuple(row)] = p_row, log_allowed_row
    assert_allclose(sum(p.values()), 1, rtol=1e-10)
    expected = np.array([log_allowed[tuple(row)] for row in rows])
    assert_allclose(log_p, expected[np.ravel(index)], rtol=1e-9, atol=1e-12)
    check_frequencies(row_number(x, columns), np.array([*p.values()]))


@pytest.mark.usefixtures("sampling_steps")
def test_weighted_conditional_samples_agree_with_rejection_sampling():
    columns, n = TABLES["ordered first"], 40_000
    module, z = random_model(columns), normal(LATENT_DIM, seed=5).expand(n, -1)
    allowed = {1: f64(0, 1, 1), 2: f64(1, 1, 0)}
    with torch.no_grad():
        unconditional = module.sample(z, seeded(0))
        conditional, log_p = module.sample_allowed(z, allowed, seeded(1))
    accepted = unconditional[(unconditional[:, 1] > 0) & (unconditional[:, 2] < 2)]
    p = log_p.exp()
    error = math.sqrt(len(accepted) / n / n) + (p.std() / math.sqrt(n)).item()
    assert abs(len(accepted) / n - p.mean()) < 5 * error
    for bin_index in (1, 2, 4, 7, 9):
        fraction = (p * (conditional[:, 0] == bin_index)).sum() / p.sum()
        difference = (accepted[:, 0] == bin_index).double().mean() - fraction
        assert abs(difference) < 5 / math.sqrt(len(accepted))


@pytest.mark.usefixtures("sampling_steps")
def test_samples_without_restrictions_are_unconditional():
    module, z = random_model(TABLES["unordered first"]), normal(50, LATENT_DIM)
    everything = {1: torch.ones(ORDERED.n_bins)}
    with torch.no_grad():
        x, log_p = module.sample_allowed(z, {}, seeded())
        assert torch.equal(x, module.sample(z, seeded()))
        same, log_everything = module.sample_allowed(z, everything, seeded())
    assert (log_p == 0).all()
    assert torch.equal(x, same)
    assert_allclose(log_everything, 0, atol=1e-12)


# ---- Comparison with independent columns ---------------------------------------------


@every_table
def test_initial_model_equals_the_independent_model(columns):
    module = build_model(columns)
    independent = independent_model(module)
    x, z = random_rows(columns), normal(12, LATENT_DIM)
    with torch.no_grad():
        assert_allclose(
            module.feature_log_likelihood(x, z),
            independent.feature_log_likelihood(x, z),
            rtol=1e-13,
        )
        assert torch.equal(module.sample(z, seeded()), independent.sample(z, seeded()))
        assert torch.equal(module.mean(z), independent.mean(z))


@every_table
def test_initial_model_with_a_constant_decoder_has_the_marginals(columns):
    module = build_model(columns)
    rows = all_rows(columns)
    with torch.no_grad():
        module.decoder[-1].weight.zero_()
        actual = module.feature_log_likelihood(rows, normal(len(rows), LATENT_DIM))
    for j, column in enumerate(columns):
        log_p = np.log(naive_bin_probability(column, naive_marginal(column)))
        log_density = log_p - np.array(column.log_width)
        assert_allclose(actual[:, j], log_density[rows[:, j].int()], rtol=1e-12, atol=1e-14)


def test_model_without_autoregression_is_a_vae():
    columns = TABLES["unordered first"]
    module = build_model(columns, autoregressive=False)
    assert type(module) is HistogramVAE
    assert type(build_model(columns)) is AutoregressiveVAE
    assert not any(hasattr(module, name) for name in CONTEXT)
    vae = VAE(module.config, seeded()).double()
    vae.load_state_dict(module.state_dict())
    x, z = random_rows(columns), normal(12, LATENT_DIM)
    with torch.no_grad():
        assert torch.equal(module.log_likelihood(x, z), vae.log_likelihood(x, z))
        assert torch.equal(module.mean(z), vae.mean(z))
        for j, column in enumerate(columns):
            expected = [NaiveModel(module, code).sampling_probability(j, None) for code in z]
            coefficients = module.likelihood.split(module.decode(z)["coefficients"])[j]
            weights = module.likelihood.sampling_weights(j, coefficients, module.constants)
            assert weights.shape[-1] == column.n_bins
            assert_allclose(weights / weights.sum(-1, keepdim=True), expected, rtol=1e-9)


# ---- Gradients -----------------------------------------------------------------------


def gradients(module, x, eps):
    module.zero_grad()
    elbo_terms(module, x, eps).elbo.sum().backward()
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}


@every_table
def test_encoder_and_decoder_have_the_gradients_of_the_independent_model(columns):
    module = random_model(columns)
    x, eps = random_rows(columns), normal(12, LATENT_DIM)
    actual, expected = gradients(module, x, eps), gradients(independent_model(module), x, eps)
    assert set(actual) - set(expected) == set(CONTEXT)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        assert_allclose(actual[name], gradient, rtol=1e-9, atol=1e-11)


@every_table
@pytest.mark.parametrize("name", CONTEXT)
def test_context_weights_have_the_gradient_of_the_log_likelihood(columns, name):
    module = random_model(columns)
    x, z = random_rows(columns), normal(12, LATENT_DIM)
    module.log_likelihood(x, z).sum().backward()
    parameter = getattr(module, name)
    direction = normal(*parameter.shape, seed=9)
    values = []
    with torch.no_grad():
        initial = parameter.clone()
        for step in (1e-5, -1e-5):
            parameter.copy_(initial + step * direction)
            values.append(module.log_likelihood(x, z).sum())
    slope = (values[0] - values[1]) / 2e-5
    assert abs(slope) > 1e-3 or (name == "level_embedding" and len(columns) == 1)
    assert_allclose((parameter.grad * direction).sum(), slope, rtol=1e-5, atol=1e-7)


@every_table
def test_codes_have_the_gradients_of_the_independent_model(columns):
    module = random_model(columns)
    x, z = random_rows(columns), normal(12, LATENT_DIM)
    slopes = []
    for model in (module, independent_model(module)):
        codes = z.clone().requires_grad_()
        model.log_likelihood(x, codes).sum().backward()
        slopes.append(codes.grad)
    assert_allclose(slopes[0], slopes[1], rtol=1e-9, atol=1e-12)


@every_table
def test_log_likelihood_is_the_same_with_and_without_gradients(columns):
    module = random_model(columns)
    x, z = random_rows(columns), normal(4, 12, LATENT_DIM)
    with torch.no_grad():
        expected = module.feature_log_likelihood(x, z)
        independent = independent_model(module).feature_log_likelihood(x, z)
    assert not torch.allclose(expected, independent)
    assert_allclose(module.feature_log_likelihood(x, z).detach(), expected, rtol=1e-12, atol=1e-14)


def test_max_width_includes_the_context():
    columns = (UNORDERED,) * 30
    module, independent = build_model(columns), build_model(columns, autoregressive=False)
    assert module.max_width >= 30 * module.code_weight.shape[1] > independent.max_width
