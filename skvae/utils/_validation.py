"""Validation of parameters."""

from __future__ import annotations

from collections.abc import Collection


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Check that the value of a parameter is among the choices.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : object
        Value passed by the user.
    choices : collection of str
        Allowed values.

    Raises
    ------
    ValueError
        If `value` is not a string among `choices`.
    """
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
