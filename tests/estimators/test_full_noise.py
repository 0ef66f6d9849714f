"""Estimators with one covariance of the noise for all rows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import KFold, cross_val_score

from helpers import FAST
from skvae import Gaussian, VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.torch_only

FULL = Gaussian("full")
SCALE = np.array([1, 3, 10, 30, 0.1, 1])


@pytest.fixture(scope="module")
def X():
    """Rows of six columns on different scales, with more strong relations than one factor has."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 6)) @ (np.eye(6) + rng.normal(size=(6, 6)))
    X[:, 5] = X[:, :3].sum(axis=1) + 0.05 * X[:, 5]
    return X * SCALE + [0, 5, -10, 100, 1, 0]


def normal_density(X):
    return multivariate_normal(X.mean(0), np.cov(X.T, bias=True), allow_singular=True)


# ---- Training ------------------------------------------------------------------------


def test_one_factor_and_a_full_noise_have_the_score_of_the_normal_density(X):
    train, test = X[:300], X[300:]
    expected = normal_density(train).logpdf(test).mean()
    full = VAETransformer(1, likelihood=FULL, random_state=0).fit(train)
    assert full.score(test) > expected - 0.3
    independent = VAETransformer(1, likelihood=Gaussian(), random_state=0).fit(train)
    assert full.score(test) > independent.score(test) + 0.4


@pytest.mark.parametrize("n_rows", [15, 40])
def test_few_rows_score_as_factor_analysis_at_least(X, n_rows):
    train, test = X[:n_rows], X[n_rows:]
    full, independent = (
        VAETransformer(2, likelihood=likelihood, random_state=0).fit(train).score(test)
        for likelihood in (FULL, Gaussian())
    )
    assert full > independent - 0.5


def test_steps_of_the_decoder_suit_directions_with_hardly_any_noise():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 12)) + 0.01 * rng.normal(size=(500, 12))
    start = {"max_iter": 1, "learning_rate_init": 1e-7}
    at_the_start = VAETransformer(1, likelihood=FULL, random_state=0, **start).fit(X).score(X)
    vae = VAETransformer(1, likelihood=FULL, random_state=0).fit(X)
    assert vae.score(X) > at_the_start
    assert max(vae.loss_curve_) < -at_the_start + 1


@pytest.mark.slow
def test_a_full_noise_is_ahead_of_one_normal_density_on_breast_cancer():
    X = load_breast_cancer().data
    folds = KFold(5, shuffle=True, random_state=0)
    vae = VAETransformer(8, likelihood=FULL, random_state=0)
    normal = [normal_density(X[train]).logpdf(X[test]).mean() for train, test in folds.split(X)]
    scores = cross_val_score(vae, X, cv=folds)
    assert np.mean(scores) > np.mean(normal) + 2


def test_samples_have_the_covariance_of_the_rows(X):
    samples = (
        VAETransformer(2, likelihood=FULL, random_state=0).fit(X).sample(20_000, random_state=0)
    )
    scale = X.std(axis=0)
    expected = np.cov((X / scale).T)
    assert_allclose(np.cov((samples / scale).T), expected, atol=0.15)
    relation = samples[:, 5] - (samples[:, :3] / SCALE[:3]).sum(axis=1)
    assert relation.std() < 1.5 * (X[:, 5] - (X[:, :3] / SCALE[:3]).sum(axis=1)).std()


def test_columns_that_are_functions_of_others_keep_the_relation(X):
    total = np.c_[X, X[:, 0] + X[:, 1]]
    vae = VAETransformer(**{**FAST, "likelihood": FULL}).fit(total)
    assert vae.module_.config.dependent_columns
    assert np.isfinite(vae.score(total))
    samples = vae.sample(200, random_state=0)
    assert_allclose(samples[:, 6], samples[:, 0] + samples[:, 1], atol=1e-2)


@pytest.mark.parametrize("architecture", ["fourier_mlp", "mlp"])
def test_training_continues_with_the_covariance_of_the_first_fit(X, architecture):
    options = {**FAST, "likelihood": FULL, "architecture": architecture}
    vae = VAETransformer(**options, warm_start=True).fit(X)
    start = vae.module_.global_params["whitening"].clone()
    assert torch.equal(vae.fit(2 * X).module_.global_params["whitening"], start)
    assert np.isfinite(vae.score(X))


