"""What the loaders share: checks of arguments, and the form of the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from ..utils import optional


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise `ValueError` unless the argument is one of the choices."""
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def pack(
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
    **more: Any,
) -> Any:
    """Return data and target, as arrays or frames, alone or in a `Bunch` with all about them."""
    frame = None
    if as_frame:
        pd = optional("pandas")
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
        **more,
    )
