"""Calls do not depend on settings of torch around them, and do not change the settings."""

import contextlib
import signal

import pytest
import torch

from skvae.utils import _isolation, between_steps, isolate

pytestmark = pytest.mark.torch_only


def settings():
    """Return the settings of torch that a caller may have changed."""
    return {
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default device": torch.empty(0).device.type,
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": torch.get_num_threads(),
    }


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    yield
    torch.set_default_device(None)


CONTEXTS = {
    "nothing": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "default device": lambda: default_device("meta"),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_settings_within_a_call_are_usual_and_those_of_the_caller_return(name):
    usual = settings()
    with CONTEXTS[name]():
        before = settings()
        assert isolate(settings)() == usual
        assert settings() == before
    assert settings() == usual


@pytest.mark.parametrize("name", CONTEXTS)
def test_settings_return_after_an_error(name):
    @isolate
    def fail():
        raise ZeroDivisionError

    with CONTEXTS[name]():
        before = settings()
        with pytest.raises(ZeroDivisionError):
            fail()
        assert settings() == before


def test_settings_return_if_a_context_was_left_without_its_end(two_threads):
    @isolate
    def fail():
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    before = settings()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert settings() == before


def test_a_call_is_not_interrupted_within_a_step(interruptible):
    reached = []

    @isolate
    def steps():
        signal.raise_signal(signal.SIGINT)
        reached.append("end of the step")
        between_steps()
        reached.append("next step")

    with pytest.raises(KeyboardInterrupt):
        steps()
    assert reached == ["end of the step"]


def test_calls_in_forked_processes_use_a_single_thread(two_threads, monkeypatch):
    assert isolate(torch.get_num_threads)() == 2
    monkeypatch.setattr(_isolation, "is_forked", lambda: True)
    assert isolate(torch.get_num_threads)() == 1
    assert torch.get_num_threads() == 2


def test_arguments_and_results_pass_through():
    @isolate
    def double(x, *, plus=0):
        """Return twice a number."""
        return 2 * x + plus

    assert double(3, plus=1) == 7
    assert (double.__name__, double.__doc__) == ("double", "Return twice a number.")
