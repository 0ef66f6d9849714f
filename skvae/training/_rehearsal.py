"""Rehearsals of custom networks, which show whether a training step can be recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..models import VAE
from ..utils import global_rng_states, restore_global_rng

# Operations whose result, or the shape of the result, depends on the values of a tensor.
_DATA_DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_N_REHEARSALS = 3


class CaptureError(RuntimeError):
    """A training step cannot be recorded."""


def check_operations(module: VAE, x: Tensor) -> None:
    """Check that custom networks can be recorded, by a few forward passes in training mode.

    The networks of skvae itself need no check. Buffers and random generators are unchanged
    afterwards.

    Parameters
    ----------
    module : VAE
        Module in training mode.
    x : Tensor of shape (n, n_features)
        Rows of X.

    Raises
    ------
    CaptureError
        If a network needs the value of a tensor, moves tensors between devices, or does different
        operations in different passes.
    """
    if not callable(module.config.architecture):
        return
    with torch.no_grad(), _unchanged(module):
        x = module.standardize(x)
        traces = []
        for _ in range(_N_REHEARSALS):
            with _Trace() as trace:
                module(x)
            traces.append(trace.operations)
    if any(operations != traces[0] for operations in traces):
        raise CaptureError("A custom network does different operations in different steps.")


@contextmanager
def _unchanged(module: VAE) -> Iterator[None]:
    """Restore buffers and torch's global random generators at the end of the context."""
    device = module.bias.device
    generators = global_rng_states(device)
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)
        restore_global_rng(generators, device)


class _Trace(TorchDispatchMode):
    """Collects the operations of the context, with shapes and numbers but without values."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if _DATA_DEPENDENT & set(func.tags):
            raise CaptureError(f"A custom network needs the values of a tensor, for {func}.")
        result = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs))
        devices = {t.device for t in (*leaves, *tree_leaves(result)) if _has_memory(t)}
        if len(devices) > 1:
            raise CaptureError(f"A custom network moves tensors between devices, by {func}.")
        described = [leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.operations.append((func, *map(repr, described)))
        return result


def _has_memory(value: object) -> bool:
    """Return whether a value is a tensor that cannot become a constant of a recording."""
    return isinstance(value, Tensor) and value.ndim > 0
