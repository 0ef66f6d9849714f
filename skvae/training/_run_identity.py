"""What a fit is: the rows, the parameters, the seed and the code that determine its result."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from ._batches import TORCH_KINDS, Rows
from ._fingerprint import Fingerprinter

# Named digests of everything that determines the result of a fit. Two fits with the same digests
# give the same model; otherwise, the names of the digests say in what the fits differ.
RunIdentity = dict[str, str]


def identify_run(
    estimator_class: type,
    parameters: Mapping[str, Any],
    random_state: Any,
    rows: Any,
    columns: Any,
    initial_state: Any,
) -> RunIdentity:
    """Return the identity of a fit.

    Parameters
    ----------
    estimator_class : type
    parameters : mapping
        Parameters with an influence on the result of training. Code counts by its content.
    random_state : int, RandomState or None
        Fits with None have the same identity: their seeds cannot be known in advance.
    rows : ndarray, memmap or CSR matrix of shape (n_samples, n_features)
        Rows of numbers for training.
    columns : object
        Names and meaning of the columns.
    initial_state : object
        State from which training continues, or None for a new model.
    """
    fingerprinter = Fingerprinter()
    named = {
        "the class of the estimator": estimator_class,
        **{name: _plain(value) for name, value in parameters.items()},
        "random_state": _plain(random_state),
        "the names or types of the columns of X": columns,
        "the fitted model that training continues": initial_state,
    }
    digests = {name: fingerprinter.fingerprint(value) for name, value in named.items()}
    if fingerprinter.has_code:  # bytecode can be compared within one version of Python only
        digests["the version of Python"] = ".".join(map(str, sys.version_info[:2]))
    return {**digests, **_identify_rows(rows)}


def _identify_rows(X: Any) -> RunIdentity:
    """Return digests of the shape, the dtype and the values of rows, chunk by chunk.

    The values of an array, a memory map and a sparse matrix have the same digest.
    """
    digest = hashlib.sha256()
    for chunk in Rows(X, torch.device("cpu")).chunks():
        # Other number types, some of which contain undefined bytes, train as float64.
        native = chunk.dtype.newbyteorder("=")
        dtype = native if native.str[1:] in TORCH_KINDS else np.dtype(np.float64)
        digest.update(chunk.astype(dtype, copy=False).data)
    return {
        "the number of rows of X": str(X.shape[0]),
        "the number of columns of X": str(X.shape[1]),
        "the dtype of X": X.dtype.newbyteorder("=").str,
        "the values of X or their order": digest.hexdigest(),
    }


def _plain(value: Any) -> Any:
    """Return equal parameters in the same form: 1 for 1.0, and a tuple for a list or an array."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(_plain(item) for item in value)
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() else number
    return os.fspath(value) if isinstance(value, os.PathLike) else value
