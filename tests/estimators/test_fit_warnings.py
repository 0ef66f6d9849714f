"""Warnings about fits without success."""

import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from helpers import FAST
from helpers_training import build, make_config, rows
from skvae import TabularVAE, VAETransformer
from skvae.estimators._fit_warnings import (
    _row_losses,
    warn_about_fit,
    warn_if_collapsed,
    warn_if_not_converged,
    warn_if_overfitted,
)
from skvae.training import Trainer, TrainingLoop

pytestmark = pytest.mark.torch_only

NOISE = np.random.RandomState(0).normal(size=(200, 5))


def scripted_loop(losses, validation_losses=None, *, n_held_out=10, **options):
    """Return a finished loop on 160 rows, ten steps per epoch, with the given losses."""
    config = make_config(max_iter=len(losses), **options)
    validation = None if validation_losses is None else rows(n_held_out, seed=5)
    loop = TrainingLoop(Trainer(build(), config, 0), rows(160), validation)
    loop.history = [{"reconstruction_loss": loss - 1.0, "kl_loss": 1.0} for loss in losses]
    for metrics, loss in zip(loop.history, validation_losses or [], strict=False):
        metrics["validation_loss"] = loss
    loop.is_finished = True
    return loop


def test_active_units_show_posterior_collapse():
    rng = np.random.RandomState(0)
    factors = rng.normal(size=(200, 2))
    X = factors @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(200, 6))
    params = {**FAST, "latent_dim": 4, "max_iter": 40, "batch_size": 16}
    params["learning_rate_init"] = 0.02
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


# ---- Held-out rows -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "remedies"),
    [("gaussian", "Try likelihood='student_t', .*, a smaller"), ("auto", "Try a smaller")],
)
def test_held_out_rows_that_score_far_below_training_rows_are_a_warning(likelihood, remedies):
    # Eight factors of 36 rows fit noise.
    X = np.random.RandomState(0).normal(size=(40, 40))
    params = {**FAST, "latent_dim": 8, "likelihood": likelihood, "early_stopping": True}
    pattern = r"Held-out rows score (-\d+\.\d+) nats per row, far below the (-\d+\.\d+) of "
    with pytest.warns(UserWarning, match=f"{pattern}.*{remedies}") as seen:
        vae = VAETransformer(**params).fit(X)
    held_out, training = re.search(pattern, str(seen[0].message)).groups()
    assert float(held_out) == pytest.approx(-min(vae.history_["validation_loss"]), rel=1e-3)
    # The training loss of the history is that of weights before the last steps, with other draws.
    assert float(training) == pytest.approx(-vae.history_["loss"][-1], rel=0.05)


def test_a_good_fit_does_not_warn(wine):
    with warnings.catch_warnings(action="error"):
        VAETransformer(max_iter=30, early_stopping=True, random_state=0).fit(wine)


@pytest.mark.parametrize(("n_held_out", "warns"), [(1, False), (4, True)])
def test_few_held_out_rows_say_little(n_held_out, warns):
    # The held-out rows score about three standard deviations of training rows below the latter.
    loop = scripted_loop([5.0], [8.0], n_held_out=n_held_out)
    spread = _row_losses(loop.trainer.module, loop.rows)
    loop.history[0]["validation_loss"] = float(spread.mean() + 3 * spread.std())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_if_overfitted(loop)
    assert len(seen) == warns


def test_the_losses_of_at_most_a_thousand_rows_are_compared():
    module = build()
    assert len(_row_losses(module, rows(50))) == 50
    assert len(_row_losses(module, rows(2500))) == 1000


# ---- Convergence ---------------------------------------------------------------------


NOT_CONVERGED = "Training has not converged.*after max_iter={} epochs. .*, which is 0.01"
ROUGH = np.random.RandomState(0).normal(size=100)
FALLING = np.linspace(9, 3, 100)
CURVES = {
    # name: losses on the cosine schedule, whether the fit warns
    "falls throughout": (FALLING, True),
    "falls throughout, with noise": (FALLING + 0.05 * ROUGH, True),
    "falls throughout, in fewer than 50 steps": (np.linspace(9, 3, 4), False),
    "falls throughout, in fewer than 10 epochs": (np.linspace(9, 3, 9), False),
    "has levelled off": (3 + 6 * np.exp(-np.arange(100) / 20), False),
    "is noise": (ROUGH, False),
    "falls within the noise": (FALLING / 10 + ROUGH, False),
    "falls at the end": (np.where(np.arange(100) < 85, 9, 5.0), True),
    "rises": (FALLING[::-1], False),
}


