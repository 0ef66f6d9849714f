"""Scatter plots of the latent space."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA

from skvae.displays import LatentSpaceDisplay
from skvae.priors import Mixture


def test_each_code_has_the_colour_of_its_class(images, vae):
    X, y = images
    names = [f"digit {i}" for i in range(10)]
    display = LatentSpaceDisplay.from_estimator(vae, X, y, target_names=names)
    np.testing.assert_array_equal(display.codes, vae.transform(X))
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    by_name = {
        name: to_hex(handle.get_color())
        for name, handle in zip(names, legend.legend_handles, strict=True)
    }
    assert len(set(by_name.values())) == 10
    points = display.ax_.collections[0]
    label_of = {tuple(code): label for code, label in zip(display.codes, y, strict=True)}
    for offset, color in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        assert to_hex(color) == by_name[names[label_of[tuple(offset)]]]
    assert display.ax_.get_xlabel() == "z[0]"
    assert display.ax_.get_ylabel() == "z[1]"


def test_names_belong_to_their_classes_when_classes_are_absent():
    Z = np.random.RandomState(0).normal(size=(6, 2))
    display = LatentSpaceDisplay.from_codes(Z, [2, 0, 2, 0, 2, 0], target_names=["a", "b", "c"])
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["a", "c"]
    with pytest.raises(ValueError, match=r"names the classes 0 to 1, but the labels are \[0, 2\]"):
        LatentSpaceDisplay.from_codes(Z, [2, 0, 2, 0, 2, 0], target_names=["a", "b"])


def test_strings_have_a_legend_and_many_numbers_a_colour_bar():
    rng = np.random.RandomState(0)
    Z = rng.normal(size=(60, 2))
    strings = rng.choice(["left", "right"], 60)
    legend = LatentSpaceDisplay.from_codes(Z, strings).ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["left", "right"]
    for scale in (rng.normal(size=60), np.arange(60)):
        display = LatentSpaceDisplay.from_codes(Z, scale)
        assert display.ax_.get_legend() is None
        assert len(display.figure_.axes) == 2  # the colour bar
        assert len(LatentSpaceDisplay.from_codes(Z, scale, legend=False).figure_.axes) == 1
    assert len(LatentSpaceDisplay.from_codes(Z).figure_.axes) == 1
    many = np.repeat([f"class {i:02}" for i in range(15)], 4)
    handles = LatentSpaceDisplay.from_codes(Z, many).ax_.get_legend().legend_handles
    assert len({to_hex(handle.get_color()) for handle in handles}) == 15


def test_codes_of_one_dimension_are_a_histogram(images, fit):
    X, y = images
    display = LatentSpaceDisplay.from_estimator(fit(1), X, y)
    assert display.ax_.get_xlabel() == "z[0]"
    assert display.ax_.get_ylabel() == "rows"
    assert len(display.ax_.patches) == 10
    assert LatentSpaceDisplay.from_codes(np.arange(9.0)[:, None]).ax_.has_data()


def test_codes_of_more_than_two_dimensions_are_projected(images, fit):
    X, y = images[0][:100], images[1][:100]
    vae = fit(5)
    Z = vae.transform(X)
    by_pca = LatentSpaceDisplay.from_estimator(vae, X, y)
    np.testing.assert_allclose(by_pca.codes, PCA(2).fit_transform(Z), atol=1e-5)
    assert "principal component 1 of z" in by_pca.ax_.get_xlabel()
    assert "% of variance" in by_pca.ax_.get_xlabel()
    by_tsne = LatentSpaceDisplay.from_estimator(vae, X, y, projection="tsne")
    assert by_tsne.codes.shape == (100, 2)
    assert by_tsne.ax_.get_ylabel() == "t-SNE 2 of z"
    own = PCA(3, whiten=True)
    by_own = LatentSpaceDisplay.from_estimator(vae, X, y, projection=own)
    np.testing.assert_allclose(by_own.codes, PCA(2, whiten=True).fit_transform(Z), atol=1e-4)
    assert not hasattr(own, "components_")
    with pytest.raises(ValueError, match="projection must be 'pca', 'tsne' or a transformer"):
        LatentSpaceDisplay.from_codes(Z, projection="umap")


def test_max_points_limits_the_number_of_points():
    Z = np.random.RandomState(0).normal(size=(70_000, 2))
    y = Z[:, 0] > 0
    assert len(LatentSpaceDisplay.from_codes(Z, y).codes) == 70_000
    plt.close("all")  # drawing takes long
    display = LatentSpaceDisplay.from_codes(Z, y, max_points=100)
    assert display.codes.shape == (100, 2)
    np.testing.assert_array_equal(display.labels, display.codes[:, 0] > 0)
    few = LatentSpaceDisplay.from_codes(Z[:50], max_points=100)
    np.testing.assert_array_equal(few.codes, Z[:50])
    again = LatentSpaceDisplay.from_codes(Z, y, max_points=100)
    np.testing.assert_array_equal(display.codes, again.codes)


def test_many_points_are_small_and_rasterized():
    rng = np.random.RandomState(0)
    few, many = (
        LatentSpaceDisplay.from_codes(rng.normal(size=(n, 2))).ax_.collections[0]
        for n in (100, 70_000)
    )
    assert few.get_sizes()[0] > 5 * many.get_sizes()[0] >= 5
    assert many.get_rasterized()


def test_scatter_kwargs_override_the_defaults():
    Z = np.random.RandomState(0).normal(size=(10, 2))
    kwargs = {"s": 50, "alpha": 0.3}
    points = LatentSpaceDisplay.from_codes(Z, scatter_kwargs=kwargs).ax_.collections[0]
    assert points.get_sizes()[0] == 50
    assert points.get_alpha() == 0.3


@pytest.mark.parametrize(
    ("Z", "y", "message"),
    [
        (np.zeros(3), None, "Expected 2D array"),
        ([[0, np.nan]], None, "Z contains NaN"),
        (np.zeros((3, 2)), [0, 1], "inconsistent numbers of samples"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "should be a 1d array"),
    ],
)
def test_bad_codes_are_errors(Z, y, message):
    with pytest.raises(ValueError, match=message):
        LatentSpaceDisplay.from_codes(Z, y)


def test_the_legend_of_many_classes_fits_in_the_figure():
    y = [f"{i:02}" for i in range(60)]
    display = LatentSpaceDisplay.from_codes(np.random.RandomState(0).normal(size=(60, 2)), y)
    display.figure_.canvas.draw()  # a warning is an error
    legend = display.ax_.get_legend()
    assert len(legend.get_texts()) == 60
    assert legend.get_window_extent().height < display.figure_.bbox.height


def test_contours_contain_fractions_of_a_learned_prior(images, fit):
    X, y = images
    vae = fit(prior=Mixture(3), prior_std=2.0, max_iter=40)
    display = LatentSpaceDisplay.from_estimator(vae, X, y)
    *_, contours = display.ax_.collections
    (outer, *_, inner), density = contours.levels, display.density
    cell = (density.x[1] - density.x[0]) * (density.y[1] - density.y[0])
    grid = np.stack(np.meshgrid(density.x, density.y), -1).reshape(-1, 2)
    values = np.exp(vae._log_prior(grid))
    assert values.sum() * cell < 1
    for level, fraction in ((outer, 0.99), (inner, 0.5)):
        inside = (density.values >= level).ravel()
        assert abs(values[inside].sum() / values.sum() - fraction) < 0.02


def test_the_normal_prior_and_projections_have_no_contours(images, vae, fit):
    X, y = images
    assert LatentSpaceDisplay.from_estimator(vae, X, y).density is None
    projected = LatentSpaceDisplay.from_estimator(fit(3, prior="mixture"), X, y)
    assert projected.density is None


def test_numbers_are_heights_if_codes_have_one_dimension():
    Z, y = np.linspace(-1, 1, 20)[:, None], np.linspace(0, 5.5, 20)
    (points,) = LatentSpaceDisplay.from_codes(Z, y).ax_.collections
    assert sorted(map(tuple, points.get_offsets())) == sorted(zip(Z[:, 0], y, strict=True))


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", object])
def test_integers_of_any_dtype_may_have_names(dtype):
    y = pd.Series([0, 1, 1]).astype(dtype)
    legend = LatentSpaceDisplay.from_codes(np.eye(3)[:, :2], y, target_names=["u", "v"]).ax_
    assert [text.get_text() for text in legend.get_legend().get_texts()] == ["u", "v"]
