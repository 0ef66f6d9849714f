"""A synthetic table beside the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..metrics import associations, column_distances
from ..metrics._tables import is_number, numbers_of
from ._axes import divide, new_axes
from ._colors import FIRST, SECOND
from ._tables import panels, panels_size

_MOST_BARS = 8
_N_BINS = 30
_MOST_COLUMNS = 20
_MICROSECONDS_OF_YEAR = 365.2425 * 86_400_000_000


@dataclass(frozen=True)
class Marginal:
    """Shares of the rows of a real and a synthetic table in the parts of one column.

    Parameters
    ----------
    labels : list of str or None
        Of categories, the most frequent first; None for numbers.
    edges : ndarray of shape (n_parts + 1,) or None
        Of the bins of numbers, in years for points in time; None for categories.
    real, synthetic : ndarray of shape (n_parts,)
        Shares of the rows.
    distance : float
        As `skvae.metrics.column_distances` has it.
    """

    labels: list[str] | None
    edges: np.ndarray | None
    real: np.ndarray
    synthetic: np.ndarray
    distance: float


class SyntheticTableDisplay:
    """Marginals of a synthetic table beside the real one's, and how their columns go together.

    Make one with `from_tables`; the constructor takes what is drawn.

    Parameters
    ----------
    marginals : dict of str to Marginal
        By column.
    real_associations, synthetic_associations : DataFrame of shape (n_columns, n_columns)
        As `skvae.metrics.associations` returns them.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn, emptied and divided.
    axes_ : list of matplotlib Axes
        One for each column, and then those of the associations: real, synthetic, their difference.
    figure_ : matplotlib Figure
        The figure around them.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import TabularVAE
    >>> from skvae.displays import SyntheticTableDisplay
    >>> wine = load_wine(as_frame=True).frame.astype({"target": "category"})
    >>> synthetic = TabularVAE(random_state=0).fit(wine).sample(500, random_state=0)
    >>> display = SyntheticTableDisplay.from_tables(wine, synthetic)
    """

    def __init__(
        self,
        *,
        marginals: dict[str, Marginal],
        real_associations: Any,
        synthetic_associations: Any,
    ) -> None:
        self.marginals = marginals
        self.real_associations = real_associations
        self.synthetic_associations = synthetic_associations

    @classmethod
    def from_tables(cls, real: Any, synthetic: Any, *, ax: Any = None, **plot_options: Any) -> Self:
        """Compare two tables, and draw them.

        Parameters
        ----------
        real, synthetic : DataFrame
            The same columns, twenty at most, and any number of rows.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.
        **plot_options : dict
            As `plot` takes them.

        Returns
        -------
        display : SyntheticTableDisplay

        Raises
        ------
        ValueError
            If the columns differ, or are too many.
        """
        if set(real.columns) != set(synthetic.columns):
            raise ValueError(
                f"Columns differ: {list(real.columns)} are real, {list(synthetic.columns)} "
                "synthetic."
            )
        if real.shape[1] > _MOST_COLUMNS:
            raise ValueError(
                f"At most {_MOST_COLUMNS} columns can be drawn; there are {real.shape[1]}: pick "
                "some."
            )
        synthetic = synthetic[real.columns]
        distances = column_distances(real, synthetic)
        display = cls(
            marginals={
                str(name): _marginal(real[name], synthetic[name], distances[name])
                for name in real.columns
            },
            real_associations=associations(real),
            synthetic_associations=associations(synthetic),
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        bar_kwargs: dict[str, Any] | None = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw a panel for each column, and three for the associations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw: divided. None makes a new figure.
        bar_kwargs : dict, default=None
            For ``ax.bar`` and ``ax.stairs``, over the defaults.
        imshow_kwargs : dict, default=None
            For ``ax.imshow``, over the defaults.

        Returns
        -------
        display : SyntheticTableDisplay
        """
        width, height = panels_size(len(self.marginals))
        width = max(width, 9.0)
        n_names = len(self.real_associations)
        below = max(3.0, 1.6 + 0.14 * n_names)
        if ax is None:
            ax = new_axes((width, height + below))
        upper, lower = divide(ax, 2, 1, height_ratios=[height, below])[:, 0]
        columns = list(panels(upper, len(self.marginals)))
        for panel, (name, marginal) in zip(columns, self.marginals.items(), strict=True):
            _draw_marginal(panel, marginal, bar_kwargs or {})
            panel.set_title(f"{name}  ({marginal.distance:.3f})", fontsize=8)
            panel.tick_params(labelsize=6)
            panel.set_yticks([])
        columns[0].legend(fontsize=7)
        pictures = list(divide(lower, 1, 3)[0])
        difference = self.synthetic_associations - self.real_associations
        sizes = {"cmap": "viridis", "vmin": 0, "vmax": 1}
        signs = {"cmap": "coolwarm", "vmin": -0.5, "vmax": 0.5}
        for panel, title, matrix, options in (
            (pictures[0], "real associations", self.real_associations, sizes),
            (pictures[1], "synthetic", self.synthetic_associations, sizes),
            (pictures[2], "difference", difference, signs),
        ):
            image = panel.imshow(matrix.to_numpy(), **{**options, **(imshow_kwargs or {})})
            panel.set_title(title, fontsize=9)
            panel.set_xticks(range(n_names), map(str, matrix.columns), rotation=90, fontsize=6)
            panel.set_yticks(range(n_names), map(str, matrix.index), fontsize=6)
            if panel is not pictures[0]:
                panel.set_yticklabels([])
                panel.figure.colorbar(image, ax=panel, shrink=0.8).ax.tick_params(labelsize=6)
        self.axes_ = [*columns, *pictures]
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _marginal(real: Any, synthetic: Any, distance: float) -> Marginal:
    """Return the shares of both in bins of the real range, or in the most frequent categories."""
    if is_number(real):
        numbers = [numbers_of(series, missing=np.nan) for series in (real, synthetic)]
        if real.dtype.kind == "M":
            numbers = [1970 + n / _MICROSECONDS_OF_YEAR for n in numbers]
        known = np.concatenate(numbers)
        known = known[~np.isnan(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        edges = np.linspace(low, high, _N_BINS + 1)
        shares = [np.histogram(n[~np.isnan(n)], edges)[0] / max(len(n), 1) for n in numbers]
        return Marginal(None, edges, shares[0], shares[1], distance)
    first, second = (
        series.astype(object).fillna("missing").astype(str).value_counts(normalize=True)
        for series in (real, synthetic)
    )
    labels = list(first.index[:_MOST_BARS])
    shares = [np.array([share.get(label, 0.0) for label in labels]) for share in (first, second)]
    if len(first) > _MOST_BARS or not second.index.isin(labels).all():
        labels.append("others")
        shares = [np.append(share, max(1 - share.sum(), 0.0)) for share in shares]
    return Marginal(labels, None, shares[0], shares[1], distance)


def _draw_marginal(panel: Any, marginal: Marginal, bar_kwargs: dict[str, Any]) -> None:
    both = ((marginal.real, FIRST, "real"), (marginal.synthetic, SECOND, "synthetic"))
    if marginal.edges is not None:
        for share, color, label in both:
            options = {"color": color, "label": label, **bar_kwargs}
            panel.stairs(share, marginal.edges, fill=color == FIRST, alpha=0.7, **options)
        return
    positions = np.arange(len(marginal.real))
    for shift, (share, color, label) in zip((-0.2, 0.2), both, strict=True):
        options = {"color": color, "label": label, "alpha": 0.7, **bar_kwargs}
        panel.bar(positions + shift, share, width=0.4, **options)
    panel.set_xticks(positions, [label[:14] for label in marginal.labels or []], rotation=90)
