"""Calls of skvae and the settings of the program around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import wraps
from typing import Any, TypeVar

import torch

from ._fork import fork_gate, is_forked
from ._interrupts import InterruptDeferral, check_interrupts
from ._threads import init_threads, single_thread

Function = TypeVar("Function", bound=Callable[..., Any])
_AUTOCAST_DEVICES = ("cpu", "cuda", "mps")


def isolate(function: Function) -> Function:
    """Decorate a public function that uses torch.

    - The function runs as in a new program: with gradients, on the CPU by default and without
      automatic casts, even if the caller has switched to something else.
    - In a forked process, the function runs on one thread. OpenMP's other threads do not survive a
      fork, and torch would wait for them forever.
    - Ctrl-C and forks by other threads take effect between steps, where the function calls
      `between_steps`.
    - Afterwards, the caller's settings are as before, even after an error or an interruption.

    torch's default dtype belongs to all threads, so the function itself must pass dtypes to torch.
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with InterruptDeferral(), fork_gate.working():
            n_threads, has_grad = init_threads(), torch.is_grad_enabled()
            try:
                with ExitStack() as stack:
                    for context in _usual_settings():
                        stack.enter_context(context)
                    return function(*args, **kwargs)
            except BaseException:
                # A signal handler of the program, or Ctrl-C again, may have raised the exception
                # where a context began or ended. The settings of the context are then still there.
                if torch.get_num_threads() != n_threads:
                    torch.set_num_threads(n_threads)
                if torch.is_grad_enabled() != has_grad:
                    torch.set_grad_enabled(has_grad)
                raise

    return wrapper  # type: ignore[return-value]


def between_steps() -> None:
    """Let Ctrl-C and forks by other threads take effect. Call this function between steps."""
    fork_gate.pause()
    check_interrupts()


def _usual_settings() -> Iterator[AbstractContextManager[Any]]:
    """Yield contexts with the settings of a new program, where the settings differ."""
    if is_forked():
        yield single_thread()
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        yield torch.inference_mode(False)  # this also enables gradients
    if torch.empty(0).device.type != "cpu":  # faster than torch.get_default_device()
        yield torch.device("cpu")
    for device in _AUTOCAST_DEVICES:
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)
