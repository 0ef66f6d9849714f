"""Numerical stability: extreme values and extreme learning rates."""

import re
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone

from skvae import Gaussian, StudentT, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.utils._numerics import soft_clamp

pytestmark = pytest.mark.torch_only

FAST = {"hidden_layer_sizes": (8,), "batch_size": 10, "random_state": 0}
SOLVERS = ["adam", "adamw", "rmsprop"]
X = np.random.RandomState(0).poisson(3, size=(40, 4)).astype(np.float64)


# ---- Gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1.0, -50.0, 1e3, -1e5, 1e6])
@pytest.mark.parametrize("limit", [7.0, 10.0, 20.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_of_a_soft_clamp_decays_with_the_squared_distance_and_stays_positive(
    x, limit, dtype
):
    value = torch.tensor(x, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(soft_clamp(value, limit), value)
    assert slope > 0
    assert_allclose(slope, (1 + abs(x) / limit) ** -2, rtol=0.05)


@pytest.mark.parametrize("value", [-1e7, -1e3, 1e3, 1e7])
def test_an_extreme_log_variance_has_a_gradient_towards_0(value):
    module = VAETransformer(1, max_iter=1, **FAST).fit(X).module_
    layer = module.encoder.linear
    torch.nn.init.constant_(layer.bias[1:].data, value)
    log_var = module.encode(torch.zeros(1, 4)).log_var
    divergence = 0.5 * (log_var.expm1() - log_var).sum()
    (slopes,) = torch.autograd.grad(divergence, layer.bias)
    assert slopes[1].isfinite()
    assert torch.sign(slopes[1]) == torch.sign(log_var)  # gradient descent moves towards 0


# ---- Extreme learning rates ----------------------------------------------------------

HIGH_RATE = 0.03  # five times the automatic rate, yet every fit is finite
EXTREME_RATES = [1.0, 10.0, 100.0, 1000.0]


def finite_or_none(method, *arguments):
    """Return a finite result, or None if an error says that the numbers overflow."""
    try:
        result = method(*arguments)
    except ValueError as error:
        if not re.search(r"Training diverged in epoch|overflows float64", str(error)):
            raise
        return None
    if not isinstance(result, BaseEstimator):
        assert np.isfinite(np.asarray(result, dtype=np.float64)).all()
    return result


def check_rates(estimator, data):
    """Check fits at each rate, and return the extreme rates at which training is finite.

    A fit either raises an error that names the divergence, or leaves only finite numbers.
    """
    finite_rates = []
    for rate in [HIGH_RATE, *EXTREME_RATES]:
        fitted = clone(estimator).set_params(learning_rate_init=rate)
        if finite_or_none(fitted.fit, data) is None:
            assert rate != HIGH_RATE
            continue
        assert all(weights.isfinite().all() for weights in fitted.module_.state_dict().values())
        assert np.isfinite([*fitted.history_.values()]).all()
        if isinstance(fitted, VAEOutlierDetector):
            assert np.isfinite([fitted.offset_, *fitted.usual_contributions_]).all()
        names = ["score_samples", "encode", "reconstruct", "transform"]
        methods = [getattr(fitted, name) for name in names if hasattr(fitted, name)]
        results = [finite_or_none(method, data) for method in methods]
        if isinstance(fitted, VAEImputer):
            results.append(finite_or_none(fitted.sample_imputations, data))
        else:
            results.append(finite_or_none(fitted.sample, 20))
        if rate == HIGH_RATE:
            assert all(result is not None for result in results)
        else:
            finite_rates.append(rate)
    return finite_rates


@pytest.mark.parametrize(
    ("likelihood", "solver"),
    [
        *product([*LIKELIHOODS, Gaussian("row"), Gaussian("shared"), StudentT("row")], SOLVERS[1:]),
        ("gaussian", "adam"),  # adamw without weight decay
        ("negative_binomial", "adam"),
    ],
    ids=str,
)
def test_extreme_learning_rates_give_a_clear_error_or_finite_numbers(solver, likelihood):
    data = X / X.max() if "bernoulli" in str(likelihood) else X
    params = {"solver": solver, "learning_rate": "constant", "max_iter": 15, **FAST}
    finite_rates = check_rates(VAETransformer(2, likelihood=likelihood, **params), data)
    # The mean of a Poisson variable is the exponential of the decoder's output, and overflows.
    assert len(finite_rates) >= (0 if likelihood == "poisson" else 2)


@pytest.mark.parametrize("solver", SOLVERS[1:])
@pytest.mark.parametrize("kind", [VAEOutlierDetector, VAEImputer, TabularVAE])
def test_extreme_learning_rates_of_other_estimators(kind, solver):
    params = {"solver": solver, "learning_rate": "constant", "max_iter": 10, **FAST}
    if kind is VAEImputer:
        params |= {"n_training_draws": 2, "n_importance_samples": 5}
    data = np.where(X == 3, np.nan, X) if kind is VAEImputer else X
    assert len(check_rates(kind(2, **params), data)) >= 2
