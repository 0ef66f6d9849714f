"""Rows and their reconstructions, as images and by column."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import image_grid
from skvae.displays import ReconstructionDisplay


def test_originals_are_above_their_reconstructions(images, vae):
    X, _ = images
    display = ReconstructionDisplay.from_estimator(vae, X, image_shape=(8, 8), n_images=4)
    picture = image_grid(display)
    assert picture.shape == (2 * 9 - 1, 4 * 9 - 1)
    np.testing.assert_allclose(picture[:8, 27:35], X[3].reshape(8, 8))
    np.testing.assert_allclose(picture[9:, 27:35], vae.reconstruct(X)[3].reshape(8, 8), rtol=1e-5)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["original", "reconstruction"]


def test_tables_have_a_plot_per_column(table):
    pca = make_pipeline(StandardScaler(), PCA(3)).fit(table)
    display = ReconstructionDisplay.from_estimator(pca, table)
    assert len(display.axes_) == 12
    assert display.axes_[0].get_title().startswith("alcohol, R² = 0.")
    offsets = display.axes_[1].collections[0].get_offsets()
    np.testing.assert_allclose(offsets[:, 0], table["malic_acid"])
    np.testing.assert_allclose(offsets[:, 1], pca.inverse_transform(pca.transform(table))[:, 1])
    few = ReconstructionDisplay.from_rows(
        np.eye(3), np.eye(3), feature_names=["a", "b", "c"], max_features=2
    )
    assert [ax.get_title() for ax in few.axes_] == ["a, R² = 1.00", "b, R² = 1.00"]


def test_mismatched_shapes_and_names_are_errors():
    with pytest.raises(ValueError, match=r"shape \(3, 3\), but X_reconstructed has shape \(2, 2\)"):
        ReconstructionDisplay.from_rows(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="feature_names has 1 names, but X has 3 columns"):
        ReconstructionDisplay.from_rows(np.eye(3), np.eye(3), feature_names=["a"])


def test_colours_beyond_the_range_are_clipped_without_a_message(caplog):
    images = np.linspace(-0.5, 1.5, 12).reshape(1, 12)
    display = ReconstructionDisplay.from_rows(images, images, image_shape=(3, 2, 2))
    display.figure_.canvas.draw()
    assert not caplog.records


def test_the_sizes_of_images_must_be_integers():
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\).*4\.0"):
        ReconstructionDisplay.from_rows(np.ones((1, 16)), np.ones((1, 16)), image_shape=(4.0, 4.0))
