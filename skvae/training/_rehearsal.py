"""Rehearsals of custom code, which show whether a training step can be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..models import VAE
from ..utils import global_rng_states, restore_global_rng

# Operations whose result, or the shape of the result, depends on the values of a tensor.
_DATA_DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# Operations that copy between devices. Others may take a number on the CPU.
_COPIES = {"aten::_to_copy", "aten::copy_"}
# Functions that make tensors from data of Python, below the level of operations.
_FROM_PYTHON = (torch.tensor, torch.as_tensor, torch.from_numpy, Tensor.new_tensor)
_N_REHEARSALS = 3


class CaptureError(RuntimeError):
    """A training step cannot be recorded."""


def check_operations(module: VAE, x: Tensor) -> None:
    """Check that custom code can be recorded, by a few passes of training.

    The networks, likelihoods and priors of skvae itself need no check. Weights, buffers and random
    generators are unchanged afterwards.

    Parameters
    ----------
    module : VAE
        Module in training mode.
    x : Tensor of shape (n, n_features)
        Rows of X.

    Raises
    ------
    CaptureError
        If custom code needs the value of a tensor, moves tensors between devices, or does different
        operations in different passes.
    """
    if not _has_custom_code(module):
        return
    with _unchanged(module):
        traces = [_trace(module, x) for _ in range(_N_REHEARSALS)]
    if any(operations != traces[0] for operations in traces):
        raise CaptureError("A custom network does different operations in different steps.")


def _has_custom_code(module: VAE) -> bool:
    package = __name__.partition(".")[0]
    values = (module.likelihood, module.prior)
    are_ours = all(type(value).__module__.partition(".")[0] == package for value in values)
    return callable(module.config.architecture) or not are_ours


def _trace(module: VAE, x: Tensor) -> list[tuple[str, ...]]:
    """Return the operations of a forward and a backward pass."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    x = module.standardize(x)
    eps = x.new_zeros(len(x), module.latent_dim)
    with _NoDataOfPython(), _Trace() as trace:
        if module.likelihood.is_row_random:
            x = module.draw_rows(x, x.new_zeros(len(x), module.config.n_features))
        posterior, z, log_likelihood = module(x, eps)
        total = log_likelihood.sum() + posterior.mean.sum() + posterior.log_var.sum()
        if module.learns_prior:
            total = total + module.log_prior_ratio(z).sum()
        torch.autograd.grad(total, parameters, allow_unused=True)
    return trace.operations


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


class _NoDataOfPython(TorchFunctionMode):
    """Refuses functions that make tensors from numbers of Python."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _FROM_PYTHON:
            name = getattr(func, "__name__", func)
            raise CaptureError(f"A custom network makes a tensor from numbers, by {name}.")
        return func(*args, **(kwargs or {}))


class _Trace(TorchDispatchMode):
    """Collects the operations of the context, with shapes and numbers but without values."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, ...]] = []

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
        is_copy = func._schema.name in _COPIES
        tensors = [t for t in (*leaves, *tree_leaves(result)) if isinstance(t, Tensor)]
        if len({t.device for t in tensors if is_copy or t.ndim > 0}) > 1:
            raise CaptureError(f"A custom network moves tensors between devices, by {func}.")
        described = [leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.operations.append((str(func), *map(repr, described)))
        return result
