"""Generated rows, as images and by column."""

import numpy as np
import pytest

from helpers import image_grid
from skvae.displays import SampleDisplay


def test_generated_images_are_means_unless_noise_is_requested(vae):
    means, draws = (
        SampleDisplay.from_estimator(vae, image_shape=(8, 8), random_state=0, noise=noise)
        for noise in (None, True)
    )
    np.testing.assert_array_equal(means.samples, vae.sample(100, noise=False, random_state=0))
    assert set(np.unique(draws.samples)) == {0.0, 1.0}
    np.testing.assert_allclose(image_grid(means)[9:17, :8], means.samples[10].reshape(8, 8))


def test_the_last_row_of_a_grid_may_end_early():
    display = SampleDisplay.from_rows(np.ones((7, 4)), image_shape=(2, 2))
    picture = image_grid(display)
    assert picture.shape == (8, 8)
    np.testing.assert_array_equal(picture[6:, :2], 1)
    assert np.isnan(picture[6:, 3:5]).all()


def test_an_image_shape_with_one_channel_equals_the_shape_without_channels():
    rows = np.random.RandomState(0).uniform(size=(4, 6))
    of_one_channel = SampleDisplay.from_rows(rows, image_shape=(1, 2, 3))
    without = SampleDisplay.from_rows(rows, image_shape=(2, 3))
    np.testing.assert_array_equal(image_grid(of_one_channel), image_grid(without))


def test_correlations_of_more_than_20_columns_have_no_labels():
    X = np.random.RandomState(0).normal(size=(30, 21))
    displays = [SampleDisplay.from_rows(rows, rows, max_features=1) for rows in (X[:, :20], X)]
    assert [len(display.axes_[-1].get_xticks()) for display in displays] == [20, 0]


def test_tables_show_marginals_and_correlations(table, table_vae):
    display = SampleDisplay.from_estimator(table_vae, table, random_state=0)
    samples = table_vae.sample(len(table), random_state=0)
    np.testing.assert_array_equal(display.samples, samples)
    *columns, real, generated = display.axes_
    assert [ax.get_title() for ax in columns] == list(table.columns[:12])
    np.testing.assert_allclose(real.images[0].get_array(), table.corr(), atol=1e-10)
    np.testing.assert_allclose(
        generated.images[0].get_array(), np.corrcoef(samples, rowvar=False), atol=1e-10
    )
    bars = sum(bar.get_height() for bar in columns[0].containers[0])
    assert 0.97 < bars <= 1  # fractions of the real rows; extreme values are outside the axes
    # Constant columns can be drawn.
    constant = table.assign(alcohol=1.0)
    SampleDisplay.from_rows(constant, constant, max_features=3)


def test_a_table_needs_real_rows_of_the_same_width(table, table_vae):
    for make in (
        lambda: SampleDisplay.from_estimator(table_vae),
        lambda: SampleDisplay.from_rows(np.eye(3)),
    ):
        with pytest.raises(ValueError, match="for a table, pass real rows as X"):
            make()
    with pytest.raises(ValueError, match="samples has 3 columns, but X has 13"):
        SampleDisplay.from_rows(np.eye(3), table)


def test_channels_are_first_in_rows_and_last_in_plots():
    X = np.random.RandomState(0).uniform(size=(5, 3 * 2 * 4))
    display = SampleDisplay.from_rows(X, image_shape=(3, 2, 4))
    picture = image_grid(display)
    assert picture.shape == (2 * 3 - 1, 3 * 5 - 1, 3)
    np.testing.assert_allclose(picture[:2, :4], np.moveaxis(X[0].reshape(3, 2, 4), 0, -1))
