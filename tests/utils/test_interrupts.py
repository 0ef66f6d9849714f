"""Ctrl-C between the steps of a call."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from skvae.utils import _interrupts, between_steps, hold_interrupts
from skvae.utils._interrupts import InterruptDeferral

pytestmark = pytest.mark.usefixtures("interruptible")


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def work():
    pass


def work_held():
    with hold_interrupts():
        press_ctrl_c()
        with hold_interrupts():
            between_steps()
        between_steps()


def number_of_steps(*steps):
    """Return how many steps of a call end before KeyboardInterrupt."""
    n_done = 0
    try:
        with InterruptDeferral():
            for step in steps:
                step()
                n_done += 1
    except KeyboardInterrupt:
        return n_done
    pytest.fail("There was no interrupt.")


@pytest.fixture
def impatient(monkeypatch):
    """Let a second Ctrl-C raise at once, however soon it comes."""
    monkeypatch.setattr(_interrupts, "_PATIENCE", -1)


def test_an_interrupt_waits_for_the_end_of_the_step():
    assert number_of_steps(work, press_ctrl_c, work, between_steps, work) == 3


def test_an_interrupt_after_the_last_step_takes_effect_at_the_end():
    assert number_of_steps(press_ctrl_c, work) == 2


def test_without_an_interrupt_steps_follow_each_other():
    with InterruptDeferral():
        between_steps()
    between_steps()


def test_an_interrupt_takes_effect_once():
    with InterruptDeferral():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            between_steps()
        between_steps()


def test_presses_in_quick_succession_count_as_one(monkeypatch):
    monkeypatch.setattr(_interrupts, "_PATIENCE", float("inf"))
    assert number_of_steps(press_ctrl_c, press_ctrl_c, work, between_steps) == 3


def test_a_user_who_presses_again_does_not_wait(impatient):
    assert number_of_steps(press_ctrl_c, work, press_ctrl_c, work) == 2


def test_the_handler_of_the_user_is_called_and_restored():
    calls = []

    def handler(signum, frame):
        calls.append((signum, frame.f_code.co_name))

    signal.signal(signal.SIGINT, handler)
    with InterruptDeferral():
        press_ctrl_c()
        assert calls == []
        between_steps()
        assert [signum for signum, _ in calls] == [signal.SIGINT]
    assert len(calls) == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_handler_that_is_left_behind_has_no_effect(monkeypatch):
    """The handler of an alarm may raise an exception at the end of the context."""
    before = signal.getsignal(signal.SIGINT)
    deferral = InterruptDeferral()
    deferral.__enter__()
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda signum: exec("raise TimeoutError"))
        with pytest.raises(TimeoutError):
            deferral.__exit__()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) == before


def test_a_handler_that_is_set_meanwhile_stays():
    def handler(signum, frame):
        raise AssertionError

    with InterruptDeferral():
        signal.signal(signal.SIGINT, handler)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_handlers_of_the_system_stay(handler):
    signal.signal(signal.SIGINT, handler)
    with InterruptDeferral():
        assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_outer_of_two_contexts_counts():
    handler = signal.getsignal(signal.SIGINT)
    with InterruptDeferral():
        with InterruptDeferral():
            press_ctrl_c()
        assert signal.getsignal(signal.SIGINT) is not handler
        with pytest.raises(KeyboardInterrupt):
            between_steps()
    assert signal.getsignal(signal.SIGINT) is handler


def test_interrupts_of_the_main_thread_do_not_reach_other_threads():
    with ThreadPoolExecutor(1) as pool:
        steps = press_ctrl_c, lambda: pool.submit(between_steps).result(), work, between_steps
        assert number_of_steps(*steps) == 3


def test_other_threads_leave_the_handler_alone():
    handler = signal.getsignal(signal.SIGINT)

    def during():
        with InterruptDeferral():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(during).result() is handler


def test_a_held_interrupt_waits_for_the_end_of_the_call():
    assert number_of_steps(work_held, work) == 2
    assert number_of_steps(work_held, between_steps, work) == 1


def test_holding_outside_of_a_call_has_no_effect():
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        press_ctrl_c()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("forks_in_thread", [False, True])
def test_a_forked_process_reacts_to_ctrl_c(forks_in_thread):
    def fork():
        if pid := os.fork():
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            press_ctrl_c()
            os._exit(1)
        except KeyboardInterrupt:
            os._exit(0)

    with InterruptDeferral():
        if forks_in_thread:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(fork).result() == 0
        else:
            assert fork() == 0
