"""Training that is written to a file now and then, and goes on from there."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sklearn.utils import check_scalar

from ._files import content_digest, read_file, write_file
from ._state import decode, encode


@dataclass(frozen=True)
class Checkpoint:
    """Where `fit` writes its progress, and how often.

    A fit that finds its file there goes on from it: killed at any moment and called again with the
    same parameters and data, it ends with the bits of one that was never disturbed. A file is
    replaced in one step, so that there is always a good one, and stays when training is over: then
    the same `fit` has nothing left to do. Delete it in order to train anew.

    Parameters
    ----------
    path : path-like
        File to write. Each fit needs one of its own, so searches can't use it.
    epochs : int, default=1
        Write at the end of every so many epochs, and of the last.
    seconds : float, default=0
        And then only if so many seconds have passed since the file was written last, or since
        training began.

    Examples
    --------
    >>> from skvae import Checkpoint, VAETransformer
    >>> vae = VAETransformer(checkpoint=Checkpoint("run.safetensors", seconds=600))
    """

    path: str | os.PathLike[str]
    epochs: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"Checkpoint(path=...) must be a path; got {self.path!r}.")
        check_scalar(self.epochs, "Checkpoint(epochs=...)", Integral, min_val=1)
        check_scalar(self.seconds, "Checkpoint(seconds=...)", Real, min_val=0)


class CheckpointFile:
    """The file of one fit.

    Parameters
    ----------
    checkpoint : Checkpoint
    parameters : dict
        Of the estimator: those that decide what training comes to.

    Raises
    ------
    ValueError
        If the folder does not exist.
    """

    def __init__(self, checkpoint: Checkpoint, parameters: dict[str, Any]) -> None:
        self.checkpoint = checkpoint
        self.path = Path(checkpoint.path)
        if not self.path.absolute().parent.is_dir():
            raise ValueError(f"The folder of checkpoint={os.fspath(self.path)!r} does not exist.")
        self._parameters = encode(parameters)
        self._n_epochs = 0
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return what was written last, or None if there is no file.

        Raises
        ------
        ValueError
            If the file is damaged, or is that of another fit.
        """
        if not self.path.exists():
            return None
        document, arrays = read_file(self.path)
        try:
            saved = document["parameters"]["dict"]
            own, _ = self._parameters
            other = [name for name, value in own["dict"].items() if saved.get(name) != value]
            state = decode(document["state"], arrays, {})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{os.fspath(self.path)!r} is no checkpoint: {error}.") from error
        if other:
            raise self._of_another_fit(f"it differs in {', '.join(other)}")
        return state

    def check(self, state: dict[str, Any], start: str) -> None:
        """Raise `ValueError` if the digest of the weights that training began with is another."""
        if state["start"] != start:
            raise self._of_another_fit("it began with other data, or with other weights")

    def write(self, state: Callable[[], dict[str, Any]], *, is_last: bool) -> None:
        """Write the state after an epoch, if it is time to. Should that fail, warn."""
        self._n_epochs += 1
        is_due = self._n_epochs % self.checkpoint.epochs == 0
        is_due &= time.monotonic() - self._last >= self.checkpoint.seconds
        if not (is_due or is_last):
            return
        document, arrays = encode(state())
        parameters, of_parameters = self._parameters
        try:
            write_file(
                self.path,
                {"parameters": parameters, "state": document},
                {**arrays, **{f"parameters.{name}": a for name, a in of_parameters.items()}},
            )
            self._last = time.monotonic()
        except OSError as error:
            warnings.warn(
                f"Could not write the checkpoint {os.fspath(self.path)!r}: {error}. Training goes "
                "on, and the checkpoint written before, if there is one, is still good.",
                stacklevel=2,
            )

    def _of_another_fit(self, why: str) -> ValueError:
        return ValueError(
            f"The checkpoint {os.fspath(self.path)!r} is that of another fit: {why}. Choose "
            "another path, or delete the file to train anew."
        )


def digest_of(value: dict[str, Any]) -> str:
    """Return a digest of a state."""
    return content_digest(*encode(value))
