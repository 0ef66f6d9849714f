"""What synthetic tables are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, r2_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..utils import draw_seed, local_random_state

if TYPE_CHECKING:
    from pandas import DataFrame, Series

# Nearest neighbours are looked for from so many rows, among as many of each kind.
_MOST_ROWS_NEAR = 5_000


def compare_tables(
    tables: Mapping[str, DataFrame],
    train: DataFrame,
    test: DataFrame,
    *,
    target: Any,
    random_state: Any = None,
) -> DataFrame:
    """Compare synthetic tables with the rows they stand for.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Synthetic rows by name, with the columns of `train`. ``{"real": train}`` among them shows
        what can be had at best.
    train : DataFrame of shape (n_samples, n_columns)
        The rows that the tables were made from.
    test : DataFrame of shape (n_test, n_columns)
        Rows that took no part in that.
    target : str
        Name of the column that is predicted from the others.
    random_state : int, RandomState instance or None, default=None
        Determines random forests, gradient boosting, and the rows whose neighbours are looked for.

    Returns
    -------
    comparison : DataFrame
        One row for each table, with these columns:

        "linear", "forest", "boosting"
            How well a model learned from the table predicts the target of `test`: macro-averaged
            F1 of a logistic regression, a random forest and gradient boosted trees; for a target
            that is a number, R^2 of their regressing kin.
        "column_distance"
            Mean of `column_distances` to `train`: 0 at best.
        "association_error"
            Mean over pairs of columns of how far `associations` are from those of `train`: 0 at
            best.
        "closer_to_training"
            Fraction of rows that are closer to a row of `train` than to any of as many of `test`.
            0.5 is what new rows have, and 1 what copies have.
        "mean"
            Of the three predictions, ``1 - column_distance``, ``1 - association_error`` and
            ``1 - 2 * |closer_to_training - 0.5|``.

    Raises
    ------
    ValueError
        If a table has other columns than `train`, or if there is no column `target`.

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

    for name, table in {**tables, "test": test}.items():
        if set(table.columns) != set(train.columns):
            raise ValueError(
                f"Table {name!r} has columns {list(table.columns)}, but train has "
                f"{list(train.columns)}."
            )
    if target not in train.columns:
        raise ValueError(f"There is no column {target!r} to predict; there are {list(train)}.")
    seed = draw_seed(local_random_state(random_state))
    real = associations(train)
    rows = {}
    for name, table in tables.items():
        row = _predictions(table[train.columns], train, test, target, seed)
        distance = float(column_distances(train, table).mean())
        error = _mean_difference(real, associations(table[train.columns]))
        closer = _closer_to_training(table[train.columns], train, test, seed)
        parts = [*row.values(), 1 - distance, 1 - error, 1 - 2 * abs(closer - 0.5)]
        rows[name] = row | {
            "column_distance": distance,
            "association_error": error,
            "closer_to_training": closer,
            "mean": float(np.mean(parts)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def column_distances(real: DataFrame, synthetic: DataFrame) -> Series:
    """Return how far the distribution of each column is from the real one.

    For numbers, points in time and durations, the largest difference of distribution functions
    (Kolmogorov and Smirnov's), with missing values below all others. For all else, half the sum of
    the differences of frequencies (total variation), with missing values as one more category.

    Parameters
    ----------
    real, synthetic : DataFrame
        The same columns, any number of rows.

    Returns
    -------
    distances : Series of shape (n_columns,)
        In [0, 1]: 0 for equal distributions.

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

    distances = {}
    for name in real.columns:
        if is_number(real[name]):
            a, b = (numbers_of(table[name], missing=-np.inf) for table in (real, synthetic))
            distances[name] = _kolmogorov_smirnov(a, b)
        else:
            a, b = (
                _categories(table[name]).value_counts(normalize=True) for table in (real, synthetic)
            )
            distances[name] = 0.5 * float(a.sub(b, fill_value=0).abs().sum())
    return pd.Series(distances, dtype=float)


def associations(table: DataFrame) -> DataFrame:
    """Return how strongly each pair of columns goes together.

    The size of Spearman's correlation for two columns of numbers, Cramer's V for two of categories,
    and for one of each the correlation ratio of the ranks: the root of the share of their variance
    that categories explain. Rows in which the number is missing are left out; a missing category is
    one more category.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)

    Returns
    -------
    associations : DataFrame of shape (n_columns, n_columns)
        Symmetric, in [0, 1], with ones on the diagonal. A column without variance has none.

    References
    ----------
    Cramer, "Mathematical methods of statistics", Princeton, 1946.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.metrics import associations
    >>> table = pd.DataFrame({"size": [1, 2, 3, 4], "kind": ["a", "a", "b", "b"]})
    >>> associations(table).round(2).to_numpy().tolist()
    [[1.0, 0.89], [0.89, 1.0]]
    """
    import pandas as pd

    names = list(table.columns)
    numeric = [is_number(table[name]) for name in names]
    columns = [
        numbers_of(table[name], missing=np.nan)
        if is_number
        else pd.factorize(_categories(table[name]))[0]
        for name, is_number in zip(names, numeric, strict=True)
    ]
    matrix = np.eye(len(names))
    for i, j in combinations(range(len(names)), 2):
        if numeric[i] and numeric[j]:
            value = _correlation(columns[i], columns[j])
        elif numeric[i] or numeric[j]:
            number, category = (i, j) if numeric[i] else (j, i)
            value = _correlation_ratio(columns[number], columns[category])
        else:
            value = _cramers_v(columns[i], columns[j])
        matrix[i, j] = matrix[j, i] = value
    return pd.DataFrame(matrix, index=names, columns=names)


def _kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference of distribution functions.

    `scipy.stats.ks_2samp` would work out a p-value too, which takes longer, or warns.
    """
    values = np.union1d(a, b)
    shares = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2 or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
        return 0.0
    return abs(float(stats.spearmanr(a[both], b[both]).statistic))


def _correlation_ratio(number: np.ndarray, category: np.ndarray) -> float:
    known = ~np.isnan(number)
    if not known.any() or np.ptp(number[known]) == 0:
        return 0.0
    ranks, group = stats.rankdata(number[known]), category[known]
    sizes = np.bincount(group)
    means = np.bincount(group, ranks) / np.maximum(sizes, 1)
    between = (sizes * np.square(means - ranks.mean())).sum() / len(ranks)
    return float(np.sqrt(min(between / ranks.var(), 1.0)))


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    counts = stats.contingency.crosstab(a, b).count
    if min(counts.shape) < 2:
        return 0.0
    return float(stats.contingency.association(counts, method="cramer"))


def _mean_difference(first: DataFrame, second: DataFrame) -> float:
    """Return the mean size of the difference over pairs of columns."""
    below = (first - second).to_numpy()[np.tril_indices(len(first), -1)]
    return float(np.abs(below).mean()) if len(below) else 0.0


def _predictions(
    table: DataFrame, train: DataFrame, test: DataFrame, target: Any, seed: int
) -> dict[str, float]:
    """Return how well models learned from the table predict the target of other rows."""
    known, known_test = table[table[target].notna()], test[test[target].notna()]
    features = [name for name in train.columns if name != target]
    if is_number(train[target]):
        y, y_test = (numbers_of(t[target], missing=np.nan) for t in (known, known_test))
        models: dict[str, Any] = {
            "linear": Ridge(),
            "forest": RandomForestRegressor(random_state=seed),
            "boosting": HistGradientBoostingRegressor(random_state=seed),
        }
    else:
        y, y_test = (t[target].astype(str).to_numpy() for t in (known, known_test))
        models = {
            "linear": LogisticRegression(max_iter=1000),
            "forest": RandomForestClassifier(random_state=seed),
            "boosting": HistGradientBoostingClassifier(random_state=seed),
        }
        if len(np.unique(y)) < 2:
            models = dict.fromkeys(models, DummyClassifier())
    encoder = _encoder(train[features]).fit(_plain(train[features]))
    X, X_test = (encoder.transform(_plain(t[features])) for t in (known, known_test))
    scores = {}
    for name, model in models.items():
        predicted = model.fit(X, y).predict(X_test)
        if is_classifier(model):
            scores[name] = float(f1_score(y_test, predicted, average="macro"))
        else:
            scores[name] = float(r2_score(y_test, predicted))
    return scores


def _closer_to_training(table: DataFrame, train: DataFrame, test: DataFrame, seed: int) -> float:
    """Return the share of rows with their nearest neighbour in `train`, ties counting half."""
    encoder = _encoder(train).fit(_plain(train))
    n = min(len(train), len(test), _MOST_ROWS_NEAR)
    some = [t.sample(min(n, len(t)), random_state=seed) for t in (table, train, test)]
    rows, of_train, of_test = (encoder.transform(_plain(t)) for t in some)
    near_train, near_test = (
        NearestNeighbors(n_neighbors=1).fit(known).kneighbors(rows)[0][:, 0]
        for known in (of_train, of_test)
    )
    return float(np.mean(near_train < near_test) + 0.5 * np.mean(near_train == near_test))


def _encoder(table: DataFrame) -> Any:
    """Return what makes numbers of a table: standardised ones, and indicators of categories."""
    numeric = [name for name in table.columns if is_number(table[name])]
    other = [name for name in table.columns if name not in numeric]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numeric),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), other),
    )


def _plain(table: DataFrame) -> DataFrame:
    """Return the table with numbers in float64 and all else as strings."""
    import pandas as pd

    columns = [
        pd.Series(numbers_of(column, missing=np.nan)) if is_number(column) else _categories(column)
        for _, column in table.reset_index(drop=True).items()
    ]
    return pd.concat(columns, axis=1).set_axis(table.columns, axis=1)


def is_number(column: Series) -> bool:
    """Return whether values are numbers, points in time or durations."""
    return column.dtype.kind in "iufmM"


def numbers_of(column: Series, *, missing: float) -> np.ndarray:
    """Return values in float64, times in microseconds, and `missing` for missing ones."""
    from ..columns import infer_units

    units = infer_units(column)
    numbers = units.numbers(column) * units.size
    return np.where(np.isnan(numbers), missing, numbers)


def _categories(column: Series) -> Series:
    """Return values as strings, and missing ones as one that no value is."""
    return column.astype(object).map(lambda value: f"={value}", na_action="ignore").fillna("")
