"""Training of a module: epoch after epoch, and the evaluation of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from ..models import VAE, elbo_terms
from ..utils import (
    between_steps,
    chunk_elements,
    global_rng_states,
    limit_threads,
    restore_global_rng,
    retain_freed_memory,
    seeded_generator,
    seeded_global_rng,
)
from ._batches import Rows
from ._captured import CapturedStep, CudaRecorder, Recorder, can_record
from ._config import TrainingConfig
from ._metrics import EpochMetrics, Metrics
from ._process_group import ProcessGroup
from ._step import EagerStep, Scalar, Step, draw_elbo_terms
from ._threaded import ThreadedStep

_EVALUATION_BATCH_SIZE = 1024  # on a CPU


class DivergenceError(ArithmeticError):
    """The loss is not finite."""


class Trainer:
    """A module with optimizers and random generators, for training.

    Parameters
    ----------
    module : VAE
        Module to train, in place.
    config : TrainingConfig
    seed : int
        Seeds the shuffling of rows and the draws from the posterior.
    group : ProcessGroup, optional
        Processes that train the same module, each on a part of the rows. All processes draw the
        same random numbers, for all rows.
    """

    def __init__(
        self, module: VAE, config: TrainingConfig, seed: int, group: ProcessGroup | None = None
    ) -> None:
        self.module = module
        self.seed = seed
        self.group = group = group or ProcessGroup()
        self.n_epochs = 0
        self.descent_start = config.max_iter  # the epoch at which the rate leaves its schedule
        self._interrupted: InterruptedEpoch | None = None
        retain_freed_memory()
        self._shuffling = seeded_generator(seed)
        noise = seeded_generator(seed, module.bias.device)
        self._eager_step = EagerStep(module, config, noise, group)
        recorder = make_recorder(noise, group)
        self._captured_step = CapturedStep(self._eager_step, recorder) if recorder else None
        self._step: Step = self._captured_step or self._eager_step
        # A custom network may draw from torch's global generators, so no step must be rehearsed.
        is_custom = self._has_custom_networks
        if not (recorder or is_custom or group.is_distributed) and noise.device.type == "cpu":
            self._step = ThreadedStep(self._eager_step)

    @property
    def config(self) -> TrainingConfig:
        return self._eager_step.config

    @config.setter
    def config(self, config: TrainingConfig) -> None:
        self._eager_step.config = config

    # ---- An epoch --------------------------------------------------------------------

    def train_epoch(self, rows: Rows, on_step_end: Callable[[], None] | None = None) -> Metrics:
        """Train on all rows once, in random order, and return the metrics of the epoch.

        If `load_state_dict` has restored a state within an epoch, only the remaining steps follow.
        Custom networks may draw from torch's global generators, for dropout: the generators are
        seeded for the epoch. `on_step_end` is called after each step except the last step.

        Raises
        ------
        DivergenceError
            If the loss is not finite during the epoch. The metrics do not contain the effect of the
            last step: see `check_finite`.
        """
        with ExitStack() as stack:
            stack.callback(self.abandon_epoch)
            stack.enter_context(limit_threads(self.module.networks, self.config.batch_size))
            stack.enter_context(self._step.epoch())
            epoch = self._interrupted or self._begin_epoch()
            if self._has_custom_networks:
                seed = int(torch.randint(2**62, (), generator=self._shuffling))
                stack.enter_context(seeded_global_rng(seed, rows.device))
                if epoch.global_rng_states:
                    restore_global_rng(epoch.global_rng_states, rows.device)
            self._train_steps(epoch, rows, on_step_end)
            self.n_epochs += 1
            return self._finish_epoch(len(rows))

    @property
    def last_epoch(self) -> int:
        """Number of epochs at the end of training."""
        return self.config.last_epoch(self.descent_start)

    def begin_descent(self) -> None:
        """Bring the learning rate down to zero, and training to its end.

        A constant rate needs no descent, so training is over. The schedule goes on if it ends
        before a descent would end. Further calls have no effect.
        """
        if self.config.last_epoch(self.n_epochs) < self.config.max_iter:
            self.descent_start = min(self.descent_start, self.n_epochs)

    def abandon_epoch(self) -> None:
        """Leave training mode. The next call of `train_epoch` begins a new epoch."""
        if self.module.training:
            self.module.eval()
        self._interrupted = None

    def _begin_epoch(self) -> InterruptedEpoch:
        self._eager_step.metrics.reset()
        self._interrupted = InterruptedEpoch(self._shuffling.get_state())
        return self._interrupted

    def _train_steps(
        self, epoch: InterruptedEpoch, rows: Rows, on_step_end: Callable[[], None] | None
    ) -> None:
        """Train on the remaining batches of an epoch."""
        self.module.train()
        batch_size = self.config.batch_size
        schedule = self._schedule(math.ceil(len(rows) / batch_size), rows.device)
        for batch in rows.shuffled(batch_size, self._shuffling, n_skipped=epoch.n_steps):
            self._step(batch, *schedule[epoch.n_steps])
            epoch.n_steps += 1
            if on_step_end and epoch.n_steps < len(schedule):
                on_step_end()
            between_steps()

    def _schedule(self, n_steps: int, device: torch.device) -> Sequence[Sequence[Scalar]]:
        """Return the learning rate and the weight of the KL term for each step of an epoch."""
        config = self.config
        descent_start = self.descent_start / config.max_iter
        schedule = []
        for step in range(n_steps):
            # Each step uses the values of the schedules at the middle of the step.
            progress = (self.n_epochs + (step + 0.5) / n_steps) / config.max_iter
            rate = config.learning_rate_at(progress, descent_start)
            schedule.append((rate, config.kl_weight_at(progress)))
        if self._captured_step is None:
            return schedule
        # Recorded steps read tensors: a single transfer for the epoch.
        on_device = torch.tensor(schedule, dtype=torch.float32).to(device)
        return [values.unbind() for values in on_device.unbind()]

    def _finish_epoch(self, n_rows: int) -> Metrics:
        """Return the metrics of an epoch."""
        self._eager_step.zero_grad()
        # Running statistics of custom layers are those of the main process.
        module = self.module
        self.group.broadcast([*module.encoder.buffers(), *module.decoder.buffers()])
        metrics = self._eager_step.metrics.compute(self.group, n_rows)
        if not math.isfinite(metrics["loss"]):
            raise DivergenceError
        return metrics

    @property
    def capture_failure(self) -> str | None:
        """The reason why steps on a GPU are not recorded, if they could not be recorded."""
        return None if self._captured_step is None else self._captured_step.failure

    def release_memory(self) -> None:
        """Release memory that only further epochs would need."""
        if self._captured_step is not None:
            self._captured_step.release()

    # ---- Evaluation ------------------------------------------------------------------

    @torch.no_grad()
    def check_finite(self, rows: Rows) -> None:
        """Check the loss of the first rows with the weights after the last step.

        Raises
        ------
        DivergenceError
            If the loss is not finite.
        """
        module = self.module
        with limit_threads(module.networks, self.config.batch_size):
            x = module.standardize(next(rows.batches(self.config.batch_size)).x)
            terms = elbo_terms(module, x, x.new_zeros(len(x), module.latent_dim))
        n_bad = (~terms.elbo.isfinite()).sum()
        self.group.all_reduce([n_bad])
        if n_bad > 0:
            raise DivergenceError

    def evaluate(self, rows: Rows) -> Metrics:
        """Return the metrics of rows without training on them, with the same draws each time."""
        with limit_threads(self.module.networks, min(len(rows), _EVALUATION_BATCH_SIZE)):
            return evaluate(self.module, rows, self.seed, self.group)

    # ---- State -----------------------------------------------------------------------

    @property
    def is_within_epoch(self) -> bool:
        return self._interrupted is not None

    @property
    def _has_custom_networks(self) -> bool:
        return callable(self.module.config.architecture)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, to continue bit for bit.

        `on_step_end` may call this method within an epoch.
        """
        shuffling, within = self._shuffling.get_state(), None
        if self._interrupted is not None:
            shuffling = self._interrupted.shuffling_state
            device = self.module.bias.device
            within = {
                "n_steps": self._interrupted.n_steps,
                "metrics": self._eager_step.metrics.state_dict(),
                "global_rng_states": global_rng_states(device) if self._has_custom_networks else [],
            }
        return {
            "weights": self.module.state_dict(),
            "step": self._eager_step.state_dict(),
            "shuffling": shuffling,
            "n_epochs": self.n_epochs,
            "descent_start": self.descent_start,
            "within": within,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.module.load_state_dict(state["weights"])
        self._eager_step.load_state_dict(state["step"])
        self._shuffling.set_state(state["shuffling"])
        self.n_epochs = state["n_epochs"]
        self.descent_start = state["descent_start"]
        self._interrupted = None
        if (within := state["within"]) is not None:
            metrics = self._eager_step.metrics
            metrics.load_state_dict(within["metrics"], is_main=self.group.is_main)
            self._interrupted = InterruptedEpoch(
                state["shuffling"], within["n_steps"], within["global_rng_states"]
            )


@dataclass
class InterruptedEpoch:
    """An unfinished epoch."""

    shuffling_state: Tensor  # of the shuffling generator, when the epoch began
    n_steps: int = 0
    global_rng_states: list[Tensor] = field(default_factory=list)  # states to continue from


@torch.no_grad()
def evaluate(module: VAE, rows: Rows, seed: int, group: ProcessGroup | None = None) -> Metrics:
    """Return the mean terms of the bound, at beta = 1 and with one draw per row."""
    if module.training:
        module.eval()
    generator = seeded_generator(seed, module.bias.device)
    metrics = EpochMetrics(module)
    batch_size = _EVALUATION_BATCH_SIZE
    if rows.device.type == "cuda":
        batch_size = max(batch_size, chunk_elements(rows.device) // module.max_width)
    for batch in rows.batches(batch_size):
        metrics.add(draw_elbo_terms(module, batch, generator))
        between_steps()
    return metrics.compute(group or ProcessGroup(), len(rows))


def make_recorder(noise: Generator, group: ProcessGroup) -> Recorder | None:
    """Return a recorder for the device of a generator, or None if steps cannot be recorded there.

    Parameters
    ----------
    noise : Generator
        Generator of the draws of a step.
    group : ProcessGroup
        The messages of several processes cannot be recorded.
    """
    return CudaRecorder(noise) if can_record(noise) and not group.is_distributed else None
