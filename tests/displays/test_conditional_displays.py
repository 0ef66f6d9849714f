"""Displays of estimators with condition columns."""

import numpy as np
import pytest

from helpers import FAST
from skvae import VAEOutlierDetector, VAETransformer
from skvae.displays import (
    ContributionsDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)


@pytest.fixture(scope="module")
def labelled(images):
    X, y = images
    return np.column_stack([X, y])


@pytest.fixture(scope="module")
def digits_vae(labelled):
    params = {"likelihood": "bernoulli", "condition_columns": {64: "categorical"}}
    return VAETransformer(image_shape=(8, 8), **params, **FAST).fit(labelled)


@pytest.fixture(scope="module")
def wine(table):
    return table.iloc[:, :4].assign(kind=np.where(table["hue"] > 1, "a", "b"))


def test_images_have_the_conditions(digits_vae):
    display = ManifoldDisplay.from_estimator(digits_vae, n_steps=3, conditions={64: 7})
    tile = digits_vae.inverse_transform([[display.steps[2], display.steps[0]]], conditions={64: 7})
    np.testing.assert_allclose(display.images[0, 2].ravel(), tile[0], rtol=1e-5)
    labels = np.repeat(range(10), 3)
    display = SampleDisplay.from_estimator(
        digits_vae, n_samples=30, conditions={64: labels}, random_state=0
    )
    np.testing.assert_array_equal(
        display.samples,
        digits_vae.sample(30, conditions={64: labels}, noise=False, random_state=0),
    )


def test_images_need_conditions(digits_vae):
    with pytest.raises(ValueError, match="has the condition columns"):
        ManifoldDisplay.from_estimator(digits_vae, n_steps=3)


def test_tables_are_drawn_without_condition_columns(wine):
    vae = VAETransformer(condition_columns=["kind"], **FAST).fit(wine)
    sample = SampleDisplay.from_estimator(vae, wine, conditions=wine, random_state=0)
    assert sample.samples.shape == sample.X.shape == (len(wine), 4)
    reconstruction = ReconstructionDisplay.from_estimator(vae, wine)
    assert list(reconstruction.feature_names) == list(wine.columns[:4])
    np.testing.assert_allclose(reconstruction.X_reconstructed, vae.reconstruct(wine))
    detector = VAEOutlierDetector(condition_columns=["kind"], **FAST).fit(wine)
    contributions = ContributionsDisplay.from_estimator(detector, wine[:2])
    assert list(contributions.feature_names) == list(wine.columns[:4])


def test_images_are_reconstructed_without_condition_columns(digits_vae, labelled):
    display = ReconstructionDisplay.from_estimator(digits_vae, labelled[:5])
    np.testing.assert_array_equal(display.X, labelled[:5, :64])
