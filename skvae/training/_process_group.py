"""Processes that train one model together, each on its share of the rows."""

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
    """Processes that do the same on different rows; by default this one alone.

    Parameters
    ----------
    rank : int
        Number of this process.
    size : int
        How many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, n_rows: int) -> range:
        """Return which of so many rows are this process's: neighbours, and as many as others'."""
        return range(n_rows * self.rank // self.size, n_rows * (self.rank + 1) // self.size)

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, all of one dtype, by their sums over the processes."""
        if self.is_alone or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _together(lambda: dist.all_reduce(flat))
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, total in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        for tensor in () if self.is_alone else tensors:
            _together(partial(dist.broadcast, tensor, 0))

    def all_equal(self, value: Any) -> bool:
        """Whether all processes have the same value."""
        if self.is_alone:
            return True
        values = [None] * self.size
        _together(lambda: dist.all_gather_object(values, value))
        return all(other == value for other in values)

    def on_main_process(self, function: Callable[[], Value]) -> Value:
        """Return what the first process gets from the function; it alone calls it.

        What that raises is raised everywhere.
        """
        if self.is_alone:
            return function()
        outcome: list[Any] = [None, None]
        if self.is_main:
            try:
                outcome[0] = function()
            except Exception as error:
                outcome[1] = error
        _together(lambda: dist.broadcast_object_list(outcome, 0))
        value, raised = outcome
        if raised is not None:
            raise raised
        return value


def init_process_group() -> ProcessGroup:
    """Return the processes of this run.

    They are those of torch.distributed's default group, if there is one. If not, and if the
    environment is that of `torchrun`, a group is made, which lasts as long as this process.
    """
    if not dist.is_available():
        return ProcessGroup()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            return ProcessGroup()
        seconds = float(os.environ.get("SKVAE_DISTRIBUTED_TIMEOUT", _DEFAULT_TIMEOUT))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        _together(lambda: dist.init_process_group(backend, timeout=timedelta(seconds=seconds)))
        atexit.register(_leave)
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _together(function: Callable[[], Any]) -> None:
    """Do what needs all processes.

    Raises
    ------
    RuntimeError
        If another one has ended, or does not answer.
    """
    try:
        function()
    except RuntimeError as error:
        raise RuntimeError(
            "Another process of this run has ended or does not answer, so training can't go on. "
            "Look at its messages, and start all processes again: with `checkpoint`, they go on "
            f"from the last one. ({error})"
        ) from error
