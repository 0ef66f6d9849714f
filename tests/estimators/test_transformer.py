"""Behaviour of VAETransformer beyond the checks of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from helpers import FAST, assert_same_fit, dropout_networks, same_weights, unchanged_random_states
from skvae import Gaussian, VAETransformer

pytestmark = pytest.mark.torch_only


# ---- Determinism ---------------------------------------------------------------------


def test_the_same_random_state_gives_the_same_model_bit_for_bit(blobs):
    params = {**FAST, "early_stopping": True, "batch_size": 16}
    assert_same_fit(VAETransformer(**params).fit(blobs), VAETransformer(**params).fit(blobs))


def test_another_random_state_gives_another_model(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    other = VAETransformer(**{**FAST, "random_state": 1}).fit(blobs)
    assert not same_weights(vae.module_, other.module_)


def test_global_random_states_and_the_number_of_threads_are_unchanged(blobs):
    n_threads = torch.get_num_threads()
    with unchanged_random_states():
        vae = VAETransformer(**FAST, early_stopping=True).fit(blobs)
        VAETransformer(**{**FAST, "architecture": dropout_networks}).fit(blobs)
        vae.partial_fit(blobs)
        vae.score(blobs)
        vae.sample(3)
    assert torch.get_num_threads() == n_threads


def test_random_state_determines_samples(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    np.testing.assert_array_equal(vae.sample(5, random_state=3), vae.sample(5, random_state=3))
    assert not np.array_equal(vae.sample(5, random_state=3), vae.sample(5, random_state=4))


# ---- Training ------------------------------------------------------------------------


def test_history_has_one_value_per_epoch_and_metric(blobs):
    vae = VAETransformer(**FAST, early_stopping=True).fit(blobs)
    table = pd.DataFrame(vae.history_)
    losses = ["loss", "reconstruction_loss", "kl_loss"]
    assert list(table) == [*losses, "active_units", *(f"validation_{name}" for name in losses)]
    assert len(table) == vae.n_iter_ == len(vae.loss_curve_) == 3
    for prefix in ("", "validation_"):
        total = table[f"{prefix}reconstruction_loss"] + table[f"{prefix}kl_loss"]
        np.testing.assert_allclose(table[f"{prefix}loss"], total, rtol=1e-12)
    assert vae.loss_curve_ == list(table["loss"])


def test_history_is_computed_at_beta_1(blobs):
    first = {
        beta: VAETransformer(**FAST, beta=beta, batch_size=90, learning_rate="constant")
        .fit(blobs)
        .history_["loss"][0]
        for beta in (0.5, 1.0, 4.0)
    }
    assert len(set(first.values())) == 1  # all models are equal before the first step


def test_a_larger_beta_lowers_the_kl_divergence(blobs):
    params = {**FAST, "max_iter": 20, "batch_size": 16}
    kl = [
        VAETransformer(**params, beta=beta).fit(blobs).history_["kl_loss"][-1]
        for beta in (0.1, 1.0, 10.0)
    ]
    assert kl[0] > kl[1] > kl[2]


def test_early_stopping_keeps_the_weights_of_the_best_epoch(blobs):
    params = {**FAST, "max_iter": 300, "learning_rate_init": 0.03, "batch_size": 8}
    vae = VAETransformer(
        **params,
        learning_rate="constant",
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=5,
    ).fit(blobs)
    losses = vae.history_["validation_loss"]
    assert vae.n_iter_ < 300
    best = int(np.argmin(losses))
    # Training that ends at the best epoch gives the same weights.
    again = clone(vae).set_params(max_iter=best + 1).fit(blobs)
    assert same_weights(vae.module_, again.module_)


def test_a_plateau_at_a_constant_learning_rate_ends_training(blobs):
    vae = VAETransformer(
        **{**FAST, "max_iter": 500},
        learning_rate="constant",
        n_iter_no_change=5,
        tol=0.5,
    ).fit(blobs)
    assert 10 <= vae.n_iter_ < 500


def test_partial_fit_equals_one_epoch_of_fit(blobs):
    params = {**FAST, "learning_rate": "constant", "batch_size": 16, "tol": 0}
    whole = VAETransformer(**params).fit(blobs)
    step_by_step = VAETransformer(**params)
    for _ in range(params["max_iter"]):
        step_by_step.partial_fit(blobs)
    assert_same_fit(whole, step_by_step)
    assert step_by_step.n_iter_ == whole.n_iter_


def test_partial_fit_continues_from_fit(blobs):
    params = {**FAST, "learning_rate": "constant", "batch_size": 16}
    longer = VAETransformer(**{**params, "max_iter": 4}).fit(blobs)
    vae = VAETransformer(**params).fit(blobs).partial_fit(blobs)
    assert_same_fit(vae, longer)


def test_partial_fit_after_early_stopping_fills_validation_metrics_with_nan(blobs):
    vae = VAETransformer(**FAST, early_stopping=True).fit(blobs).partial_fit(blobs)
    table = pd.DataFrame(vae.history_)
    assert len(table) == vae.n_iter_ == 4
    assert table["validation_loss"].isna().tolist() == [False] * 3 + [True]


def test_warm_start_continues_from_the_fitted_weights(blobs):
    vae = VAETransformer(**{**FAST, "max_iter": 100}, warm_start=True).fit(blobs)
    before = [weight.detach().clone() for weight in vae.module_.parameters()]
    vae.set_params(max_iter=1, learning_rate_init=1e-6).fit(blobs)
    assert vae.n_iter_ == 1

    def largest_change(vae):
        pairs = zip(vae.module_.parameters(), before, strict=True)
        return max((weight - old).abs().max().item() for weight, old in pairs)

    # A step of Adam changes a weight by about the rate. A loss would vary with the draws.
    assert 0 < largest_change(vae) < 1e-5
    assert largest_change(clone(vae).fit(blobs)) > 0.01


def test_warm_start_of_another_model_is_an_error(blobs):
    vae = VAETransformer(**FAST, warm_start=True).fit(blobs)
    with pytest.raises(ValueError, match=r"latent_dim=3.*warm_start=False"):
        vae.set_params(latent_dim=3).fit(blobs)


def test_training_starts_from_the_marginals_of_the_columns():
    X = load_digits().data / 16
    vae = VAETransformer(likelihood="bernoulli", max_iter=1, learning_rate_init=1e-12).fit(X)
    # The entropy of independent columns.
    marginal = X.mean(axis=0)[X.any(axis=0)]
    entropy = -np.nansum(marginal * np.log(marginal) + (1 - marginal) * np.log(1 - marginal))
    assert vae.history_["loss"][0] == pytest.approx(entropy, rel=0.01)


@pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop"])
def test_every_solver_lowers_the_loss(solver, blobs):
    # This architecture does not start at a linear model.
    params = {**FAST, "max_iter": 40, "batch_size": 16, "architecture": "fourier_mlp"}
    vae = VAETransformer(**params, solver=solver, learning_rate_init=0.02).fit(blobs)
    assert vae.history_["loss"][-1] < vae.history_["loss"][0] - 2


# ---- Inference -----------------------------------------------------------------------


def test_transform_returns_the_mean_of_encode(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    mean, std = vae.encode(blobs)
    np.testing.assert_array_equal(vae.transform(blobs), mean)
    assert mean.shape == std.shape
    assert (std > 0).all()


def test_reconstruct_is_inverse_transform_of_transform(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    there_and_back = vae.inverse_transform(vae.transform(blobs))
    np.testing.assert_allclose(vae.reconstruct(blobs), there_and_back, rtol=1e-9)


def test_score_is_the_mean_of_score_samples_and_does_not_depend_on_beta(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    score = vae.score(blobs)
    assert score == pytest.approx(vae.score_samples(blobs).mean(), rel=1e-12)
    assert vae.set_params(beta=7, kl_warmup=0.5, batch_size=3).score(blobs) == score


def test_prior_std_only_scales_the_codes(blobs):
    params = {**FAST, "max_iter": 30}
    unit, wide = (VAETransformer(**params, prior_std=s).fit(blobs) for s in (1.0, 8.0))
    Z = unit.transform(blobs)
    np.testing.assert_array_equal(wide.transform(blobs), 8 * Z)
    for of_wide, of_unit in zip(wide.encode(blobs), unit.encode(blobs), strict=True):
        np.testing.assert_array_equal(of_wide, 8 * of_unit)
    np.testing.assert_array_equal(wide.inverse_transform(8 * Z), unit.inverse_transform(Z))
    np.testing.assert_array_equal(wide.sample(9, random_state=0), unit.sample(9, random_state=0))
    np.testing.assert_array_equal(wide.reconstruct(blobs), unit.reconstruct(blobs))
    assert wide.score(blobs) == unit.score(blobs)


def test_samples_have_the_moments_of_the_data(blobs):
    vae = VAETransformer(**{**FAST, "max_iter": 100, "batch_size": 16}).fit(blobs)
    X_new = vae.sample(4000, random_state=0)
    spread = blobs.std(axis=0)
    # Three separate clusters have gaps that a continuous model fills in part.
    assert (np.abs(X_new.mean(axis=0) - blobs.mean(axis=0)) < 0.2 * spread).all()
    np.testing.assert_allclose(X_new.std(axis=0), spread, rtol=0.2)
    means = vae.sample(4000, noise=False, random_state=0)
    assert (means.std(axis=0) < 1.02 * X_new.std(axis=0)).all()
    assert (means.std(axis=0) < 0.9 * X_new.std(axis=0)).any()


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "bernoulli"])
def test_samples_of_discrete_likelihoods_are_integers(likelihood):
    X = (
        np.random.RandomState(0)
        .poisson(0.5, size=(50, 3))
        .clip(max=1 if likelihood == "bernoulli" else 99)
    )
    X_new = VAETransformer(**FAST, likelihood=likelihood).fit(X).sample(20, random_state=0)
    np.testing.assert_array_equal(X_new, np.rint(X_new))
    assert X_new.min() >= 0


def test_codes_separate_clusters(blobs):
    Z = VAETransformer(**{**FAST, "max_iter": 60, "batch_size": 16}).fit_transform(blobs)
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score
    from sklearn.preprocessing import StandardScaler

    truth = KMeans(3, n_init=10, random_state=0).fit_predict(StandardScaler().fit_transform(blobs))
    found = KMeans(3, n_init=10, random_state=0).fit_predict(Z)
    assert adjusted_rand_score(truth, found) > 0.9


def test_more_flexible_gaussian_noise_gives_a_higher_score():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 4)) * [1, 1, 10, 10]
    params = {**FAST, "max_iter": 30, "latent_dim": 1}
    scores = {
        noise: VAETransformer(**params, likelihood=Gaussian(noise)).fit(X).score(X)
        for noise in ("feature", "shared", 1.0)
    }
    assert scores["feature"] > scores["shared"] > scores[1.0]
