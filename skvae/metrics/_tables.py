"""Comparison of synthetic tables with real tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils import draw_seed, local_random_state
from ._associations import association_matrix
from ._table_scores import closer_to_training, missing_mask, predictive_scores

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from ._column_values import ColumnReader


def compare_tables(
    tables: Mapping[str, DataFrame],
    train: DataFrame,
    test: DataFrame,
    *,
    target: Any = None,
    random_state: Any = None,
) -> DataFrame:
    """Compare synthetic tables with the real table used for training.

    The metrics measure the use of the synthetic rows for training predictive models, the similarity
    of the distributions, and the novelty of the rows. The dtypes of `train` decide which columns
    are numeric and which are categorical. The other tables may have other dtypes, for example after
    reading a CSV file.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Synthetic tables by name, with the columns of `train`. Add ``{"real": train}`` as a
        reference for the predictive scores.
    train : DataFrame of shape (n_samples, n_columns)
        Real rows used to fit the generators of the synthetic tables.
    test : DataFrame of shape (n_test, n_columns)
        Real rows held out from the generators.
    target : str, default=None
        Name of the column to predict from the other columns. Without a target, the comparison has
        no predictive scores.
    random_state : int, RandomState instance or None, default=None
        Controls the predictive models and the random subsets of rows for the nearest-neighbour
        search. Pass an int for reproducible results.

    Returns
    -------
    comparison : DataFrame
        Table with a row for each synthetic table, and the following columns:

        "linear", "forest", "boosting"
            Score on `test` of models fitted to the synthetic table (higher is better). For a
            categorical target, macro-averaged F1 of logistic regression, a random forest and
            gradient-boosted trees. For a numeric target, R^2 of ridge regression, a random forest
            and gradient-boosted trees.
        "column_distance"
            Mean of `column_distances` to `train` (lower is better, 0 is best).
        "association_error"
            Mean absolute difference, over pairs of columns, between the `associations` of the table
            and of `train` (lower is better, 0 is best).
        "closer_to_training"
            Fraction of rows with the nearest neighbour in `train` rather than in `test`, with the
            same number of rows from both tables. 0.5 is ideal, and 1 indicates copies of training
            rows.
        "mean"
            Mean of the predictive scores, ``1 - column_distance``, ``1 - association_error`` and
            ``1 - 2 * |closer_to_training - 0.5|`` (higher is better).

    Raises
    ------
    TypeError
        If `tables` is not a dict with strings as keys, or a table is not a data frame.
    ValueError
        If a table has no rows, columns of the same name, other columns than `train`, infinite
        values, or a value that cannot be read as a value of the column of `train`. Also if `target`
        is not a column, is constant in `train`, or has no known value in a table. The message names
        the table, the column and the row.

    Notes
    -----
    Predictive models and the nearest-neighbour search use at most 255 one-hot columns for each
    categorical column (fewer for very large tables): the most frequent categories have separate
    columns, and all other categories share a column.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import TabularVAE
    >>> from skvae.metrics import compare_tables
    >>> wine = load_wine(as_frame=True).frame.astype({"target": "category"})
    >>> train, test = wine[::2], wine[1::2]
    >>> synthetic = TabularVAE(random_state=0).fit(train).sample(500, random_state=0)
    >>> comparison = compare_tables(
    ...     {"real": train, "TabularVAE": synthetic}, train, test, target="target", random_state=0
    ... )
    >>> comparison.shape
    (2, 7)
    """
    import pandas as pd

    from ._frames import TableReader

    _check_names(tables)
    reader = TableReader(train, "train")
    index = _target_index(reader.names, target)
    values = {"train": reader.read(train, "train"), "test": reader.read(test, "test")}
    synthetic = {name: reader.read(table, f"table {name!r}") for name, table in tables.items()}
    if index is not None:
        min_test_values = 1 + reader.columns[index].is_numeric
        _check_target(values["train"][index], target, "train", min_values=2)
        _check_target(values["test"][index], target, "test", min_values=min_test_values)
        for name, columns in synthetic.items():
            _check_target(columns[index], target, f"table {name!r}", min_values=1)
    seed = draw_seed(local_random_state(random_state))
    rows = {
        name: _compare(columns, values["train"], values["test"], reader.columns, index, seed)
        for name, columns in synthetic.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _compare(
    table: list[np.ndarray],
    train: list[np.ndarray],
    test: list[np.ndarray],
    readers: list[ColumnReader],
    target: int | None,
    seed: int,
) -> dict[str, float]:
    """Return the metrics of a table, from the columns returned by `TableReader.read`."""
    is_numeric = [reader.is_numeric for reader in readers]
    row = {}
    if target is not None:
        row = predictive_scores(table, train, test, is_numeric, target, seed)
    distance = float(np.mean(distances(train, table, is_numeric)))
    error = _mean_difference(
        *(association_matrix(columns, is_numeric) for columns in (train, table))
    )
    closer = closer_to_training(table, train, test, is_numeric, seed)
    parts = [*row.values(), 1 - distance, 1 - error, 1 - 2 * abs(closer - 0.5)]
    return row | {
        "column_distance": distance,
        "association_error": error,
        "closer_to_training": closer,
        "mean": float(np.mean(parts)),
    }


def _check_names(tables: Any) -> None:
    if not isinstance(tables, Mapping):
        raise TypeError(
            "tables must be a dict of data frames by name, such as {'synthetic': table}; got "
            f"{type(tables).__name__}."
        )
    if not tables:
        raise ValueError("tables must contain at least one table; got an empty dict.")
    for name in tables:
        if not isinstance(name, str):
            raise TypeError(f"The names of tables must be strings; got {name!r}.")


def _target_index(names: list[Any], target: Any) -> int | None:
    if len(names) < 2:
        raise ValueError(f"train must have at least two columns; got only {names[0]!r}.")
    if target is None and None not in names:
        return None
    if target not in names:
        raise ValueError(f"target must be a column of train, {names}; got {target!r}.")
    return names.index(target)


def _check_target(values: np.ndarray, target: Any, label: str, *, min_values: int) -> None:
    """Raise `ValueError` if a target has too few different values."""
    known = values[~missing_mask(values)]
    n_values = len(np.unique(known.astype(str) if known.dtype == object else known))
    if n_values < min_values:
        problem = "is constant" if n_values else "has no known value"
        raise ValueError(
            f"The target {target!r} {problem} in {label}: choose another target or other rows."
        )


def column_distances(real: DataFrame, synthetic: DataFrame) -> Series:
    """Compute the distance between the real and the synthetic distribution of each column.

    For numbers, datetimes and durations, the distance is the Kolmogorov-Smirnov statistic, the
    largest difference between the distribution functions, with missing values below all other
    values. For all other columns, the distance is the total variation, half the sum of the absolute
    differences between the frequencies, with missing values as an additional category.

    The column of `real` decides whether a column is numeric. A column of `synthetic` with another
    dtype is converted: the integer 1, the float 1.0 and the text "1" are equal values, and so are a
    datetime and its text in the format of ISO 8601. Datetimes are compared to the microsecond, in
    the time zone of `real`.

    Parameters
    ----------
    real : DataFrame
        Real table.
    synthetic : DataFrame
        Synthetic table with the same columns. The number of rows and the dtypes may differ.

    Returns
    -------
    distances : Series of shape (n_columns,)
        Distance for each column of `real`, in [0, 1]. Equal distributions have distance 0.

    Raises
    ------
    TypeError
        If a table is not a data frame, or a column holds complex numbers.
    ValueError
        If a table has no rows, columns of the same name, other columns than `real`, infinite
        values, integers that float64 cannot represent exactly, or a value that cannot be read as a
        value of the column of `real`. The message names the table, the column and the row.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.metrics import column_distances
    >>> real = pd.DataFrame({"size": [1, 2, 3, 4], "kind": ["a", "a", "a", "b"]})
    >>> synthetic = pd.DataFrame({"size": [1, 2, 2, 2], "kind": ["a", "b", "b", "b"]})
    >>> column_distances(real, synthetic).to_dict()
    {'size': 0.5, 'kind': 0.5}
    """
    import pandas as pd

    from ._frames import TableReader

    reader = TableReader(real, "real")
    tables = reader.read(real, "real"), reader.read(synthetic, "synthetic")
    return pd.Series(distances(*tables, reader.is_numeric), index=reader.names, dtype=float)


def distances(
    real: Sequence[np.ndarray], synthetic: Sequence[np.ndarray], is_numeric: Sequence[bool]
) -> list[float]:
    """Return the distance of each column, from the columns returned by `TableReader.read`."""
    return [
        (_kolmogorov_smirnov if numeric else _total_variation)(a, b)
        for a, b, numeric in zip(real, synthetic, is_numeric, strict=True)
    ]


def _total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Return half the sum of the absolute differences between the frequencies."""
    import pandas as pd

    first, second = (pd.Series(values).value_counts(normalize=True) for values in (a, b))
    return 0.5 * float(first.sub(second, fill_value=0).abs().sum())


def _kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference between the distribution functions of two samples.

    `scipy.stats.ks_2samp` is slower and may warn, because the function also computes a p-value.
    """
    a, b = (np.where(np.isnan(numbers), -np.inf, numbers) for numbers in (a, b))
    values = np.union1d(a, b)
    cdfs = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(cdfs[0] - cdfs[1]).max())


def _mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference over pairs of columns."""
    return float(np.abs(first - second)[np.tril_indices(len(first), -1)].mean())
