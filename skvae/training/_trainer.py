"""The training loop. It takes a module and rows, and knows nothing of estimators."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..models import VAE, ElboTerms, elbo_terms, importance_weighted_terms
from ..utils import (
    arithmetic,
    global_generator_states,
    limit_threads,
    restore_global_generators,
    retain_freed_memory,
    seeded_generator,
    seeded_global_generator,
)
from ._batches import Batch, Rows
from ._optimizer import Optimizer
from ._process_group import ProcessGroup

# One epoch's figures by name: a row of `history_`.
Metrics = dict[str, float]

# A latent unit is active if the variance of its posterior mean, in units of the prior's, is
# above this: Burda, Grosse and Salakhutdinov (2016), section 5.2.
_ACTIVE_VARIANCE = 0.01
# Fraction of training over which the learning rate climbs before its cosine descent.
_RATE_WARMUP = 0.05
# Noises and dispersions, which no network predicts, learn so much faster. They have a long
# way to go where columns are nearly collinear, and Adam moves by steps of a fixed size.
_FREE_RATE_FACTOR = 5.0
_EVALUATION_BATCH = 1024
# Sums of so many steps are made at once: a step of a small network takes hardly longer than one.
_STEPS_SUMMED_AT_ONCE = 32


class DivergenceError(ArithmeticError):
    """Training met a loss that is not finite."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, apart from the data and the module."""

    solver: str
    learning_rate: str
    learning_rate_init: float
    batch_size: int
    max_iter: int
    beta: float
    kl_warmup: float
    dtype: torch.dtype
    # Fraction of each step's rows that it leaves out: those of the highest loss.
    trim: float = 0.0
    # Draws for each row. With more than one, the loss is the negative importance-weighted bound.
    n_draws: int = 1

    def rate(self, progress: float) -> float:
        """Learning rate when that share of training is done: up, then down a cosine."""
        if self.learning_rate == "constant":
            return self.learning_rate_init
        if progress < _RATE_WARMUP:
            return self.learning_rate_init * progress / _RATE_WARMUP
        descent = (progress - _RATE_WARMUP) / (1 - _RATE_WARMUP)
        return self.learning_rate_init * 0.5 * (1 + math.cos(math.pi * descent))

    def kl_weight(self, progress: float) -> float:
        """Weight of the KL term when that share of training is done."""
        return self.beta * min(1.0, progress / self.kl_warmup) if self.kl_warmup else self.beta

    def mean(self, loss: Tensor) -> Tensor:
        """Return the mean of a step's losses, (n,), without those that `trim` leaves out."""
        return loss[self.kept(loss)].mean() if self.trim else loss.mean()

    def kept(self, loss: Tensor) -> Tensor:
        """Return which of a step's losses, (n,), count: the places of the lowest."""
        n_kept = max(1, round(len(loss) * (1 - self.trim)))
        return loss.topk(n_kept, largest=False, sorted=False).indices

    def objective(self, record: Metrics) -> float:
        """Return what training minimises, once the KL term has its full weight."""
        return record["reconstruction_loss"] + self.beta * record["kl_loss"]