@pytest.mark.parametrize(("losses", "warns"), CURVES.values(), ids=CURVES)
def test_a_loss_that_falls_at_the_end_of_the_schedule_is_a_warning(losses, warns):
    loop = scripted_loop(losses, learning_rate="cosine")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_if_not_converged(loop)
    assert len(seen) == warns
    if warns:
        assert re.match(NOT_CONVERGED.format(len(losses)), str(seen[0].message))


@pytest.mark.parametrize(("rate", "change"), [(0.01, "raise"), (10.0, "lower")])
def test_a_high_learning_rate_is_not_to_be_raised(rate, change):
    loop = scripted_loop(FALLING, learning_rate="cosine", learning_rate_init=rate)
    with pytest.warns(ConvergenceWarning, match=f"Or {change} learning_rate_init"):
        warn_if_not_converged(loop)


def test_an_objective_that_levels_off_does_not_warn_at_a_large_beta():
    # The sum of the terms falls, and the objective at beta = 3 is constant.
    loop = scripted_loop(FALLING, learning_rate="cosine", beta=3.0)
    for metrics, loss in zip(loop.history, FALLING, strict=True):
        metrics |= {"reconstruction_loss": 1.5 * loss, "kl_loss": -0.5 * loss}
    with warnings.catch_warnings(action="error"):
        warn_if_not_converged(loop)


def test_training_at_a_constant_rate_without_a_plateau_is_a_warning(wine):
    params = {**FAST, "learning_rate": "constant", "n_iter_no_change": 20, "batch_size": 64}
    with pytest.warns(ConvergenceWarning, match="not converged.*max_iter=20 epochs"):
        VAETransformer(**{**params, "max_iter": 20}).fit(wine)
    with warnings.catch_warnings(action="error"):
        assert VAETransformer(**{**params, "max_iter": 60}, tol=9).fit(wine).n_iter_ == 40
        VAETransformer(**{**params, "max_iter": 16}).fit(wine)  # 48 steps


def test_training_that_a_callback_ends_does_not_warn():
    loop = scripted_loop(FALLING, [50.0] * 100, learning_rate="constant")
    loop.history = [{**metrics, "loss": 9.0, "active_units": 1} for metrics in loop.history]
    with pytest.warns() as seen:
        warn_about_fit(loop, {})
    assert [str(warning.message)[:8] for warning in seen] == ["Held-out", "Training"]
    loop.is_finished = False
    with warnings.catch_warnings(action="error"):
        warn_about_fit(loop, {})


# ---- Identifiers ---------------------------------------------------------------------

IDENTIFIER_COLUMNS = {
    # name: values of a column, whether a fit of TabularVAE warns
    "strings": ([f"row {i}" for i in range(20)], True),
    "categories": (pd.Categorical([f"row {i}" for i in range(20)]), True),
    "strings and missing values": ([*map(str, range(20)), None, None], True),
    "a repeated string": ([*map(str, range(20)), "0"], False),
    "few rows": ([f"row {i}" for i in range(19)], False),
    "numbers": (np.arange(20.0), False),
    "ordered categories": (pd.Categorical(range(20), ordered=True), False),
}


@pytest.mark.parametrize(
    ("values", "warns"), IDENTIFIER_COLUMNS.values(), ids=list(IDENTIFIER_COLUMNS)
)
def test_another_category_in_each_row_is_a_warning(values, warns):
    X = pd.DataFrame({"a": np.arange(len(values)) % 3, "key": values})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        TabularVAE(2, hidden_layer_sizes=8, max_iter=1).fit(X)
    messages = [str(warning.message) for warning in seen]
    assert sum("another category in ['key']" in message for message in messages) == warns
