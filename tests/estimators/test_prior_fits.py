"""Estimators with learned priors, several draws and hidden entries."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV

import skvae
from helpers import FAST, FAST_TABULAR, assert_same_fit, mixed_table
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.priors import Flow, Mixture, Normal, VampPrior

pytestmark = pytest.mark.torch_only

X = np.random.RandomState(0).normal(size=(60, 4)) @ np.random.RandomState(1).normal(size=(4, 4))
INCOMPLETE = np.where(np.random.RandomState(2).uniform(size=X.shape) < 0.2, np.nan, X)
ESTIMATORS = {
    "transformer": (VAETransformer(**FAST), X),
    "detector": (VAEOutlierDetector(**FAST), X),
    "imputer": (VAEImputer(**FAST), INCOMPLETE),
    "table": (TabularVAE(**FAST_TABULAR), mixed_table()),
}
every_estimator = pytest.mark.parametrize(
    ("estimator", "data"), ESTIMATORS.values(), ids=ESTIMATORS
)
PRIORS = ["mixture", VampPrior(5), Flow(2, 8), Mixture(3, training="separate")]
every_prior = pytest.mark.parametrize("prior", PRIORS, ids=repr)
OPTIONS = {
    "several draws": {"n_training_draws": 3},
    "hidden entries": {"encoder_dropout": 0.3},
    "all": {"prior": Flow(2, 8), "n_training_draws": 3, "encoder_dropout": 0.3},
}


def variant(estimator, **params):
    return clone(estimator).set_params(**params)


@every_estimator
@every_prior
def test_fits_are_copied_saved_and_repeated(estimator, data, prior, tmp_path):
    vae = variant(estimator, prior=prior).fit(data)
    assert_same_fit(vae, clone(vae).fit(data))
    scores = vae.score_samples(data)
    assert np.isfinite(scores).all()
    vae.save(tmp_path / "model.skvae")
    for copy in (pickle.loads(pickle.dumps(vae)), skvae.load(tmp_path / "model.skvae")):
        assert copy.get_params()["prior"] == prior
        assert_allclose(copy.score_samples(data), scores)


@every_estimator
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_objectives_of_training_change_the_fit(estimator, data, options):
    vae, plain = variant(estimator, **options).fit(data), clone(estimator).fit(data)
    assert np.isfinite(vae.score(data))
    assert vae.history_["loss"] != plain.history_["loss"]


@pytest.mark.parametrize("prior", [Normal(), "normal"])
def test_the_normal_prior_has_a_name(prior):
    assert_same_fit(VAETransformer(prior=prior, **FAST).fit(X), VAETransformer(**FAST).fit(X))


def test_codes_and_networks_of_a_separate_prior_are_those_of_the_normal_prior():
    vae = VAETransformer(prior=Mixture(3, training="separate"), **FAST).fit(X)
    plain = VAETransformer(**FAST).fit(X)
    assert np.array_equal(vae.transform(X), plain.transform(X))
    assert vae.history_["reconstruction_loss"] == plain.history_["reconstruction_loss"]
    assert vae.history_["kl_loss"] != plain.history_["kl_loss"]


def test_a_learned_prior_improves_the_score_of_rows_in_groups():
    X, _ = make_blobs(300, 3, centers=4, cluster_std=0.4, random_state=0)
    scores = {
        name: VAETransformer(2, prior=prior, max_iter=40, random_state=0).fit(X).score(X)
        for name, prior in {
            "normal": "normal",
            "mixture": Mixture(6),
            "vamp": VampPrior(30),
            "flow": Flow(),
            "separate": Mixture(6, training="separate"),
        }.items()
    }
    assert min(scores.values()) == scores["normal"]


@pytest.mark.parametrize("prior", [Mixture(6), VampPrior(30)], ids=repr)
def test_components_of_a_mixture_are_clusters(prior):
    X, y = make_blobs(400, 3, centers=3, cluster_std=0.4, random_state=1)
    vae = VAETransformer(2, prior=prior, max_iter=40, random_state=0).fit(X)
    probabilities = vae.component_probabilities(X)
    assert probabilities.shape == (400, vae.module_.prior.size)
    assert_allclose(probabilities.sum(1), 1)
    assert (probabilities >= 0).all()
    # A group of rows may have several components, but no component has rows of two groups.
    purity = sum(
        np.bincount(y[probabilities.argmax(1) == c]).max()
        for c in np.unique(probabilities.argmax(1))
    )
    assert purity > 0.95 * len(X)
    assert adjusted_rand_score(y, probabilities.argmax(1)) > 0.2


@pytest.mark.parametrize("prior", ["normal", "flow"])
def test_priors_without_components_have_no_probabilities_of_components(prior):
    vae = VAETransformer(prior=prior, **FAST)
    assert not hasattr(vae, "component_probabilities")
    with pytest.raises(AttributeError, match="component_probabilities"):
        vae.fit(X).component_probabilities(X)


def test_searches_compare_priors():
    search = GridSearchCV(VAETransformer(**FAST), {"prior": ["normal", Mixture(2), Flow(1, 4)]})
    assert np.isfinite(search.fit(X).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("prior", ["gaussian", Mixture, None])
def test_unknown_priors_are_refused(prior):
    with pytest.raises(ValueError, match="'prior' parameter of VAETransformer must be"):
        VAETransformer(prior=prior).fit(X)


@pytest.mark.parametrize(("name", "value"), [("encoder_dropout", 1.0), ("n_training_draws", 0)])
def test_invalid_objectives_are_refused(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        VAETransformer(**{name: value}).fit(X)


def test_samples_come_from_the_learned_prior():
    X = make_blobs(600, 2, centers=[[-5, -5], [5, 5]], cluster_std=0.3, random_state=0)[0]
    vae = VAETransformer(1, prior=Mixture(2), max_iter=60, random_state=0).fit(X)
    new = vae.sample(500, random_state=0)
    # With the normal prior, a third of the samples lies between the groups.
    assert np.mean(np.abs(new.sum(1)) < 5) < 0.03


def test_active_units_do_not_depend_on_the_units_of_codes():
    vae = VAETransformer(4, prior="mixture", **FAST).fit(X)
    mean, std = vae.encode(X)
    expected = np.sum(mean.var(0) > 0.01 * (mean.var(0) + (std**2).mean(0)))
    assert vae.history_["active_units"][-1] == pytest.approx(expected, abs=1)


def test_a_new_module_has_no_gradients_of_the_prior():
    vae = VAETransformer(prior=VampPrior(5, learned=False), **FAST).fit(X)
    weights = vae.module_.prior_weights
    assert not weights["pseudo_inputs"].requires_grad
    rows = vae.module_.standardize(torch.tensor(X)).float()
    assert all((rows - row).abs().amax(1).min() < 1e-5 for row in weights["pseudo_inputs"])
