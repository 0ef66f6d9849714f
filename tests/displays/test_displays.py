"""Properties that all displays share."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from helpers import run_python
from skvae import VAETransformer, displays
from skvae.displays import (
    ContributionsDisplay,
    EmbeddingsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    SyntheticTableDisplay,
)


def test_all_displays_draw_on_given_axes_and_on_new_axes(images, vae, table, table_vae, detector):
    X, y = images
    shape = (8, 8)
    makers = [
        lambda ax: LatentSpaceDisplay.from_estimator(vae, X, y, ax=ax),
        lambda ax: ManifoldDisplay.from_estimator(vae, image_shape=shape, n_steps=3, ax=ax),
        lambda ax: LossCurveDisplay.from_estimator(vae, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(vae, X, image_shape=shape, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(table_vae, table, ax=ax),
        lambda ax: SampleDisplay.from_estimator(vae, n_samples=4, image_shape=shape, ax=ax),
        lambda ax: SampleDisplay.from_estimator(table_vae, table, ax=ax),
        lambda ax: EmbeddingsDisplay.from_estimators({"VAE": vae}, X, y, ax=ax),
        lambda ax: ContributionsDisplay.from_estimator(detector, table[:2], ax=ax),
        lambda ax: SyntheticTableDisplay.from_tables(table, table[:50], ax=ax),
    ]
    kinds = set()
    for maker in makers:
        figure, axes = plt.subplots(1, 2)
        display = maker(axes[0])
        assert display.ax_ is axes[0]
        assert display.figure_ is figure
        assert not axes[1].has_data()
        assert display.plot() is display
        assert display.figure_ is not figure
        display.figure_.canvas.draw()
        kinds.add(type(display).__name__)
        plt.close("all")
    assert kinds == set(displays.__all__)


def test_importing_displays_does_not_import_matplotlib():
    run_python("import sys, skvae.displays; assert 'matplotlib' not in sys.modules")


def test_an_error_names_matplotlib_and_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib, .* with the extra 'plot'"):
        LatentSpaceDisplay.from_codes(np.eye(2))


@pytest.mark.parametrize("display", [ManifoldDisplay, LossCurveDisplay, SampleDisplay])
def test_estimators_of_other_packages_and_unfitted_estimators_are_errors(display, images):
    kwargs = {} if display is LossCurveDisplay else {"image_shape": (8, 8)}
    with pytest.raises(TypeError, match=r"must be an estimator of skvae, .*; got PCA\(\)"):
        display.from_estimator(PCA().fit(images[0]), **kwargs)
    with pytest.raises(NotFittedError):
        display.from_estimator(VAETransformer(), **kwargs)


def test_pipelines_and_searches_are_drawn_in_the_units_of_the_input(images):
    X = images[0] * 255
    pipeline = make_pipeline(MinMaxScaler((0, 0.5)), VAETransformer(max_iter=1, random_state=0))
    search = GridSearchCV(pipeline, {"vaetransformer__latent_dim": [2, 3]}, cv=2).fit(X)
    best = search.best_estimator_
    samples = SampleDisplay.from_estimator(search, n_samples=9, image_shape=(8, 8), random_state=0)
    codes = best[-1].sample(9, noise=False, random_state=0)
    np.testing.assert_allclose(samples.samples, best[0].inverse_transform(codes))
    assert samples.samples.max() > 100
    manifold = ManifoldDisplay.from_estimator(search, image_shape=(8, 8), n_steps=3)
    assert manifold.images.max() > 100
    rows = ReconstructionDisplay.from_estimator(search, X, image_shape=(8, 8))
    np.testing.assert_allclose(rows.X_reconstructed, best.inverse_transform(best.transform(X)))
    assert LossCurveDisplay.from_estimator(search).history == best[-1].history_


def test_the_image_shape_defaults_to_that_of_the_estimator(fit, images):
    conv = fit(architecture="conv", image_shape=(8, 8), hidden_layer_sizes=(4, 8))
    assert ManifoldDisplay.from_estimator(conv, n_steps=3).images.shape == (3, 3, 8, 8)
    assert SampleDisplay.from_estimator(conv).samples.shape == (100, 64)
    assert ReconstructionDisplay.from_estimator(conv, images[0]).image_shape == (8, 8)


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: LatentSpaceDisplay.from_codes(np.eye(2), max_points=0), "max_points"),
        (lambda: SampleDisplay.from_rows(np.eye(2), np.eye(2), max_features=0), "max_features"),
        (
            lambda: ReconstructionDisplay.from_rows(np.eye(2), np.eye(2), max_features=0),
            "max_features",
        ),
        (lambda: ReconstructionDisplay.from_rows(np.eye(2), np.eye(2), n_images=0), "n_images"),
    ],
)
def test_a_maximum_of_0_is_an_error(draw, name):
    with pytest.raises(ValueError, match=f"{name} == 0, must be >= 1"):
        draw()
