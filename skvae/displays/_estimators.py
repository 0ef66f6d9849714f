"""Access to estimators inside pipelines and hyperparameter searches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..estimators import BaseVAE


def final_estimator(estimator: Any) -> Any:
    """Return the final estimator of nested pipelines and hyperparameter searches."""
    *_, final = _unwrap(estimator)
    return final


def fitted_vae(estimator: Any) -> BaseVAE:
    """Return the final estimator, after checking for a fitted estimator of skvae."""
    vae = final_estimator(estimator)
    if not isinstance(vae, BaseVAE):
        raise TypeError(
            "The estimator must be an estimator of skvae, or a pipeline or hyperparameter search "
            f"with an estimator of skvae as the final step; got {estimator!r}."
        )
    check_is_fitted(vae)
    return vae


def apply_earlier_steps(estimator: Any, X: Any) -> Any:
    """Apply the steps of pipelines before the final estimator to rows."""
    for outer in _unwrap(estimator):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            X = outer[:-1].transform(X)
    return X


def invert_earlier_steps(estimator: Any, X: Any) -> Any:
    """Invert the steps of pipelines before the final estimator, in reverse order."""
    for outer in reversed(list(_unwrap(estimator))):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            X = outer[:-1].inverse_transform(X)
    return X


def _unwrap(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and the nested estimators, from the outermost to the final estimator."""
    while True:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):  # a hyperparameter search
            estimator = estimator.best_estimator_
        else:
            return
