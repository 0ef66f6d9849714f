"""Threads of the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from ._fork import run_in_child

_THREAD_COUNT_LOCK = threading.Lock()
# Rows times weights of a step of a multilayer perceptron. Below this threshold, a second thread
# gains hardly anything. OpenMP threads spin while they wait for each other. If several processes
# share the cores, as in a search with n_jobs, the shortest steps take a hundred times longer with
# two threads.
_MIN_WORK_FOR_THREADS = 60_000_000


def _renew_lock() -> None:
    """Replace the lock in a forked process, where a thread that holds the lock does not exist."""
    global _THREAD_COUNT_LOCK
    _THREAD_COUNT_LOCK = threading.Lock()


run_in_child(_renew_lock)


def init_threads() -> int:
    """Return the number of torch's threads, which torch fixes at the first use in a thread.

    At the first use in a thread, torch adopts the last number that any thread has set. So this
    function must run before the first use of torch in a thread. The lock prevents a change by
    `single_thread` in between.
    """
    with _THREAD_COUNT_LOCK:
        return torch.get_num_threads()


@contextmanager
def single_thread() -> Iterator[None]:
    """Restrict torch to the calling thread, without an effect on other threads."""
    n_threads = init_threads()
    if n_threads == 1:
        yield
        return
    try:
        with _THREAD_COUNT_LOCK:
            torch.set_num_threads(1)
            # Threads that use torch for the first time later would adopt a single thread. If other
            # threads exist, a short-lived thread sets the number back for them.
            if threading.active_count() > 1:
                other = threading.Thread(target=torch.set_num_threads, args=(n_threads,))
                other.start()
                other.join()
        yield
    finally:
        torch.set_num_threads(n_threads)


def limit_threads(module: nn.Module, n_rows: int) -> AbstractContextManager[None]:
    """Restrict short steps, for few rows or few weights, to a single thread."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    is_perceptron = all(weight.ndim == 2 for weight in weights)
    work = n_rows * sum(weight.numel() for weight in weights)
    return single_thread() if is_perceptron and work < _MIN_WORK_FOR_THREADS else nullcontext()
