"""Comparison of synthetic tables with real tables."""

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

# Maximum number of rows of each table in the search for nearest neighbours.
_MAX_NEIGHBOR_ROWS = 5_000


def compare_tables(
    tables: Mapping[str, DataFrame],
    train: DataFrame,
    test: DataFrame,
    *,
    target: Any,
    random_state: Any = None,
) -> DataFrame:
    """Compare synthetic tables with the real table used for training.

    The metrics measure the use of the synthetic rows for training predictive models, the similarity
    of the distributions, and the novelty of the rows.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Synthetic tables by name, with the columns of `train`. Add ``{"real": train}`` as a
        reference for the predictive scores.
    train : DataFrame of shape (n_samples, n_columns)
        Real rows used to fit the generators of the synthetic tables.
    test : DataFrame of shape (n_test, n_columns)
        Real rows held out from the generators.
    target : str
        Name of the column to predict from the other columns.
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
            Mean of the three predictive scores, ``1 - column_distance``, ``1 - association_error``
            and ``1 - 2 * |closer_to_training - 0.5|`` (higher is better).

    Raises
    ------
    ValueError
        If the columns of a table differ from the columns of `train`, or if `target` is not a
        column.

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
                f"All tables must have the columns of train, {list(train.columns)}; table {name!r} "
                f"has {list(table.columns)}."
            )
    if target not in train.columns:
        raise ValueError(f"target must be a column of train, {list(train)}; got {target!r}.")
    seed = draw_seed(local_random_state(random_state))
    real = associations(train)
    rows = {}
    for name, table in tables.items():
        row = _predictive_scores(table[train.columns], train, test, target, seed)
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
    """Compute the distance between the real and the synthetic distribution of each column.

    For numbers, datetimes and durations, the distance is the Kolmogorov-Smirnov statistic, the
    largest difference between the distribution functions, with missing values below all other
    values. For all other columns, the distance is the total variation, half the sum of the absolute
    differences between the frequencies, with missing values as an additional category.

    Parameters
    ----------
    real, synthetic : DataFrame
        Tables with the same columns. The numbers of rows may differ.

    Returns
    -------
    distances : Series of shape (n_columns,)
        Distance for each column of `real`, in [0, 1]. Equal distributions have distance 0.

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
        if is_numeric(real[name]):
            a, b = (to_float(table[name], missing=-np.inf) for table in (real, synthetic))
            distances[name] = _kolmogorov_smirnov(a, b)
        else:
            a, b = (
                _categories(table[name]).value_counts(normalize=True) for table in (real, synthetic)
            )
            distances[name] = 0.5 * float(a.sub(b, fill_value=0).abs().sum())
    return pd.Series(distances, dtype=float)


def associations(table: DataFrame) -> DataFrame:
    """Compute the strength of association of each pair of columns.

    The association is

    - for two numeric columns, the absolute value of Spearman's rank correlation;
    - for two categorical columns, Cramer's V [1]_;
    - for a numeric and a categorical column, the correlation ratio of the ranks: the square root of
      the fraction of the variance of the ranks explained by the categories.

    Datetimes and durations count as numeric columns. Rows with a missing number are ignored.
    Missing values of a categorical column form an additional category.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        Table with columns of any type.

    Returns
    -------
    associations : DataFrame of shape (n_columns, n_columns)
        Symmetric matrix of associations in [0, 1], with ones on the diagonal. The association with
        a constant column is 0.

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

    names = list(table.columns)
    numeric = [is_numeric(table[name]) for name in names]
    columns = [
        to_float(table[name], missing=np.nan)
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
    """Return the largest difference between the distribution functions of two samples.

    `scipy.stats.ks_2samp` is slower and may warn, because the function also computes a p-value.
    """
    values = np.union1d(a, b)
    cdfs = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    return float(np.abs(cdfs[0] - cdfs[1]).max())


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
    """Return the mean absolute difference over pairs of columns."""
    differences = (first - second).to_numpy()[np.tril_indices(len(first), -1)]
    return float(np.abs(differences).mean()) if len(differences) else 0.0


def _predictive_scores(
    table: DataFrame, train: DataFrame, test: DataFrame, target: Any, seed: int
) -> dict[str, float]:
    """Return the scores on `test` of models fitted to `table`."""
    known, known_test = table[table[target].notna()], test[test[target].notna()]
    features = [name for name in train.columns if name != target]
    if is_numeric(train[target]):
        y, y_test = (to_float(t[target], missing=np.nan) for t in (known, known_test))
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
    encoder = _make_encoder(train[features]).fit(_simplify(train[features]))
    X, X_test = (encoder.transform(_simplify(t[features])) for t in (known, known_test))
    scores = {}
    for name, model in models.items():
        predicted = model.fit(X, y).predict(X_test)
        if is_classifier(model):
            scores[name] = float(f1_score(y_test, predicted, average="macro"))
        else:
            scores[name] = float(r2_score(y_test, predicted))
    return scores


def _closer_to_training(table: DataFrame, train: DataFrame, test: DataFrame, seed: int) -> float:
    """Return the fraction of rows with the nearest neighbour in `train`; ties count half."""
    encoder = _make_encoder(train).fit(_simplify(train))
    n = min(len(train), len(test), _MAX_NEIGHBOR_ROWS)
    subsets = [t.sample(min(n, len(t)), random_state=seed) for t in (table, train, test)]
    rows, train_rows, test_rows = (encoder.transform(_simplify(t)) for t in subsets)
    train_distances, test_distances = (
        NearestNeighbors(n_neighbors=1).fit(real_rows).kneighbors(rows)[0][:, 0]
        for real_rows in (train_rows, test_rows)
    )
    is_closer, is_tie = train_distances < test_distances, train_distances == test_distances
    return float(np.mean(is_closer) + 0.5 * np.mean(is_tie))


def _make_encoder(table: DataFrame) -> Any:
    """Return a transformer that standardises numbers and one-hot encodes categories."""
    numeric = [name for name in table.columns if is_numeric(table[name])]
    other = [name for name in table.columns if name not in numeric]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numeric),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), other),
    )


def _simplify(table: DataFrame) -> DataFrame:
    """Convert numeric columns to float64 and all other columns to strings."""
    import pandas as pd

    columns = [
        pd.Series(to_float(column, missing=np.nan)) if is_numeric(column) else _categories(column)
        for _, column in table.reset_index(drop=True).items()
    ]
    return pd.concat(columns, axis=1).set_axis(table.columns, axis=1)


def is_numeric(column: Series) -> bool:
    """Return whether a column holds numbers, datetimes or durations."""
    return column.dtype.kind in "iufmM"


def to_float(column: Series, *, missing: float) -> np.ndarray:
    """Return values as float64, with times in microseconds and missing values as `missing`."""
    from ..columns import infer_units

    units = infer_units(column)
    numbers = units.numbers(column) * units.size
    return np.where(np.isnan(numbers), missing, numbers)


def _categories(column: Series) -> Series:
    """Return values as strings with the prefix "=", and missing values as the empty string."""
    return column.astype(object).map(lambda value: f"={value}", na_action="ignore").fillna("")
