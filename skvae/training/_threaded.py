"""Training steps with one thread or with all threads of the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import fmean

import torch

from ..utils import single_thread
from ._batches import Batch
from ._config import TrainingConfig
from ._step import EagerStep, Scalar

# Steps of a trial, and steps between two trials. Mean times count: beside another program, some
# steps with all threads are as fast as on an idle machine.
_N_TRIAL_STEPS = 3
_N_STEPS_BETWEEN_TRIALS = 50
# A change must save more than this fraction of the time.
_MIN_GAIN = 0.05
# A trial ends with a step that takes this many times as long as the steps before.
_MAX_LOSS = 2.0


class ThreadedStep:
    """Steps with one thread or with all threads, whichever take less time.

    Threads wait for each other within each operation. If another program uses a core, a step with
    all threads can therefore take several times as long as with one thread. Now and then, a few
    steps are a trial of the other choice. The weights do not depend on the choice: batches of a
    size can have one thread only if the gradients of a rehearsal agree in all bits.

    Parameters
    ----------
    step : EagerStep
    clock : callable, default=time.perf_counter
        Returns the time in seconds.
    """

    def __init__(self, step: EagerStep, clock: Callable[[], float] = time.perf_counter) -> None:
        self._step = step
        self._clock = clock
        self._n_threads = 0
        self._is_single = self._is_trial = False
        self._single = ExitStack()  # holds the context of a single thread
        # Results of rehearsals, by configuration and number of rows.
        self._rehearsed: dict[tuple[TrainingConfig, int], bool] = {}
        self._times: list[float] = []  # since the last change
        self._time_before_trial = 0.0
        self._n_until_trial = _N_TRIAL_STEPS

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """Return a context for the steps of an epoch."""
        if torch.get_num_threads() != self._n_threads:
            self._n_threads = torch.get_num_threads()
            self._rehearsed.clear()
        if self._is_single:
            self._single.enter_context(single_thread())
        with self._single:
            yield

    def __call__(self, batch: Batch, learning_rate: Scalar, kl_weight: Scalar) -> None:
        if self._is_single and not self._has_equal_bits(batch, kl_weight):
            with self._all_threads():
                self._step(batch, learning_rate, kl_weight)
            return
        start = self._clock()
        self._step(batch, learning_rate, kl_weight)
        # The last batch of an epoch is smaller, so its time does not count.
        if self._n_threads > 1 and batch.n_rows == self._step.config.batch_size:
            self._times.append(self._clock() - start)
            if self._is_trial:
                self._end_trial()
            elif len(self._times) >= self._n_until_trial:
                self._begin_trial(batch, kl_weight)

    def _begin_trial(self, batch: Batch, kl_weight: Scalar) -> None:
        self._n_until_trial = _N_STEPS_BETWEEN_TRIALS
        self._time_before_trial = fmean(self._times)
        self._times.clear()
        if self._has_equal_bits(batch, kl_weight):
            self._is_trial = True
            self._change()

    def _end_trial(self) -> None:
        """End a trial that has enough steps, or a step that is much too slow."""
        is_slow = self._times[-1] > _MAX_LOSS * self._time_before_trial
        if is_slow or len(self._times) == _N_TRIAL_STEPS:
            is_faster = fmean(self._times) < (1 - _MIN_GAIN) * self._time_before_trial
            self._times.clear()
            self._is_trial = False
            if not is_faster:
                self._change()

    def _has_equal_bits(self, batch: Batch, kl_weight: Scalar) -> bool:
        """Return whether a step has the same effect with one thread and with all threads."""
        key = (self._step.config, batch.n_rows)
        if key in self._rehearsed:
            return self._rehearsed[key]
        with self._all_threads():
            expected = self._step.rehearse(batch, kl_weight)
        with single_thread():
            actual = self._step.rehearse(batch, kl_weight)
        is_equal = all(map(torch.equal, actual, expected))
        # Gradients of zero agree in any case, so another rehearsal must follow.
        if is_equal and not all(gradient.any() for gradient in expected):
            return False
        self._rehearsed[key] = is_equal
        return is_equal

    @contextmanager
    def _all_threads(self) -> Iterator[None]:
        """Use all threads, without a change of the choice."""
        self._single.close()
        try:
            yield
        finally:
            if self._is_single:
                self._single.enter_context(single_thread())

    def _change(self) -> None:
        """Change between one thread and all threads."""
        self._is_single = not self._is_single
        if self._is_single:
            self._single.enter_context(single_thread())
        else:
            self._single.close()
