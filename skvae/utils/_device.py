"""Where tensors live, in which precision they are multiplied, and whence chance comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Generator, nn

# A CPU multiplies a matrix with fewer weights as fast in float32: converting it costs more
# than the product saves. Convolutions, whose weights are used many times, gain at any size.
_MIN_WEIGHTS_FOR_BFLOAT16 = 100_000
# A little less than 32 MiB, beyond which glibc learns nothing.
_MMAP_THRESHOLD_BYTES = 2**25 - 2**16
_GLOBAL_GENERATORS = threading.RLock()
_THREAD_NUMBERS = threading.Lock()
# Rows times weights of a step of perceptrons below which two threads gain a third at most. Threads
# of OpenMP that wait for each other spin: where processes share the cores, as in a search with
# n_jobs, steps this short take several times as long with two, and the shortest a hundred times.
_MIN_WORK_FOR_THREADS = 25_000_000
Module = TypeVar("Module", bound=nn.Module)


def available_devices() -> list[str]:
    """Return the names of the devices of this machine, the preferred one first."""
    names = []
    if torch.cuda.is_available():
        names = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device meant, which "auto" takes to be the fastest there is.

    Raises
    ------
    ValueError
        If there is no such device here; the message lists those there are.
    """
    available = available_devices()
    name = available[0] if isinstance(device, str) and device == "auto" else str(device)
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # one of the processes that torchrun started
        name = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    if name not in available and name != "cpu:0":
        raise ValueError(
            f"device={name!r} is not available on this machine; available are "
            f"{['auto', *available]}."
        )
    return torch.device(name)


def place(module: Module, device: torch.device) -> Module:
    """Move the module to `device`; Metal has no float64, in which the columns' units are."""
    return (module.float() if device.type == "mps" else module).to(device)


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free in the memory that `device` has to itself."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def retain_freed_memory() -> None:
    """Let Linux's allocator keep up to 64 MiB that one step frees for the next.

    Else it hands much of it back to the system, page by page, and asks for it again. It keeps
    twice the size of the largest block freed so far (mallopt(3), M_MMAP_THRESHOLD), of 32 MiB
    at most: here is one, which takes no memory, since nothing touches it.
    """
    torch.empty(_MMAP_THRESHOLD_BYTES, dtype=torch.uint8, device="cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices faster than float32 ones in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        features: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(features.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return False


def training_dtype(precision: str, device: torch.device, module: nn.Module) -> torch.dtype:
    """Return the dtype in which training multiplies matrices.

    "auto" is bfloat16 where the hardware gains from it and the network is large enough.
    Weights, the terms of the bound and the optimiser's state are float32 either way.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    large = any(p.ndim > 2 or p.numel() >= _MIN_WEIGHTS_FOR_BFLOAT16 for p in module.parameters())
    gains = large and has_fast_bfloat16(device)
    return torch.bfloat16 if gains else torch.float32


class _Shared(AbstractContextManager[None]):
    """A context whose effect is on the whole process, for threads that are in it at once.

    The first one in enters it, and the last one out leaves it. If each put back what it found,
    the effect could end under another, or stay for good.
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


# cuDNN's fastest kernels may differ from run to run in the order of their sums.
_REPRODUCIBLE_CUDNN = _Shared(
    partial(torch.backends.cudnn.flags, enabled=True, benchmark=False, deterministic=True)
)


@contextmanager
def arithmetic(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Let networks multiply in `dtype`, reproducibly."""
    reproducible = _REPRODUCIBLE_CUDNN if device.type == "cuda" else nullcontext()
    with reproducible, torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


def init_threads() -> None:
    """Let torch settle how many threads serve the calling one, unless it has already.

    It takes the number set last, in whatever thread, and keeps to it. So this is for the start of
    whatever may be a thread's first use of torch: `single_thread` waits for it, and it for that.
    """
    with _THREAD_NUMBERS:
        torch.get_num_threads()


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch keep to the calling thread, and to that one only."""
    with _THREAD_NUMBERS:
        n_threads = torch.get_num_threads()
        if n_threads > 1:
            torch.set_num_threads(1)
            # Threads that have yet to use torch would keep to one, too. If there may be any,
            # another that ends at once sets the number back for them.
            if threading.active_count() > 1:
                other = threading.Thread(target=torch.set_num_threads, args=(n_threads,))
                other.start()
                other.join()
    try:
        yield
    finally:
        if n_threads > 1:
            torch.set_num_threads(n_threads)


def limit_threads(module: nn.Module, n_rows: int) -> AbstractContextManager[None]:
    """Let steps of `n_rows` that are too small to share keep to the calling thread."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    perceptrons = all(weight.ndim == 2 for weight in weights)
    work = n_rows * sum(weight.numel() for weight in weights)
    return single_thread() if perceptrons and work < _MIN_WORK_FOR_THREADS else nullcontext()


@contextmanager
def seeded_global_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Let foreign code draw from torch's global generators, seeded, and then put them back.

    They belong to the whole process, so threads that need them take turns.
    """
    cuda = [device] if device.type == "cuda" else []
    with _GLOBAL_GENERATORS, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def global_generator_states(device: torch.device) -> list[torch.Tensor]:
    """Return the states of torch's global generators: the CPU's, and that of a CUDA device."""
    states = [torch.random.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def restore_global_generators(states: list[torch.Tensor], device: torch.device) -> None:
    """Give them states that `global_generator_states` returned."""
    torch.random.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def seeded_generator(seed: int, device: torch.device | str = "cpu") -> Generator:
    """Return a generator of its own on `device`: global random states stay untouched."""
    return Generator(device=device).manual_seed(seed)
