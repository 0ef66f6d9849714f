"""Columns that are linear functions of other columns."""

import pytest
import torch
from numpy.testing import assert_allclose

from helpers import build_vae, f64, normal
from skvae import StudentT
from skvae.models import confirm_dependence, find_dependence

pytestmark = pytest.mark.torch_only


@pytest.fixture
def x():
    return normal(60, 4) * f64(1, 10, 0.1, 3) + f64(0, 5, -7, 1e3)


def find(*columns):
    rows = torch.stack(columns, 1)
    var = rows.var(0, correction=0)
    return find_dependence(rows, torch.where(var > 1e-25 * rows.square().mean(0), var, 0.0))


def deviations(dependence, rows):
    centred = rows - rows.mean(0)
    return centred - centred @ dependence.coefficients.T


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b, c, d: a,
        lambda a, b, c, d: -1e6 * b + 3,
        lambda a, b, c, d: a + b + c + d,
        lambda a, b, c, d: 1e-9 * a - 1e9 * d,
    ],
    ids=["duplicate", "scaled copy", "total", "combination"],
)
def test_a_linear_function_of_the_columns_before_is_dependent(x, function):
    rows = [*x.T, function(*x.T)]
    dependence = find(*rows)
    assert dependence.is_dependent.tolist() == [False] * 4 + [True]
    last = deviations(dependence, torch.stack(rows, 1))[:, -1]
    assert last.abs().max() < 1e-6 * rows[-1].std()
    assert (dependence.coefficients[:4] == 0).all()


def test_the_first_of_several_related_columns_is_independent(x):
    a, b, c, _ = x.T
    dependence = find(a, 2 * a, b, a + b, c, a - b + c)
    assert dependence.is_dependent.tolist() == [False, True, False, True, False, True]
    # Dependent columns are functions of independent columns only.
    assert (dependence.coefficients[:, dependence.is_dependent] == 0).all()
    expected = torch.zeros(6, 6)
    expected[1, 0], expected[3, [0, 2]], expected[5, [0, 4]] = 2, 1, 1
    expected[5, 2] = -1
    assert_allclose(dependence.coefficients, expected, atol=1e-9)


def test_small_deviations_count_as_unexplained_variance(x):
    a, b, *_ = x.T
    noise = 5e-3 * normal(60, seed=3)
    dependence = find(a, b, a + b + noise)
    assert_allclose(dependence.unexplained[2], noise.square().mean(), rtol=0.2)
    assert find(a, b, a + b + 0.1 * normal(60, seed=3)) is None
    exact = find(a, b, a + b)
    assert_allclose(exact.unexplained[2], 1e-8 * (a + b).var(correction=0), rtol=1e-6)


def test_rounding_to_float32_leaves_columns_dependent(x):
    rows = torch.cat([x, x.sum(1, keepdim=True)], 1).float().double()
    assert find(*rows.T).is_dependent.tolist() == [False] * 4 + [True]


def test_few_rows_are_never_dependent():
    x = normal(11, 4)
    assert find(*x.T, x.sum(1)) is None  # fewer than three rows for each of five columns
    repeated = normal(3, 4).repeat(20, 1)
    assert find(*repeated.T) is None
    assert find(*repeated[:, [0, 0]].T) is None
    assert find(*normal(60, 4)[:, [0, 1, 2, 2]].T) is not None


def test_with_few_rows_for_each_column_only_copies_are_dependent():
    x = normal(40, 12)
    columns = [*x.T, x[:, 0] + x[:, 1], 2 - 3 * x[:, 4], x[:, 4] / 7]
    dependence = find(*columns)
    assert torch.where(dependence.is_dependent)[0].tolist() == [13, 14]
    assert_allclose(dependence.coefficients[13, 4], -3)
    assert_allclose(dependence.coefficients[14, 4], 1 / 7)
    assert (dependence.coefficients != 0).sum() == 2
    assert find(*(column[:29] for column in columns)) is None
    assert find(*normal(35, 40).T) is None  # more columns than rows, and no copies


def test_a_far_row_does_not_make_columns_dependent(x):
    x[7] = 1e12
    assert find(*x.T) is None


def test_events_that_coincide_in_a_few_rows_do_not_make_columns_dependent(x):
    first, second = torch.zeros(2, 60, dtype=torch.float64)
    first[4], second[4] = 1, 3
    assert find(*x.T, first, second) is None
    first[::4], second[::4] = 1, 3
    assert find(*x.T, first, second).is_dependent.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e12])
def test_constant_columns_are_not_dependent(x, value):
    constant = torch.full_like(x[:, 0], value)
    assert find(*x.T, constant, constant) is None
    assert find(constant, constant, constant) is None
    dependence = find(constant, *x.T, x[:, 0])
    assert dependence.is_dependent.tolist() == [False] * 5 + [True]


def test_columns_that_are_constant_in_the_sample_are_not_dependent(x):
    # In all rows, both columns have a variance.
    rows = torch.cat([x, f64(0, 0).expand(60, 2)], 1)
    assert find_dependence(rows, torch.ones(6, dtype=torch.float64)) is None


def test_rows_outside_the_sample_may_refute_dependence(x):
    rows = torch.cat([x, x[:, :1], x.sum(1, keepdim=True)], 1)
    sample = find(*rows.T)
    assert sample.is_dependent.sum() == 2
    more = rows.clone()
    more[3, 4] += 1.0
    mean, var = more.mean(0), more.var(0, correction=0)
    confirmed = confirm_dependence(sample, more.split(25), mean, var)
    assert confirmed.is_dependent.tolist() == [False] * 5 + [True]
    assert (confirmed.coefficients[4] == 0).all()
    more[3, 5] += 50
    mean, var = more.mean(0), more.var(0, correction=0)
    assert confirm_dependence(sample, more.split(25), mean, var) is None


# ---- The module ----------------------------------------------------------------------


@pytest.fixture
def module(x):
    rows = torch.cat([x, x[:, :1] + 2 * x[:, 1:2]], 1)
    module = build_vae(5, 2, likelihood=StudentT("row"), dependent_columns=True).double().eval()
    mean, var = rows.mean(0), rows.var(0, correction=0)
    module.initialize(60, mean, var, find_dependence(rows, var))
    return module.requires_grad_(False), rows


def test_unstandardize_inverts_standardize(module):
    module, rows = module
    rows = rows + normal(60, 5, seed=4)
    assert_allclose(module.unstandardize(module.standardize(rows)), rows, rtol=1e-12)


def test_the_density_is_that_of_the_deviations(module):
    # The map from rows to deviations is triangular with ones on the diagonal, so its Jacobian
    # determinant is 1: only the scales change the volume.
    module, rows = module
    centred = rows - rows.mean(0)
    matrix = torch.eye(5, dtype=torch.float64) - module.units.dependence
    assert_allclose(torch.linalg.det(matrix), 1)
    standardized = centred @ matrix.T / module.units.scale
    z = normal(60, 2, seed=5)
    params = module.decode(z)
    log_prob = module.likelihood.log_prob(standardized, params).sum(1)
    expected = log_prob - module.units.scale.log().sum()
    assert_allclose(module.log_likelihood(module.standardize(rows), z), expected, rtol=1e-9)


def test_the_encoder_does_not_see_the_deviation(module):
    module, rows = module
    broken = rows.clone()
    broken[:, 4] += 1e6
    first, second = (module.encode(module.standardize(part)) for part in (rows, broken))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.log_var, second.log_var)
