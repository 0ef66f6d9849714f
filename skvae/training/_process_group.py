"""Processes that train one model together, each on a part of the rows."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

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

    def all_equal(self, value: Any) -> bool:
        """Return whether all processes have the same value."""
        if not self.is_distributed:
            return True
        values = [None] * self.world_size
        _run_collective(lambda: dist.all_gather_object(values, value))
        return all(other == value for other in values)

    def on_main_process(self, function: Callable[[], Value]) -> Value:
        """Call a function in the main process only, and return the result in all processes.

        An exception of the function is raised in all processes.
        """
        if not self.is_distributed:
            return function()
        outcome: list[Any] = [None, None]
        if self.is_main:
            try:
                outcome[0] = function()
            except Exception as error:
                outcome[1] = error
        _run_collective(lambda: dist.broadcast_object_list(outcome, 0))
        value, raised = outcome
        if raised is not None:
            raise raised
        return value


def init_process_group() -> ProcessGroup:
    """Return the processes of this run.

    If torch.distributed has a default group, this group is used. Otherwise, the environment
    variables of `torchrun` define a group, which is destroyed when the process ends. Without the
    variables, the process trains alone.
    """
    if not dist.is_available():
        return ProcessGroup()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            return ProcessGroup()
        seconds = float(os.environ.get("SKVAE_DISTRIBUTED_TIMEOUT", _DEFAULT_TIMEOUT))
        timeout = timedelta(seconds=seconds)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        _run_collective(lambda: dist.init_process_group(backend, timeout=timeout))
        atexit.register(_destroy_process_group)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def _destroy_process_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


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
