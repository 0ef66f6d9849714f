"""Forks, and threads at work during a fork."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skvae.utils import _fork, _random_state, _threads, init_threads, seeded_global_rng
from skvae.utils._fork import fork_gate, is_forked

pytestmark = [
    pytest.mark.torch_only,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

CPU = torch.device("cpu")


def result_of_child(function):
    """Return whether `function` returns a true value in a forked process."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    signal.alarm(60)  # a child that waits forever ends
    code = 1
    try:
        code = 0 if function() else 2
    finally:
        os._exit(code)


def test_a_process_knows_that_it_is_forked():
    assert not is_forked()
    assert result_of_child(is_forked)
    assert result_of_child(lambda: result_of_child(is_forked))


def _reports_fork(queue):
    queue.put(is_forked())


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_only_the_start_method_fork_copies_threads_of_torch(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_reports_fork, args=(queue,))
    process.start()
    assert queue.get(timeout=120) is (method == "fork")
    process.join()


def test_a_fork_of_a_process_from_the_server_counts(monkeypatch):
    monkeypatch.setattr(_fork, "_FORK_SERVER_PROCESS", object)
    assert not is_forked()
    assert not result_of_child(is_forked)  # the first fork is that of the server
    assert result_of_child(lambda: result_of_child(is_forked))


def test_a_fork_waits_for_the_end_of_a_step_of_another_thread():
    steps, begun = [], threading.Event()

    def work():
        with fork_gate.working():
            begun.set()
            while fork_gate._n_waiting == 0:  # until the fork waits
                pass
            steps.append("first")
            fork_gate.pause()
            steps.append("second")

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    assert result_of_child(lambda: steps == ["first"])
    thread.join()
    assert steps == ["first", "second"]


def test_work_does_not_begin_while_a_fork_waits():
    first_begun, waits = threading.Event(), threading.Event()
    begun = []

    def first():
        with fork_gate.working():
            first_begun.set()
            while fork_gate._n_waiting == 0:
                pass
            waits.set()
            while not begun and len(fork_gate._condition._waiters) < 2:
                pass  # until the second thread waits, too

    def begin():
        waits.wait()
        with fork_gate.working():
            begun.append(True)

    second = threading.Thread(target=begin)
    threads = [threading.Thread(target=first), second]
    for thread in threads:
        thread.start()
    first_begun.wait()
    assert result_of_child(lambda: begun == [])
    for thread in threads:
        thread.join()
    assert begun == [True]


def test_a_thread_can_fork_at_work():
    def works_in_child():
        with fork_gate.working():
            return fork_gate._depths == {threading.get_ident(): 2}

    with fork_gate.working():
        assert result_of_child(works_in_child)
    assert fork_gate._depths == {}


def test_two_threads_at_work_can_fork_at_the_same_time(monkeypatch):
    monkeypatch.setattr(_fork, "_MAX_WAIT", None)
    barrier, results = threading.Barrier(2), []

    def work():
        with fork_gate.working():
            barrier.wait()
            results.append(result_of_child(lambda: list(fork_gate._depths.values()) == [1]))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [True, True]
    assert not fork_gate._depths


def test_a_fork_does_not_wait_forever(monkeypatch):
    monkeypatch.setattr(_fork, "_MAX_WAIT", 0.01)
    begun, end = threading.Event(), threading.Event()

    def work():
        with fork_gate.working():
            begun.set()
            end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    assert result_of_child(lambda: fork_gate._depths == {})
    end.set()
    thread.join()


def test_locks_of_other_threads_are_free_in_a_child():
    held, end = threading.Event(), threading.Event()

    def hold():
        with _random_state._GLOBAL_RNG_LOCK, _threads._THREAD_COUNT_LOCK:
            held.set()
            end.wait()

    def use():
        with seeded_global_rng(0, CPU):
            return init_threads() > 0

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        held.wait()
        assert result_of_child(use)
        end.set()


def test_a_thread_that_waits_for_the_global_generator_lets_others_fork(monkeypatch):
    monkeypatch.setattr(_fork, "_MAX_WAIT", 1e6)  # the test would never end
    waiting = threading.Event()

    def wait():
        with fork_gate.working():
            waiting.set()
            with seeded_global_rng(0, CPU):
                pass

    with ThreadPoolExecutor(1) as pool:
        with seeded_global_rng(0, CPU):
            future = pool.submit(wait)
            waiting.wait()
            assert result_of_child(lambda: True)
        future.result()
