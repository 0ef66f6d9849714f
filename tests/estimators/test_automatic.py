"""Automatic values of the parameters of training."""

import numpy as np
import pandas as pd
import pytest

from helpers import FAST, assert_same_fit
from skvae import Gaussian, StudentT, VAEImputer, VAETransformer
from skvae.estimators._automatic import (
    auto_alpha,
    auto_batch_size,
    auto_learning_rate,
    auto_n_steps,
    auto_warmup,
)

pytestmark = pytest.mark.torch_only


@pytest.mark.parametrize(
    ("n_rows", "after_linear_start", "otherwise"),
    [
        (1, 1, 1),
        (128, 128, 64),
        (142, 71, 48),  # 2 and 3 batches
        (3_200, 128, 64),
        (6_400, 200, 128),
        (60_000, 256, 200),
        (102_400, 256, 204),
        (250_000, 500, 500),
        (4_500_000, 2000, 2000),
    ],
)
def test_the_batch_size_grows_with_the_data_within_limits(n_rows, after_linear_start, otherwise):
    assert auto_batch_size(n_rows, starts_linear=True) == after_linear_start
    assert auto_batch_size(n_rows, starts_linear=False) == otherwise


def test_the_batch_size_depends_on_the_number_of_training_rows():
    X = np.random.RandomState(0).normal(size=(5_000, 2))
    params = {**FAST, "early_stopping": True, "max_iter": 2}  # leaves 4,500 rows to train on
    auto, explicit, other = (
        VAETransformer(**{**params, "batch_size": size}).fit(X).score(X)
        for size in ("auto", 137, 155)
    )
    assert auto == explicit != other


@pytest.mark.parametrize(
    ("n_rows", "after_linear_start", "otherwise"),
    [(60, 130, 454), (6_000, 1_120, 5_800), (10**6, 20_000, 30_000)],
)
def test_the_number_of_steps_grows_with_the_data_up_to_a_limit(
    n_rows, after_linear_start, otherwise
):
    assert auto_n_steps(n_rows, starts_linear=True) == after_linear_start
    assert auto_n_steps(n_rows, starts_linear=False) == otherwise


def test_training_takes_whole_epochs_and_at_least_one(blobs):
    params = {"random_state": 0, "hidden_layer_sizes": (4,)}
    n_steps = auto_n_steps(len(blobs), starts_linear=True)
    for batch_size in (1, 50, len(blobs)):
        vae = VAETransformer(batch_size=batch_size, **params).fit(blobs)
        assert vae.n_iter_ == max(1, round(n_steps / np.ceil(len(blobs) / batch_size)))


@pytest.mark.parametrize(
    ("n_rows", "max_iter", "patience"),
    [
        (64, 1000, 100),  # at least 100 steps
        (640, 3, 20),
        (10**6, 20, 2),  # 1,000 of 10,000 steps, with 500 steps per epoch
        (10**6, 10**6, 4),  # 2,000 of the 20,000 steps with max_iter="auto"
    ],
)
def test_the_patience_is_a_tenth_of_the_steps(blobs, n_rows, max_iter, patience):
    vae = VAETransformer(**FAST).fit(blobs).set_params(max_iter=max_iter)
    assert vae._training_config(vae.module_, n_rows).n_iter_no_change == patience
    vae.set_params(n_iter_no_change=7)
    assert vae._training_config(vae.module_, n_rows).n_iter_no_change == 7


@pytest.mark.parametrize(("factor", "length"), [(1, 0.01), (1, 1), (0.5, 16), (1 / 3, 81)])
def test_the_learning_rate_is_lower_for_long_training(factor, length):
    rate = auto_learning_rate(round(500 * length), starts_linear=True, width=128)
    assert rate == pytest.approx(0.013 * factor)
    rate = auto_learning_rate(round(2000 * length), starts_linear=False, width=256)
    assert rate == pytest.approx(0.006 * factor)


@pytest.mark.parametrize(
    ("n_steps", "width", "rate"),
    [(500, 1024, 0.003), (500, 64, 0.006), (32_000, 512, 0.003), (32_000, 4096, 0.0015)],
)
def test_the_learning_rate_of_wide_networks_is_limited(n_steps, width, rate):
    found = auto_learning_rate(n_steps, starts_linear=False, width=width)
    assert found == pytest.approx(rate)
    deep, wide = (
        VAETransformer(architecture="fourier_mlp", hidden_layer_sizes=sizes, max_iter=1)
        .fit(np.eye(10))
        ._trainer.config.learning_rate_init
        for sizes in ((8, 8, 8), (8, 1024))
    )
    assert (deep, wide) == (0.006, 0.003)


def test_the_learning_rate_depends_on_the_number_of_steps(blobs):
    n_steps = 7 * len(blobs)  # one row per step
    assert n_steps > 500  # the rate is constant up to 500 steps
    params = {**FAST, "early_stopping": False, "max_iter": 7, "batch_size": 1}
    auto, explicit = (
        VAETransformer(**{**params, "learning_rate_init": rate}).fit(blobs)
        for rate in ("auto", auto_learning_rate(n_steps, starts_linear=True, width=4))
    )
    assert_same_fit(auto, explicit)


@pytest.mark.parametrize(
    ("n_steps", "warmup"), [(1, 0.2), (1_000, 0.2), (2_000, 0.1), (4_000, 0.05), (100_000, 0.05)]
)
def test_the_warm_up_is_a_larger_fraction_of_short_training(n_steps, warmup):
    assert auto_warmup(n_steps, starts_linear=False) == pytest.approx(warmup)


def test_the_warm_up_is_short_only_after_a_linear_start(blobs):
    params = {"max_iter": 2, "batch_size": 64, "random_state": 0}
    warmups = [
        VAETransformer(architecture=name, **params).fit(blobs)._trainer.config.warmup
        for name in ("mlp", "fourier_mlp")
    ]
    assert warmups == [0.05, 0.2]


@pytest.mark.parametrize(
    ("n_rows", "n_features", "likelihood", "alpha"),
    [
        (300, 20, StudentT(), 1),
        (300, 50, StudentT(), 2),
        (300, 5, StudentT(), 0.25),
        (3_000, 20, StudentT(), 0.01),
        (300, 20, StudentT("shared"), 1),
        (300, 20, Gaussian(), 1),
        (300, 20, Gaussian("shared"), 2),
        (300, 5, Gaussian("shared"), 0.25),
        (300, 50, Gaussian("shared"), 6),
        (150, 50, Gaussian("shared"), 10),
        (100, 50, Gaussian("shared"), 18),
        (300, 20, Gaussian("full"), 2),
    ],
)
def test_weight_decay_is_strong_for_few_rows_many_columns_and_a_shared_or_full_noise(
    n_rows, n_features, likelihood, alpha
):
    assert auto_alpha(n_rows, n_features, likelihood) == pytest.approx(alpha)


def test_the_imputer_trains_for_a_fixed_number_of_epochs(blobs):
    X = blobs[:30]
    params = {"n_importance_samples": 2, "n_training_draws": 1, "hidden_layer_sizes": (4,)}
    assert VAEImputer(2, **params).fit(X).n_iter_ == 200
    assert VAEImputer(2, likelihood="mixed", **params).fit(pd.DataFrame(X)).n_iter_ == 80
