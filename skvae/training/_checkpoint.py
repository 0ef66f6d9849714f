"""Checkpoints: the progress of training in a file, to resume training later."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..serialization import (
    decode,
    digest_of,
    encode,
    read_file,
    remove_unfinished,
    serializable,
    write_file,
)
from ..utils import find_stack_level
from ._loop import LoopCallback, TrainingLoop
from ._process_group import ProcessGroup


@serializable
@dataclass(frozen=True)
class Checkpoint:
    """File to which `fit` writes its progress, and how often.

    If the file exists, `fit` continues from the file. If a fit is killed at any moment and called
    again with the same parameters and data, the result is the same model, bit for bit, as without
    interruption. Each checkpoint replaces the previous checkpoint in a single step, so the file is
    complete at any time. The file remains after training, and the same `fit` then returns the
    finished model. Delete the file to train again from the beginning.

    Parameters
    ----------
    path : path-like
        File to write. Each fit needs a separate file, so searches cannot use checkpoints.
    epochs : int, default=None
        Number of epochs between checkpoints. If both `epochs` and `seconds` are None, a checkpoint
        is written after each epoch.
    seconds : float, default=None
        Seconds between checkpoints, counted from the beginning of training. Checkpoints may then be
        written within an epoch; with several processes, only at the end of the epoch. 0 writes a
        checkpoint after each step.

    Notes
    -----
    A checkpoint is always written when training is over.

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
        for name, kind, lowest in (("epochs", Integral, 1), ("seconds", Real, 0)):
            value = getattr(self, name)
            if value is None:
                continue
            noun = "an integer" if kind is Integral else "a number"
            message = f"Checkpoint({name}=...) must be {noun} of at least {lowest}; got {value!r}."
            if not isinstance(value, kind):
                raise TypeError(message)
            if not float(value) >= lowest:
                raise ValueError(message)


class NullCheckpointer(LoopCallback):
    """The checkpointer of a run without a file: reads and writes nothing."""

    def resume(self, loop: TrainingLoop) -> None:
        """Let a new training loop continue from the checkpoint, if the file exists."""


class Checkpointer(NullCheckpointer):
    """Reads and writes the checkpoint of one run.

    Parameters
    ----------
    checkpoint : Checkpoint
    parameters : dict
        Parameters of the estimator with an influence on the result of training.
    rng : RandomState
        Random generator of the run, with the same state in all processes. If the file exists, the
        generator gets the state at the beginning of the run in the file.
    group : ProcessGroup
        Processes that train together. The main process reads and writes.

    Raises
    ------
    ValueError
        If the folder does not exist, or if the file is damaged or belongs to another fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        parameters: dict[str, Any],
        rng: np.random.RandomState,
        group: ProcessGroup,
    ) -> None:
        self._path = Path(checkpoint.path)
        if not self._path.absolute().parent.is_dir():
            raise ValueError(f"The folder of checkpoint={os.fspath(self._path)!r} does not exist.")
        self._epochs = checkpoint.epochs
        self._seconds = checkpoint.seconds
        self._group = group
        self._parameters, self._arrays = encode({"parameters": parameters})
        self._last_time = time.monotonic()
        self._saved = group.on_main_process(self._read)
        self._initial_digest = ""
        if self._saved is not None:
            rng.set_state(self._saved.random_state)
        self._random_state = rng.get_state()

    def resume(self, loop: TrainingLoop) -> None:
        """Let a new training loop continue from the checkpoint, if the file exists.

        Raises
        ------
        ValueError
            If the initial weights differ from the initial weights of the checkpoint's run.
        """
        self._initial_digest = digest_of(loop.trainer.module.state_dict())
        if self._saved is None:
            return
        if self._saved.initial_digest != self._initial_digest:
            raise self._mismatch("it began with other data, or with other weights")
        loop.load_state_dict(self._saved.loop)

    def on_step_end(self, loop: TrainingLoop) -> None:
        if not self._group.is_distributed and self._is_time():
            self._write(loop)

    def on_epoch_end(self, loop: TrainingLoop) -> bool:
        if loop.is_finished or self._is_epoch(loop) or self._is_time():
            self._write(loop)
        return False

    def _is_epoch(self, loop: TrainingLoop) -> bool:
        if self._epochs is None:
            return self._seconds is None
        return len(loop.history) % self._epochs == 0

    def _is_time(self) -> bool:
        return self._seconds is not None and time.monotonic() - self._last_time >= self._seconds

    def _write(self, loop: TrainingLoop) -> None:
        """Write a checkpoint, and warn if that fails."""
        run = _Run(self._random_state, self._initial_digest, loop.state_dict())
        state, arrays = encode(run._asdict())
        document = {"parameters": self._parameters, "state": state}
        try:
            write_file(self._path, document, {**arrays, **self._arrays})
        except OSError as error:
            warnings.warn(
                f"Could not write the checkpoint {os.fspath(self._path)!r}: {error}. Training "
                "continues, and an earlier checkpoint remains valid.",
                stacklevel=find_stack_level(),
            )
        self._last_time = time.monotonic()

    def _read(self) -> _Run | None:
        """Return the run in the file, or None if there is no file, and remove partial files."""
        remove_unfinished(self._path)
        if not self._path.exists():
            return None
        document, arrays = read_file(self._path)
        try:
            saved, own = (
                parameters["dict"]["parameters"]["dict"]
                for parameters in (document["parameters"], self._parameters)
            )
            different = [name for name, value in own.items() if saved.get(name) != value]
            state = None if different else decode(document["state"], arrays, {})
            run = None if state is None else _Run(**state)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(
                f"{os.fspath(self._path)!r} is not a checkpoint of skvae: {error}."
            ) from error
        if different:
            raise self._mismatch(f"it differs in {', '.join(different)}")
        return run

    def _mismatch(self, reason: str) -> ValueError:
        return ValueError(
            f"The checkpoint {os.fspath(self._path)!r} belongs to another fit: {reason}. Choose "
            "another path, or delete the file to train again from the beginning."
        )


class _Run(NamedTuple):
    """The content of a checkpoint."""

    random_state: Any  # at the beginning of the run
    initial_digest: str  # of the initial weights
    loop: dict[str, Any]  # state of the training loop


def make_checkpointer(
    checkpoint: Any, parameters: dict[str, Any], rng: np.random.RandomState, group: ProcessGroup
) -> NullCheckpointer:
    """Return the checkpointer of a path, a `Checkpoint` or None: see `Checkpointer`."""
    if checkpoint is None:
        return NullCheckpointer()
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    return Checkpointer(checkpoint, parameters, rng, group)
