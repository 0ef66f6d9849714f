"""Every likelihood against scipy.stats, numerical integration and its own samples."""

import copy
import dataclasses
import inspect
import math
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import special, stats
from sklearn.base import clone

import skvae
from skvae import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    StudentT,
    VAETransformer,
)
from skvae.likelihoods import LIKELIHOODS, Marginals, resolve_likelihood
from skvae.utils._numerics import soft_clamp, soft_clamp_inverse, uniform

pytestmark = pytest.mark.torch_only

# Logits at which the continuous Bernoulli's formulas are delicate: 0, the ends of the
# series, and far out.
ETAS = [-50.0, -9.0, -1.0, -0.1 - 1e-12, -0.1, -0.1 + 1e-12, -1e-3, -1e-8, 0.0]
ETAS = torch.tensor(ETAS + [-eta for eta in reversed(ETAS[:-1])], dtype=torch.float64)

ALL = [
    Gaussian("feature"),
    Gaussian("shared"),
    Gaussian("row"),
    Gaussian(0.7),
    StudentT(),
    StudentT("shared", floor=0.5, df=1.5),
    StudentT("row", df=30),
    StudentT(0.7, df=2),
    Bernoulli(),
    ContinuousBernoulli(),
    Poisson(),
    NegativeBinomial("feature"),
    NegativeBinomial("shared"),
    NegativeBinomial("row"),
]

