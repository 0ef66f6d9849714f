"""Forked processes, as `multiprocessing` starts on Linux.

A fork copies memory, but only the thread that forks. Locks that other threads hold stay locked in
the child, and torch has many: of the generators, of the cache of compiled kernels, of the cache of
converted weights. So a fork waits until calls of skvae in other threads are between two steps.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import context
from typing import Any

# A fork does not wait longer for the end of a step, in seconds: the step may be code of the user
# that waits for the fork.
_MAX_WAIT = 5.0
_FORK_PROCESS: Any = getattr(context, "ForkProcess", ())  # Windows has no forks
_FORK_SERVER_PROCESS: Any = getattr(context, "ForkServerProcess", ())


class _ForkGate:
    """Lets threads work at the same time, or one thread fork."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._depths: dict[int, int] = {}  # number of nested calls of each thread at work
        self._n_waiting = 0  # number of threads that wait for a fork
        self._depths_of_forks: dict[int, int] = {}  # the depths of threads that fork

    def enter(self, depth: int = 1) -> None:
        """Start to work, after the forks that wait."""
        thread = threading.get_ident()
        with self._condition:
            if thread not in self._depths:
                self._condition.wait_for(lambda: self._n_waiting == 0)
            self._depths[thread] = self._depths.get(thread, 0) + depth

    def leave(self, depth: int = 1) -> None:
        """Stop to work, or return from a nested call."""
        thread = threading.get_ident()
        with self._condition:
            self._depths[thread] -= depth
            if self._depths[thread] == 0:
                del self._depths[thread]
                self._condition.notify_all()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let other threads fork only at `pause`."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Let other threads fork meanwhile."""
        depth = self._depths.get(threading.get_ident(), 0)
        if depth == 0:
            yield
            return
        self.leave(depth)
        try:
            yield
        finally:
            self.enter(depth)

    def pause(self) -> None:
        """Let threads fork that wait, between two steps."""
        if self._n_waiting:
            with self.idle():
                pass

    def before_fork(self) -> None:
        thread = threading.get_ident()
        self._condition.acquire()
        self._n_waiting += 1
        # A thread that forks is not at work: two threads would wait for each other.
        self._depths_of_forks[thread] = self._depths.pop(thread, 0)
        self._condition.notify_all()
        self._condition.wait_for(lambda: not self._depths, timeout=_MAX_WAIT)

    def after_in_parent(self) -> None:
        self._n_waiting -= 1
        self._resume(self._depths_of_forks.pop(threading.get_ident()))
        self._condition.notify_all()
        self._condition.release()

    def after_in_child(self) -> None:
        depth = self._depths_of_forks[threading.get_ident()]
        self.__init__()  # type: ignore[misc]
        self._resume(depth)

    def _resume(self, depth: int) -> None:
        if depth:
            self._depths[threading.get_ident()] = depth


def run_in_child(function: Callable[[], object]) -> None:
    """Register a function that forked processes run first, if the system has forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


fork_gate = _ForkGate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=fork_gate.before_fork,
        after_in_parent=fork_gate.after_in_parent,
        after_in_child=fork_gate.after_in_child,
    )

# A fork may come before the import of skvae and after the first use of torch.
_n_forks = int(isinstance(multiprocessing.current_process(), _FORK_PROCESS))


def _count_fork() -> None:
    global _n_forks
    _n_forks += 1


run_in_child(_count_fork)


def is_forked() -> bool:
    """Return whether this process is a fork of a process that may have used torch.

    The server of the start method "forkserver" only imports modules before it forks.
    """
    is_served = isinstance(multiprocessing.current_process(), _FORK_SERVER_PROCESS)
    return _n_forks > int(is_served)
