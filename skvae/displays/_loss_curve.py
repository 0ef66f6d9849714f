"""Plot of the losses over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ..utils import check_choice
from ._axes import new_axes, split_axes
from ._colors import PRIMARY_COLOR, SECONDARY_COLOR
from ._estimators import fitted_vae

_LOSSES = {"loss": "loss", "reconstruction_loss": "reconstruction", "kl_loss": "KL divergence"}


class LossCurveDisplay:
    """Curves of the training and validation losses over epochs.

    Create a display with `from_estimator` or `from_history`.

    Parameters
    ----------
    history : dict of lists
        Metrics of each epoch, as in the attribute ``history_`` of an estimator: the keys "loss",
        "reconstruction_loss" and "kl_loss" in nats per row, optionally with the prefix
        ``validation_``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, emptied if there are several panels.
    axes_ : ndarray of matplotlib Axes, of shape (n_losses,)
        Axes of the panel of each loss.
    figure_ : matplotlib Figure
        Figure of the plot.

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
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            Estimator of skvae, or a pipeline or hyperparameter search with an estimator of skvae as
            the final step.
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several losses. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : LossCurveDisplay
            Object that stores the data and the axes.
        """
        return cls.from_history(fitted_vae(estimator).history_, ax=ax, **plot_options)

    @classmethod
    def from_history(
        cls, history: Mapping[str, Sequence[float]], *, ax: Any = None, **plot_options: Any
    ) -> Self:
        """Plot a history.

        Parameters
        ----------
        history : dict of lists, or DataFrame
            Metrics of each epoch, as in the attribute ``history_`` of an estimator.
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several losses. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : LossCurveDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If `history` is no dictionary or data frame.
        """
        if not hasattr(history, "keys"):
            raise TypeError(
                "history must be a dict of lists, such as the attribute history_ of an estimator; "
                f"got {type(history).__name__}."
            )
        return cls(history=history).plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        losses: Sequence[str] = tuple(_LOSSES),
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot each loss in a separate panel.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several losses. By default, a new figure is created.
        losses : sequence of str, default=("loss", "reconstruction_loss", "kl_loss")
            Keys of the history to plot. For each key, the validation curve is added if the history
            contains the key with the prefix ``validation_``.
        line_kwargs : dict, default=None
            Keyword arguments for ``ax.plot``, overriding the defaults.

        Returns
        -------
        display : LossCurveDisplay
            Object that stores the data and the axes.

        Raises
        ------
        ValueError
            If `losses` is empty or contains an unknown key.
        """
        if not losses:
            raise ValueError("losses must name at least one key of the history; got none.")
        for loss in losses:
            check_choice("Each name in losses", loss, list(self.history))
        ax = new_axes((1 + 3.2 * len(losses), 3.0)) if ax is None else ax
        self.axes_ = split_axes(ax, 1, len(losses))[0]
        for panel, loss in zip(self.axes_, losses, strict=True):
            for key, label, color in (
                (loss, "training", PRIMARY_COLOR),
                (f"validation_{loss}", "validation", SECONDARY_COLOR),
            ):
                if key in self.history:
                    values = self.history[key]
                    style = {"color": color, "label": label, **(line_kwargs or {})}
                    panel.plot(range(1, len(values) + 1), values, **style)
            panel.set(title=_LOSSES.get(loss, loss), xlabel="epoch")
            panel.xaxis.get_major_locator().set_params(integer=True)
        if losses[0] in _LOSSES:
            better = "" if losses[0] == "kl_loss" else ", lower is better"
            self.axes_[0].set_ylabel(f"nats per row{better}")
        if len(self.axes_[0].lines) > 1:
            self.axes_[0].legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
