"""Comparison of embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.manifold import trustworthiness
from sklearn.metrics import mean_squared_error, silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import _safe_indexing, check_consistent_length, check_scalar

from ..estimators import BaseVAE
from ..utils import check_choice, import_optional, local_random_state
from ._embedding_checks import check_classes, check_embedders, check_metrics, check_rows

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
    """Compare methods of dimensionality reduction on held-out rows.

    Each method is fitted to the training rows and embeds the held-out rows with `transform`. A
    method without `transform`, such as t-SNE, embeds the training and held-out rows together with
    `fit_transform`. The metrics of such a method are optimistic, because the method was fitted to
    the held-out rows; the column "out_of_sample" is False. Requires pandas (extra ``data``).

    Parameters
    ----------
    embedders : dict of str to estimator
        Methods by name: estimators with `fit` and `transform`, or with `fit_transform`. The
        estimators are cloned, not fitted in place.
    X : array-like of shape (n_samples, n_features)
        Training rows. If `X_test` is None, a random subset is held out.
    y : array-like of shape (n_samples,), default=None
        Classes of the rows, used for the metrics but not for fitting.
    X_test : array-like of shape (n_test, n_features), default=None
        Held-out rows.
    y_test : array-like of shape (n_test,), default=None
        Classes of the held-out rows.
    test_size : float or int, default=0.25
        Fraction or number of rows to hold out if `X_test` is None, stratified by class.
    metrics : iterable of str, default=None
        Names of the metrics to compute. By default, all metrics:

        - "trustworthiness": preservation of neighbourhoods in the held-out codes [1]_, from 0 to 1
          (higher is better). Neighbours in the embedding that are not neighbours in the data lower
          the value.
        - "knn_accuracy": accuracy of a nearest-neighbour classifier on the held-out codes, fitted
          to the training codes (higher is better).
        - "silhouette": separation of the classes in the held-out codes [2]_, from -1 to 1 (higher
          is better). The value compares the distances within a class with the distances to the
          nearest other class.
        - "reconstruction_error": mean squared error of ``inverse_transform(transform(X))`` on the
          held-out rows, in squared units of X (lower is better).
        - "bound": `score` of the held-out rows, for estimators of skvae only: a lower bound on
          log p(x) in nats per row, constants included (higher is better). NaN for pipelines, where
          the bound would refer to the units of the final step.
    n_neighbors : int, default=5
        Number of nearest neighbours for "trustworthiness" and "knn_accuracy".
    max_rows : int, default=5000
        Maximum number of held-out rows for "trustworthiness" and "silhouette", which compare all
        pairs of rows. From a larger number of rows, a random subset is drawn.
    random_state : int, RandomState instance or None, default=None
        Controls the split and the random subset, but not the embedders. Pass an int for
        reproducible results.
    return_codes : bool, default=False
        Whether to return the codes and classes of the held-out rows too.

    Returns
    -------
    table : DataFrame
        Table with a row for each method. The columns are the metrics, "out_of_sample",
        "fit_seconds" and "transform_seconds" (the time to transform the held-out rows). A metric is
        NaN if the method does not support the metric, or if the metric requires classes and none
        are given.
    codes : dict of str to ndarray of shape (n_test, n_components)
        Codes of the held-out rows by method. Only returned if `return_codes` is True.
    y_test : ndarray of shape (n_test,) or None
        Classes of the held-out rows. Only returned if `return_codes` is True.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError
        If X is sparse, if `embedders` is not a dictionary, or if an embedder has neither
        `transform` nor `fit_transform`.
    ValueError
        If a metric is unknown, if `X_test` is given with only one of `y` and `y_test`, if a class
        is missing, or if the data do not permit a metric: too few rows or classes, or columns
        without finite numbers.

    References
    ----------
    .. [1] J. Venna and S. Kaski, "Neighborhood preservation in nonlinear projection methods: An
       experimental study", ICANN 2001.
    .. [2] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of
       cluster analysis", Journal of Computational and Applied Mathematics 20, 1987.

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
    pd = import_optional("pandas", "compare_embeddings")
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        check_choice("Each name in metrics", name, METRICS)
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)
    check_scalar(max_rows, "max_rows", Integral, min_val=2)
    check_embedders(embedders)
    rng = local_random_state(random_state)
    X_train, X_test, y_train, y_test = _split(X, y, X_test, y_test, test_size, rng)
    n_test = _n_rows(X_test)
    subset = np.sort(rng.choice(n_test, min(max_rows, n_test), replace=False))
    data = _Data(X_train, X_test, y_train, y_test, subset, n_neighbors)
    check_metrics(names, data)

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
    """Training and held-out data, common to all methods."""

    X_train: Any
    X_test: Any
    y_train: np.ndarray | None
    y_test: np.ndarray | None
    subset: np.ndarray  # indices of the held-out rows for metrics of pairs of rows
    n_neighbors: int