every_likelihood = pytest.mark.parametrize("likelihood", ALL, ids=repr)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw_params(likelihood: Likelihood, n: int, d: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return unremarkable parameters, each in the shape that its share says."""
    generator = seeded(seed)
    shapes = {"row": (n, d), "feature": (d,), "shared": (), "fixed": ()}
    return {
        name: torch.randn(shapes[share], generator=generator, dtype=torch.float64)
        for name, share in likelihood.parameters.items()
    }


def draw_rows(likelihood: Likelihood, n: int, d: int, seed: int = 1) -> torch.Tensor:
    """Return rows within the support."""
    if isinstance(likelihood, ContinuousBernoulli):
        return torch.rand(n, d, generator=seeded(seed), dtype=torch.float64)
    return likelihood.sample(draw_params(likelihood, n, d, seed), seeded(seed))


def negative_binomial_params(mean: torch.Tensor, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"log_mean": mean.log(), "log_dispersion": soft_clamp_inverse(theta.log(), 10.0)}


def unit_interval_quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    """Return Gauss-Legendre nodes and weights on [0, 1], exact to rounding for ETAS."""
    node, weight = np.polynomial.legendre.leggauss(100)
    return torch.from_numpy((node + 1) / 2), torch.from_numpy(weight / 2)


# ---- log_prob ------------------------------------------------------------------------


def test_fixed_gaussian_log_prob_is_the_normal_density():
    x, mean, std = np.linspace(-4, 9, 14), np.linspace(-3, 3, 14), np.geomspace(0.01, 50, 14)
    params = {"mean": torch.from_numpy(mean), "log_noise": torch.from_numpy(np.log(std))}
    actual = Gaussian(1.0).log_prob(torch.from_numpy(x), params)
    assert_allclose(actual, stats.norm.logpdf(x, mean, std), rtol=1e-12)


@pytest.mark.parametrize("noise", ["feature", "shared", "row"])
def test_learned_gaussian_log_prob_is_the_normal_density_at_the_bounded_std(noise):
    likelihood = Gaussian(noise)
    params = draw_params(likelihood, 6, 4)
    x = draw_rows(likelihood, 6, 4)
    std = torch.exp(soft_clamp(params["log_noise"], 7.0))
    expected = stats.norm.logpdf(x, params["mean"], std)
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)


@pytest.mark.parametrize("noise", ["feature", "shared", "row"])
def test_noise_with_a_floor_is_that_of_both_together(noise):
    likelihood = Gaussian(noise, floor=0.7)
    params = draw_params(likelihood, 6, 4)
    x = draw_rows(likelihood, 6, 4)
    learned = torch.exp(soft_clamp(params["log_noise"], 7.0))
    expected = stats.norm.logpdf(x, params["mean"], (learned.square() + 0.49).sqrt())
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)
    lowest = {**params, "log_noise": torch.full_like(params["log_noise"], -1e30)}
    assert_allclose(
        likelihood.log_noise(lowest).exp(), np.full(lowest["log_noise"].shape, 0.7), 1e-5
    )


@pytest.mark.parametrize("log_std", [-1e30, 1e30])
def test_learned_gaussian_density_stays_finite_however_far_its_scale_runs_away(log_std):
    params = {"mean": f64(0.0), "log_noise": f64(log_std)}
    log_prob = Gaussian().log_prob(f64(0.0), params)
    assert_allclose(log_prob, [-0.5 * math.log(2 * math.pi) - math.copysign(7, log_std)])


@pytest.mark.parametrize("df", [1.001, 1.5, 4, 30.0, 1e6])
def test_student_t_log_prob_is_that_of_scipy(df):
    x, mean, scale = np.linspace(-40, 90, 14), np.linspace(-3, 3, 14), np.geomspace(0.01, 50, 14)
    params = {"mean": torch.from_numpy(mean), "log_noise": torch.from_numpy(np.log(scale))}
    actual = StudentT(1.0, df=df).log_prob(torch.from_numpy(x), params)
    assert_allclose(actual, stats.t.logpdf(x, df, mean, scale), rtol=1e-9)


@pytest.mark.parametrize("noise", ["feature", "shared", "row"])
def test_learned_noise_of_student_t_is_that_of_the_gaussian(noise):
    likelihood = StudentT(noise, floor=0.7, df=3)
    params, x = draw_params(likelihood, 6, 4), draw_rows(likelihood, 6, 4)
    scale = Gaussian(noise, floor=0.7).log_noise(params).exp()
    expected = stats.t.logpdf(x, 3, params["mean"], scale)
    assert_allclose(likelihood.log_prob(x, params), expected, rtol=1e-12)


def test_student_t_of_many_degrees_of_freedom_is_the_gaussian():
    params, x = {"mean": f64(1, 2, 3), "log_noise": f64(-1, 0, 1)}, f64(0, 0, 0)
    expected = Gaussian().log_prob(x, params)
    assert_allclose(StudentT(df=1e6).log_prob(x, params), expected, atol=1e-3)


@pytest.mark.parametrize("x", [1e6, 1e15])
def test_student_t_costs_far_values_the_log_of_their_distance(x):
    params = {"mean": torch.zeros(1), "log_noise": torch.zeros(1)}
    x = torch.tensor([x], requires_grad=True)
    log_prob = StudentT(df=3).log_prob(x, params)
    assert_allclose(log_prob.item(), stats.t.logpdf(x.item(), 3), rtol=1e-6)
    log_prob.backward()
    assert_allclose(x.grad, -4 / x.detach(), rtol=1e-6)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_bernoulli_log_prob_is_that_of_scipy(x):
    logits = np.linspace(-12, 12, 25)
    actual = Bernoulli().log_prob(torch.full((25,), x).double(), {"logits": torch.tensor(logits)})
    assert_allclose(actual, stats.bernoulli.logpmf(x, special.expit(logits)), rtol=1e-10)


def test_bernoulli_log_prob_is_finite_and_exact_at_extreme_logits():
    x, logits = f64(0, 1, 0, 1), f64(800, 800, -800, -800)
    assert_allclose(Bernoulli().log_prob(x, {"logits": logits}), [-800, 0, 0, -800])


def test_bernoulli_log_prob_of_grey_values_is_the_cross_entropy():
    x, logits = np.linspace(0, 1, 11), np.linspace(-3, 3, 11)
    p = special.expit(logits)
    actual = Bernoulli().log_prob(torch.tensor(x), {"logits": torch.tensor(logits)})
    assert_allclose(actual, x * np.log(p) + (1 - x) * np.log1p(-p), rtol=1e-12)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_log_prob_is_its_density_written_out(x):
    eta = ETAS[ETAS != 0].numpy()
    expected = x * eta + np.log(eta / np.expm1(eta))
    actual = ContinuousBernoulli().log_prob(f64(x), {"logits": torch.from_numpy(eta)})
    # 6e-12 is the first term that the series leaves out, at its end.
    assert_allclose(actual, expected, rtol=1e-13, atol=6e-12)


def test_continuous_bernoulli_is_uniform_at_logit_0():
    log_prob = ContinuousBernoulli().log_prob(f64(0, 0.25, 1), {"logits": f64(0, 0, 0)})
    assert log_prob.tolist() == [0, 0, 0]


def test_continuous_bernoulli_density_integrates_to_1():
    x, weight = unit_interval_quadrature()
    density = ContinuousBernoulli().log_prob(x[:, None], {"logits": ETAS}).exp()
    assert_allclose(weight @ density, 1, atol=1e-11)


def test_continuous_bernoulli_log_prob_is_finite_at_extreme_logits():
    log_prob = ContinuousBernoulli().log_prob(
        f64(0, 1, 0, 1), {"logits": f64(-1e4, -1e4, 1e4, 1e4)}
    )
    edge = math.log(1e4)
    assert_allclose(log_prob, [edge, edge - 1e4, edge - 1e4, edge], rtol=1e-12)


def test_poisson_log_prob_is_that_of_scipy():
    x, rate = np.arange(40.0)[:, None], np.geomspace(1e-4, 1e3, 15)
    actual = Poisson().log_prob(torch.tensor(x), {"log_rate": torch.tensor(np.log(rate))})
    assert_allclose(actual, stats.poisson.logpmf(x, rate), rtol=1e-12)


@pytest.mark.parametrize("theta", [0.01, 0.5, 3.0, 2000.0])
def test_negative_binomial_log_prob_is_that_of_scipy(theta):
    x, mean = np.arange(40.0)[:, None], np.geomspace(1e-3, 1e3, 15)
    params = negative_binomial_params(torch.tensor(mean), f64(theta))
    expected = stats.nbinom.logpmf(x, theta, theta / (theta + mean))
    actual = NegativeBinomial().log_prob(torch.tensor(x), params)
    assert_allclose(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("likelihood", "params", "largest"),
    [
        (Bernoulli(), {"logits": f64(-30, -2, 0, 1, 30)}, 1),
        (Poisson(), {"log_rate": f64(-8, -1, 0, 2, 4)}, 200),
        (NegativeBinomial(), {"log_mean": f64(-8, 0, 3), "log_dispersion": f64(1, 2, 3)}, 4000),
    ],
    ids=repr,
)
def test_discrete_probabilities_sum_to_1_and_their_expectation_is_the_mean(
    likelihood, params, largest
):
    x = torch.arange(largest + 1, dtype=torch.float64)[:, None]
    rows = {name: p.expand(len(x), -1) for name, p in params.items()}
    probability = likelihood.log_prob(x, rows).exp()
    assert_allclose(probability.sum(0), 1, rtol=1e-11)
    assert_allclose((x * probability).sum(0), likelihood.mean(params), rtol=1e-10)


@every_likelihood
def test_log_prob_of_many_draws_is_that_of_each_draw(likelihood):
    x = draw_rows(likelihood, 3, 4)
    draws = [draw_params(likelihood, 3, 4, seed) for seed in range(5)]
    for name, share in likelihood.parameters.items():
        if share != "row":
            for params in draws:
                params[name] = draws[0][name]
    stacked = {
        name: torch.stack([params[name] for params in draws]) if share == "row" else draws[0][name]
        for name, share in likelihood.parameters.items()
    }
    expected = torch.stack([likelihood.log_prob(x, params) for params in draws])
    assert expected.shape == (5, 3, 4)
    torch.testing.assert_close(likelihood.log_prob(x, stacked), expected, rtol=0, atol=0)


@every_likelihood
def test_log_prob_in_single_precision_agrees_with_double_to_a_thousandth_of_a_nat(likelihood):
    x, params = draw_rows(likelihood, 50, 4), draw_params(likelihood, 50, 4)
    single = {name: p.float() for name, p in params.items()}
    actual = likelihood.log_prob(x.float(), single)
    assert actual.dtype == torch.float32
    assert_allclose(actual, likelihood.log_prob(x, params), rtol=1e-5, atol=1e-4)


def test_nearly_poisson_negative_binomial_is_right_to_a_hundredth_of_a_nat_in_float32():
    # theta is large wherever counts hardly vary more than a Poisson's, and log Gamma of it too.
    x, mean = torch.arange(30.0), torch.full((30,), 8.0)
    params = negative_binomial_params(mean.double(), f64(8000.0))
    single = {name: p.float() for name, p in params.items()}
    expected = NegativeBinomial().log_prob(x.double(), params)
    assert_allclose(NegativeBinomial().log_prob(x, single), expected, atol=0.01)


# ---- Gradients -----------------------------------------------------------------------


@every_likelihood
def test_gradient_of_log_prob_is_right(likelihood):
    x, params = draw_rows(likelihood, 3, 2), draw_params(likelihood, 3, 2)
    names = list(params)

    def log_prob(*values):
        return likelihood.log_prob(x, dict(zip(names, values, strict=True)))

    assert torch.autograd.gradcheck(log_prob, [p.requires_grad_() for p in params.values()])


@pytest.mark.parametrize("eta", [-50.0, -0.11, -0.09, -1e-8, 0.0, 1e-8, 0.09, 0.11, 50.0])
def test_gradient_of_continuous_bernoulli_is_right_near_its_singularity_and_far_out(eta):
    logits = f64(eta).requires_grad_()
    x = f64(0.3)
    likelihood = ContinuousBernoulli()
    assert torch.autograd.gradcheck(lambda eta: likelihood.log_prob(x, {"logits": eta}), logits)
    # The derivative of a log-partition function is the mean.
    (gradient,) = torch.autograd.grad(likelihood.log_prob(x, {"logits": logits}), logits)
    assert_allclose(gradient, x - likelihood.mean({"logits": logits.detach()}), atol=1e-9)


@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli()], ids=repr)
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_gradient_at_an_extreme_logit_is_finite(likelihood, value):
    logits = torch.tensor([value], requires_grad=True)
    likelihood.log_prob(torch.tensor([0.5]), {"logits": logits}).backward()
    assert_allclose(logits.grad, [-math.copysign(0.5, value)], rtol=1e-3)


# ---- mean and sample -----------------------------------------------------------------


def test_continuous_bernoulli_mean_is_its_expectation():
    x, weight = unit_interval_quadrature()
    likelihood = ContinuousBernoulli()
    expected = (weight * x) @ likelihood.log_prob(x[:, None], {"logits": ETAS}).exp()
    assert_allclose(likelihood.mean({"logits": ETAS}), expected, atol=1e-9)


def continuous_bernoulli_var(eta: torch.Tensor) -> torch.Tensor:
    x, weight = unit_interval_quadrature()
    likelihood = ContinuousBernoulli()
    second = (weight * x**2) @ likelihood.log_prob(x[:, None], {"logits": eta}).exp()
    return second - likelihood.mean({"logits": eta}).square()


SAMPLED = {
    "gaussian": (
        Gaussian(),
        {"mean": f64(-5, 0, 3), "log_noise": f64(-1, 0, 1)},
        torch.exp(2 * soft_clamp(f64(-1, 0, 1), 7.0)),
    ),
    "gaussian_fixed": (
        Gaussian(2.0),
        {"mean": f64(-5, 0, 3), "log_noise": f64(math.log(2))[0]},
        f64(4, 4, 4),
    ),
    "student_t": (
        StudentT(df=12),
        {"mean": f64(-5, 0, 3), "log_noise": f64(-1, 0, 1)},
        torch.exp(2 * soft_clamp(f64(-1, 0, 1), 7.0)) * 12 / 10,
    ),
    "bernoulli": (
        Bernoulli(),
        {"logits": torch.logit(f64(0.5, 0.75, 0.1))},
        f64(0.25, 0.1875, 0.09),
    ),
    "continuous_bernoulli": (
        ContinuousBernoulli(),
        {"logits": f64(-20, -1e-4, 0, 0.01, 4)},
        continuous_bernoulli_var(f64(-20, -1e-4, 0, 0.01, 4)),
    ),
    "poisson": (Poisson(), {"log_rate": f64(-2, 0, 4)}, torch.exp(f64(-2, 0, 4))),
    "negative_binomial": (
        NegativeBinomial(),
        negative_binomial_params(f64(0.5, 4, 40), f64(0.5, 2, 100)),
        f64(0.5, 4, 40) + f64(0.5, 4, 40) ** 2 / f64(0.5, 2, 100),
    ),
}
every_sampler = pytest.mark.parametrize(
    ("likelihood", "params", "var"), SAMPLED.values(), ids=SAMPLED
)


def draw_samples(likelihood, params, n, seed=0):
    """Return n draws per column; parameters are expanded, as a decoder's would be."""
    rows = {
        name: params[name].expand(n, -1) if share == "row" else params[name]
        for name, share in likelihood.parameters.items()
    }
    return likelihood.sample(rows, seeded(seed))


@every_sampler
def test_samples_have_the_mean_and_variance_of_the_distribution(likelihood, params, var):
    n = 20_000
    x = draw_samples(likelihood, params, n)
    mean = likelihood.mean(params)
    squares = (x - mean).square()
    # Five standard errors each: one draw in 10^6 falls outside by chance.
    assert ((x.mean(0) - mean).abs() < 5 * (var / n).sqrt()).all()
    # A symmetric coin's squares do not vary at all: rounding alone is left.
    assert ((squares.mean(0) - var).abs() < 5 * squares.std(0) / math.sqrt(n) + 1e-12).all()


@every_sampler
def test_samples_lie_in_the_support_and_have_the_dtype_of_the_parameters(likelihood, params, var):
    for dtype in (torch.float32, torch.float64):
        cast = {name: p.to(dtype) for name, p in params.items()}
        x = draw_samples(likelihood, cast, 500)
        assert x.dtype == dtype
        assert likelihood.support.check(x).all()


@pytest.mark.parametrize("likelihood", [Gaussian(1.0), StudentT(1.0)], ids=repr)
def test_samples_in_double_precision_have_all_its_digits(likelihood):
    x = draw_samples(likelihood, {"mean": f64(0), "log_noise": f64(0)[0]}, 100)
    assert (x != x.float().double()).all()


@every_sampler
def test_samples_come_from_the_given_generator_alone(likelihood, params, var):
    before = torch.get_rng_state()
    first = draw_samples(likelihood, params, 50, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draw_samples(likelihood, params, 50, seed=3), first)
    assert not torch.equal(draw_samples(likelihood, params, 50, seed=4), first)


@pytest.mark.parametrize("df", [1.2, 4])
def test_student_t_samples_follow_its_distribution_function(df):
    params = {"mean": f64(3.0), "log_noise": torch.tensor(math.log(2.0)).double()}
    x = draw_samples(StudentT(1.0, df=df), params, 5000)[:, 0]
    assert stats.kstest(x.numpy(), stats.t(df, 3, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("eta", [-30.0, -1.01e-3, -0.99e-3, 0.0, 0.05, 2.0])
def test_continuous_bernoulli_samples_follow_its_distribution_function(eta):
    x = draw_samples(ContinuousBernoulli(), {"logits": f64(eta)}, 5000)[:, 0]

    def cdf(x):
        return np.expm1(eta * x) / np.expm1(eta) if eta else x

    assert stats.kstest(x.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("eta", [-30.0, -0.05, -1.01e-3, -0.99e-3, 1e-8, 0.99e-3, 0.05, 2.0])
def test_continuous_bernoulli_samples_are_the_quantiles_of_uniform_ones(eta):
    def draw(eta):
        return draw_samples(ContinuousBernoulli(), {"logits": f64(eta)}, 500)[:, 0]

    u = draw(0.0)
    assert_allclose(np.expm1(eta * draw(eta).numpy()) / np.expm1(eta), u, atol=1e-7)


def test_negative_binomial_samples_follow_its_probabilities():
    mean, theta, n = 3.0, 1.5, 5000
    x = draw_samples(NegativeBinomial(), negative_binomial_params(f64(mean), f64(theta)), n)
    p = stats.nbinom.pmf(np.arange(15), theta, theta / (theta + mean))
    counts = np.bincount(x[:, 0].int().clamp_max(15), minlength=16)
    assert stats.chisquare(counts, n * np.append(p, 1 - p.sum())).pvalue > 1e-3


# ---- start ---------------------------------------------------------------------------


def marginals(mean, var, n_samples=10**12, scale=1.0) -> Marginals:
    mean, var = f64(*mean), f64(*var)
    return Marginals(n_samples, mean, var, torch.full_like(mean, scale))


@pytest.mark.parametrize(
    ("likelihood", "mean"),
    [
        (Gaussian("feature"), [-3, 0, 8]),
        (Gaussian("shared"), [-3, 0, 8]),
        (Gaussian("row"), [-3, 0, 8]),
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
def test_likelihood_starts_at_the_mean_of_each_column(likelihood, mean):
    params = likelihood.initial_params(marginals(mean, np.ones(len(mean))))
    assert_allclose(likelihood.mean(params), mean, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Poisson(), NegativeBinomial()], ids=repr)
def test_start_of_a_small_sample_is_moved_off_0_by_half_an_observation_at_most(likelihood):
    mean = f64(0.0, 0.1, 0.5, 1.0)
    start = likelihood.initial_params(marginals(mean, f64(0, 1, 1, 0), n_samples=10))
    shift = likelihood.mean(start) - mean
    assert (shift.abs() <= 0.5 / 10 + 1e-12).all()
    assert shift[0] > 0.4 / 10


@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli()], ids=repr)
def test_start_is_finite_for_a_column_at_the_very_edge_of_the_support(likelihood):
    params = likelihood.initial_params(marginals([1 + 5e-7, -5e-7], [0, 0]))
    assert params["logits"].isfinite().all()


def test_gaussian_starts_at_one_standard_deviation_of_its_units():
    for noise in ("feature", "shared", "row"):
        log_std = Gaussian(noise).initial_params(marginals([0, 0], [1, 1]))["log_noise"]
        assert log_std.eq(0).all()


def test_gaussian_starts_there_whatever_its_floor_allows():
    for floor, start in ((0.3, 1.0), (0.9, 1.0), (2.0, math.hypot(2.0, 0.1))):
        likelihood = Gaussian(floor=floor)
        params = likelihood.initial_params(marginals([0, 0], [1, 1]))
        assert_allclose(likelihood.log_noise(params).exp(), [start] * 2, rtol=1e-9)


def test_fixed_gaussian_starts_at_the_noise_in_the_units_of_the_data():
    params = Gaussian(0.5).initial_params(marginals([0, 0], [1, 1], scale=4.0))
    assert_allclose(params["log_noise"].exp() * 4.0, 0.5, rtol=1e-14)


@pytest.mark.parametrize("dispersion", ["feature", "row"])
def test_negative_binomial_starts_at_the_variance_of_each_column(dispersion):
    likelihood = NegativeBinomial(dispersion)
    mean, var = f64(0.5, 4, 50), f64(0.8, 30, 90)
    params = likelihood.initial_params(marginals(mean, var))
    theta = soft_clamp(params["log_dispersion"], 10.0).exp()
    assert_allclose(mean + mean**2 / theta, var, rtol=1e-10)


def test_columns_that_vary_no_more_than_a_poisson_start_near_one():
    params = NegativeBinomial().initial_params(marginals(f64(4, 4, 4), f64(4, 3.9, 0)))
    theta = soft_clamp(params["log_dispersion"], 10.0).exp()
    assert_allclose(theta, 100, rtol=1e-10)


def test_shared_dispersion_starts_between_those_of_the_columns():
    columns = marginals([4, 4], [12, 40])
    each = NegativeBinomial("feature").initial_params(columns)["log_dispersion"]
    shared = NegativeBinomial("shared").initial_params(columns)["log_dispersion"]
    assert shared.shape == ()
    assert each.min() < shared < each.max()


@every_likelihood
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_start_is_finite_for_a_constant_column(likelihood, value):
    columns = marginals([value], [0], n_samples=20)
    params = likelihood.initial_params(columns)
    assert all(p.isfinite().all() for p in params.values())
    assert likelihood.log_prob(f64(value), params).isfinite().all()


@every_likelihood
def test_start_gives_each_parameter_a_shape_that_fits_its_share(likelihood):
    params = likelihood.initial_params(marginals([0.2, 0.5, 0.7], [1, 1, 1]))
    assert list(params) == list(likelihood.parameters)
    for name, share in likelihood.parameters.items():
        assert params[name].shape == ((3,) if share in ("row", "feature") else ())


# ---- Units and domain ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (Gaussian("feature"), "feature"),
        (Gaussian("row"), "feature"),
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
def test_only_real_columns_are_standardised(likelihood, expected):
    assert likelihood.standardize == expected


@pytest.mark.parametrize(
    ("likelihoods", "inside", "outside"),
    [
        ([Bernoulli(), ContinuousBernoulli()], [0, 0.5, 1, 1 + 1e-7], [-0.1, 1.1, 255]),
        ([Poisson(), NegativeBinomial()], [0, 1, 1000], [-1, 0.5]),
        ([Gaussian(), StudentT()], [-1e30, 0, 1e30], [math.nan]),
    ],
)
def test_support_holds_what_the_likelihood_can_explain_and_nothing_else(
    likelihoods, inside, outside
):
    for likelihood in likelihoods:
        assert likelihood.support.check(f64(*inside)).all()
        assert not likelihood.support.check(f64(*outside)).any()


def test_encoder_sees_counts_on_a_log_scale_and_all_else_as_it_is():
    x = f64(0, 1, 1e6)
    for likelihood in ALL:
        counts = isinstance(likelihood, Poisson | NegativeBinomial)
        expected = torch.log1p(x) if counts else x
        assert_allclose(likelihood.encoder_input(x, {}), expected, rtol=1e-15)


# ---- Likelihoods as values -----------------------------------------------------------


noisy = pytest.mark.parametrize("kind", [Gaussian, StudentT])


@noisy
@pytest.mark.parametrize("noise", ["column", "", 0, 0.0, -1, math.inf, math.nan, True])
def test_real_likelihood_refuses_a_noise_it_does_not_know(kind, noise):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(noise=\.\.\.\) must be") as error:
        kind(noise)
    assert repr(noise) in str(error.value)


@noisy
@pytest.mark.parametrize("floor", [-0.1, math.inf, math.nan, True, "low"])
def test_real_likelihood_refuses_a_floor_it_does_not_know(kind, floor):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(floor=\.\.\.\) must be"):
        kind(floor=floor)
    with pytest.raises(ValueError, match="0 if the noise is fixed"):
        kind(0.5, floor=0.1)


@pytest.mark.parametrize("df", [1, 0, -3, 1e7, math.inf, math.nan, True, "4", None])
def test_student_t_refuses_degrees_of_freedom_it_does_not_know(df):
    with pytest.raises(ValueError, match=r"StudentT\(df=\.\.\.\) must be") as error:
        StudentT(df=df)
    assert repr(df) in str(error.value)


@pytest.mark.parametrize("dispersion", ["cell", "", 1.0, None])
def test_negative_binomial_refuses_a_dispersion_it_does_not_know(dispersion):
    with pytest.raises(ValueError, match=r"NegativeBinomial\(dispersion=\.\.\.\) must be one of"):
        NegativeBinomial(dispersion)


@every_likelihood
def test_likelihood_equals_its_copies(likelihood):
    for twin in (
        copy.copy(likelihood),
        copy.deepcopy(likelihood),
        pickle.loads(pickle.dumps(likelihood)),
        eval(repr(likelihood), vars(skvae)),
    ):
        assert twin == likelihood
        assert hash(twin) == hash(likelihood)


def test_likelihoods_that_mean_different_things_are_unequal():
    assert len(set(ALL)) == len(ALL)
    assert Gaussian(0.5) != Gaussian(0.6)


@every_likelihood
def test_likelihood_is_immutable(likelihood):
    with pytest.raises(dataclasses.FrozenInstanceError):
        likelihood.noise = "row"


@every_likelihood
def test_clone_of_an_estimator_holds_an_equal_likelihood(likelihood):
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
def test_name_stands_for_the_likelihood_with_its_defaults(name, expected):
    assert resolve_likelihood(name) == expected


def test_object_stands_for_itself():
    likelihood = Gaussian(0.1)
    assert resolve_likelihood(likelihood) is likelihood


def test_every_public_likelihood_has_a_name():
    public = {
        kind
        for kind in vars(skvae).values()
        if inspect.isclass(kind) and issubclass(kind, Likelihood) and not inspect.isabstract(kind)
    }
    assert set(LIKELIHOODS.values()) == public


# ---- Numerical tools ----------------------------------------------------------------


def test_soft_bound_keeps_any_number_within_its_limit_and_in_order():
    x = f64(-1e300, -5, -1, 0, 1, 5, 1e300)
    y = soft_clamp(x, 7.0)
    assert (y.abs() <= 7).all()
    assert (y.diff() > 0).all()


def test_soft_bound_is_the_identity_near_0():
    assert_allclose(soft_clamp(f64(1e-9, -1e-9, 0), 7.0), [1e-9, -1e-9, 0], rtol=1e-8)


def test_soft_bound_inverse_undoes_it_within_nine_tenths_of_the_limit():
    y = torch.linspace(-6.3, 6.3, 21, dtype=torch.float64)
    assert_allclose(soft_clamp(soft_clamp_inverse(y, 7.0), 7.0), y, rtol=1e-14, atol=1e-15)
    assert_allclose(soft_clamp(soft_clamp_inverse(f64(-9, 9), 7.0), 7.0), [-6.3, 6.3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_uniform_draws_never_reach_0_or_1_so_that_logarithms_are_finite(monkeypatch, dtype):
    monkeypatch.setattr(torch, "rand", lambda *_, **options: torch.tensor([0.0, 1.0], dtype=dtype))
    u = uniform(torch.Size([2]), seeded(), like=torch.zeros(2, dtype=dtype))
    assert u.log().isfinite().all()
    assert torch.log1p(-u).isfinite().all()
