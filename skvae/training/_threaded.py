"""Training steps with one thread or with all threads of the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch

from ..utils import single_thread
from ._batches import Batch
from ._step import EagerStep, Scalar

# Steps of a trial, whose fastest counts, and steps between two trials.
_N_TRIAL_STEPS = 3
_N_STEPS_BETWEEN_TRIALS = 50
# A change must save more than this fraction of the time.
_MIN_GAIN = 0.05


class ThreadedStep:
    """Steps with one thread or with all threads, whichever take less time.

    Threads wait for each other within each operation. If another program uses a core, a step with
    all threads can therefore take several times as long as with one thread. Now and then, a few
    steps are a trial of the other choice. The weights do not depend on the choice: if the gradients
    of the first batch of a size differ in any bit, all batches of this size use all threads.

    Parameters
    ----------
    step : EagerStep
    clock : callable, default=time.perf_counter
        Returns the time in seconds.
    """

    def __init__(self, step: EagerStep, clock: Callable[[], float] = time.perf_counter) -> None:
        self._step = step
        self._clock = clock
        self._has_equal_bits: dict[int, bool] = {}  # by the number of rows of a batch
        self._n_threads = 0
        self._is_single = self._is_trial = False
        self._times: list[float] = []  # since the last change
        self._time_before_trial = 0.0
        self._n_until_trial = _N_TRIAL_STEPS
        self._single = ExitStack()

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Return a context for the steps of an epoch."""
        if torch.get_num_threads() != self._n_threads:
            self._n_threads = torch.get_num_threads()
            self._has_equal_bits.clear()
        if self._is_single:
            self._single.enter_context(single_thread())
        with self._single:
            yield

    def __call__(self, batch: Batch, learning_rate: Scalar, kl_weight: Scalar) -> None:
        if not self._can_choose(batch, kl_weight):
            self._use_all_threads()
            self._step(batch, learning_rate, kl_weight)
            return
        start = self._clock()
        self._step(batch, learning_rate, kl_weight)
        if batch.n_rows < self._step.config.batch_size:
            return  # the last batch of an epoch, whose time does not count
        self._times.append(self._clock() - start)
        if self._is_trial:
            if len(self._times) == _N_TRIAL_STEPS:
                self._end_trial()
        elif len(self._times) >= self._n_until_trial:
            self._begin_trial()

    def _can_choose(self, batch: Batch, kl_weight: Scalar) -> bool:
        """Return whether a step has the same effect with one thread and with all threads."""
        if self._n_threads == 1:
            return False
        if batch.n_rows not in self._has_equal_bits:
            self._use_all_threads()
            several = self._step.rehearse(batch, kl_weight)
            with single_thread():
                single = self._step.rehearse(batch, kl_weight)
            self._has_equal_bits[batch.n_rows] = all(map(torch.equal, several, single))
        return self._has_equal_bits[batch.n_rows]

    def _begin_trial(self) -> None:
        self._time_before_trial = min(self._times[-_N_TRIAL_STEPS:])
        self._n_until_trial = _N_STEPS_BETWEEN_TRIALS
        self._is_trial = True
        self._change()

    def _end_trial(self) -> None:
        is_faster = min(self._times) < (1 - _MIN_GAIN) * self._time_before_trial
        self._is_trial = False
        self._times.clear()
        if not is_faster:
            self._change()

    def _use_all_threads(self) -> None:
        if self._is_single:
            self._is_trial = False
            self._change()

    def _change(self) -> None:
        """Change between one thread and all threads."""
        self._is_single = not self._is_single
        self._times.clear()
        if self._is_single:
            self._single.enter_context(single_thread())
        else:
            self._single.close()
