"""Checkpoints: the progress of training in a file, to resume training later."""

from __future__ import annotations

import os
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from ..serialization import (
    decode,
    digest_of,
    encode,
    read_file,
    remove_unfinished,
    serializable,
    write_file,
)
from ..utils import __version__, find_stack_level
from ._checkpoint_state import restore_state
from ._loop import LoopCallback, TrainingLoop
from ._process_group import ProcessGroup, different_names
from ._run_identity import RunIdentity


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
        File to write. Each fit needs a separate file, so searches cannot use checkpoints. During a
        fit, no other fit can use the file.
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def resume(self, loop: TrainingLoop) -> None:
        """Let a new training loop continue from the checkpoint, if the file exists."""


class Checkpointer(NullCheckpointer):
    """Reads and writes the checkpoint of one run, as a context in which the file is locked.

    Parameters
    ----------
    checkpoint : Checkpoint
    identity : RunIdentity
        Identity of the run. A checkpoint with another identity is refused.
    rng : RandomState
        Random generator of the run, with the same state in all processes. If the file exists, the
        generator gets the state at the beginning of the run in the file.
    group : ProcessGroup
        Processes that train together. The main process reads and writes.

    Raises
    ------
    ValueError
        If the folder does not exist, if another process trains with the file, or if the file is
        damaged or belongs to another fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        identity: RunIdentity,
        rng: np.random.RandomState,
        group: ProcessGroup,
    ) -> None:
        self._path = Path(checkpoint.path)
        self._epochs = checkpoint.epochs
        self._seconds = checkpoint.seconds
        self._group = group
        self._identity = identity
        self._last_time = time.monotonic()
        self._initial_digest = ""
        with ExitStack() as stack:  # unlocks the file after an error
            self._saved = group.on_main_process(lambda: self._open(stack))
            if self._saved is not None:
                rng.set_state(self._saved.random_state.get_state())
            self._lock = stack.pop_all()
        self._random_state = np.random.RandomState()
        self._random_state.set_state(rng.get_state())

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def resume(self, loop: TrainingLoop) -> None:
        """Let a new training loop continue from the checkpoint, if the file exists.

        Raises
        ------
        ValueError
            If the initial weights differ from the initial weights of the checkpoint's run, or if
            the state in the file does not fit the training loop.
        """
        self._initial_digest = digest_of(loop.trainer.module.state_dict())
        if self._saved is None:
            return
        if self._saved.initial_digest != self._initial_digest:
            raise self._mismatch(["the initial weights"])
        try:
            restore_state(loop, self._saved.loop, self._saved.device)
        except Exception as error:  # a hostile file may cause any exception
            raise self._invalid(error) from error
        self._saved = None

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

    # ---- The file --------------------------------------------------------------------

    def _write(self, loop: TrainingLoop) -> None:
        """Write a checkpoint, and warn if that fails."""
        device = loop.trainer.module.bias.device.type
        run = _Run(self._random_state, self._initial_digest, device, loop.state_dict())
        state, arrays = encode(run._asdict())
        document = {"identity": self._identity, "versions": _versions(), "state": state}
        try:
            write_file(self._path, document, arrays)
        except OSError as error:
            warnings.warn(
                f"Could not write the checkpoint {os.fspath(self._path)!r}: {error}. Training "
                "continues, and an earlier checkpoint remains valid.",
                stacklevel=find_stack_level(),
            )
        self._last_time = time.monotonic()

    def _open(self, stack: ExitStack) -> _Run | None:
        """Lock the file, and return the run in the file, or None if there is no file."""
        if not self._path.absolute().parent.is_dir():
            raise ValueError(f"The folder of checkpoint={os.fspath(self._path)!r} does not exist.")
        if self._path.exists() and not self._path.is_file():  # reading a pipe would never end
            raise ValueError(
                f"checkpoint={os.fspath(self._path)!r} is a folder or a device: pass the path of a "
                "file."
            )
        if _lock(self._path, stack):
            remove_unfinished(self._path)
        return self._read() if self._path.exists() else None

    def _read(self) -> _Run:
        """Return the run in the file.

        Raises
        ------
        ValueError
            If the file is damaged, or belongs to another fit.
        """
        document, arrays = read_file(self._path)
        try:
            identity, versions = dict(document["identity"]), dict(document["versions"])
            different = different_names(self._identity, identity)
            run = None if different else _Run(**decode(document["state"], arrays, {}))
            if run is not None and not isinstance(run.random_state, np.random.RandomState):
                raise TypeError("random_state is invalid")
        except Exception as error:  # a hostile file may cause any exception
            raise self._invalid(error) from error
        if run is None:
            raise self._mismatch(different)
        if versions != _versions():
            warnings.warn(
                f"The checkpoint {os.fspath(self._path)!r} was written with {versions!s:.200}, and "
                f"this process has {_versions()}. The model may differ from the model of an "
                "uninterrupted fit.",
                stacklevel=find_stack_level(),
            )
        return run

    def _invalid(self, error: Exception) -> ValueError:
        return ValueError(
            f"{os.fspath(self._path)!r} is not a checkpoint of this version of skvae, or is "
            f"damaged ({type(error).__name__}: {error}). Choose another path, or delete the file "
            "to train again from the beginning."
        )

    def _mismatch(self, names: list[str]) -> ValueError:
        shown = [name[:80] for name in names[:20]]  # some of the names may come from the file
        return ValueError(
            f"The checkpoint {os.fspath(self._path)!r} belongs to another fit: it differs in "
            f"{', '.join(shown)}. Choose another path, or delete the file to train again from the "
            "beginning."
        )


class _Run(NamedTuple):
    """The content of a checkpoint."""

    random_state: np.random.RandomState  # at the beginning of the run
    initial_digest: str  # of the initial weights
    device: str  # type of the device that the random generators belong to
    loop: dict[str, Any]  # state of the training loop


def _versions() -> dict[str, str]:
    return {"skvae": __version__, "torch": str(torch.__version__)}


def _lock(path: Path, stack: ExitStack) -> bool:
    """Lock a checkpoint until the stack is closed, and return whether that is possible.

    The operating system ends the lock with the process, however the process ends. Read-only folders
    and some network file systems have no locks.

    Raises
    ------
    ValueError
        If another process holds the lock.
    """
    import filelock  # slow to import, and only needed here

    lock_path = path.absolute().with_name(f".{path.name}.lock")
    try:
        stack.enter_context(filelock.FileLock(lock_path, timeout=0))
    except filelock.Timeout:
        raise ValueError(
            f"Another fit is using the checkpoint {os.fspath(path)!r}. Wait until the other fit "
            "ends, or choose another path."
        ) from None
    except (OSError, NotImplementedError):
        return False
    return True


def make_checkpointer(
    checkpoint: Any, identity: RunIdentity, rng: np.random.RandomState, group: ProcessGroup
) -> NullCheckpointer:
    """Return the checkpointer of a path, a `Checkpoint` or None: see `Checkpointer`."""
    if checkpoint is None:
        return NullCheckpointer()
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    return Checkpointer(checkpoint, identity, rng, group)
