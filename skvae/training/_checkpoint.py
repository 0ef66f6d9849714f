"""Training that is written to a file now and then, and goes on from there."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from ..serialization import decode, digest_of, encode, read_file, remove_unfinished, write_file
from ._loop import Training
from ._process_group import ProcessGroup


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
    epochs : int, default=None
        Write at the end of every so many epochs: of each, if `seconds` is None, too.
    seconds : float, default=None
        Write whenever so many seconds have passed since the file was written last, or since
        training began, also within an epoch. Of several processes that train together: at the
        end of the epoch. 0 writes after each step.

    Whatever these say, the file is also written when training is over.

    Examples
    --------
    >>> from skvae import Checkpoint, VAETransformer
    >>> vae = VAETransformer(checkpoint=Checkpoint("run.safetensors", seconds=600))
    """

    path: str | os.PathLike[str]
    epochs: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"Checkpoint(path=...) must be a path; got {self.path!r}.")
        if self.epochs is not None:
            check_scalar(self.epochs, "Checkpoint(epochs=...)", Integral, min_val=1)
        if self.seconds is not None:
            check_scalar(self.seconds, "Checkpoint(seconds=...)", Real, min_val=0)


class CheckpointFile:
    """The file of one fit, or of none: then nothing is read or written.

    Parameters
    ----------
    checkpoint : path-like, Checkpoint or None
    parameters : dict
        Of the estimator: those that decide what training comes to.
    team : ProcessGroup
        Processes that train together. The first one reads and writes.

    Raises
    ------
    ValueError
        If the folder does not exist, or if the file is damaged or that of another fit.
    """

    def __init__(self, checkpoint: Any, parameters: dict[str, Any], team: ProcessGroup) -> None:
        self._checkpoint: Checkpoint | None = None
        self._team = team
        self._saved: dict[str, Any] | None = None
        if checkpoint is None:
            return
        is_path = not isinstance(checkpoint, Checkpoint)
        self._checkpoint = Checkpoint(checkpoint) if is_path else checkpoint
        self._path = Path(self._checkpoint.path)
        if not self._path.absolute().parent.is_dir():
            raise ValueError(f"The folder of checkpoint={os.fspath(self._path)!r} does not exist.")
        self._parameters, self._arrays = encode({"parameters": parameters})
        self._n_epochs = 0
        self._last = time.monotonic()
        self._saved = team.on_main_process(self._read)

    def settle(self, rng: np.random.RandomState) -> None:
        """Give `rng` the state that training began with, the same in all processes."""
        saved = self._saved
        rng.set_state(saved["random_state"] if saved else self._team.on_main_process(rng.get_state))
        self._random_state = rng.get_state()

    def resume(self, training: Training) -> None:
        """Let training that has not begun yet go on from the file, if there is one.

        Raises
        ------
        ValueError
            If it would begin with other weights than that in the file.
        """
        if self._checkpoint is None:
            return
        self._start = digest_of(training.trainer.module.state_dict())
        if self._saved is None:
            return
        if self._saved["start"] != self._start:
            raise self._of_another_fit("it began with other data, or with other weights")
        training.restore(self._saved["training"])

    def after_epoch(self, training: Training) -> None:
        """Write training down after an epoch, if it is time to."""
        if self._checkpoint is None or not self._team.is_main:
            return
        self._n_epochs += 1
        every = self._checkpoint.epochs or (1 if self._checkpoint.seconds is None else math.inf)
        if training.is_over or self._n_epochs % every == 0 or self._is_time():
            self._write(training)

    def after_step(self, training: Training) -> Callable[[], None] | None:
        """Return what writes training down after a step, if it is time to; None if it never is."""
        if self._checkpoint is None or self._checkpoint.seconds is None or not self._team.is_alone:
            return None

        def write_if_due() -> None:
            if self._is_time():
                self._write(training)

        return write_if_due

    def _is_time(self) -> bool:
        assert self._checkpoint is not None
        seconds = self._checkpoint.seconds
        return seconds is not None and time.monotonic() - self._last >= seconds

    def _write(self, training: Training) -> None:
        """Write training down. Should that fail, warn."""
        state, arrays = encode(
            {
                "random_state": self._random_state,
                "start": self._start,
                "training": training.state(),
            }
        )
        document = {"parameters": self._parameters, "state": state}
        try:
            write_file(self._path, document, {**arrays, **self._arrays})
        except OSError as error:
            warnings.warn(
                f"Could not write the checkpoint {os.fspath(self._path)!r}: {error}. Training goes "
                "on, and the checkpoint written before, if there is one, is still good.",
                stacklevel=2,
            )
        self._last = time.monotonic()

    def _read(self) -> dict[str, Any] | None:
        """Return what was written last, or None if there is no file, and tidy up."""
        remove_unfinished(self._path)
        if not self._path.exists():
            return None
        document, arrays = read_file(self._path)
        try:
            saved, own = (
                parameters["dict"]["parameters"]["dict"]
                for parameters in (document["parameters"], self._parameters)
            )
            other = [name for name, value in own.items() if saved.get(name) != value]
            state: dict[str, Any] = decode(document["state"], arrays, {})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{os.fspath(self._path)!r} is no checkpoint: {error}.") from error
        if other:
            raise self._of_another_fit(f"it differs in {', '.join(other)}")
        return state

    def _of_another_fit(self, why: str) -> ValueError:
        return ValueError(
            f"The checkpoint {os.fspath(self._path)!r} is that of another fit: {why}. Choose "
            "another path, or delete the file to train anew."
        )
