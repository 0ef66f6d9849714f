"""Ctrl-C between the steps of a call, never within a step.

Python can raise KeyboardInterrupt between any two instructions: between the start of a context and
its body, within the end of a context, or within an import. Settings of torch would then stay
changed, and modules half imported. Calls of skvae therefore note a Ctrl-C, and raise
KeyboardInterrupt after the step.
"""

from __future__ import annotations

import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from ._fork import run_in_child

# A user who presses Ctrl-C again, this number of seconds after the first time, does not wait for
# the end of a step.
_PATIENCE = 1.0
_active: InterruptDeferral | None = None


class InterruptDeferral:
    """A context in which `check_interrupts` raises KeyboardInterrupt, instead of Ctrl-C itself.

    A Ctrl-C after the last call of `check_interrupts` takes effect at the end of the context. Only
    the main thread receives signals, so the context has no effect in other threads. A handler of
    SIGINT that the user has set is called in place of KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.is_held = False
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._pressed_at: float | None = None

    def __enter__(self) -> Self:
        global _active
        if _active is not None or threading.current_thread() is not threading.main_thread():
            return self
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # ignored, or the default of the system, which ends the process
            return self
        self._handler = handler
        try:
            signal.signal(signal.SIGINT, self._note)
        except ValueError:  # the main thread of a subinterpreter
            self._handler = None
            return self
        _active = self
        return self

    def __exit__(self, *error: object) -> None:
        global _active
        if self._handler is None:
            return
        _active = None
        if signal.getsignal(signal.SIGINT) == self._note:  # a callback may have set a handler
            signal.signal(signal.SIGINT, self._handler)
        self.deliver()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        if _active is not self and self._handler is not None:
            # The handler of another signal has raised an exception within `__exit__`.
            signal.signal(signal.SIGINT, self._handler)
            self._handler(signum, frame)
            return
        now = time.monotonic()
        if self._pressed_at is None:
            self._pressed_at = now
        elif now - self._pressed_at > _PATIENCE:
            self.deliver()

    def deliver(self) -> None:
        """Call the handler of the user, if Ctrl-C was pressed."""
        if self._pressed_at is not None and self._handler is not None:
            self._pressed_at = None
            self._handler(signal.SIGINT, inspect.currentframe())

    def leave(self) -> None:
        """Undo the effect in a forked process, where the context has no end."""
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)


def check_interrupts() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed in a call of skvae. Call this between steps."""
    if (
        _active is not None
        and not _active.is_held
        and threading.current_thread() is threading.main_thread()
    ):
        _active.deliver()


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let a Ctrl-C wait for the end of the call of skvae, rather than for the end of a step."""
    active = _active if threading.current_thread() is threading.main_thread() else None
    if active is None or active.is_held:
        yield
        return
    active.is_held = True
    try:
        yield
    finally:
        active.is_held = False


def _leave() -> None:
    global _active
    if _active is not None:
        _active.leave()
    _active = None


run_in_child(_leave)
