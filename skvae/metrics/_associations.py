"""Strength of association of pairs of columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from pandas import DataFrame


def associations(table: DataFrame) -> DataFrame:
    """Compute the strength of association of each pair of columns.

    The association is

    - for two numeric columns, the absolute value of Spearman's rank correlation;
    - for two categorical columns, Cramer's V [1]_;
    - for a numeric and a categorical column, the correlation ratio of the ranks: the square root of
      the fraction of the variance of the ranks explained by the categories.

    Datetimes and durations count as numeric columns. Rows with a missing number are ignored.
    Missing values of a categorical column form an additional category. Memory grows with the number
    of rows, not with the number of pairs of categories.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        Table with columns of any type.

    Returns
    -------
    associations : DataFrame of shape (n_columns, n_columns)
        Symmetric matrix of associations in [0, 1], with ones on the diagonal. The association with
        a constant column is 0.

    Raises
    ------
    TypeError
        If `table` is not a data frame, or a column holds complex numbers.
    ValueError
        If the table has no rows or columns, columns of the same name, infinite values, or integers
        that float64 cannot represent exactly.

    References
    ----------
    .. [1] H. Cramer, "Mathematical methods of statistics", Princeton University Press, 1946.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.metrics import associations
    >>> table = pd.DataFrame({"size": [1, 2, 3, 4], "kind": ["a", "a", "b", "b"]})
    >>> associations(table).round(2).to_numpy().tolist()
    [[1.0, 0.89], [0.89, 1.0]]
    """
    import pandas as pd

    from ._frames import TableReader

    reader = TableReader(table, "table")
    matrix = association_matrix(reader.read(table, "table"), reader.is_numeric)
    return pd.DataFrame(matrix, index=reader.names, columns=reader.names)


def association_matrix(columns: Sequence[np.ndarray], is_numeric: Sequence[bool]) -> np.ndarray:
    """Return the associations of columns, (n_columns, n_columns).

    Parameters
    ----------
    columns : sequence of ndarray of shape (n_samples,)
        Numbers with NaN for missing values, or text of categories.
    is_numeric : sequence of bool
        Whether each column has numbers.
    """
    import pandas as pd

    columns = [
        values if numeric else pd.factorize(values)[0]
        for values, numeric in zip(columns, is_numeric, strict=True)
    ]
    matrix = np.eye(len(columns))
    for i, j in combinations(range(len(columns)), 2):
        if is_numeric[i] and is_numeric[j]:
            value = _correlation(columns[i], columns[j])
        elif is_numeric[i] or is_numeric[j]:
            number, category = (i, j) if is_numeric[i] else (j, i)
            value = _correlation_ratio(columns[number], columns[category])
        else:
            value = _cramers_v(columns[i], columns[j])
        matrix[i, j] = matrix[j, i] = value
    return matrix


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    both = ~(np.isnan(a) | np.isnan(b))
    if _is_constant(a[both]) or _is_constant(b[both]):
        return 0.0
    return abs(float(stats.spearmanr(a[both], b[both]).statistic))


def _is_constant(numbers: np.ndarray) -> bool:
    return len(numbers) == 0 or bool(numbers.min() == numbers.max())


def _correlation_ratio(number: np.ndarray, category: np.ndarray) -> float:
    known = ~np.isnan(number)
    if _is_constant(number[known]):
        return 0.0
    ranks, group = stats.rankdata(number[known]), category[known]
    sizes = np.bincount(group)
    means = np.bincount(group, ranks) / np.maximum(sizes, 1)
    between = (sizes * np.square(means - ranks.mean())).sum() / len(ranks)
    return float(np.sqrt(min(between / ranks.var(), 1.0)))


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Return Cramer's V of two columns of category numbers from 0.

    The chi-square statistic sums (O - E)^2 / E over the pairs of categories, where O and E are the
    observed and the expected number of rows. Only the pairs that occur are stored: any other pair
    has O = 0 and adds E. The sum of these E is an integer divided by the number of rows.
    """
    n_rows = len(a)
    a_counts, b_counts = np.bincount(a), np.bincount(b)
    n_levels = min(len(a_counts), len(b_counts))
    if n_levels < 2:
        return 0.0
    pairs, observed = np.unique(a.astype(np.int64) * len(b_counts) + b, return_counts=True)
    a_pairs, b_pairs = a_counts[pairs // len(b_counts)], b_counts[pairs % len(b_counts)]
    products = a_pairs * b_pairs  # E * n_rows
    chi2 = float(((n_rows * observed - products) ** 2.0 / products).sum()) / n_rows
    chi2 += float(n_rows**2 - products.sum()) / n_rows
    return float(np.sqrt(min(chi2 / n_rows / (n_levels - 1), 1.0)))
