"""Checks of X. Error messages name the column and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.validation import validate_data
from torch.distributions import constraints

from ..likelihoods import Likelihood
from ..training import chunk_length
from ._readers import import_columns

if TYPE_CHECKING:
    from ..columns import Table


def validate_array(
    estimator: Any, X: Any, *, reset: bool, allow_nan: bool = False, accept_sparse: bool = False
) -> Any:
    """Return X as a 2-D numeric array or CSR matrix, without a copy if possible.

    Raises
    ------
    ValueError
        If `validate_data` of scikit-learn raises an error. The message names the first column with
        an invalid value.
    """
    try:
        return validate_data(
            estimator,
            X,
            reset=reset,
            dtype="numeric",
            accept_sparse="csr" if accept_sparse else False,
            ensure_all_finite="allow-nan" if allow_nan else True,
        )
    except ValueError as error:
        place = _first_bad_column(X, allow_nan)
        if place is None:
            raise
        raise ValueError(f"{error}\nThe first invalid value is in {place}.") from error


def validate_table(estimator: Any, X: Any, *, reset: bool, takes_arrays: bool = True) -> Table:
    """Return X as a table with the columns of `fit`.

    Raises
    ------
    ImportError
        If pandas is missing, or the package that reads X.
    ValueError, TypeError
        If X is an array and arrays are not accepted, is not two-dimensional, is empty, has
        duplicate names, has a column that cannot be read, or differs from the data of `fit` in its
        columns.
    """
    table: Table = import_columns().read_table(X, estimator)
    if table.table_format.is_array:
        if not takes_arrays:
            raise TypeError(
                f"{type(estimator).__name__} with likelihood={estimator.likelihood!r} requires a "
                f"data frame of pandas, polars or Arrow; got {type(X).__name__}."
            )
        validate_data(estimator, table.frame.to_numpy(), reset=reset, skip_check_array=True)
    else:
        validate_data(estimator, table.frame, reset=reset, skip_check_array=True)
    return table


def check_support(
    estimator: Any, X: Any, likelihood: Likelihood, observed: np.ndarray | None = None
) -> None:
    """Raise `ValueError` if a value of X is outside the support of the likelihood.

    Parameters
    ----------
    estimator : BaseVAE
    X : ndarray or CSR matrix of shape (n_samples, n_observed)
        Finite values, or NaN for missing entries.
    likelihood : Likelihood
    observed : ndarray of shape (n_features,), optional
        Whether a feature is a column of X; by default, all features are.
    """
    support = likelihood.support
    if support is constraints.real:
        return  # X is finite
    for chunk in gen_batches(X.shape[0], chunk_length(X.shape[1])):
        rows = X[chunk].toarray() if issparse(X) else X[chunk]
        if isinstance(support, constraints.interval) and _inside(support, _extremes(rows)).all():
            continue
        inside = _inside(support, rows)
        if not inside.all():
            row, column = (int(i) for i in (~inside).nonzero()[0])
            value = rows[row, column]
            if observed is not None:
                column = int(np.flatnonzero(observed)[column])
            place = _column(column, getattr(estimator, "feature_names_in_", None))
            kind = "Negative" if value < 0 else "Unsuitable"
            raise ValueError(
                f"{kind} values in data passed to {type(estimator).__name__}: {value} in {place}, "
                f"row {row + chunk.start}, is outside the support of {likelihood}. "
                f"{likelihood.remedy}"
            )


def _inside(support: constraints.Constraint, values: np.ndarray) -> torch.Tensor:
    numbers = torch.from_numpy(values.astype(np.float64))
    inside: torch.Tensor = support.check(numbers) | numbers.isnan()
    return inside


def _extremes(values: np.ndarray) -> np.ndarray:
    return np.array([np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)])


def _column(index: int, names: Any) -> str:
    return f"column {index}" if names is None else f"column {names[index]!r}"


def _first_bad_column(X: Any, allow_nan: bool) -> str | None:
    """Return the name of the first column with a value that is not a finite number, if any."""
    is_bad = np.isinf if allow_nan else lambda column: ~np.isfinite(column)
    if issparse(X):
        entries = X.tocoo()
        bad = np.flatnonzero(is_bad(entries.data))
        if not len(bad):
            return None
        first = bad[np.lexsort((entries.row[bad], entries.col[bad]))[0]]
        return f"column {entries.col[first]}, row {entries.row[first]}"
    values = np.asarray(X)
    if values.ndim != 2 or np.iscomplexobj(values):
        return None
    names = getattr(X, "columns", None)
    for index in range(values.shape[1]):
        try:
            bad = is_bad(values[:, index].astype(np.float64))
        except (TypeError, ValueError):
            return _column(index, names)
        if bad.any():
            return f"{_column(index, names)}, row {int(np.argmax(bad))}"
    return None
