"""Access to estimators inside pipelines and hyperparameter searches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..estimators import BaseVAE, TabularVAE, VAEImputer, VAEOutlierDetector
from ._tables import frame_names, select_columns

# What the estimators have instead of the usual methods, and what draws it.
_REMEDIES = {
    TabularVAE: (
        "To draw synthetic rows, pass the real rows and estimator.sample(len(X)) to "
        "SyntheticTableDisplay.from_tables; to draw codes, use LatentSpaceDisplay."
    ),
    VAEImputer: (
        "VAEImputer completes rows: compare transform(X) with X by SyntheticTableDisplay, or draw "
        "the losses by LossCurveDisplay."
    ),
    VAEOutlierDetector: (
        "VAEOutlierDetector scores rows: explain scores by ContributionsDisplay, or draw the "
        "losses by LossCurveDisplay."
    ),
}


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


def check_methods(
    display: type, estimator: Any, *methods: str, refused: tuple[type, ...] = ()
) -> None:
    """Raise an error with a suitable display if an estimator has no method that a display needs.

    Parameters
    ----------
    display : type
        Display that draws the estimator.
    estimator : estimator
        Estimator, or a pipeline or hyperparameter search.
    *methods : str
        Names of the methods.
    refused : tuple of types, default=()
        Types of estimators whose methods have another meaning.

    Raises
    ------
    NotFittedError
        If an estimator of skvae is not fitted.
    TypeError
        If a method is missing or has another meaning.
    """
    final = final_estimator(estimator)
    has_methods = all(hasattr(final, method) for method in methods)
    if not has_methods or isinstance(final, refused):
        remedy = next((text for cls, text in _REMEDIES.items() if isinstance(final, cls)), "")
        needed = " and ".join(methods)
        reason = f"has no {needed}" if not has_methods else f"has another kind of {needed}"
        problem = f"{display.__name__} can't draw {type(final).__name__}, which {reason}."
        raise TypeError(f"{problem} {remedy}".strip())
    if isinstance(final, BaseVAE):
        check_is_fitted(final)


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


def names_around_steps(estimator: Any) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names of columns before and after the steps before the final estimator.

    Pipelines whose steps do not name their outputs are left out.
    """
    for outer in _unwrap(estimator):
        if isinstance(outer, Pipeline) and len(outer) > 1:
            steps = outer[:-1]
            try:
                before = getattr(steps, "feature_names_in_", None)
                if before is None:
                    before = [f"x{j}" for j in range(steps.n_features_in_)]
                after = steps.get_feature_names_out()
            except (AttributeError, ValueError):
                continue
            yield list(before), list(after)


def condition_positions(estimator: Any) -> list[int]:
    """Return the positions of the condition columns of the final estimator, if any."""
    final = final_estimator(estimator)
    return final._reader.given if isinstance(final, BaseVAE) else []


def without_conditions(estimator: Any, X: Any) -> Any:
    """Return rows without the condition columns of the final estimator.

    Rows without condition columns are returned as they are.
    """
    given, names = condition_positions(estimator), frame_names(X)
    if X is None or not given:
        return X
    n_columns = np.shape(X)[1] if names is None else len(names)
    if n_columns != final_estimator(estimator).n_features_in_:
        return X
    kept = [j for j in range(n_columns) if j not in given]
    if hasattr(X, "iloc"):
        return X.iloc[:, kept]
    return np.asarray(X)[:, kept] if names is None else X.select([names[j] for j in kept])


def modelled_names(estimator: Any, X: Any) -> list[str] | None:
    """Return names of the modelled columns of an array with condition columns, else None."""
    given = condition_positions(estimator)
    if not given or frame_names(X) is not None:
        return None
    n_features = final_estimator(estimator).n_features_in_
    return [f"x{j}" for j in range(n_features) if j not in given]


def align_columns(estimator: Any, X: Any) -> Any:
    """Return a frame with the columns in the order of `fit`, and any other X as it is.

    Raises
    ------
    ValueError
        If the names of the columns differ from the names in `fit`.
    """
    names = getattr(estimator, "feature_names_in_", None)
    found = frame_names(X)
    if names is None or found is None or found == list(names):
        return X
    if set(found) != set(names):
        raise ValueError(
            f"X must have the columns that the estimator was fitted to, {list(names)}; got {found}."
        )
    return select_columns(X, list(names))


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
