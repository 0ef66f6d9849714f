"""Checks of the state of an estimator from a file, before memory is allocated for a module.

A file may come from anybody. The checks refuse states that training never produces: unknown
attributes, a module that is much larger than the file, and parts that do not agree.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator

from ..likelihoods import LIKELIHOODS, ColumnBins, Histogram, Likelihood
from ..models import ACTIVATIONS, ARCHITECTURES, Condition, VAEConfig, weight_shapes
from ..priors import PRIORS, Prior
from ..serialization import declared_attributes
from ._condition_column import KINDS as CONDITION_KINDS
from ._readers import ArrayReader, FrameReader

_NETWORKS = ("encoder.", "decoder.")
State = Mapping[str, Any]

# Attributes that scikit-learn or a call of `update` sets, rather than an assignment in a method.
_OTHER_ATTRIBUTES = {"n_features_in_", "feature_names_in_", "_n_features_out"}
_OTHER_ATTRIBUTES |= {"_sklearn_output_config"}
_MAX_LAYERS = 1_000
_TOO_LARGE = "it describes a model much larger than the stored weights"
# A layer may have this number of units, or the number of elements in the weights.
_ALWAYS_ALLOWED_WIDTH = 2**10
# A module may compute tables or images with this number of elements, or with this multiple of the
# number of elements in the weights.
_ALWAYS_ALLOWED_SIZE = 2**22
_MAX_SIZE_RATIO = 32


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 1


def _are_sizes(value: Any) -> bool:
    return type(value) is tuple and all(map(_is_size, value))


def _is_condition(value: Any) -> bool:
    return (
        type(value) is Condition
        and type(value.position) is int
        and value.kind in CONDITION_KINDS
        and type(value.categories) is tuple
        and set(map(type, value.categories)) <= {float}
        and all(map(math.isfinite, value.categories))
    )


_CONFIG_CHECKS: dict[str, Callable[[Any], bool]] = {
    "n_features": _is_size,
    "latent_dim": _is_size,
    "hidden_layer_sizes": lambda v: v == "auto" or _are_sizes(v),
    "activation": lambda v: v in ACTIVATIONS,
    "likelihood": lambda v: isinstance(v, Likelihood) or v in LIKELIHOODS,
    "architecture": lambda v: callable(v) or v in ARCHITECTURES,
    "image_shape": lambda v: v is None or _are_sizes(v),
    "prior": lambda v: isinstance(v, Prior) or v in PRIORS,
    "prior_std": lambda v: type(v) is float and 0 < v < math.inf,
    "missing": lambda v: type(v) is bool,
    "autoregressive": lambda v: type(v) is bool,
    "dependent_columns": lambda v: type(v) is bool,
    "conditions": lambda v: type(v) is tuple and all(map(_is_condition, v)),
}


def allowed_attributes(cls: type) -> frozenset[str]:
    """Return the names of the attributes that an estimator in a file may have.

    The attributes are the parameters of the class, and the attributes that a method assigns. The
    private attributes of scikit-learn are excluded.
    """
    declared = set(declared_attributes(cls))
    for base in cls.__mro__:
        if base.__module__.startswith("sklearn."):
            declared -= {name for name in declared_attributes(base) if name.startswith("_")}
    return frozenset(inspect.signature(cls).parameters) | declared | _OTHER_ATTRIBUTES


def check_state(cls: type, state: State) -> None:
    """Raise an exception if training of an estimator never produces a state.

    Parameters
    ----------
    cls : type
        Class of the estimator.
    state : mapping
        Attributes by name, with a dictionary of the configuration and the weights as `module_`.

    Raises
    ------
    TypeError, ValueError, KeyError, AttributeError
        If the state is invalid.
    """
    unknown = state.keys() - allowed_attributes(cls)
    if unknown:
        raise ValueError(f"{cls.__name__} has no attribute {min(unknown)!r:.80}")
    if "module_" not in state:
        return
    config, weights = read_config(state["module_"]["config"]), state["module_"]["weights"]
    if config.missing is not cls._takes_missing:  # type: ignore[attr-defined]
        raise ValueError(f"its model is not a model of {cls.__name__}")
    check_size(config, weights)
    _check_weights(config, weights)
    _check_reader(state["_reader"], config)
    _check_fitted(state, config)


def read_config(saved: Mapping[str, Any]) -> VAEConfig:
    """Return the configuration of a module, after a check of the type of each field."""
    for name, value in saved.items():
        if name not in _CONFIG_CHECKS or not _CONFIG_CHECKS[name](value):
            raise ValueError(f"the configuration of its model has an invalid {name!r:.80}")
    config = VAEConfig(**saved)
    if isinstance(config.likelihood, Histogram):
        for bins in config.likelihood.columns:
            _check_bins(bins)
    return config


def _check_bins(bins: ColumnBins) -> None:
    """Raise `ValueError` if the attributes of the bins of a column do not agree."""
    integers = (*bins.level, *bins.representative_bin, bins.n_ordered)
    numbers = (*bins.log_fraction, *bins.log_width, *bins.counts)
    if not (
        isinstance(bins, ColumnBins)
        and set(map(type, integers)) == {int}
        and set(map(type, numbers)) == {float}
        and set(map(type, bins.observed)) == {bool}
        and {len(bins.log_fraction), len(bins.log_width), len(bins.observed)} == {bins.n_bins}
        and len(bins.representative_bin) == bins.n_levels >= bins.n_ordered
        and min(*integers, *bins.counts) >= 0
        and max(bins.level) < bins.n_levels
        and max(bins.representative_bin) < bins.n_bins
    ):
        raise ValueError("the bins of a column do not agree")


def check_size(config: VAEConfig, weights: Mapping[str, np.ndarray]) -> None:
    """Raise `ValueError` if building a module takes much more memory or time than its weights."""
    n_stored = sum(weight.size for weight in weights.values())
    sizes = config.hidden_layer_sizes
    widths = () if isinstance(sizes, str) or callable(config.architecture) else sizes
    if len(widths) > min(_MAX_LAYERS, len(weights)):
        raise ValueError(_TOO_LARGE)
    # Each unit of a layer has a weight at least, except in custom networks.
    largest = max(config.n_features, config.latent_dim + sum(widths))
    if largest > max(_ALWAYS_ALLOWED_WIDTH, n_stored):
        raise ValueError(_TOO_LARGE)
    limit = max(_ALWAYS_ALLOWED_SIZE, _MAX_SIZE_RATIO * n_stored)
    if max(_sizes_of_parts(config, widths)) > limit:
        raise ValueError(
            "its ordered columns, or its images, take much more memory than the stored weights; "
            "columns with fewer ordered categories, or wider layers, are possible"
        )


def _sizes_of_parts(config: VAEConfig, widths: tuple[int, ...]) -> list[int]:
    """Return the numbers of elements of large arrays that a module computes from its weights."""
    sizes = [0]
    if isinstance(config.likelihood, Histogram):
        sizes += [sum(column.n_levels**2 for column in config.likelihood.columns)]
    if config.architecture == "conv" and config.image_shape is not None:
        # The first stage halves height and width.
        sizes += [math.prod(config.image_shape[-2:]) * max(widths, default=0) // 4]
    if config.dependent_columns:
        sizes += [config.n_features**2]
    return sizes


def _check_weights(config: VAEConfig, weights: Mapping[str, np.ndarray]) -> None:
    """Raise `ValueError` if the weights do not have the names, shapes and types of the module.

    The weights of custom networks are compared when the module is built.
    """
    if callable(config.architecture):
        config = replace(config, architecture="mlp", hidden_layer_sizes=())
        weights = {name: w for name, w in weights.items() if not name.startswith(_NETWORKS)}
        expected = weight_shapes(config)
        expected = {name: s for name, s in expected.items() if not name.startswith(_NETWORKS)}
    else:
        expected = weight_shapes(config)
    for name in sorted(expected.keys() | weights.keys()):
        if name not in expected or name not in weights:
            raise ValueError(f"its weights do not fit its model: {name!r:.80} is in one of them")
        weight = weights[name]
        if weight.shape != expected[name] or weight.dtype.kind != "f":
            raise ValueError(
                f"the weight {name!r} has the shape {weight.shape} and the dtype {weight.dtype}, "
                f"and its model needs numbers of the shape {expected[name]}"
            )


def _check_reader(reader: Any, config: VAEConfig) -> None:
    """Raise `ValueError` if the reader does not return the rows that the module takes."""
    is_frame = isinstance(config.likelihood, Histogram)
    if type(reader) is not (FrameReader if is_frame else ArrayReader):
        raise ValueError("its reader does not fit its model")
    observed = reader.observed
    is_mask = isinstance(observed, np.ndarray) and observed.dtype == bool and observed.ndim == 1
    if not is_mask or observed.sum() != config.n_features + len(config.conditions):
        raise ValueError("its reader returns another number of features than its model takes")
    conditions = reader.conditions
    if (() if conditions is None else conditions.for_module(observed)) != config.conditions:
        raise ValueError("its condition columns do not fit its model")
    if reader.dtype not in ("float32", "float64"):
        raise ValueError("its reader has an invalid dtype")
    if isinstance(reader, FrameReader) and (
        len(reader.names) != len(observed) or reader.codec.likelihood != config.likelihood
    ):
        raise ValueError("its columns do not fit its model")


def _check_fitted(state: State, config: VAEConfig) -> None:
    """Raise `ValueError` if a fitted attribute has the wrong type or shape."""
    n_features = len(state["_reader"].observed)
    checks: dict[str, Callable[[Any], bool]] = {
        "history_": _is_history,
        "n_iter_": lambda v: type(v) is int and v >= 0,
        "n_features_in_": lambda v: v == n_features,
        "_n_features_out": lambda v: v == config.latent_dim,
        "device_": lambda v: type(v) is str,
        "feature_names_in_": lambda v: _is_array(v, "O", n_features) and set(map(type, v)) == {str},
        "offset_": lambda v: isinstance(v, Real) and not isinstance(v, bool),
        "usual_contributions_": lambda v: _is_array(v, "f", config.n_features + 1),
        "indicator_": lambda v: _is_indicator(v, n_features),
    }
    for name, is_valid in checks.items():
        if name in state and not is_valid(state[name]):
            raise ValueError(f"its {name} is invalid")


def _is_history(value: Any) -> bool:
    return type(value) is dict and all(
        type(numbers) is list and set(map(type, numbers)) <= {int, float}
        for numbers in value.values()
    )


def _is_array(value: Any, kind: str, length: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == kind and value.shape == (length,)


def _is_indicator(value: Any, n_features: int) -> bool:
    return (
        isinstance(value, MissingIndicator)
        and value._n_features == n_features
        and value.features_.dtype.kind == "i"
        and set(value.features_.ravel().tolist()) <= set(range(n_features))
    )
