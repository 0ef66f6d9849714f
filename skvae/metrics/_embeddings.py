"""What embeddings are compared by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.manifold import trustworthiness
from sklearn.metrics import mean_squared_error, silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import _safe_indexing, check_consistent_length, check_scalar

from ..estimators import BaseVAE
from ..utils import local_random_state

if TYPE_CHECKING:
    from pandas import DataFrame


def compare_embeddings(
    embedders: Mapping[str, Any],
    X: Any,
    y: Any = None,
    *,
    X_test: Any = None,
    y_test: Any = None,
    test_size: float | int = 0.25,
    metrics: Iterable[str] | None = None,
    n_neighbors: int = 5,
    max_rows: int = 5_000,
    random_state: Any = None,
    return_codes: bool = False,
) -> DataFrame | tuple[DataFrame, dict[str, np.ndarray], np.ndarray | None]:
    """Compare methods of dimensionality reduction on rows they have not learned from.

    Each method learns from the training rows and embeds the held-out rows with `transform`.
    One that has no `transform`, such as t-SNE, is given all rows at once with
    `fit_transform`: it embeds held-out rows it has seen, which flatters it. The column
    "out_of_sample" tells the two apart.

    Parameters
    ----------
    embedders : dict of str to estimator
        Methods by name: anything with `fit` and `transform`, or with `fit_transform` alone.
        Clones of them are fitted.
    X : array-like of shape (n_samples, n_features)
        Rows to learn from. Without `X_test`, a part of them is held out.
    y : array-like of shape (n_samples,), default=None
        Classes. They play no part in learning.
    X_test : array-like of shape (n_test, n_features), default=None
        Held-out rows.
    y_test : array-like of shape (n_test,), default=None
        Their classes.
    test_size : float or int, default=0.25
        Fraction or number of rows to hold out if `X_test` is None, in proportion to the
        classes.
    metrics : iterable of str, default=None
        Which metrics to compute, all by default:

        - "trustworthiness" of the held-out codes (Venna and Kaski, "Neighborhood
          preservation in nonlinear projection methods", ICANN 2001): how few of a row's
          `n_neighbors` nearest neighbours in the embedding are strangers in the data; 0 to 1,
          higher is better;
        - "knn_accuracy": share of held-out rows whose class is that of most of their
          `n_neighbors` nearest training codes;
        - "silhouette" of the classes in the held-out codes (Rousseeuw 1987): how much nearer a
          code is to those of its own class than to those of the nearest other; -1 to 1, higher
          is better;
        - "reconstruction_error": mean squared error of ``inverse_transform(transform(X))``
          on the held-out rows, in squared units of X;
        - "bound": `score` of the held-out rows for estimators of this library: a lower bound
          on log p(x), in nats per row, constants included, higher is better. In a pipeline it
          would be in the units of the last step, and is left out.
    n_neighbors : int, default=5
        Number of neighbours.
    max_rows : int, default=5000
        Trustworthiness and silhouette compare all pairs of rows: of more held-out rows than
        this, so many are drawn at random.
    random_state : int, RandomState instance or None, default=None
        Determines the rows held out and those drawn. Embedders have their own.
    return_codes : bool, default=False
        Whether to return the held-out codes and classes as well.

    Returns
    -------
    table : DataFrame
        One row per method, with its metrics, "out_of_sample", and the seconds that took: to
        fit ("fit_seconds") and to transform the held-out rows ("transform_seconds"). What a
        method does not define, or what needs classes that are not there, is NaN.
    codes : dict of str to ndarray of shape (n_test, n_components)
        Codes of the held-out rows by method. Only if `return_codes`.
    y_test : ndarray of shape (n_test,) or None
        Classes of the held-out rows. Only if `return_codes`.

    Raises
    ------
    TypeError
        If X is sparse, or an embedder has neither `transform` nor `fit_transform`.
    ValueError
        If a metric is unknown, or only one of `y` and `y_test` is given beside `X_test`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skvae import VAETransformer
    >>> from skvae.metrics import compare_embeddings
    >>> X, y = load_digits(return_X_y=True)
    >>> embedders = {
    ...     "PCA": PCA(2),
    ...     "VAE": VAETransformer(likelihood="bernoulli", max_iter=30, random_state=0),
    ... }
    >>> table = compare_embeddings(embedders, X / 16, y, random_state=0)
    >>> accuracy = table["knn_accuracy"]
    >>> bool(accuracy["VAE"] > accuracy["PCA"])
    True
    """
    import pandas as pd

    names = list(METRICS) if metrics is None else list(metrics)
    unknown = sorted(set(names) - set(METRICS))
    if unknown:
        raise ValueError(f"Unknown metrics {unknown}; there are {list(METRICS)}.")
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)
    check_scalar(max_rows, "max_rows", Integral, min_val=2)
    rng = local_random_state(random_state)
    X_train, X_test, y_train, y_test = _split(X, y, X_test, y_test, test_size, rng)
    n_test = _n_rows(X_test)
    few = np.sort(rng.choice(n_test, min(max_rows, n_test), replace=False))
    data = _Data(X_train, X_test, y_train, y_test, few, n_neighbors)

    rows, codes = {}, {}
    for name, embedder in embedders.items():
        embedding = _embed(name, clone(embedder), data)
        rows[name] = {metric: METRICS[metric](data, embedding) for metric in names} | {
            "out_of_sample": embedding.out_of_sample,
            "fit_seconds": embedding.fit_seconds,
            "transform_seconds": embedding.transform_seconds,
        }
        codes[name] = embedding.Z_test
    table = pd.DataFrame.from_dict(rows, orient="index")
    return (table, codes, y_test) if return_codes else table


@dataclass(frozen=True)
class _Data:
    """What all methods are given and measured on."""

    X_train: Any
    X_test: Any
    y_train: np.ndarray | None
    y_test: np.ndarray | None
    few: np.ndarray  # held-out rows whose pairs are compared
    n_neighbors: int


@dataclass(frozen=True)
class _Embedding:
    """A fitted method and what it made of the data."""

    embedder: Any
    Z_train: np.ndarray
    Z_test: np.ndarray
    out_of_sample: bool
    fit_seconds: float
    transform_seconds: float


def _split(
    X: Any, y: Any, X_test: Any, y_test: Any, test_size: float, rng: np.random.RandomState
) -> tuple[Any, Any, np.ndarray | None, np.ndarray | None]:
    """Return training and held-out rows and their classes: as given, or parted here."""
    if issparse(X) or issparse(X_test):
        raise TypeError("compare_embeddings takes dense data; convert X with X.toarray().")
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test is given without X_test.")
        train, test = train_test_split(
            np.arange(_n_rows(X)), test_size=test_size, random_state=rng, stratify=y
        )
        X, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
        if y is not None:
            y, y_test = np.asarray(y)[train], np.asarray(y)[test]
    if (y is None) != (y_test is None):
        raise ValueError("With X_test, give both y and y_test, or neither.")
    check_consistent_length(X, y)
    check_consistent_length(X_test, y_test)
    return (
        X,
        X_test,
        None if y is None else np.asarray(y),
        None if y is None else np.asarray(y_test),
    )


def _n_rows(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _embed(name: str, embedder: Any, data: _Data) -> _Embedding:
    """Fit a method and embed both parts of the data, with a watch running."""
    start = time.perf_counter()
    if hasattr(embedder, "transform"):
        embedder.fit(data.X_train)
        fitted = time.perf_counter()
        Z_test = embedder.transform(data.X_test)
        transform_seconds = time.perf_counter() - fitted
        Z_train = embedder.transform(data.X_train)
        out_of_sample = True
    elif hasattr(embedder, "fit_transform"):
        Z = embedder.fit_transform(_stack(data.X_train, data.X_test))
        fitted, transform_seconds = time.perf_counter(), np.nan
        n_train = _n_rows(data.X_train)
        Z_train, Z_test = Z[:n_train], Z[n_train:]
        out_of_sample = False
    else:
        raise TypeError(
            f"The embedder {name!r}, {embedder!r}, has neither transform nor fit_transform."
        )
    return _Embedding(
        embedder,
        np.asarray(Z_train),
        np.asarray(Z_test),
        out_of_sample,
        fitted - start,
        transform_seconds,
    )


def _stack(first: Any, second: Any) -> Any:
    """Return the rows of both, as a frame if they are frames."""
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat([first, second])
    return np.concatenate([first, second])


def _trustworthiness(data: _Data, embedding: _Embedding) -> float:
    X, Z = _safe_indexing(data.X_test, data.few), embedding.Z_test[data.few]
    return float(trustworthiness(X, Z, n_neighbors=data.n_neighbors))


def _knn_accuracy(data: _Data, embedding: _Embedding) -> float:
    if data.y_train is None:
        return np.nan
    neighbours = KNeighborsClassifier(data.n_neighbors).fit(embedding.Z_train, data.y_train)
    return neighbours.score(embedding.Z_test, data.y_test)


def _silhouette(data: _Data, embedding: _Embedding) -> float:
    if data.y_test is None:
        return np.nan
    return float(silhouette_score(embedding.Z_test[data.few], data.y_test[data.few]))


def _reconstruction_error(data: _Data, embedding: _Embedding) -> float:
    if not hasattr(embedding.embedder, "inverse_transform"):
        return np.nan
    return mean_squared_error(data.X_test, embedding.embedder.inverse_transform(embedding.Z_test))


def _bound(data: _Data, embedding: _Embedding) -> float:
    # What others call their score may be anything.
    if not isinstance(embedding.embedder, BaseVAE):
        return np.nan
    return embedding.embedder.score(data.X_test)


METRICS: dict[str, Callable[[_Data, _Embedding], float]] = {
    "trustworthiness": _trustworthiness,
    "knn_accuracy": _knn_accuracy,
    "silhouette": _silhouette,
    "reconstruction_error": _reconstruction_error,
    "bound": _bound,
}
