"""Usefulness and novelty of synthetic rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
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

if TYPE_CHECKING:
    from pandas import DataFrame

# Maximum number of rows of each table in the search for nearest neighbours.
_MAX_NEIGHBOR_ROWS = 5_000
# Maximum number of one-hot columns of a categorical column, and numbers of all one-hot columns of a
# table (1 GiB).
_MAX_CATEGORIES = 255
_MAX_ONE_HOT_SIZE = 2**27


def predictive_scores(
    table: Sequence[np.ndarray],
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    is_numeric: Sequence[bool],
    target: int,
    seed: int,
) -> dict[str, float]:
    """Return the scores on `test` of models fitted to `table`.

    Parameters
    ----------
    table, train, test : sequence of ndarray of shape (n,)
        Columns of the tables, as returned by `TableReader.read`.
    is_numeric : sequence of bool
        Whether each column is numeric.
    target : int
        Index of the column to predict.
    seed : int
        Seed of the models.
    """
    known, known_test = (_with_known_target(t, target) for t in (table, test))
    y, y_test = known[target], known_test[target]
    if not is_numeric[target]:
        y, y_test = y.astype(str), y_test.astype(str)
    encoder = _fit_encoder(train, is_numeric, n_rows=max(len(y), len(y_test)), without=target)
    X, X_test = (encoder.transform(_to_frame(t, is_numeric)) for t in (known, known_test))
    scores = {}
    for name, model in _models(y, is_numeric[target], seed).items():
        predicted = model.fit(X, y).predict(X_test)
        if is_classifier(model):
            scores[name] = float(f1_score(y_test, predicted, average="macro"))
        else:
            scores[name] = float(r2_score(y_test, predicted))
    return scores


def _with_known_target(columns: Sequence[np.ndarray], target: int) -> list[np.ndarray]:
    known = ~missing_mask(columns[target])
    return [values[known] for values in columns]


def missing_mask(values: np.ndarray) -> np.ndarray:
    """Return whether each number or category is missing."""
    return np.isnan(values) if values.dtype.kind == "f" else values == ""


def _models(y: np.ndarray, is_numeric: bool, seed: int) -> dict[str, Any]:
    if is_numeric:
        return {
            "linear": Ridge(),
            "forest": RandomForestRegressor(random_state=seed),
            "boosting": HistGradientBoostingRegressor(random_state=seed),
        }
    sizes = np.unique(y, return_counts=True)[1]
    if len(sizes) < 2:
        return dict.fromkeys(("linear", "forest", "boosting"), DummyClassifier())
    # Early stopping holds out a tenth of the rows, with rows of every class on both sides.
    can_hold_out = sizes.min() > 1 and len(sizes) <= len(y) // 10
    return {
        "linear": LogisticRegression(max_iter=1000),
        "forest": RandomForestClassifier(random_state=seed),
        "boosting": HistGradientBoostingClassifier(
            early_stopping="auto" if can_hold_out else False, random_state=seed
        ),
    }


def closer_to_training(
    table: Sequence[np.ndarray],
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    is_numeric: Sequence[bool],
    seed: int,
) -> float:
    """Return the fraction of rows with the nearest neighbour in `train`; ties count half.

    The parameters are those of `predictive_scores`.
    """
    n = min(len(train[0]), len(test[0]), _MAX_NEIGHBOR_ROWS)
    encoder = _fit_encoder(train, is_numeric, n_rows=n)
    subsets = [
        frame.sample(min(n, len(frame)), random_state=seed)
        for frame in (_to_frame(t, is_numeric) for t in (table, train, test))
    ]
    rows, train_rows, test_rows = (encoder.transform(subset) for subset in subsets)
    train_distances, test_distances = (
        NearestNeighbors(n_neighbors=1).fit(real_rows).kneighbors(rows)[0][:, 0]
        for real_rows in (train_rows, test_rows)
    )
    is_closer, is_tie = train_distances < test_distances, train_distances == test_distances
    return float(np.mean(is_closer) + 0.5 * np.mean(is_tie))


def _fit_encoder(
    train: Sequence[np.ndarray],
    is_numeric: Sequence[bool],
    *,
    n_rows: int,
    without: int | None = None,
) -> Any:
    """Return a fitted transformer that standardises numbers and one-hot encodes categories."""
    features = [j for j in range(len(train)) if j != without]
    numbers = [str(j) for j in features if is_numeric[j]]
    categories = [str(j) for j in features if not is_numeric[j]]
    frame = _to_frame(train, is_numeric)
    return make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
            ),
            numbers,
        ),
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
                max_categories=_max_categories(frame[categories].nunique(), n_rows),
            ),
            categories,
        ),
    ).fit(frame)


def _max_categories(n_categories: Any, n_rows: int) -> int:
    """Return how many one-hot columns a categorical column may have.

    The most frequent categories have one-hot columns of their own, and all other categories share
    one. Otherwise, a dense array of rows times categories might not fit in memory.
    """
    limit = _MAX_CATEGORIES
    while limit > 2 and n_rows * np.minimum(n_categories, limit).sum() > _MAX_ONE_HOT_SIZE:
        limit //= 2
    return limit


def _to_frame(columns: Sequence[np.ndarray], is_numeric: Sequence[bool]) -> DataFrame:
    """Return columns as a data frame with the names "0", "1", ..."""
    import pandas as pd

    return pd.DataFrame({str(j): values for j, values in enumerate(columns)}, copy=False)
