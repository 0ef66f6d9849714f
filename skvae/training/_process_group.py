"""Processes that train one model together, each on a part of the rows."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")
_DEFAULT_TIMEOUT = 300.0


class ProcessGroup:
    """Group of processes that run the same code on different rows. By default, a single process.

    Parameters
    ----------
    rank : int, default=0
        Number of this process, from 0.
    world_size : int, default=1
        Number of processes.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank = rank
        self.world_size = world_size
        self._phase: str = "idle"  # or "preparing" or "training": see `sharing_failures`

    @property
    def is_distributed(self) -> bool:
        return self.world_size > 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def partition(self, n_rows: int) -> range:
        """Return the rows of this process: contiguous, and in equal parts up to one row."""
        n_processes = self.world_size
        return range(n_rows * self.rank // n_processes, n_rows * (self.rank + 1) // n_processes)

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, all of the same dtype, by the sums over the processes."""
        if not self.is_distributed or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _run_collective(lambda: dist.all_reduce(flat))
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, total in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by the tensors of the main process."""
        for tensor in tensors if self.is_distributed else ():
            _run_collective(partial(dist.broadcast, tensor, 0))

    # ---- Agreement -------------------------------------------------------------------

    def exchange(self, value: Any, error: BaseException | None = None) -> list[Any]:
        """Return the values of all processes, in the order of their ranks.

        A process that cannot go on passes an error instead of a value, in place of the exchange
        that the other processes come to next. So no process waits for a process that has failed.

        Raises
        ------
        BaseException
            `error`, in a process that passes an error.
        ValueError, RuntimeError
            In the other processes, if any process passes an error. A ValueError stands for an
            invalid value or type.
        """
        answers: list[Any] = [(value, error)]
        if self.is_distributed:
            answers = [None] * self.world_size
            failure = None if error is None else _Failure.of(error)
            try:
                _run_collective(lambda: dist.all_gather_object(answers, (value, failure)))
            except BaseException:
                self._phase = "idle" if self._phase == "preparing" else self._phase
                raise
        failures = {rank: answer[1] for rank, answer in enumerate(answers) if answer[1]}
        if failures:
            self._phase = "idle"
            raise error or _explain_failures(failures)
        return [answer[0] for answer in answers]

    def check_equal(self, values: Mapping[str, str]) -> None:
        """Raise `ValueError` in all processes if the processes have different values.

        Parameters
        ----------
        values : mapping
            Values by name. The error message lists the names of the values that differ.
        """
        reference, *others = self.exchange(dict(values))
        for rank, other in enumerate(others, start=1):
            names = different_names(reference, other)
            if names:
                self._phase = "idle"
                raise ValueError(
                    "Processes that train together must have the same X, parameters and "
                    f"checkpoint, but process {rank} of this run differs from process 0 in "
                    f"{', '.join(names)}. Each process selects its own part of the rows: pass all "
                    "of X in each process, and use the same script."
                )

    @contextmanager
    def sharing_failures(self) -> Iterator[None]:
        """Let the other processes fail, too, if this process fails in this context.

        Until `begin_training`, all communication uses `exchange`, so the others receive the error
        in their next call of `exchange`. Between `begin_training` and `end_training`, the others
        wait for this process within a step. The process then leaves the group, which ends their
        waiting, if skvae has created the group.
        """
        self._phase = "preparing" if self.is_distributed else "idle"
        try:
            yield
        except BaseException as error:
            if self._phase == "preparing":
                self.exchange(None, error)
            elif self._phase == "training":
                _leave_process_group()
            raise

    def begin_training(self) -> None:
        """Wait until all processes are ready to train."""
        self.exchange(None)
        self._phase = "training" if self.is_distributed else "idle"

    def end_training(self) -> None:
        """End the communication of a fit, also after an error that all processes have noticed."""
        self._phase = "idle"

    def on_main_process(self, function: Callable[[], Value]) -> Value:
        """Call a function in the main process only, and return the result in all processes.

        If the function raises an exception, all processes fail: see `exchange`.
        """
        if not self.is_distributed:
            return function()
        outcome: list[Any] = [None]
        raised = None
        if self.is_main:
            try:
                outcome[0] = function()
            except BaseException as error:
                raised = error
        self.exchange(None, raised)
        _run_collective(lambda: dist.broadcast_object_list(outcome, 0))
        value: Value = outcome[0]
        return value


class _Failure(NamedTuple):
    """An error of another process, as text: not every exception can be pickled."""

    is_invalid: bool  # whether a value or type is invalid
    text: str

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        is_invalid = isinstance(error, ValueError | TypeError)
        return cls(is_invalid, f"{type(error).__name__}: {error}")


def _explain_failures(failures: Mapping[int, _Failure]) -> Exception:
    rank, failure = next(iter(failures.items()))
    kind = ValueError if failure.is_invalid else RuntimeError
    return kind(
        f"Process {rank} of this run has failed, so no process can train. The error of process "
        f"{rank} was {failure.text}"
    )


def different_names(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the names of the values in which two mappings differ."""
    missing = object()
    names = dict.fromkeys([*first, *second])
    return [name for name in names if first.get(name, missing) != second.get(name, missing)]


def init_process_group() -> ProcessGroup:
    """Return the processes of this run.

    If torch.distributed has a default group, this group is used. Otherwise, the environment
    variables of `torchrun` define a group, which is destroyed when the process ends. Without the
    variables, the process trains alone.

    Raises
    ------
    RuntimeError
        If the process has left its group after an error, or if another process does not answer.
    """
    if not dist.is_available():
        return ProcessGroup()
    if not dist.is_initialized():
        if _OWN_GROUP.has_left:
            raise RuntimeError(
                "An earlier fit of this process failed during distributed training, so this "
                "process can no longer train with the others. Restart all processes."
            )
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            return ProcessGroup()
        seconds = float(os.environ.get("SKVAE_DISTRIBUTED_TIMEOUT", _DEFAULT_TIMEOUT))
        timeout = timedelta(seconds=seconds)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        _run_collective(lambda: dist.init_process_group(backend, timeout=timeout))
        _OWN_GROUP.exists = True
        atexit.register(_destroy_process_group)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


class _OwnGroup:
    """The default group, if `init_process_group` has created it."""

    exists = False
    has_left = False  # whether this process has left the group after an error


_OWN_GROUP = _OwnGroup()


def _destroy_process_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _leave_process_group() -> None:
    """Close the connections to the other processes, which then fail immediately."""
    if _OWN_GROUP.exists:
        _OWN_GROUP.has_left = True
        _destroy_process_group()


def _run_collective(operation: Callable[[], Any]) -> None:
    """Run an operation that needs all processes.

    Raises
    ------
    RuntimeError
        If another process has ended or does not answer.
    """
    try:
        operation()
    except RuntimeError as error:
        raise RuntimeError(
            "Another process of this run has ended or does not answer, so training cannot "
            "continue. Look at the messages of the other processes, and restart all processes: "
            f"with `checkpoint`, training continues from the last checkpoint. ({error})"
        ) from error
