"""What displays ask of estimators, alone, in pipelines and in searches."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..estimators import BaseVAE


def last_step(estimator: Any) -> Any:
    """Return the estimator at the end of pipelines and inside searches."""
    *_, last = _unwrapped(estimator)
    return last


def fitted_vae(estimator: Any) -> BaseVAE:
    """Return the fitted estimator of this library at the end of pipelines and in searches."""
    vae = last_step(estimator)
    if not isinstance(vae, BaseVAE):
        raise TypeError(
            "This display draws an estimator of skvae, or a pipeline or search that ends in one; "
            f"got {estimator!r}."
        )
    check_is_fitted(vae)
    return vae


def do_earlier_steps(estimator: Any, X: Any) -> Any:
    """Return rows in the units of the first step in those of the last."""
    for outer in _unwrapped(estimator):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            X = outer[:-1].transform(X)
    return X


def undo_earlier_steps(estimator: Any, X: Any) -> Any:
    """Return rows in the units of the last step in those of the first."""
    for outer in reversed(list(_unwrapped(estimator))):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            X = outer[:-1].inverse_transform(X)
    return X


def _unwrapped(estimator: Any) -> Any:
    """Yield an estimator, and what is inside it or at its end, to the innermost."""
    while True:
        yield estimator
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):  # a search
            estimator = estimator.best_estimator_
        else:
            return
