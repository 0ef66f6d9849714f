"""Schedules of the learning rate and of the KL weight."""

import numpy as np
import pytest

from helpers_training import make_config

pytestmark = pytest.mark.torch_only


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [(0, 0), (0.025, 0.5), (0.05, 1), (0.2875, (1 + 0.5**0.5) / 2), (0.525, 0.5), (1, 0)],
)
def test_cosine_rate_increases_for_5_percent_of_training_and_then_decreases(progress, fraction):
    config = make_config(learning_rate="cosine", learning_rate_init=0.2)
    assert config.learning_rate_at(progress) == pytest.approx(0.2 * fraction, abs=1e-15)


@pytest.mark.parametrize("warmup", [0.05, 0.2])
def test_cosine_rate_increases_during_the_warm_up(warmup):
    config = make_config(learning_rate="cosine", learning_rate_init=0.2, warmup=warmup)
    rates = [config.learning_rate_at(fraction * warmup) for fraction in (0.25, 1)]
    assert rates == pytest.approx([0.05, 0.2])
    assert config.learning_rate_at((1 + warmup) / 2) == pytest.approx(0.1)


def test_cosine_rate_has_one_peak():
    config = make_config(learning_rate="cosine")
    rates = np.array([config.learning_rate_at(progress) for progress in np.linspace(0, 1, 201)])
    assert rates.argmax() == 10
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()


@pytest.mark.parametrize("progress", [0, 0.01, 0.5, 1, 7.3])
def test_constant_rate_equals_the_initial_rate(progress):
    assert make_config(learning_rate_init=0.2).learning_rate_at(progress) == 0.2


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [(0.1, None), (0.525, 0.5), (0.575, (1 + 0.5**0.5) / 4), (0.625, 0.25), (0.725, 0), (0.9, 0)],
)
def test_rate_falls_to_zero_over_n_iter_no_change_epochs_in_an_early_descent(progress, fraction):
    options = {"learning_rate_init": 0.2, "max_iter": 100, "n_iter_no_change": 20}
    config = make_config(learning_rate="cosine", **options)
    expected = config.learning_rate_at(progress) if fraction is None else 0.2 * fraction
    assert config.learning_rate_at(progress, 0.525) == pytest.approx(expected, abs=1e-15)
    constant = make_config(learning_rate="constant", **options)
    assert constant.learning_rate_at(progress, 0.525) == 0.2


def test_the_rate_or_the_weight_of_the_kl_term_rises_in_the_first_epochs():
    def n_epochs(learning_rate, **options):
        return make_config(learning_rate=learning_rate, max_iter=20, **options).n_rising_epochs

    assert n_epochs("cosine", warmup=0.1) == 2
    assert n_epochs("cosine", warmup=0.1, kl_warmup=0.5) == 10
    assert n_epochs("constant", warmup=0.1) == 0
    assert n_epochs("constant", kl_warmup=0.5) == 10


def test_training_that_stops_early_ends_after_the_descent():
    config = make_config(learning_rate="cosine", max_iter=100, n_iter_no_change=20)
    assert [config.last_epoch(n) for n in (1, 30, 90, 100)] == [21, 50, 100, 100]
    constant = make_config(learning_rate="constant", max_iter=100, n_iter_no_change=20)
    assert [constant.last_epoch(n) for n in (1, 30, 90, 100)] == [1, 30, 90, 100]


@pytest.mark.parametrize(
    ("kl_warmup", "progress", "fraction"),
    [
        (0, 0, 1),
        (0, 0.7, 1),
        (0.4, 0, 0),
        (0.4, 0.1, 0.25),
        (0.4, 0.4, 1),
        (0.4, 9, 1),
        (1, 0.5, 0.5),
    ],
)
def test_kl_weight_increases_linearly_to_beta_during_warm_up(kl_warmup, progress, fraction):
    assert make_config(beta=3.0, kl_warmup=kl_warmup).kl_weight_at(progress) == pytest.approx(
        3 * fraction
    )