# ---- Explanations --------------------------------------------------------------------


def test_the_broken_entry_of_a_row_has_the_lowest_contribution():
    # Three columns measure the same quantity, and three another. The code has room for one.
    rng = np.random.RandomState(0)
    X = np.tile(rng.normal(size=(400, 2)), 3) + 0.1 * rng.normal(size=(400, 6))
    detector = VAEOutlierDetector(1, likelihood=FULL, trim=0.0, random_state=0).fit(X)
    broken, column = X[:60].copy(), np.arange(60) % 6
    broken[np.arange(60), column] += 2 * X.std(axis=0)[column]
    features, code = detector.explain(broken)
    total = features.sum(axis=1) + code + detector.usual_contributions_.sum()
    assert_allclose(total, detector.score_samples(broken), rtol=1e-9)
    assert np.mean(features.argmin(axis=1) == column) > 0.9


# ---- Imputation ----------------------------------------------------------------------

LINEAR = {
    "latent_dim": 1,
    "hidden_layer_sizes": (),
    "likelihood": FULL,
    "batch_size": 100,
    "learning_rate_init": 0.01,
    "n_training_draws": 2,
    "n_importance_samples": 500,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def hidden(X):
    return np.random.RandomState(1).uniform(size=X.shape) < 0.2


@pytest.fixture(scope="module")
def holes(X, hidden):
    return np.where(hidden, np.nan, X)


@pytest.fixture(scope="module")
def imputer(holes):
    return VAEImputer(**LINEAR, max_iter=60).fit(holes)


def exact_density(imputer):
    """Return the normal density of a linear model."""
    b = imputer.module_.mean(torch.zeros(1, 1))[0].detach().numpy()
    loadings = imputer.module_.mean(torch.ones(1, 1))[0].detach().numpy() - b
    params = dict(imputer.module_.global_params)
    (whitening,) = FULL.public_parameters(params, imputer.module_.units.scale).values()
    whitening = whitening.detach().numpy()
    noise = np.linalg.inv(whitening.T @ whitening)
    return multivariate_normal(b, np.outer(loadings, loadings) + noise)


def conditional_mean(density, row):
    lost, cov = np.isnan(row), density.cov
    solved = np.linalg.solve(cov[np.ix_(~lost, ~lost)], row[~lost] - density.mean[~lost])
    return density.mean[lost] + cov[np.ix_(lost, ~lost)] @ solved


def test_missing_entries_are_filled_with_means_given_the_observed_entries(imputer, holes, X):
    density, filled = exact_density(imputer), imputer.transform(holes)
    for row, actual in zip(holes[:100], filled[:100], strict=True):
        if np.isnan(row).all():
            continue
        lost = np.isnan(row)
        error = (actual[lost] - conditional_mean(density, row)) / X.std(axis=0)[lost]
        assert np.abs(error).max(initial=0) < 0.05


def test_the_score_is_the_density_of_the_observed_entries(imputer, holes):
    density, scores = exact_density(imputer), imputer.score_samples(holes[:100])
    for row, score in zip(holes[:100], scores, strict=True):
        seen = ~np.isnan(row)
        if seen.any():
            cov = density.cov[np.ix_(seen, seen)]
            assert score == pytest.approx(
                multivariate_normal(density.mean[seen], cov).logpdf(row[seen]), abs=0.05
            )


def test_imputations_follow_the_relations_between_columns(imputer, holes, hidden, X):
    alone = VAEImputer(**{**LINEAR, "likelihood": "gaussian"}, max_iter=60).fit(holes)

    def rmse(filled):
        return np.sqrt(np.mean(((filled - X) / X.std(axis=0))[..., hidden] ** 2))

    assert rmse(imputer.transform(holes)) < 0.8 * rmse(alone.transform(holes))
    draws = imputer.sample_imputations(holes, 3, random_state=0)
    assert draws.shape == (3, *X.shape)
    assert (draws[:, ~hidden] == X[~hidden]).all()
    # The error of a draw has twice the variance of the error of a conditional mean.
    assert rmse(draws) < 1.8 * rmse(imputer.transform(holes))


def test_the_imputation_of_a_row_depends_on_that_row_alone(imputer, holes):
    alone = np.vstack([imputer.transform(holes[i : i + 1]) for i in range(20)])
    assert_allclose(imputer.transform(holes)[:20], alone, rtol=1e-9)