class Trainer:
    """A module in training: optimiser and generators, one epoch at a time.

    Parameters
    ----------
    module : VAE
        Trained in place, on the device it is on.
    recipe : TrainingConfig
    seed : int
        Of the order of rows and of the draws from the posterior.
    team : ProcessGroup, optional
        Processes that train the same module, each on its share of the rows. All draw the same
        random numbers, for all rows.
    """

    def __init__(
        self, module: VAE, recipe: TrainingConfig, seed: int, team: ProcessGroup | None = None
    ) -> None:
        self.module = module
        self.recipe = recipe
        self.seed = seed
        self.team = team or ProcessGroup()
        self.n_epochs = 0
        self._under_way: InterruptedEpoch | None = None
        device = module.bias.device
        retain_freed_memory()
        self._order = seeded_generator(seed)
        self._noise = seeded_generator(seed, device)
        free = [p for p in module.global_params.parameters() if p.requires_grad]
        networks = [
            p for name, p in module.named_parameters() if not name.startswith("global_params.")
        ]
        # Optimisers, and how fast each learns.
        self._optimizers = [(Optimizer(recipe.solver, networks), 1.0)]
        if free:
            self._optimizers.append((Optimizer(recipe.solver, free), _FREE_RATE_FACTOR))

    def epoch(self, rows: Rows, after_step: Callable[[], None] | None = None) -> Metrics:
        """Pass over all rows once, in random order, and return the epoch's figures.

        A user's networks may draw from torch's global generators, for dropout: they get
        seeded ones. `after_step` is called after each step but the last.

        Raises
        ------
        DivergenceError
            If the loss is not finite during the epoch or after its last step.
        """
        with ExitStack() as stack:
            stack.callback(self.leave_epoch)
            stack.enter_context(limit_threads(self.module, self.recipe.batch_size))
            epoch = self._under_way or InterruptedEpoch(
                self._order.get_state(), EpochMetrics(self.module)
            )
            self._under_way = epoch
            if callable(self.module.config.architecture):
                seed = int(torch.randint(2**62, (), generator=self._order))
                stack.enter_context(seeded_global_generator(seed, rows.device))
                if epoch.global_generators:
                    restore_global_generators(epoch.global_generators, rows.device)
            return self._epoch(epoch, rows, after_step)

    def leave_epoch(self) -> None:
        """Give up the epoch that is under way, if there is one: the next begins anew."""
        self.module.eval()
        self._under_way = None

    def _epoch(
        self, epoch: InterruptedEpoch, rows: Rows, after_step: Callable[[], None] | None
    ) -> Metrics:
        module, recipe, totals = self.module.train(), self.recipe, epoch.totals
        n_batches = math.ceil(len(rows) / recipe.batch_size)
        batches = rows.shuffled(recipe.batch_size, self._order, epoch.n_steps)
        for step, batch in enumerate(batches, epoch.n_steps):
            # Each step uses the schedules' value at its middle.
            progress = (self.n_epochs + (step + 0.5) / n_batches) / recipe.max_iter
            with arithmetic(batch.x.device, recipe.dtype):
                loss, terms = self._loss(batch, recipe.kl_weight(progress))
            self._descend(self._mean(loss, batch), recipe.rate(progress))
            totals.add(terms, batch.n_rows)
            epoch.n_steps += 1
            if after_step and epoch.n_steps < n_batches:
                after_step()
        self.n_epochs += 1
        for optimizer, _ in self._optimizers:
            optimizer.zero_grad()  # gradients are as large as the weights
        # Running statistics of a user's layers are those of the first process.
        self.team.broadcast([*module.encoder.buffers(), *module.decoder.buffers()])
        record = totals.record(self.team)
        # The last step's outcome shows in no loss yet: look at its rows once more.
        module.eval()
        with torch.inference_mode():
            x = module.standardize(batch.x)
            last = elbo_terms(module, x, torch.zeros_like(terms.posterior.mean))
            n_bad = (~last.elbo.isfinite()).sum()
            self.team.all_reduce([n_bad])
        if not math.isfinite(record["loss"]) or n_bad > 0:
            raise DivergenceError
        return record

    def _loss(self, batch: Batch, kl_weight: float) -> tuple[Tensor, ElboTerms]:
        """Return what training minimises, for each row, and the terms of the bound."""
        n_draws = self.recipe.n_draws
        if n_draws == 1:
            terms = _elbo_terms(self.module, batch, self._noise)
            return kl_weight * terms.kl_divergence - terms.log_likelihood, terms
        x = self.module.standardize(batch.x)
        eps = _draws(batch, (n_draws, batch.n_rows, self.module.latent_dim), self._noise, like=x)
        bound, terms = importance_weighted_terms(self.module, x, eps)
        return -bound, terms

    def _mean(self, loss: Tensor, batch: Batch) -> Tensor:
        """Return the mean of a step's losses, or the part of it that this process's rows are."""
        if batch.places is None:
            return self.recipe.mean(loss)
        if not self.recipe.trim:
            return loss.sum() / batch.n_rows
        of_all = loss.new_zeros(batch.n_rows)
        of_all[batch.places] = loss.detach()
        self.team.all_reduce([of_all])
        kept = self.recipe.kept(of_all)
        is_kept = torch.zeros_like(of_all, dtype=torch.bool).index_fill_(0, kept, True)
        return loss[is_kept[batch.places]].sum() / len(kept)

    def _descend(self, loss: Tensor, rate: float) -> None:
        for optimizer, _ in self._optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer, factor in self._optimizers:
            self.team.all_reduce([p.grad for p in optimizer.parameters if p.grad is not None])
            optimizer.step(factor * rate)

    def evaluate(self, rows: Rows) -> Metrics:
        """Return the figures of rows that are not trained on, with the same draws each time."""
        with limit_threads(self.module, min(len(rows), _EVALUATION_BATCH)):
            return evaluate(self.module, rows, self.seed, self.team)

    @property
    def is_within_epoch(self) -> bool:
        return self._under_way is not None

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs in order to go on from here, bit for bit.

        Within an epoch, `after_step` may ask for it.
        """
        order, within = self._order.get_state(), None
        if self._under_way is not None:
            order = self._under_way.order
            within = {
                "n_steps": self._under_way.n_steps,
                "totals": self._under_way.totals.state(),
                "global_generators": global_generator_states(self.module.bias.device)
                if callable(self.module.config.architecture)
                else [],
            }
        return {
            "weights": self.module.state_dict(),
            "optimizers": [optimizer.state() for optimizer, _ in self._optimizers],
            "generators": [order, self._noise.get_state()],
            "n_epochs": self.n_epochs,
            "within": within,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where another trainer was when it returned that state."""
        self.module.load_state_dict(state["weights"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.restore(saved)
        for generator, saved in zip((self._order, self._noise), state["generators"], strict=True):
            generator.set_state(saved)
        self.n_epochs = state["n_epochs"]
        self._under_way = None
        if (within := state["within"]) is not None:
            totals = EpochMetrics(self.module)
            totals.restore(within["totals"], counts_here=self.team.is_main)
            self._under_way = InterruptedEpoch(
                state["generators"][0], totals, within["n_steps"], within["global_generators"]
            )


@torch.inference_mode()
def evaluate(module: VAE, rows: Rows, seed: int, team: ProcessGroup | None = None) -> Metrics:
    """Return the mean terms of the bound, at beta = 1 and one draw per row."""
    module.eval()
    generator = seeded_generator(seed, module.bias.device)
    totals = EpochMetrics(module)
    for batch in rows.batches(_EVALUATION_BATCH):
        totals.add(_elbo_terms(module, batch, generator), batch.n_rows)
    return totals.record(team or ProcessGroup())


@dataclass
class InterruptedEpoch:
    """An epoch that has begun."""

    order: Tensor  # state of the generator of the order when it did
    totals: EpochMetrics
    n_steps: int = 0
    global_generators: list[Tensor] = field(default_factory=list)  # states to go on from


class EpochMetrics:
    """Running sums over the rows of an epoch, on the device: one transfer, at its end."""

    def __init__(self, module: VAE) -> None:
        self.latent_dim = module.latent_dim
        self.n = 0
        # Log-likelihood, KL divergence, posterior means and their squares.
        self.sums = module.scale.new_zeros(2 + 2 * module.latent_dim)
        self._steps: list[tuple[Tensor, ...]] = []  # not in the sums yet

    def add(self, terms: ElboTerms, n_rows: int) -> None:
        """Add a step of so many rows, of which other processes may have some."""
        terms_and_mean = (terms.log_likelihood, terms.kl_divergence, terms.posterior.mean)
        self._steps.append(tuple(tensor.detach() for tensor in terms_and_mean))
        self.n += n_rows
        if len(self._steps) == _STEPS_SUMMED_AT_ONCE:
            self._sum_up()

    def _sum_up(self) -> None:
        log_likelihood, kl, mean = map(torch.cat, zip(*self._steps, strict=True))
        columns = (log_likelihood[:, None], kl[:, None], mean, mean.square())
        self.sums += torch.cat(columns, dim=1).sum(0)
        self._steps.clear()

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"n": self.n, "sums": self.sums, "steps": self._steps}

    def restore(self, state: dict[str, Any], *, counts_here: bool) -> None:
        """Go on from other totals. Of several processes, only one may count their sums."""
        self.n = state["n"]
        if counts_here:
            self.sums.copy_(state["sums"])
            self._steps = [tuple(t.to(self.sums.device) for t in step) for step in state["steps"]]

    def record(self, team: ProcessGroup) -> Metrics:
        if self._steps:
            self._sum_up()
        team.all_reduce([self.sums])
        log_likelihood, kl, *moments = (self.sums / self.n).tolist()
        means, squares = moments[: self.latent_dim], moments[self.latent_dim :]
        active = sum(s - m * m > _ACTIVE_VARIANCE for m, s in zip(means, squares, strict=True))
        return {
            "loss": kl - log_likelihood,
            "reconstruction_loss": -log_likelihood,
            "kl_loss": kl,
            "active_units": active,
        }


def _elbo_terms(module: VAE, batch: Batch, generator: torch.Generator) -> ElboTerms:
    """Return the terms of the bound for rows of X, with a draw for each."""
    x = module.standardize(batch.x)
    eps = _draws(batch, (batch.n_rows, module.latent_dim), generator, like=x)
    return elbo_terms(module, x, eps)


def _draws(
    batch: Batch, shape: tuple[int, ...], generator: torch.Generator, *, like: Tensor
) -> Tensor:
    """Return standard normal draws for the rows of a batch: its places of those for the step."""
    eps = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return eps if batch.places is None else eps.index_select(-2, batch.places)
