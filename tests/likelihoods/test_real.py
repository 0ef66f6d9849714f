"""Normal and Student's t-distribution against scipy.stats."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import f64
from helpers_likelihoods import marginals, random_params, random_rows, sample_columns
from skvae.likelihoods import Gaussian, StudentT
from skvae.utils import soft_clamp

pytestmark = pytest.mark.torch_only

every_learned_noise = pytest.mark.parametrize("noise", ["feature", "shared", "row"])
both_kinds = pytest.mark.parametrize("kind", [Gaussian, StudentT])


# ---- log_prob ------------------------------------------------------------------------


def test_gaussian_with_fixed_noise_has_the_normal_density():
    x, mean, std = np.linspace(-4, 9, 14), np.linspace(-3, 3, 14), np.geomspace(0.01, 50, 14)
    params = {"mean": torch.from_numpy(mean), "log_noise": torch.from_numpy(np.log(std))}
    actual = Gaussian(1.0).log_prob(torch.from_numpy(x), params)
    assert_allclose(actual, stats.norm.logpdf(x, mean, std), rtol=1e-12)


@every_learned_noise
def test_gaussian_with_learned_noise_has_the_normal_density_at_the_bounded_noise(noise):
    likelihood = Gaussian(noise)
    params, x = random_params(likelihood, 6, 4), random_rows(likelihood, 6, 4)
    std = torch.exp(soft_clamp(params["log_noise"], 7.0))
    expected = stats.norm.logpdf(x, params["mean"], std)
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)


@every_learned_noise
def test_variances_of_floor_and_learned_noise_add_up(noise):
    likelihood = Gaussian(noise, floor=0.7)
    params, x = random_params(likelihood, 6, 4), random_rows(likelihood, 6, 4)
    learned = torch.exp(soft_clamp(params["log_noise"], 7.0))
    expected = stats.norm.logpdf(x, params["mean"], (learned.square() + 0.49).sqrt())
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)
    lowest = {**params, "log_noise": torch.full_like(params["log_noise"], -1e30)}
    assert_allclose(
        likelihood.log_noise(lowest).exp(), np.full(lowest["log_noise"].shape, 0.7), 1e-5
    )


@pytest.mark.parametrize("log_std", [-1e30, 1e30])
def test_gaussian_density_is_finite_for_extreme_learned_noise(log_std):
    params = {"mean": f64(0.0), "log_noise": f64(log_std)}
    log_prob = Gaussian().log_prob(f64(0.0), params)
    assert_allclose(log_prob, [-0.5 * math.log(2 * math.pi) - math.copysign(7, log_std)])


@pytest.mark.parametrize("df", [1.001, 1.5, 4, 30.0, 1e6])
def test_student_t_with_fixed_noise_agrees_with_scipy(df):
    x, mean, scale = np.linspace(-40, 90, 14), np.linspace(-3, 3, 14), np.geomspace(0.01, 50, 14)
    params = {"mean": torch.from_numpy(mean), "log_noise": torch.from_numpy(np.log(scale))}
    actual = StudentT(1.0, df=df).log_prob(torch.from_numpy(x), params)
    assert_allclose(actual, stats.t.logpdf(x, df, mean, scale), rtol=1e-9)


@every_learned_noise
def test_student_t_learns_its_scale_as_the_gaussian_does(noise):
    likelihood = StudentT(noise, floor=0.7, df=3)
    params, x = random_params(likelihood, 6, 4), random_rows(likelihood, 6, 4)
    scale = Gaussian(noise, floor=0.7).log_noise(params).exp()
    expected = stats.t.logpdf(x, 3, params["mean"], scale)
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)


def test_student_t_with_many_degrees_of_freedom_is_normal():
    params, x = {"mean": f64(1, 2, 3), "log_noise": f64(-1, 0, 1)}, f64(0, 0, 0)
    expected = Gaussian().log_prob(x, params)
    assert_allclose(StudentT(df=1e6).log_prob(x, params), expected, atol=1e-3)


@pytest.mark.parametrize("x", [1e6, 1e15])
def test_student_t_log_density_falls_with_the_log_of_the_distance(x):
    params = {"mean": torch.zeros(1), "log_noise": torch.zeros(1)}
    x = torch.tensor([x], requires_grad=True)
    log_prob = StudentT(df=3).log_prob(x, params)
    assert_allclose(log_prob.item(), stats.t.logpdf(x.item(), 3), rtol=1e-6)
    log_prob.backward()
    assert_allclose(x.grad, -4 / x.detach(), rtol=1e-6)


@pytest.mark.parametrize("noise", ["feature", "shared", "row", 0.7])
def test_student_t_with_learned_degrees_of_freedom_agrees_with_scipy(noise):
    likelihood = StudentT(noise, df="feature")
    params, x = random_params(likelihood, 6, 4), random_rows(likelihood, 6, 4)
    df = likelihood.degrees_of_freedom(params)
    assert df.shape == (4,)
    scale = likelihood.log_noise(params).exp()
    expected = stats.t.logpdf(x, df, params["mean"], scale)
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-11)


@pytest.mark.parametrize(("log_df", "df"), [(-1e30, 2), (0, 10), (1e30, 50)])
def test_learned_degrees_of_freedom_are_bounded(log_df, df):
    likelihood = StudentT(df="feature")
    assert_allclose(likelihood.degrees_of_freedom({"log_df": f64(log_df)}), [df], rtol=1e-12)
    params = {"mean": f64(0), "log_noise": f64(0), "log_df": f64(log_df)}
    assert_allclose(likelihood.log_prob(f64(3), params), stats.t.logpdf([3], df), rtol=1e-9)


@pytest.mark.parametrize("df", [2.5, 10, 40])
def test_initial_log_df_is_the_parameter_of_given_degrees_of_freedom(df):
    likelihood = StudentT(df="feature")
    params = {"log_df": likelihood.initial_log_df(f64(df))}
    assert_allclose(likelihood.degrees_of_freedom(params), [df], rtol=1e-12)


def test_learned_degrees_of_freedom_start_at_10_and_are_public():
    likelihood = StudentT(df="feature")
    params = likelihood.initial_params(marginals([0, 0], [1, 1]))
    assert_allclose(likelihood.public_parameters(params, f64(3, 4))["df"], [10, 10])
    assert "df" not in StudentT().public_parameters(params, f64(3, 4))


# ---- Samples -------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [Gaussian(1.0), StudentT(1.0)], ids=repr)
def test_float64_samples_have_more_digits_than_float32(likelihood):
    x = sample_columns(likelihood, {"mean": f64(0), "log_noise": f64(0)[0]}, 100)
    assert (x != x.float().double()).all()


@pytest.mark.parametrize("df", [1.2, 4])
def test_student_t_samples_follow_the_distribution_function(df):
    params = {"mean": f64(3.0), "log_noise": torch.tensor(math.log(2.0)).double()}
    x = sample_columns(StudentT(1.0, df=df), params, 5000)[:, 0]
    assert stats.kstest(x.numpy(), stats.t(df, 3, 2).cdf).pvalue > 1e-3


def test_student_t_samples_follow_the_degrees_of_freedom_of_each_column():
    likelihood = StudentT(1.0, df="feature")
    df = f64(2.5, 30)
    params = {"mean": f64(3, -1), "log_noise": f64(math.log(2))[0]}
    params["log_df"] = likelihood.initial_log_df(df)
    x = sample_columns(likelihood, params, 5000).numpy()
    for column, nu, mean in zip(x.T, df, (3, -1), strict=True):
        assert stats.kstest(column, stats.t(float(nu), mean, 2).cdf).pvalue > 1e-3
    assert torch.equal(likelihood.mean(params), params["mean"])


# ---- Initial parameters --------------------------------------------------------------


@every_learned_noise
def test_initial_noise_is_one_standard_deviation(noise):
    log_std = Gaussian(noise).initial_params(marginals([0, 0], [1, 1]))["log_noise"]
    assert log_std.eq(0).all()


@pytest.mark.parametrize(("floor", "initial"), [(0.3, 1.0), (0.9, 1.0), (2.0, math.hypot(2, 0.2))])
def test_initial_noise_includes_the_floor(floor, initial):
    likelihood = Gaussian(floor=floor)
    params = likelihood.initial_params(marginals([0, 0], [1, 1]))
    assert_allclose(likelihood.log_noise(params).exp(), [initial] * 2, rtol=1e-9)


@pytest.mark.parametrize("floor", [0.0, 0.01, 0.5])
@every_learned_noise
def test_initial_noise_of_any_variance_is_the_noise_or_its_smallest_initial_value(floor, noise):
    likelihood = Gaussian(noise, floor=floor)
    smallest = likelihood.min_initial_variance
    for variance in (0.0, 1e-9, smallest, 0.3, 4.0):
        params = {"log_noise": likelihood.initial_log_noise(f64(variance, variance))}
        expected = max(variance, smallest)
        assert_allclose((2 * likelihood.log_noise(params)).exp(), expected, rtol=1e-9)


def test_fixed_noise_is_in_the_units_of_the_data():
    params = Gaussian(0.5).initial_params(marginals([0, 0], [1, 1], scale=4.0))
    assert_allclose(params["log_noise"].exp() * 4.0, 0.5, rtol=1e-14)


# ---- Invalid options -----------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("noise", ["column", "", 0, 0.0, -1, math.inf, math.nan, True])
def test_invalid_noise_is_an_error(kind, noise):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(noise=\.\.\.\) must be") as error:
        kind(noise)
    assert repr(noise) in str(error.value)


@both_kinds
@pytest.mark.parametrize("floor", [-0.1, math.inf, math.nan, True, "low"])
def test_invalid_floor_is_an_error(kind, floor):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(floor=\.\.\.\) must be"):
        kind(floor=floor)


@both_kinds
def test_floor_of_fixed_noise_is_an_error(kind):
    with pytest.raises(ValueError, match="0 if the noise is fixed"):
        kind(0.5, floor=0.1)


@pytest.mark.parametrize("df", [1, 0, -3, 1e7, math.inf, math.nan, True, "4", "row", None])
def test_invalid_degrees_of_freedom_are_an_error(df):
    with pytest.raises(ValueError, match=r"StudentT\(df=\.\.\.\) must be") as error:
        StudentT(df=df)
    assert repr(df) in str(error.value)
