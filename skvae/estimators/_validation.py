"""Checks of X. Error messages name the column and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import is_outlier_detector
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import validate_data
from torch.distributions import constraints

from ..likelihoods import Likelihood
from ..training import chunk_length
from ._entries import INEXACT, UnsuitableEntryError
from ._numbers import (
    as_known_table,
    find_first,
    is_pandas,
    read_array,
    read_column,
    read_columns,
    read_sparse,
    tensor_to_array,
)
from ._readers import import_columns

if TYPE_CHECKING:
    from ..columns import Table

_REMEDIES = {
    "complex numbers": "Split the real and imaginary parts into two columns.",
    "records": "Pass a data frame, or an array with one axis for the columns.",
    INEXACT: "Drop the column if the values are identifiers, or convert the column to float64.",
}


def validate_array(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    encode: Callable[[Any], Any],
    allow_nan: bool = False,
    accept_sparse: bool = False,
) -> Any:
    """Return X as a 2-D numeric array or CSR matrix, without a copy if possible.

    Data frames of any library are read column by column. `encode` replaces categories in condition
    columns by numbers.

    Raises
    ------
    ValueError, TypeError
        If X is not a table of real numbers. The message names the first column with an invalid
        value, the row of the value, and a remedy.
    """
    X = as_known_table(X)
    has_names = column_names(X) is not None
    if has_names:
        _check_names(X)
        validate_data(estimator, X, reset=reset, skip_check_array=True)  # names of columns
    checks = {
        "dtype": "numeric",
        "accept_sparse": "csr" if accept_sparse else False,
        "ensure_all_finite": "allow-nan" if allow_nan else True,
    }
    try:
        values = coded = encode(X)
    except UnsuitableEntryError as error:
        raise _explain_unsuitable(estimator, X, error) from None
    try:
        values = _read_numbers(coded, accept_sparse=accept_sparse)
        _check_dimensions(values, X)
        if has_names:
            return check_array(values, estimator=estimator, input_name="X", **checks)
        return validate_data(estimator, values, reset=reset, **checks)
    except UnsuitableEntryError as error:
        raise _explain_unsuitable(estimator, X, error) from None
    except ValueError as error:
        explanation = _explain_non_finite(estimator, X, values, allow_nan)
        if explanation is None:
            raise
        raise explanation from error


def validate_codes(Z: Any, latent_dim: int) -> np.ndarray:
    """Return codes, (n_samples, latent_dim), as float32 or float64.

    Raises
    ------
    ValueError, TypeError
        If Z is not a table of finite numbers with `latent_dim` columns.
    """
    try:
        Z = _read_numbers(Z, accept_sparse=False)
    except UnsuitableEntryError as error:
        place = describe_place(Z, error.column, error.row)
        raise ValueError(
            f"Codes must be numbers, but X contains {error.content}: the first is "
            f"{_shorten(repr(error.value))} in {place}."
        ) from None
    Z = check_array(Z, dtype=[np.float64, np.float32], input_name="X")
    if Z.shape[1] != latent_dim:
        raise ValueError(f"X has {Z.shape[1]} columns, but the model has {latent_dim=}.")
    return Z


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
    values = tensor_to_array(X)
    _check_dimensions(values, X)
    table: Table = import_columns().read_table(values, estimator)
    if table.table_format.is_array:
        if not takes_arrays:
            raise TypeError(
                f"{type(estimator).__name__} with likelihood={estimator.likelihood!r} requires a "
                f"data frame of pandas, polars or Arrow; got {type(values).__name__}."
            )
        validate_data(estimator, table.frame.to_numpy(), reset=reset, skip_check_array=True)
    else:
        validate_data(estimator, table.frame, reset=reset, skip_check_array=True)
    return table


def check_support(
    estimator: Any,
    X: Any,
    likelihood: Likelihood,
    observed: np.ndarray | None = None,
    source: Any = None,
    given: Sequence[int] = (),
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
    source : object, optional
        Data that X was read from. If a data frame of pandas, errors name the label of the row.
    given : sequence of int, default=()
        Positions of the columns of X that the likelihood does not model.
    """
    support = likelihood.support
    if support is constraints.real:
        return  # X is finite
    columns = np.arange(X.shape[1]) if observed is None else np.flatnonzero(observed)
    is_modelled = ~np.isin(columns, given)
    for chunk in gen_batches(X.shape[0], chunk_length(X.shape[1])):
        rows = X[chunk].toarray() if issparse(X) else X[chunk]
        rows = rows if is_modelled.all() else rows[:, is_modelled]
        if isinstance(support, constraints.interval) and _inside(support, _extremes(rows)).all():
            continue
        inside = _inside(support, rows)
        if not inside.all():
            row, column = (int(i) for i in (~inside).nonzero()[0])
            value = rows[row, column]
            column = int(columns[is_modelled][column])
            names = getattr(estimator, "feature_names_in_", None)
            place = f"column {column if names is None else names[column]!r}"
            kind = "Negative" if value < 0 else "Unsuitable"
            raise ValueError(
                f"{kind} values in data passed to {type(estimator).__name__}: {value} in {place}, "
                f"{_describe_row(source, row + chunk.start)}, is impossible for "
                f"{likelihood}. {likelihood.remedy}"
            )


