"""Training of a module: one step, one epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from ..models import VAE, ElboTerms, decaying_weights, elbo_terms, importance_weighted_terms
from ..utils import (
    autocast,
    between_steps,
    global_rng_states,
    limit_threads,
    restore_global_rng,
    retain_freed_memory,
    seeded_generator,
    seeded_global_rng,
)
from ._batches import Batch, Rows
from ._clipping import GradientClipping
from ._config import TrainingConfig
from ._learning_rates import group_parameters
from ._metrics import EpochMetrics, Metrics
from ._optimizer import Optimizer
from ._process_group import ProcessGroup

_EVALUATION_BATCH_SIZE = 1024


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
        self.config = config
        self.seed = seed
        self.group = group or ProcessGroup()
        self.n_epochs = 0
        self.descent_start = config.max_iter  # the epoch at which the rate leaves its schedule
        self._interrupted: InterruptedEpoch | None = None
        device = module.bias.device
        retain_freed_memory()
        self._shuffling = seeded_generator(seed)
        self._noise = seeded_generator(seed, device)
        self._clipping = GradientClipping(device)
        # Optimizers and the factors of their learning rates.
        self._optimizers = [
            (Optimizer(config.solver, parameters), factor)
            for factor, parameters in group_parameters(module)
        ]
        self._decaying_weights = decaying_weights(module)

    # ---- An epoch --------------------------------------------------------------------

    def train_epoch(self, rows: Rows, on_step_end: Callable[[], None] | None = None) -> Metrics:
        """Train on all rows once, in random order, and return the metrics of the epoch.

        If `load_state_dict` has restored a state within an epoch, only the remaining steps follow.
        Custom networks may draw from torch's global generators, for dropout: the generators are
        seeded for the epoch. `on_step_end` is called after each step except the last step.

        Raises
        ------
        DivergenceError
            If the loss is not finite during the epoch or after the last step.
        """
        with ExitStack() as stack:
            stack.callback(self.abandon_epoch)
            stack.enter_context(limit_threads(self.module, self.config.batch_size))
            epoch = self._interrupted or InterruptedEpoch(
                self._shuffling.get_state(), EpochMetrics(self.module)
            )
            self._interrupted = epoch
            if self._has_custom_networks:
                seed = int(torch.randint(2**62, (), generator=self._shuffling))
                stack.enter_context(seeded_global_rng(seed, rows.device))
                if epoch.global_rng_states:
                    restore_global_rng(epoch.global_rng_states, rows.device)
            last_batch = self._train_steps(epoch, rows, on_step_end)
            self.n_epochs += 1
            return self._finish_epoch(epoch.metrics, last_batch)

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
        self.module.eval()
        self._interrupted = None

    def _train_steps(
        self, epoch: InterruptedEpoch, rows: Rows, on_step_end: Callable[[], None] | None
    ) -> Batch:
        """Train on the remaining batches of an epoch, and return the last batch."""
        self.module.train()
        config = self.config
        n_steps = math.ceil(len(rows) / config.batch_size)
        batches = rows.shuffled(config.batch_size, self._shuffling, n_skipped=epoch.n_steps)
        for batch in batches:
            # Each step uses the values of the schedules at the middle of the step.
            progress = (self.n_epochs + (epoch.n_steps + 0.5) / n_steps) / config.max_iter
            terms = self.step(batch, progress)
            epoch.metrics.add(terms, batch.n_rows)
            epoch.n_steps += 1
            if on_step_end and epoch.n_steps < n_steps:
                on_step_end()
            between_steps()
        return batch

    def _finish_epoch(self, metrics: EpochMetrics, last_batch: Batch) -> Metrics:
        """Return the metrics of an epoch, after a check of the last step."""
        for optimizer, _ in self._optimizers:
            optimizer.zero_grad()  # gradients take as much memory as weights
        # Running statistics of custom layers are those of the main process.
        module = self.module
        self.group.broadcast([*module.encoder.buffers(), *module.decoder.buffers()])
        means = metrics.compute(self.group)
        # The metrics do not contain the effect of the last step: evaluate the step's rows again.
        module.eval()
        with torch.no_grad():
            x = module.standardize(last_batch.x)
            terms = elbo_terms(module, x, x.new_zeros(len(x), module.latent_dim))
            n_bad = (~terms.elbo.isfinite()).sum()
            self.group.all_reduce([n_bad])
        if not math.isfinite(means["loss"]) or n_bad > 0:
            raise DivergenceError
        return means

    # ---- A step ----------------------------------------------------------------------

    def step(self, batch: Batch, progress: float) -> ElboTerms:
        """Take one step of the optimizers, and return the terms of the bound before the step."""
        config = self.config
        with autocast(batch.x.device, config.dtype):
            loss, terms = self._loss(batch, config.kl_weight_at(progress))
        for optimizer, _ in self._optimizers:
            optimizer.zero_grad()
        self._mean(loss, batch).backward()
        parameters = [p for optimizer, _ in self._optimizers for p in optimizer.parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.group.all_reduce(gradients)
        self._clipping.clip(gradients)
        learning_rate = config.learning_rate_at(progress, self.descent_start / config.max_iter)
        if config.alpha and self._decaying_weights:
            factor = max(0.0, 1 - config.alpha * learning_rate)
            torch._foreach_mul_(self._decaying_weights, factor)
        for optimizer, factor in self._optimizers:
            optimizer.step(factor * learning_rate)
        return terms

    def _loss(self, batch: Batch, kl_weight: float) -> tuple[Tensor, ElboTerms]:
        """Return the loss of each row, (n,), and the terms of the bound."""
        n_draws = self.config.n_training_draws
        if n_draws == 1:
            terms = _elbo_terms(self.module, batch, self._noise)
            return kl_weight * terms.kl_divergence - terms.log_likelihood, terms
        x = self.module.standardize(batch.x)
        shape = (n_draws, batch.n_rows, self.module.latent_dim)
        bound, terms = importance_weighted_terms(
            self.module, x, _draw_eps(batch, shape, self._noise, like=x)
        )
        return -bound, terms

    def _mean(self, loss: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a step, without the trimmed rows.

        In a group of processes, the sum of the results of all processes is the mean.
        """
        trim = self.config.trim
        if batch.positions is None:
            return loss[_kept_rows(loss, trim)].mean() if trim else loss.mean()
        if not trim:
            return loss.sum() / batch.n_rows
        all_losses = loss.new_zeros(batch.n_rows)
        all_losses[batch.positions] = loss.detach()
        self.group.all_reduce([all_losses])
        kept = _kept_rows(all_losses, trim)
        is_kept = torch.zeros_like(all_losses, dtype=torch.bool).index_fill_(0, kept, True)
        return loss[is_kept[batch.positions]].sum() / len(kept)

    # ---- Evaluation ------------------------------------------------------------------

    def evaluate(self, rows: Rows) -> Metrics:
        """Return the metrics of rows without training on them, with the same draws each time."""
        with limit_threads(self.module, min(len(rows), _EVALUATION_BATCH_SIZE)):
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
                "metrics": self._interrupted.metrics.state_dict(),
                "global_rng_states": global_rng_states(device) if self._has_custom_networks else [],
            }
        return {
            "weights": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "clipping": self._clipping.state_dict(),
            "generators": [shuffling, self._noise.get_state()],
            "n_epochs": self.n_epochs,
            "descent_start": self.descent_start,
            "within": within,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.module.load_state_dict(state["weights"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._clipping.load_state_dict(state["clipping"])
        generators = (self._shuffling, self._noise)
        for generator, saved in zip(generators, state["generators"], strict=True):
            generator.set_state(saved)
        self.n_epochs = state["n_epochs"]
        self.descent_start = state["descent_start"]
        self._interrupted = None
        if (within := state["within"]) is not None:
            metrics = EpochMetrics(self.module)
            metrics.load_state_dict(within["metrics"], is_main=self.group.is_main)
            self._interrupted = InterruptedEpoch(
                state["generators"][0], metrics, within["n_steps"], within["global_rng_states"]
            )


@dataclass
class InterruptedEpoch:
    """An unfinished epoch."""

    shuffling_state: Tensor  # of the shuffling generator, when the epoch began
    metrics: EpochMetrics
    n_steps: int = 0
    global_rng_states: list[Tensor] = field(default_factory=list)  # states to continue from


@torch.no_grad()
def evaluate(module: VAE, rows: Rows, seed: int, group: ProcessGroup | None = None) -> Metrics:
    """Return the mean terms of the bound, at beta = 1 and with one draw per row."""
    module.eval()
    generator = seeded_generator(seed, module.bias.device)
    metrics = EpochMetrics(module)
    for batch in rows.batches(_EVALUATION_BATCH_SIZE):
        metrics.add(_elbo_terms(module, batch, generator), batch.n_rows)
        between_steps()
    return metrics.compute(group or ProcessGroup())


def _kept_rows(loss: Tensor, trim: float) -> Tensor:
    """Return the positions of the lowest losses, without the fraction `trim` of the highest."""
    n_kept = max(1, round(len(loss) * (1 - trim)))
    return loss.topk(n_kept, largest=False, sorted=False).indices


def _elbo_terms(module: VAE, batch: Batch, generator: Generator) -> ElboTerms:
    """Return the terms of the bound for rows of X, with one draw for each row."""
    x = module.standardize(batch.x)
    shape = (batch.n_rows, module.latent_dim)
    return elbo_terms(module, x, _draw_eps(batch, shape, generator, like=x))


def _draw_eps(
    batch: Batch, shape: tuple[int, ...], generator: Generator, *, like: Tensor
) -> Tensor:
    """Draw standard normal numbers for all rows of a step, and return those of the batch."""
    eps = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return eps if batch.positions is None else eps.index_select(-2, batch.positions)