@dataclass(frozen=True)
class _Embedding:
    """Fitted method with the codes and the computing times."""

    embedder: Any
    Z_train: np.ndarray
    Z_test: np.ndarray
    out_of_sample: bool
    fit_seconds: float
    transform_seconds: float


def _split(
    X: Any, y: Any, X_test: Any, y_test: Any, test_size: float, rng: np.random.RandomState
) -> tuple[Any, Any, np.ndarray | None, np.ndarray | None]:
    """Return training and held-out rows with classes, split at random if `X_test` is None."""
    check_rows(X, "X")
    if X_test is not None:
        check_rows(X_test, "X_test")
    y, y_test = check_classes(y, "y"), check_classes(y_test, "y_test")
    if X_test is None:
        if y_test is not None:
            raise ValueError("y_test is given without X_test: pass both, or neither.")
        train, test = train_test_split(
            np.arange(_n_rows(X)), test_size=test_size, random_state=rng, stratify=y
        )
        X, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
        if y is not None:
            y, y_test = y[train], y[test]
    if (y is None) != (y_test is None):
        raise ValueError("With X_test, pass both y and y_test, or neither.")
    check_consistent_length(X, y)
    check_consistent_length(X_test, y_test)
    return X, X_test, y, y_test


def _n_rows(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _embed(name: str, embedder: Any, data: _Data) -> _Embedding:
    """Fit a method, embed training and held-out rows, and measure the computing times."""
    start = time.perf_counter()
    if hasattr(embedder, "transform"):
        embedder.fit(data.X_train)
        fitted = time.perf_counter()
        Z_test = embedder.transform(data.X_test)
        transform_seconds = time.perf_counter() - fitted
        Z_train = embedder.transform(data.X_train)
        out_of_sample = True
    else:
        Z = embedder.fit_transform(_stack(data.X_train, data.X_test))
        fitted, transform_seconds = time.perf_counter(), np.nan
        n_train = _n_rows(data.X_train)
        Z_train, Z_test = Z[:n_train], Z[n_train:]
        out_of_sample = False
    return _Embedding(
        embedder,
        _check_codes(name, Z_train),
        _check_codes(name, Z_test),
        out_of_sample,
        fitted - start,
        transform_seconds,
    )


def _check_codes(name: str, Z: Any) -> np.ndarray:
    codes = np.asarray(Z)
    if codes.ndim != 2 or codes.dtype.kind not in "fiub" or not np.isfinite(codes).all():
        raise ValueError(
            f"The codes of {name!r} must be finite numbers of shape (n_samples, n_components); got "
            f"shape {codes.shape} and dtype {codes.dtype}, or values that are not finite."
        )
    return codes


def _stack(first: Any, second: Any) -> Any:
    """Concatenate the rows of two arrays or two frames."""
    if hasattr(first, "iloc"):
        return import_optional("pandas", "compare_embeddings").concat([first, second])
    return np.concatenate([first, second])


def _trustworthiness(data: _Data, embedding: _Embedding) -> float:
    X, Z = _safe_indexing(data.X_test, data.subset), embedding.Z_test[data.subset]
    return float(trustworthiness(X, Z, n_neighbors=data.n_neighbors))


def _knn_accuracy(data: _Data, embedding: _Embedding) -> float:
    if data.y_train is None:
        return np.nan
    neighbours = KNeighborsClassifier(data.n_neighbors).fit(embedding.Z_train, data.y_train)
    return neighbours.score(embedding.Z_test, data.y_test)


def _silhouette(data: _Data, embedding: _Embedding) -> float:
    if data.y_test is None:
        return np.nan
    return float(silhouette_score(embedding.Z_test[data.subset], data.y_test[data.subset]))


def _reconstruction_error(data: _Data, embedding: _Embedding) -> float:
    if not hasattr(embedding.embedder, "inverse_transform"):
        return np.nan
    return mean_squared_error(data.X_test, embedding.embedder.inverse_transform(embedding.Z_test))


def _bound(data: _Data, embedding: _Embedding) -> float:
    # The score of other estimators has another meaning.
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
