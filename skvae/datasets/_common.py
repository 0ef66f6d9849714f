"""Helpers shared by the loaders: argument checks and the returned `Bunch`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from ..utils import import_optional


def check_unique_names(parameter: str, names: Sequence[str]) -> None:
    """Raise `ValueError` if a list of column names is empty or has duplicates."""
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"{parameter} must name at least one column, without duplicates; got {names}."
        )


def make_bunch(
    data: Any,
    target: Any,
    *,
    feature_names: Sequence[str],
    target_names: Sequence[str],
    target_name: str = "target",
    descr: str,
    paths: Sequence[Path],
    as_frame: bool,
    return_X_y: bool,
    **extra: Any,
) -> Any:
    """Return data and target as a `Bunch` or, if `return_X_y`, as a tuple.

    Parameters
    ----------
    data : array-like of shape (n_samples, n_features)
        Features.
    target : array-like of shape (n_samples,)
        Labels.
    feature_names : sequence of str
        Names of the features.
    target_names : sequence of str
        Names of the classes.
    target_name : str, default="target"
        Name of the target column in a frame.
    descr : str
        Name of the description file in the folder ``descr``.
    paths : sequence of Path
        Files read by the loader.
    as_frame : bool
        Whether to convert data and target to pandas objects.
    return_X_y : bool
        Whether to return ``(data, target)``.
    **extra : dict
        Further attributes of the `Bunch`.
    """
    frame = None
    if as_frame:
        pd = import_optional("pandas", "as_frame=True")
        data = pd.DataFrame(data, columns=list(feature_names), copy=False)
        target = pd.Series(target, name=target_name, copy=False)
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    filenames = [str(path) for path in paths]
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=list(feature_names),
        target_names=list(target_names),
        DESCR=(resources.files(__package__) / "descr" / descr).read_text("utf-8"),
        filename=filenames[0] if len(filenames) == 1 else filenames,
        **extra,
    )
