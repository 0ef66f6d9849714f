"""Devices, their memory, and the precision of matrix products."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

# For smaller weight matrices, the conversion to bfloat16 costs a CPU more than the product saves.
# Convolutions, which use their weights many times, gain at any size.
_MIN_WEIGHTS_FOR_BFLOAT16 = 100_000
_CPU_CHUNK_ELEMENTS = 2**21
_GPU_CHUNK_ELEMENTS = 2**25
# Slightly less than 32 MiB: glibc does not adapt its threshold to larger blocks.
_MMAP_THRESHOLD_BYTES = 2**25 - 2**16
Module = TypeVar("Module", bound=nn.Module)


def available_devices() -> list[str]:
    """Return the names of the devices of this machine, the preferred device first."""
    names = []
    if torch.cuda.is_available():
        names = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of a name; "auto" is the first available device of CUDA, MPS and CPU.

    Raises
    ------
    ValueError
        If the device is not available; the message lists the available devices.
    """
    available = available_devices()
    name = available[0] if isinstance(device, str) and device == "auto" else str(device)
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # set by torchrun for each process
        name = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    if name not in available and name != "cpu:0":
        raise ValueError(
            f"device={name!r} is not available on this machine; available are "
            f"{['auto', *available]}."
        )
    return torch.device(name)


def to_device(module: Module, device: torch.device) -> Module:
    """Move a module to a device. Metal has no float64, so float64 buffers become float32 there."""
    return (module.float() if device.type == "mps" else module).to(device)


def free_memory(device: torch.device) -> int:
    """Return the number of free bytes in the memory of a GPU, or 0 for other devices."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def chunk_elements(device: torch.device) -> int:
    """Return the number of elements to compute with at a time, in the widest layer of a network.

    Chunks fit in the caches of a CPU: 8 MiB in float32, 16 MiB in float64. A GPU needs larger
    chunks to be busy, and a forward pass keeps up to a few dozen arrays of this size.
    """
    if device.type == "cpu":
        return _CPU_CHUNK_ELEMENTS
    if device.type != "cuda":
        return _GPU_CHUNK_ELEMENTS
    return max(_CPU_CHUNK_ELEMENTS, min(_GPU_CHUNK_ELEMENTS, free_memory(device) // 512))


def retain_freed_memory() -> None:
    """Let the allocator of Linux retain up to 64 MiB that a step frees, for the next step.

    By default, the allocator returns much of the memory to the system and requests new pages in
    each step. The allocator retains twice the size of the largest block freed so far (mallopt(3),
    M_MMAP_THRESHOLD), for blocks of at most 32 MiB. This function allocates and frees a block of
    the maximum size. Without writes, the block takes no memory.
    """
    torch.empty(_MMAP_THRESHOLD_BYTES, dtype=torch.uint8, device="cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the hardware multiplies bfloat16 matrices faster than float32 matrices."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        features: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(features.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return False


def training_dtype(precision: str, device: torch.device, module: nn.Module) -> torch.dtype:
    """Return the dtype of matrix products in training.

    "auto" is bfloat16 if the hardware is faster in bfloat16 and the network is large enough.
    Weights, the terms of the bound and the state of the optimizer are float32 in both cases.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    large = any(p.ndim > 2 or p.numel() >= _MIN_WEIGHTS_FOR_BFLOAT16 for p in module.parameters())
    return torch.bfloat16 if large and has_fast_bfloat16(device) else torch.float32


class _SharedContext(AbstractContextManager[None]):
    """A context with an effect on the whole process, for several threads at a time.

    The first thread enters the context and the last thread exits the context. If each thread
    restored the previous state, the effect could end too early for another thread, or never.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._context = self._make()
                self._context.__enter__()
            self._n_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._context.__exit__(None, None, None)


@contextmanager
def _deterministic_cudnn() -> Iterator[None]:
    """Exclude cuDNN's kernels that add numbers in a different order from run to run."""
    cudnn = torch.backends.cudnn  # its own context also changes the precision of float32
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
        yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before


_DETERMINISTIC_CUDNN = _SharedContext(_deterministic_cudnn)


def deterministic_kernels(device: torch.device) -> AbstractContextManager[None]:
    """Return a context for the forward and backward passes of reproducible training."""
    return _DETERMINISTIC_CUDNN if device.type == "cuda" else nullcontext()


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Let networks multiply matrices in `dtype`."""
    if dtype == torch.float32 and not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield
        if dtype != torch.float32:
            # Within a context of the caller, torch would keep the converted weights.
            torch.clear_autocast_cache()
