"""Expectation maximisation with Student's t noise, on simulated rows."""

import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import f64, normal, seeded
from skvae.likelihoods import DF_BOUNDS
from skvae.models import _robust_linear_model
from skvae.models._linear_model import LinearModel, factor_analysis
from skvae.models._robust_linear_model import StudentNoise, _learn_df, _n_iter, robust_linear_model

pytestmark = pytest.mark.torch_only

MIN_NOISE_VAR = 3e-6

LOADINGS = normal(8, 2, seed=5)
SCALE = 0.5


def simulate(df, n=2000):
    """Return rows of a linear model with t-distributed noise."""
    rng_noise = stats.t.rvs(df, size=(n, 8), random_state=0)
    return normal(n, 2) @ LOADINGS.T + SCALE * torch.from_numpy(rng_noise)


def normal_model(x, k=2):
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    return factor_analysis(covariance, k, min_noise_var=MIN_NOISE_VAR)._replace(mean=mean)


def fit(x, *, k=2, scope="feature", df=10.0, bounds=DF_BOUNDS, min_var=MIN_NOISE_VAR):
    noise = StudentNoise(scope, f64(df)[0], bounds, min_var)
    return robust_linear_model(x, normal_model(x, k), noise)


def log_likelihood(x, model: LinearModel, df):
    """Return a Monte Carlo estimate of the mean evidence: a mixture over codes from the prior."""
    z = torch.randn(4000, model.loadings.shape[1], generator=seeded(3), dtype=torch.float64)
    mean = model.mean + z @ model.loadings.T  # (m, d)
    density = torch.distributions.StudentT(df, mean, model.noise_var.sqrt())
    log_prob = torch.stack([density.log_prob(row).sum(1) for row in x])
    return (log_prob.logsumexp(1) - torch.tensor(4000.0).log()).mean()


def test_parameters_of_simulated_rows_are_recovered():
    model, df = fit(simulate(3.0))
    # Few iterations, with an approximate posterior, come near: the standard deviation is 0.87.
    assert_allclose(model.noise_var.sqrt().median(), SCALE, rtol=0.3)
    assert 3 < df.median() < 8
    # The loadings are unique up to a rotation.
    assert_allclose(model.loadings @ model.loadings.T, LOADINGS @ LOADINGS.T, atol=0.35)
    assert_allclose(model.mean, [0.0] * 8, atol=0.15)


def test_normal_noise_has_more_degrees_of_freedom():
    x = normal(2000, 2) @ LOADINGS.T + SCALE * normal(2000, 8, seed=1)
    model, df = fit(x)
    assert (df > fit(simulate(3.0))[1]).all()
    assert_allclose(model.noise_var.sqrt(), [SCALE] * 8, rtol=0.15)


def test_outlying_entries_bend_the_model_less_than_factor_analysis():
    x = simulate(30.0)
    x[::50, 3] += 100
    truth = LOADINGS @ LOADINGS.T
    errors = [
        (model.loadings @ model.loadings.T - truth)[:3, :3].abs().max()
        for model in (fit(x, bounds=None, df=4.0)[0], normal_model(x))
    ]
    assert errors[0] < 0.3
    assert fit(x)[1][3] < 3 < fit(x)[1][0]  # only the column with outliers has heavy tails


@pytest.mark.parametrize("scope", ["feature", "shared", "fixed"])
def test_the_likelihood_of_simulated_rows_rises(scope):
    x = simulate(3.0, n=100)
    start = normal_model(x)
    model, df = fit(x, scope=scope)
    assert log_likelihood(x, model, df) > log_likelihood(x, start, f64(10)[0])
    if scope == "fixed":
        assert torch.equal(model.noise_var, start.noise_var)
    else:
        assert (len(model.noise_var.unique()) == 1) == (scope == "shared")


def test_given_degrees_of_freedom_stay():
    assert fit(simulate(3.0, n=50), df=7.0, bounds=None)[1] == 7.0


@pytest.mark.parametrize("floor", [0.01, 4.0])
def test_the_noise_stays_above_its_lower_bound(floor):
    assert (fit(simulate(3.0, n=100), min_var=floor)[0].noise_var >= floor).all()


@pytest.mark.parametrize("true_df", [1.0, 2.5, 8.0, 30.0, 1e6])
def test_degrees_of_freedom_maximise_the_likelihood_within_bounds(true_df):
    # Weights of a known location and scale: the fixed point is the estimate by SciPy.
    x = torch.from_numpy(stats.t.rvs(true_df, size=(4000, 1), random_state=0))
    df = f64(10)
    for _ in range(200):
        df = _learn_df((df + 1) / (df + x.square()), df, DF_BOUNDS)
    grid = torch.tensor([*torch.logspace(0.302, 1.698, 100, dtype=torch.float64), df])
    sums = torch.stack([torch.distributions.StudentT(nu).log_prob(x).sum() for nu in grid])
    # One nat is within two standard errors of the estimate.
    assert sums[-1] > sums.max() - 1
    assert 2 < df < 50


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 8])
def test_few_rows_have_a_finite_model(n, k):
    model, df = fit(simulate(3.0)[:n], k=k)
    assert all(part.isfinite().all() for part in (*model, df))
    assert (model.noise_var >= MIN_NOISE_VAR).all()


def test_a_column_of_few_rows_keeps_noise():
    # Factor analysis of three rows reproduces all columns; the prior keeps noise.
    assert (fit(simulate(3.0)[:3])[0].noise_var > 1e-4).all()


def test_all_rows_of_many_are_represented(monkeypatch):
    monkeypatch.setattr(_robust_linear_model, "_MIN_ROWS", 10)
    monkeypatch.setattr(_robust_linear_model, "_MAX_WORK", 200 * 8 * 4)
    x = simulate(3.0)
    x[1000:] += 5  # the second half has another mean
    assert_allclose(fit(x)[0].mean, x.mean(0), atol=1)


def test_many_dimensions_have_fewer_iterations():
    assert _n_iter(2000, 30, 8) == 20
    assert 0 < _n_iter(500, 512, 32) < 20
    assert _n_iter(500, 512, 512) == 0
    noise = StudentNoise("feature", f64(10)[0], DF_BOUNDS, MIN_NOISE_VAR)
    x, k = normal(500, 400), 400
    start = LinearModel(f64(*[0] * 400), 0 * normal(400, k), f64(*[1] * 400), f64(*[1] * 400))
    model, df = robust_linear_model(x, start, noise)
    assert torch.equal(model.weight, start.weight)
    assert df == 10
