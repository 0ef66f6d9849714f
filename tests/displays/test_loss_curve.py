"""Plots of the training history."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from skvae.displays import LossCurveDisplay


def test_each_loss_has_a_curve_for_training_and_for_validation(fit):
    vae = fit(early_stopping=True, max_iter=3)
    display = LossCurveDisplay.from_estimator(vae)
    assert len(display.axes_) == 3
    for ax, key in zip(display.axes_, ("loss", "reconstruction_loss", "kl_loss"), strict=True):
        training, validation = ax.lines
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(training.get_ydata(), vae.history_[key])
        np.testing.assert_array_equal(validation.get_ydata(), vae.history_[f"validation_{key}"])
    assert display.axes_[0].get_ylabel() == "nats per row, lower is better"
    assert [t.get_text() for t in display.axes_[0].get_legend().get_texts()] == [
        "training",
        "validation",
    ]


def test_losses_can_be_selected_and_the_history_can_be_a_frame(vae):
    history = pd.DataFrame(vae.history_)
    display = LossCurveDisplay.from_history(history, losses=["kl_loss"], line_kwargs={"color": "k"})
    assert display.axes_[0] is display.ax_
    (line,) = display.ax_.lines
    assert line.get_color() == "k"
    assert display.ax_.get_ylabel() == "nats per row"
    counts = LossCurveDisplay.from_history(history, losses=["active_units"])
    assert counts.ax_.get_ylabel() == ""
    assert display.axes_[0].get_legend() is None
    with pytest.raises(ValueError, match=r"name in losses must be one of 'loss', .* got 'elbo'"):
        LossCurveDisplay.from_history(vae.history_, losses=["elbo"])
    with pytest.raises(ValueError, match="must name at least one key"):
        LossCurveDisplay.from_history(vae.history_, losses=[])


def test_axes_outside_a_grid_are_an_error(vae):
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"must belong to a grid of subplots.*plt\.subplots"):
        LossCurveDisplay.from_estimator(vae, ax=ax)
    assert LossCurveDisplay.from_estimator(vae, ax=ax, losses=["loss"]).ax_ is ax


def test_a_history_without_names_is_an_error():
    with pytest.raises(TypeError, match=r"history must be a dict of lists.*got list"):
        LossCurveDisplay.from_history([3.0, 2.0])
