"""Plot of the contributions to the scores of an outlier detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from ._axes import new_axes, split_axes
from ._colors import PRIMARY_COLOR, SECONDARY_COLOR
from ._estimators import (
    apply_earlier_steps,
    check_methods,
    final_estimator,
    invert_earlier_steps,
    modelled_names,
    names_around_steps,
    without_conditions,
)
from ._tables import check_table, column_names

_MAX_ROWS = 6
# In inches.
_BARS_WIDTH = 2.6
_CHARACTER_WIDTH = 0.085


class ContributionsDisplay:
    """Bar plots of the contributions of features and codes to the scores of rows.

    Create a display with `from_estimator`. The constructor takes the data to draw.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Explained rows.
    features : array-like of shape (n_samples, n_features)
        Contributions of the features in nats, relative to the medians of the training rows.
    code : array-like of shape (n_samples,)
        Contributions of the codes in nats, relative to the median of the training rows.
    decision : ndarray of shape (n_samples,)
        Scores minus the offset of the detector, in nats. Negative for outliers.
    X_reconstructed : array-like of shape (n_samples, n_features), default=None
        Reconstructions of the rows, shown next to the values if given.
    feature_names : sequence of str, default=None
        Names of the features. By default, x0, x1, ...
    row_names : sequence, default=None
        Names of the rows. By default, 0, 1, ...

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, emptied if there are several panels.
    axes_ : ndarray of matplotlib Axes, of shape (n_samples,)
        Axes of the panel of each row.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    skvae.VAEOutlierDetector.explain : Computation of the contributions.

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
        X: Any,
        features: Any,
        code: Any,
        decision: np.ndarray,
        X_reconstructed: Any = None,
        feature_names: Sequence[str] | None = None,
        row_names: Sequence[Any] | None = None,
    ) -> None:
        self.X = X
        self.features = features
        self.code = code
        self.decision = decision
        self.X_reconstructed = X_reconstructed
        self.feature_names = feature_names
        self.row_names = row_names

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
        """Explain the scores of rows and plot the contributions.

        Each bar is labelled with the value of the feature and the value of the reconstruction,
        which shows whether the value is unusually high or low.

        Parameters
        ----------
        estimator : fitted estimator
            `VAEOutlierDetector`, or a pipeline with a `VAEOutlierDetector` as the final step. The
            earlier steps must preserve the columns and the order of columns. Reconstructions are
            shown if the steps have `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            Rows to explain, at most six.
        feature_names : sequence of str, default=None
            Names of the features. By default, the column names of a frame, or x0, x1, ...
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several rows. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : ContributionsDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If the estimator is no `VAEOutlierDetector`.
        ValueError
            If there are more than six rows, or if the steps of a pipeline change the columns or the
            order of columns.
        """
        check_methods(cls, estimator, "explain")
        if feature_names is None:
            feature_names = modelled_names(estimator, X)
        numbers, names = check_table(without_conditions(estimator, X), feature_names)
        if len(numbers) > _MAX_ROWS:
            raise ValueError(
                f"X must have at most {_MAX_ROWS} rows to explain; got {len(numbers)} rows."
            )
        detector = final_estimator(estimator)
        transformed = apply_earlier_steps(estimator, X)
        features, code = detector.explain(transformed)
        _check_preserved(estimator, numbers.shape[1], features.shape[1])
        reconstructed = without_conditions(estimator, detector.reconstruct(transformed))
        try:
            reconstructed = invert_earlier_steps(estimator, reconstructed)
        except AttributeError:  # a step without inverse_transform
            reconstructed = None
        display = cls(
            X=numbers,
            features=features,
            code=code,
            decision=estimator.decision_function(X),
            X_reconstructed=reconstructed,
            feature_names=names,
            row_names=X.index if hasattr(X, "iloc") else None,
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        max_features: int = 8,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the largest contributions, with a panel for each row.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, split if there are several rows. By default, a new figure is created.
        max_features : int, default=8
            Maximum number of bars in each panel. The contributions with the largest absolute values
            are shown.
        bar_kwargs : dict, default=None
            Keyword arguments for ``ax.barh``, overriding the defaults.

        Returns
        -------
        display : ContributionsDisplay
            Object that stores the data and the axes.
        """
        check_scalar(max_features, "max_features", Integral, min_val=1)
        features, code = np.asarray(self.features), np.asarray(self.code)
        n_rows, n_features = features.shape
        n_bars = min(max_features, n_features + 1)
        if ax is None:
            longest = max(len(label) for row in range(n_rows) for label in self._labels(row))
            ax = new_axes(((_BARS_WIDTH + _CHARACTER_WIDTH * longest) * n_rows, 1.0 + 0.3 * n_bars))
        self.axes_ = split_axes(ax, 1, n_rows)[0]
        row_names = range(n_rows) if self.row_names is None else self.row_names
        for row, (panel, row_name) in enumerate(zip(self.axes_, row_names, strict=True)):
            values = np.append(features[row], code[row])
            shown = np.abs(values).argsort()[::-1][:n_bars]
            colors = np.where(values[shown] < 0, SECONDARY_COLOR, PRIMARY_COLOR)
            panel.barh(range(n_bars), values[shown], **{"color": colors, **(bar_kwargs or {})})
            labels = [*self._labels(row), "code"]
            panel.set_yticks(range(n_bars), [labels[i] for i in shown], parse_math=False)
            panel.invert_yaxis()
            panel.axvline(0, color="black", linewidth=0.8)
            title = f"row {row_name}: {self.decision[row]:+.1f} nats from offset"
            panel.set_title(title, fontsize=9, parse_math=False)
            panel.set_xlabel("contribution in nats, < 0 is unusual")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _labels(self, row: int) -> list[str]:
        """Return the names, values and reconstructions of the features of a row."""
        values = np.asarray(self.X)[row]
        names = column_names(self.feature_names, len(values))
        if self.X_reconstructed is None:
            return [f"{name} = {value:.4g}" for name, value in zip(names, values, strict=True)]
        expected = np.asarray(self.X_reconstructed)[row]
        texts = [_format_pair(a, b) for a, b in zip(values, expected, strict=True)]
        return [f"{name} = {a}, expected {b}" for name, (a, b) in zip(names, texts, strict=True)]


def _format_pair(a: float, b: float) -> tuple[str, str]:
    """Return two numbers with four digits, or with as many as their difference requires."""
    n_digits, difference = 4, abs(float(a) - float(b))
    if 0 < difference < math.inf:
        n_equal = math.floor(math.log10(max(abs(a), abs(b)) / difference))
        n_digits = min(max(n_digits, n_equal + 2), 17)
    return f"{a:.{n_digits}g}", f"{b:.{n_digits}g}"


def _check_preserved(estimator: Any, n_columns: int, n_transformed: int) -> None:
    """Raise `ValueError` if the steps of pipelines before a detector change the columns."""
    remedy = "Pass the final step and the transformed rows instead."
    if n_transformed != n_columns:
        raise ValueError(
            f"The steps before the detector transform {n_columns} columns into {n_transformed}. "
            f"{remedy}"
        )
    for before, after in names_around_steps(estimator):
        # A ColumnTransformer adds prefixes.
        same = [b == a or b.endswith(f"__{a}") for a, b in zip(before, after, strict=False)]
        if len(before) != len(after) or not all(same):
            raise ValueError(
                f"The steps before the detector transform the columns {before} into {after}. "
                f"{remedy}"
            )
