"""Grids of decoded codes."""

import numpy as np
import pytest
from scipy.stats import norm

from helpers import image_grid, seeded
from skvae.displays import ManifoldDisplay
from skvae.priors import Mixture


@pytest.mark.parametrize("kind", ["linear", "quantile"])
def test_each_tile_of_the_plane_is_decoded_from_the_code_on_its_axes(kind, fit):
    vae = fit(prior_std=3.0)
    display = ManifoldDisplay.from_estimator(
        vae, kind=kind, n_steps=5, coverage=0.9, image_shape=(8, 8)
    )
    low = norm.ppf(0.05)
    steps = {
        "linear": np.linspace(low, -low, 5),
        "quantile": norm.ppf([0.05, 0.275, 0.5, 0.725, 0.95]),
    }[kind]
    np.testing.assert_allclose(display.steps, 3 * steps, atol=1e-12)
    # The tile in column 4, row 1 from below, and its pixels in the grid.
    tile = vae.inverse_transform([[display.steps[4], display.steps[1]]]).reshape(8, 8)
    np.testing.assert_allclose(display.images[1, 4], tile, rtol=1e-5)
    np.testing.assert_allclose(image_grid(display)[27:35, 36:44], tile, rtol=1e-5)
    ax = display.ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[0]", "z[1]")
    assert [label.get_text() for label in ax.get_xticklabels()][::4] == ["-4.9", "4.9"]
    heights = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert heights["-4.9"] == 4  # the smallest z[1] is at the bottom, and y increases downwards
    assert heights["4.9"] == 0
    assert heights["0.0"] == 2


def test_more_than_two_dimensions_are_traversed_one_by_one(fit):
    vae = fit(5)
    display = ManifoldDisplay.from_estimator(vae, n_steps=4, n_dims=3, image_shape=(8, 8))
    assert display.images.shape == (3, 4, 8, 8)
    spreads = []
    for i in range(5):
        Z = np.zeros((4, 5))
        Z[:, i] = display.steps
        rows = vae.inverse_transform(Z)
        spreads.append(rows.var(axis=0).sum())
        if i in display.dims:
            row = display.images[list(display.dims).index(i)]
            np.testing.assert_allclose(row.reshape(4, 64), rows, rtol=1e-5)
    assert list(display.dims) == list(np.argsort(spreads)[::-1][:3])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [f"z[{i}]" for i in display.dims]
    one = ManifoldDisplay.from_estimator(fit(1), n_steps=4, image_shape=(8, 8))
    assert one.images.shape == (1, 4, 8, 8)


@pytest.mark.parametrize("kind", ["linear", "quantile"])
def test_steps_are_quantiles_of_each_dimension_of_a_learned_prior(kind, fit):
    vae = fit(prior=Mixture(3), prior_std=2.0, max_iter=10)
    display = ManifoldDisplay.from_estimator(
        vae, kind=kind, n_steps=5, coverage=0.8, image_shape=(8, 8)
    )
    draws = 2 * vae.module_.sample_prior(50_000, seeded(1)).detach().numpy()
    expected = np.quantile(draws, [0.1, 0.3, 0.5, 0.7, 0.9], axis=0).T
    if kind == "linear":
        expected = np.linspace(expected[:, 0], expected[:, -1], 5).T
    np.testing.assert_allclose(display.steps, expected, atol=0.15)
    tile = vae.inverse_transform([[display.steps[0, 4], display.steps[1, 1]]]).reshape(8, 8)
    np.testing.assert_allclose(display.images[1, 4], tile, rtol=1e-5)


def test_traversals_start_at_the_median_of_a_learned_prior(fit):
    vae = fit(3, prior=Mixture(3), max_iter=10)
    display = ManifoldDisplay.from_estimator(vae, n_steps=5, image_shape=(8, 8))
    assert display.steps.shape == (3, 5)
    # The third step is the median in every traversal.
    np.testing.assert_allclose(display.images[0, 2], display.images[2, 2], rtol=1e-5)
    assert display.ax_.get_xlabel() == "increasing values of z"


def test_steps_must_match_the_axes():
    with pytest.raises(ValueError, match=r"steps must have shape \(2,\) or \(2, 2\); got \(3, 2\)"):
        ManifoldDisplay.from_rows(np.zeros((2, 2, 64)), np.zeros((3, 2)), image_shape=(8, 8))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, r"pass image_shape=\(height, width\)"),
        ({"image_shape": (7, 8)}, "has 56 values, but each row has 64"),
        ({"image_shape": (2, 4, 8)}, "with 1 or 3 channels"),
        ({"image_shape": (8, 8, 1)}, "channels first"),
        ({"image_shape": (64,)}, "with 1 or 3 channels"),
        ({"image_shape": (8, 8), "kind": "normal"}, "kind must be one of 'quantile', 'linear'"),
        ({"image_shape": (8, 8), "n_steps": 1}, "n_steps == 1"),
        ({"image_shape": (8, 8), "coverage": 1.0}, "coverage == 1.0"),
        ({"image_shape": (8, 8), "n_dims": 0}, "n_dims == 0"),
    ],
)
def test_invalid_arguments_are_errors(vae, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ManifoldDisplay.from_estimator(vae, **kwargs)
    with pytest.raises(ValueError, match=r"rows must have shape \(2, 2, n_features\)"):
        ManifoldDisplay.from_rows(np.zeros((3, 2, 64)), [0, 1], image_shape=(8, 8))
