"""Checks of X that say which column is wrong, and what to do about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.validation import validate_data
from torch.distributions import constraints

from ..likelihoods import Likelihood
from ..training import chunk_length


def validate_rows(
    estimator: Any, X: Any, *, reset: bool, allow_nan: bool = False, accept_sparse: bool = False
) -> Any:
    """Return X as a 2-D numeric array or CSR matrix, without a copy if it is one already.

    Raises
    ------
    ValueError
        As scikit-learn's `validate_data`, with the first offending column named.
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
        raise ValueError(f"{error}\nThe first such value is in {place}.") from error


def check_support(estimator: Any, X: Any, likelihood: Likelihood) -> None:
    """Raise `ValueError` at the first value of X that the likelihood cannot explain.

    NaN, where it is allowed, is not a value.
    """
    support = likelihood.support
    if support is constraints.real:
        return  # finite already
    for chunk in gen_batches(X.shape[0], chunk_length(X.shape[1])):
        rows = X[chunk].toarray() if issparse(X) else X[chunk]
        if isinstance(support, constraints.interval) and _inside(support, _extremes(rows)).all():
            continue
        inside = _inside(support, rows)
        if not inside.all():
            row, column = (int(i) for i in (~inside).nonzero()[0])
            value = rows[row, column]
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
    """Name the first column with a value that is not a finite number, if it can be found."""
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
