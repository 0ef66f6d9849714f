"""Comparison plot of a synthetic and a real table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..metrics._associations import association_matrix
from ..metrics._tables import distances
from ..utils import import_optional
from ._axes import new_axes, split_axes
from ._colors import PRIMARY_COLOR, SECONDARY_COLOR
from ._tables import panel_grid, panel_grid_size

_MAX_BARS = 8
_N_BINS = 30
_MAX_COLUMNS = 20
_MAX_NAME_LENGTH = 24
_MICROSECONDS_PER_DAY = 86_400_000_000
_DAYS_PER_YEAR = 365.2425


@dataclass(frozen=True)
class Marginal:
    """Distributions of a column in a real and a synthetic table.

    Parameters
    ----------
    labels : list of str or None
        Names of the categories, in order of decreasing frequency. None for numeric columns.
    edges : ndarray of shape (n_bins + 1,) or None
        Edges of the bins of a numeric column: in years for datetimes, in days for durations and
        in hours for times of day.
        None for categories.
    real, synthetic : ndarray of shape (n_bins,)
        Fraction of the rows in each bin or category.
    distance : float
        Distance of the distributions, see `skvae.metrics.column_distances`.
    """

    labels: list[str] | None
    edges: np.ndarray | None
    real: np.ndarray
    synthetic: np.ndarray
    distance: float


class SyntheticTableDisplay:
    """Comparison of a synthetic table with a real table.

    The plot shows the marginal distribution of each column, and the associations between columns.
    Create a display with `from_tables`. The constructor takes the data to draw.

    Parameters
    ----------
    marginals : dict of str to Marginal
        Marginal distributions by the name of the column.
    real_associations, synthetic_associations : DataFrame of shape (n_columns, n_columns)
        Associations between the columns, as returned by `skvae.metrics.associations`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot, split into panels and emptied.
    axes_ : list of matplotlib Axes
        Axes of the panel of each column, followed by the axes of the real associations, the
        synthetic associations and the difference.
    figure_ : matplotlib Figure
        Figure of the plot.

    See Also
    --------
    skvae.metrics.compare_tables : Comparison of tables by metrics.

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
        """Compare two tables and plot the comparison.

        Parameters
        ----------
        real : DataFrame
            Real table, with at most twenty columns. The dtypes of this table decide which columns
            are numeric and which are categorical.
        synthetic : DataFrame
            Synthetic table with the same columns. The number of rows and the dtypes may differ.
        ax : matplotlib Axes, default=None
            Axes to split into panels. By default, a new figure is created.
        **plot_options : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display : SyntheticTableDisplay
            Object that stores the data and the axes.

        Raises
        ------
        TypeError
            If a table is not a data frame.
        ValueError
            If the tables differ in the columns, have more than twenty columns or no rows, or if a
            value cannot be read as a value of the real column.
        """
        import_optional("pandas", "SyntheticTableDisplay")
        from ..metrics._frames import TableReader

        reader = TableReader(real, "real")
        if len(reader.names) > _MAX_COLUMNS:
            raise ValueError(
                f"The tables must have at most {_MAX_COLUMNS} columns; got {len(reader.names)}. "
                "Select a subset of the columns."
            )
        tables = reader.read(real, "real"), reader.read(synthetic, "synthetic")
        marginals = map(_marginal, reader.columns, *tables, distances(*tables, reader.is_numeric))
        matrices = [
            _label(association_matrix(table, reader.is_numeric), reader.names) for table in tables
        ]
        display = cls(
            marginals=dict(zip(_unique_names(reader.names), marginals, strict=True)),
            real_associations=matrices[0],
            synthetic_associations=matrices[1],
        )
        return display.plot(ax, **plot_options)

    def plot(
        self,
        ax: Any = None,
        *,
        bar_kwargs: dict[str, Any] | None = None,
        imshow_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot a panel for each column and three panels for the associations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to split into panels. By default, a new figure is created.
        bar_kwargs : dict, default=None
            Keyword arguments for ``ax.bar`` and ``ax.stairs``, overriding the defaults.
        imshow_kwargs : dict, default=None
            Keyword arguments for ``ax.imshow``, overriding the defaults.

        Returns
        -------
        display : SyntheticTableDisplay
            Object that stores the data and the axes.
        """
        width, height = panel_grid_size(len(self.marginals))
        width = max(width, 9.0)
        n_names = len(self.real_associations)
        matrix_height = max(3.0, 1.6 + 0.14 * n_names)
        if ax is None:
            ax = new_axes((width, height + matrix_height))
        upper, lower = split_axes(ax, 2, 1, height_ratios=[height, matrix_height])[:, 0]
        columns = list(panel_grid(upper, len(self.marginals)))
        for panel, (name, marginal) in zip(columns, self.marginals.items(), strict=True):
            _draw_marginal(panel, marginal, bar_kwargs or {})
            title = f"{_shorten(name)}  ({marginal.distance:.3f})"
            panel.set_title(title, fontsize=8, parse_math=False)
            panel.tick_params(labelsize=6)
            panel.xaxis.get_offset_text().set_fontsize(6)
            panel.set_yticks([])
        columns[0].set_ylabel("fraction of rows", fontsize=8)
        columns[0].legend(fontsize=7)
        matrices = list(split_axes(lower, 1, 3)[0])
        names = [_shorten(name) for name in self.real_associations]
        difference = self.synthetic_associations - self.real_associations
        sequential = {"cmap": "viridis", "vmin": 0, "vmax": 1}
        diverging = {"cmap": "coolwarm", "vmin": -0.5, "vmax": 0.5}
        for panel, title, matrix, options in (
            (matrices[0], "real associations", self.real_associations, sequential),
            (matrices[1], "synthetic", self.synthetic_associations, sequential),
            (matrices[2], "difference", difference, diverging),
        ):
            image = panel.imshow(matrix.to_numpy(), **{**options, **(imshow_kwargs or {})})
            panel.set_title(title, fontsize=9)
            text = {"fontsize": 6, "parse_math": False}  # "$" is no formula
            panel.set_xticks(range(n_names), names, rotation=90, **text)
            panel.set_yticks(range(n_names), names, **text)
            if panel is not matrices[0]:
                panel.set_yticklabels([])
                panel.figure.colorbar(image, ax=panel, shrink=0.8).ax.tick_params(labelsize=6)
        self.axes_ = [*columns, *matrices]
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _shorten(name: Any) -> str:
    text = str(name)
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[: _MAX_NAME_LENGTH - 3]}..."


def _unique_names(names: list[Any]) -> list[str]:
    """Return names as strings, with quotes if a number and a string look alike."""
    texts = [str(name) for name in names]
    return texts if len(set(texts)) == len(texts) else [repr(name) for name in names]


def _label(matrix: np.ndarray, names: list[Any]) -> Any:
    import pandas as pd

    return pd.DataFrame(matrix, index=names, columns=names)


def _marginal(reader: Any, real: np.ndarray, synthetic: np.ndarray, distance: float) -> Marginal:
    """Return the distributions over bins of the common range or the most frequent categories."""
    if reader.is_numeric:
        numbers = [_in_axis_units(reader, values) for values in (real, synthetic)]
        known = np.concatenate(numbers)
        known = known[~np.isnan(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, _N_BINS + 1)
        fractions = [np.histogram(n[~np.isnan(n)], edges)[0] / len(n) for n in numbers]
        return Marginal(None, edges, fractions[0], fractions[1], distance)
    import pandas as pd

    frequencies = [pd.Series(t).value_counts(normalize=True) for t in (real, synthetic)]
    shown = list(frequencies[0].index[:_MAX_BARS])
    labels = [text[1:] if text else "missing" for text in shown]
    fractions = [np.array([f.get(text, 0.0) for text in shown]) for f in frequencies]
    if any(not f.index.isin(shown).all() for f in frequencies):
        labels.append("others")
        fractions = [np.append(f, max(1 - f.sum(), 0.0)) for f in fractions]
    return Marginal(labels, None, fractions[0], fractions[1], distance)


def _in_axis_units(reader: Any, numbers: np.ndarray) -> np.ndarray:
    """Return datetimes in years, durations in days, times of day in hours, and other numbers."""
    from ..metrics._time_columns import DatetimeReader, DurationReader, TimeOfDayReader

    if isinstance(reader, DatetimeReader):
        return 1970 + numbers / (_MICROSECONDS_PER_DAY * _DAYS_PER_YEAR)
    if isinstance(reader, TimeOfDayReader):
        return 24 * numbers / _MICROSECONDS_PER_DAY
    return numbers / _MICROSECONDS_PER_DAY if isinstance(reader, DurationReader) else numbers


def _draw_marginal(panel: Any, marginal: Marginal, bar_kwargs: dict[str, Any]) -> None:
    both = (
        (marginal.real, PRIMARY_COLOR, "real"),
        (marginal.synthetic, SECONDARY_COLOR, "synthetic"),
    )
    if marginal.edges is not None:
        for fractions, color, label in both:
            options = {"color": color, "label": label, **bar_kwargs}
            panel.stairs(
                fractions, marginal.edges, fill=color == PRIMARY_COLOR, alpha=0.7, **options
            )
        panel.ticklabel_format(axis="x", useOffset=False)  # years, not differences from a year
        panel.locator_params(axis="x", nbins=3)  # few, because such labels are long
        return
    positions = np.arange(len(marginal.real))
    for shift, (fractions, color, label) in zip((-0.2, 0.2), both, strict=True):
        options = {"color": color, "label": label, "alpha": 0.7, **bar_kwargs}
        panel.bar(positions + shift, fractions, width=0.4, **options)
    labels = [label[:14] for label in marginal.labels or []]
    panel.set_xticks(positions, labels, rotation=90, parse_math=False)  # "$" is no formula
