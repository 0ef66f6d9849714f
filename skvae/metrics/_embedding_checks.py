"""Checks of the arguments of `compare_embeddings`, before any method is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_array, column_or_1d

from ..utils import import_optional

# Metrics computed from the values of X.
_METRICS_OF_X = ("trustworthiness", "reconstruction_error")


def check_embedders(embedders: Any) -> None:
    """Raise an error if `embedders` is not a dictionary of methods."""
    if not isinstance(embedders, Mapping):
        raise TypeError(
            "embedders must be a dict of estimators by name, such as {'PCA': PCA(2)}; got "
            f"{type(embedders).__name__}."
        )
    if not embedders:
        raise ValueError("embedders must contain at least one estimator; got an empty dict.")
    for name, embedder in embedders.items():
        if not hasattr(embedder, "transform") and not hasattr(embedder, "fit_transform"):
            raise TypeError(
                f"Each embedder must have transform or fit_transform; {name!r} is {embedder!r}, "
                "which has neither."
            )


def check_rows(X: Any, name: str) -> None:
    """Raise an error if X is sparse, masked, not two-dimensional or empty."""
    if issparse(X):
        raise TypeError(
            "compare_embeddings requires dense data; convert sparse data with X.toarray()."
        )
    if np.ma.is_masked(X):
        raise ValueError(
            f"{name} is a masked array with missing values: drop the rows with missing values."
        )
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must have shape (n_samples, n_features); got {shape}.")


def check_classes(y: Any, name: str) -> np.ndarray | None:
    """Return classes as an array, (n_samples,), or None, without missing values."""
    if y is None:
        return None
    if np.ma.is_masked(y):
        raise ValueError(f"{name} is a masked array with missing classes: drop these rows.")
    classes = column_or_1d(y)
    is_missing = import_optional("pandas", "compare_embeddings").isna(classes)
    if is_missing.any():
        raise ValueError(
            f"{name} has a missing class in row {is_missing.argmax()}. Drop the rows without a "
            "class, or give them a class of their own."
        )
    if type_of_target(classes) not in ("binary", "multiclass"):
        raise ValueError(f"{name} must consist of classes, not of real numbers or objects.")
    return classes


def check_metrics(metrics: Sequence[str], data: Any) -> None:
    """Raise `ValueError` if the data do not permit a metric, with the metrics that they permit.

    Parameters
    ----------
    metrics : sequence of str
        Names of the metrics to compute.
    data : object
        Data of the comparison, with the attributes of `_Data`.
    """
    n_test, k = len(data.subset), data.n_neighbors
    if "trustworthiness" in metrics and n_test <= 2 * k:
        raise ValueError(
            f"'trustworthiness' requires more than 2 * n_neighbors held-out rows; got {n_test} "
            f"rows and n_neighbors={k}. Pass a smaller n_neighbors, more rows or other metrics."
        )
    if data.y_train is not None and "knn_accuracy" in metrics and len(data.y_train) < k:
        raise ValueError(
            f"'knn_accuracy' requires at least n_neighbors={k} training rows; got "
            f"{len(data.y_train)}. Pass a smaller n_neighbors."
        )
    if data.y_test is not None and "silhouette" in metrics:
        n_classes = len(set(data.y_test[data.subset].tolist()))
        if not 2 <= n_classes < n_test:
            raise ValueError(
                "'silhouette' requires at least two classes among the held-out rows, and fewer "
                f"classes than rows; got {n_classes} classes in {n_test} rows. Pass other metrics."
            )
    _check_numbers(metrics, data.X_test)


def _check_numbers(metrics: Sequence[str], X_test: Any) -> None:
    needed = [name for name in _METRICS_OF_X if name in metrics]
    if not needed:
        return
    try:
        check_array(X_test)
    except (TypeError, ValueError) as error:
        named = " and ".join(map(repr, needed))
        raise ValueError(
            f"{named} require finite numbers in all columns{_place(X_test)}. Pass other metrics, "
            f"such as metrics=['knn_accuracy']. The error was: {error}"
        ) from error


def _place(X: Any) -> str:
    """Return the first column without finite numbers, as a part of a sentence."""
    n_columns = X.shape[1] if hasattr(X, "shape") else np.shape(X)[1]
    names = list(getattr(X, "columns", range(n_columns)))
    for j, name in enumerate(names):
        column = _safe_indexing(X, [j], axis=1) if hasattr(X, "shape") else np.asarray(X)[:, [j]]
        try:
            check_array(column)
        except (TypeError, ValueError):
            return f", unlike column {name!r}"
    return ""
