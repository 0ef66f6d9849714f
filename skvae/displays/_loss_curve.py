"""Losses over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ._axes import divide, new_axes
from ._colors import FIRST, SECOND
from ._estimators import fitted_vae

_LOSSES = {"loss": "loss", "reconstruction_loss": "reconstruction", "kl_loss": "KL divergence"}


class LossCurveDisplay:
    """The loss and its two terms over epochs, of training and of validation.

    Make one with `from_estimator` or `from_history`.

    Parameters
    ----------
    history : dict of lists
        As ``history_`` of an estimator: "loss", "reconstruction_loss" and "kl_loss" of each
        epoch in nats per row, and any of them with "validation" before it: "validation_loss".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn; emptied if it was divided.
    axes_ : ndarray of matplotlib Axes, of shape (n_losses,)
        One for each loss.
    figure_ : matplotlib Figure
        The figure around them.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.displays import LossCurveDisplay
    >>> X = load_wine().data
    >>> vae = VAETransformer(early_stopping=True, max_iter=10, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(vae)
    >>> [ax.get_title() for ax in display.axes_]
    ['loss', 'reconstruction', 'KL divergence']
    """

    def __init__(self, *, history: Mapping[str, Sequence[float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_options: Any) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            A `VAETransformer`, or a pipeline or search that ends in one.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : LossCurveDisplay
        """
        return cls.from_history(fitted_vae(estimator).history_, ax=ax, **plot_options)

    @classmethod
    def from_history(
        cls, history: Mapping[str, Sequence[float]], *, ax: Any = None, **plot_options: Any
    ) -> Self:
        """Draw a history.

        Parameters
        ----------
        history : dict of lists, or DataFrame
            As ``history_`` of an estimator.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : LossCurveDisplay
        """
        return cls(history=history).plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        losses: Sequence[str] = tuple(_LOSSES),
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw one panel for each loss, on scales of their own.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw: divided if there is more than one loss. None makes a new figure.
        losses : sequence of str, default=("loss", "reconstruction_loss", "kl_loss")
            Which to draw.
        line_kwargs : dict, default=None
            For ``ax.plot``, over the defaults.

        Returns
        -------
        display : LossCurveDisplay
        """
        missing = [loss for loss in losses if loss not in self.history]
        if missing or not losses:
            raise ValueError(
                f"losses must name what the history has, {list(self.history)}; got {list(losses)}."
            )
        ax = new_axes((1 + 3.2 * len(losses), 3.0)) if ax is None else ax
        self.axes_ = divide(ax, 1, len(losses))[0]
        for panel, loss in zip(self.axes_, losses, strict=True):
            for key, label, color in (
                (loss, "training", FIRST),
                (f"validation_{loss}", "validation", SECOND),
            ):
                if key in self.history:
                    values = self.history[key]
                    style = {"color": color, "label": label, **(line_kwargs or {})}
                    panel.plot(range(1, len(values) + 1), values, **style)
            panel.set(title=_LOSSES.get(loss, loss), xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        if losses[0] in _LOSSES:
            self.axes_[0].set_ylabel("nats per row")
        if len(self.axes_[0].lines) > 1:
            self.axes_[0].legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