def _read_numbers(X: Any, *, accept_sparse: bool) -> Any:
    """Return X as an array, or X itself if scikit-learn reads X rightly."""
    if issparse(X):
        return read_sparse(X)
    if is_pandas(X) and _is_plain(X, accept_sparse):
        for j, dtype in enumerate(X.dtypes):
            if dtype.kind in "iu" and dtype.itemsize == 8:
                read_column(X.iloc[:, j], j)  # an error for integers beyond 2**53
        return X
    table = read_columns(X)
    return read_array(X) if table is None else table


def _is_plain(frame: Any, accept_sparse: bool) -> bool:
    """Return whether scikit-learn reads a data frame of pandas rightly."""
    is_sparse = [hasattr(dtype, "fill_value") for dtype in frame.dtypes]
    is_supported = not any(is_sparse) or (accept_sparse and all(is_sparse))
    return is_supported and all(dtype.kind in "biuf" for dtype in frame.dtypes)


def _check_dimensions(values: Any, X: Any) -> None:
    """Raise `ValueError` for images: scikit-learn has no advice for more than two dimensions.

    `values` are the entries of X, which the user passed.
    """
    if getattr(values, "ndim", 2) <= 2:
        return
    shape = tuple(values.shape)
    advice = "Pass X.reshape(len(X), -1), with one row for each sample."
    if len(shape) == 4 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        method = "permute" if isinstance(X, torch.Tensor) else "transpose"
        advice = (
            f"For images with the channels last, pass X.{method}(0, 3, 1, 2).reshape(len(X), -1), "
            f"and, for architecture='conv', image_shape={(shape[3], *shape[1:3])}."
        )
    elif len(shape) in (3, 4):
        axes = "(height, width)" if len(shape) == 3 else "(channels, height, width)"
        advice = f"{advice[:-1]}, and, for architecture='conv', image_shape={shape[1:]}: {axes}."
    raise ValueError(f"Expected 2D array; got {len(shape)} dimensions, shape {shape}. {advice}")


def _explain_unsuitable(estimator: Any, X: Any, error: UnsuitableEntryError) -> Exception:
    """Return the error for an entry that is not a number, with a remedy."""
    content, value = error.content, _shorten(repr(error.value))
    place = describe_place(X, error.column, error.row)
    found = f"Input X contains {content}: the first is {value} in {place}."
    if content == "complex numbers":
        found = f"Complex data not supported: {found}"
    is_object = content.startswith("objects") or content == "lists"
    if is_object:
        # The text that scikit-learn's estimator checks expect.
        found += " Each argument must be a number, not a string and not a list of numbers."
    kind = TypeError if is_object else ValueError
    name = type(estimator).__name__
    return kind(f"{found} {name} takes columns of real numbers. {_remedy(estimator, error)}")


