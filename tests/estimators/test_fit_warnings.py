"""Warnings about fits without success."""

import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from helpers import FAST
from skvae import VAETransformer
from skvae.estimators._fit_warnings import warn_if_collapsed

pytestmark = pytest.mark.torch_only

NOISE = np.random.RandomState(0).normal(size=(200, 5))


def test_active_units_show_posterior_collapse():
    rng = np.random.RandomState(0)
    factors = rng.normal(size=(300, 2))
    X = factors @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(300, 6))
    params = {**FAST, "latent_dim": 4, "max_iter": 100, "batch_size": 16}
    with warnings.catch_warnings(action="error"):
        assert VAETransformer(**params).fit(X).history_["active_units"][-1] >= 2
    with pytest.warns(ConvergenceWarning, match="lower beta, which is 1000, set kl_warmup") as seen:
        vae = VAETransformer(**params, beta=1000).fit(X)
    assert vae.history_["active_units"][-1] == 0
    assert seen[0].filename == __file__


def test_independent_columns_leave_no_unit_active():
    pattern = r"right only if the columns are independent.*set kl_warmup=0.3, train for more"
    with pytest.warns(ConvergenceWarning, match=pattern):
        VAETransformer(2, architecture="fourier_mlp", max_iter=20, random_state=0).fit(NOISE)


def test_single_rows_and_partial_fit_do_not_warn():
    with warnings.catch_warnings(action="error"):
        VAETransformer(**FAST).fit(NOISE[:1])
        VAETransformer(**FAST).partial_fit(NOISE)


def test_the_active_units_are_those_of_the_kept_epoch():
    history = {
        "loss": [1.0] * 3,
        "kl_loss": [0.0, 0.5, 0.0],
        "active_units": [0, 1, 0],
        "validation_loss": [3.0, 1.0, 2.0],
    }
    with warnings.catch_warnings(action="error"):
        warn_if_collapsed({}, history)
    history["validation_loss"] = [math.nan, 3.0, 1.0]
    with pytest.warns(ConvergenceWarning, match="after 3 epochs.*Otherwise, train for more"):
        warn_if_collapsed({}, history)
