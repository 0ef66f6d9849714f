"""Why rows have the scores they have."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from ._axes import divide, new_axes
from ._colors import FIRST, SECOND
from ._estimators import do_earlier_steps, last_step
from ._tables import column_names, table

_MOST_ROWS = 6


class ContributionsDisplay:
    """What features, and the code, contribute to the scores of a few rows.

    Make one with `from_estimator`; the constructor takes what is drawn.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    features : ndarray of shape (n_samples, n_features)
        Contributions of the features, in nats.
    code : ndarray of shape (n_samples,)
        Contributions of the code, in nats.
    decision : ndarray of shape (n_samples,)
        How far the scores are above the detector's offset, in nats.
    feature_names : sequence of str, default=None
        Names of the columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn; emptied if it was divided.
    axes_ : ndarray of matplotlib Axes, of shape (n_samples,)
        One for each row.
    figure_ : matplotlib Figure
        The figure around them.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAEOutlierDetector
    >>> from skvae.displays import ContributionsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> detector = VAEOutlierDetector(random_state=0).fit(X)
    >>> strangest = X.iloc[detector.score_samples(X).argsort()[:2]]
    >>> display = ContributionsDisplay.from_estimator(detector, strangest)
    """

    def __init__(
        self,
        *,
        X: np.ndarray,
        features: np.ndarray,
        code: np.ndarray,
        decision: np.ndarray,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.X = X
        self.features = features
        self.code = code
        self.decision = decision
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot_options: Any,
    ) -> Self:
        """Explain rows by a detector, and draw it.

        Parameters
        ----------
        estimator : fitted estimator
            A `VAEOutlierDetector`, or a pipeline that ends in one and keeps the columns.
        X : array-like of shape (n_samples, n_features)
            Six rows at most.
        feature_names : sequence of str, default=None
            Names of the columns. None takes those of a frame.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : ContributionsDisplay

        Raises
        ------
        ValueError
            If there are more than six rows, or the steps of a pipeline change the columns.
        """
        numbers, names = table(X, feature_names)
        if len(numbers) > _MOST_ROWS:
            raise ValueError(
                f"X must have at most {_MOST_ROWS} rows to explain; got {len(numbers)}."
            )
        features, code = last_step(estimator).explain(do_earlier_steps(estimator, X))
        if features.shape != numbers.shape:
            raise ValueError(
                f"The steps before the detector make {features.shape[1]} columns of "
                f"{numbers.shape[1]}: explain what they return, by the last step alone."
            )
        decision = estimator.decision_function(X)
        display = cls(
            X=numbers, features=features, code=code, decision=decision, feature_names=names
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        max_features: int = 8,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw bars for what contributes most, one panel for each row.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw: divided if there is more than one row. None makes a new figure.
        max_features : int, default=8
            Draw so many bars: the largest in size.
        bar_kwargs : dict, default=None
            For ``ax.barh``, over the defaults.

        Returns
        -------
        display : ContributionsDisplay
        """
        check_scalar(max_features, "max_features", Integral, min_val=1)
        n_rows, n_features = self.features.shape
        n_bars = min(max_features, n_features + 1)
        size = (4.2 * n_rows, 1.0 + 0.3 * n_bars)
        ax = new_axes(size) if ax is None else ax
        self.axes_ = divide(ax, 1, n_rows)[0]
        names = column_names(self.feature_names, n_features)
        for row, panel in enumerate(self.axes_):
            labels = [
                f"{name} = {value:.4g}" for name, value in zip(names, self.X[row], strict=True)
            ]
            values = np.append(self.features[row], self.code[row])
            shown = np.abs(values).argsort()[::-1][:n_bars]
            colors = np.where(values[shown] < 0, SECOND, FIRST)
            panel.barh(
                [[*labels, "code"][i] for i in shown],
                values[shown],
                **{"color": colors, **(bar_kwargs or {})},
            )
            panel.invert_yaxis()
            panel.axvline(0, color="black", linewidth=0.8)
            panel.set_title(f"{self.decision[row]:+.1f} nats from the offset", fontsize=9)
        self.axes_[0].set_xlabel("contribution, nats")
        self.ax_, self.figure_ = ax, ax.figure
        return self