def _remedy(estimator: Any, error: UnsuitableEntryError) -> str:
    """Return advice about entries that are not numbers."""
    if error.content in _REMEDIES:
        return _REMEDIES[error.content]
    if not isinstance(error.value, Hashable):
        return "Give each value a column of its own."
    if error.content == "invalid numbers":
        return "Replace the signalling NaN by NaN or None."
    others = "TabularVAE takes columns of any type."
    if is_outlier_detector(estimator):
        others = (
            "Drop the column, or convert it: categories by a OneHotEncoder, times to days. Or rank "
            "the rows by TabularVAE.score_samples, which takes columns of any type."
        )
    if estimator._takes_missing:
        others = "VAEImputer(likelihood='mixed') and TabularVAE take columns of any type."
    if error.content in ("strings", "bytes"):
        return f"If the {error.content} stand for numbers, convert them to numbers. {others}"
    return others


def _explain_non_finite(estimator: Any, X: Any, values: Any, allow_nan: bool) -> ValueError | None:
    """Return the error for the first NaN or infinity in X, if any."""
    values = read_columns(values) if is_pandas(values) else values
    if getattr(values, "ndim", 0) != 2 or values.dtype.kind != "f":
        return None
    name = type(estimator).__name__
    place = None if allow_nan else find_first(values, np.isnan)
    if place is not None:
        found = f"Input X contains NaN: the first missing value is in {describe_place(X, *place)}."
        if estimator._takes_missing:
            marker = estimator.missing_values
            return ValueError(
                f"{found} With missing_values={marker!r}, NaN is an error: pass "
                "missing_values=np.nan."
            )
        remedy = "Fill the missing values with VAEImputer"
        if not is_outlier_detector(estimator):
            remedy += ", or use TabularVAE, which takes missing values in columns of any type"
        return ValueError(f"{found} {name} does not accept missing values. {remedy}.")
    place = find_first(values, np.isinf)
    if place is None:
        return None
    return ValueError(
        f"Input X contains infinity or a value too large for dtype('{values.dtype}'): the first is "
        f"in {describe_place(X, *place)}. Replace infinity by a number, or by NaN to treat the "
        "value as missing in VAEImputer or TabularVAE."
    )


def column_names(X: Any) -> list[Any] | None:
    """Return the names of the columns of a data frame, or None for other data."""
    if isinstance(X, np.ndarray) or issparse(X):
        return None
    names = getattr(X, "column_names", getattr(X, "columns", None))
    return None if names is None else list(names)


def describe_place(X: Any, column: int, row: int) -> str:
    """Return the name of a column of X, and a row, with its label if the label differs."""
    names = column_names(X)
    return f"column {column if names is None else names[column]!r}, {_describe_row(X, row)}"


def _describe_row(X: Any, row: int) -> str:
    label = X.index[row : row + 1].tolist()[0] if is_pandas(X) else row
    is_same = isinstance(label, Integral) and label == row
    return f"row {row}" if is_same else f"row {row} (index {label!r})"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_names(X: Any) -> None:
    """Raise `ValueError` if a data frame has no columns, or columns of the same name."""
    names = column_names(X)
    if not names:
        raise ValueError(f"Found a table with 0 feature(s) (shape={(len(X), 0)}), without columns.")
    if len(set(names)) < len(names):
        raise ValueError(
            f"Names of columns must differ; got {names}. Rename the duplicate columns."
        )


def _inside(support: constraints.Constraint, values: np.ndarray) -> torch.Tensor:
    numbers = torch.from_numpy(values.astype(np.float64))
    inside: torch.Tensor = support.check(numbers) | numbers.isnan()
    return inside


def _extremes(values: np.ndarray) -> np.ndarray:
    return np.array([np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)])
