"""The training loop. It takes a module and rows, and knows nothing of estimators."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ._batches import Rows
from ._device import (
    arithmetic,
    keep_freed_memory,
    seeded_generator,
    seeded_global_generator,
    suitable_threads,
)
from ._module import VAE
from ._objectives import ElboTerms, elbo_terms, importance_weighted_terms
from ._optimizer import Optimizer

# One epoch's figures by name: a row of `history_`.
Record = dict[str, float]

# A latent unit is active if the variance of its posterior mean, in units of the prior's, is
# above this: Burda, Grosse and Salakhutdinov (2016), section 5.2.
_ACTIVE_VARIANCE = 0.01
# Share of training over which the learning rate climbs before its cosine descent.
_RATE_WARMUP = 0.05
# Noises and dispersions, which no network predicts, learn so much faster. They have a long
# way to go where columns are nearly collinear, and Adam moves by steps of a fixed size.
_FREE_RATE_FACTOR = 5.0
_EVALUATION_BATCH = 1024
# Sums of so many steps are made at once: a step of a small network takes hardly longer than one.
_STEPS_SUMMED_AT_ONCE = 32


class Epoch(NamedTuple):
    """What one epoch came to, and whether training ends with it."""

    record: Record
    is_last: bool


class DivergenceError(ArithmeticError):
    """Training met a loss that is not finite."""


@dataclass(frozen=True)
class Recipe:
    """How to train, apart from the data and the module."""

    solver: str
    learning_rate: str
    learning_rate_init: float
    batch_size: int
    max_iter: int
    beta: float
    kl_warmup: float
    dtype: torch.dtype
    # Share of each step's rows that it leaves out: those of the highest loss.
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
        if not self.trim:
            return loss.mean()
        n_kept = max(1, round(len(loss) * (1 - self.trim)))
        return loss.topk(n_kept, largest=False, sorted=False).values.mean()

    def objective(self, record: Record) -> float:
        """Return what training minimises, once the KL term has its full weight."""
        return record["reconstruction_loss"] + self.beta * record["kl_loss"]


class Trainer:
    """A module in training: optimiser and generators, one epoch at a time.

    Parameters
    ----------
    module : VAE
        Trained in place, on the device it is on.
    recipe : Recipe
    seed : int
        Of the order of rows and of the draws from the posterior.
    """

    def __init__(self, module: VAE, recipe: Recipe, seed: int) -> None:
        self.module = module
        self.recipe = recipe
        self.seed = seed
        self.n_epochs = 0
        device = module.bias.device
        keep_freed_memory()
        self._order = seeded_generator(seed)
        self._noise = seeded_generator(seed, device)
        free = [p for p in module.free.parameters() if p.requires_grad]
        networks = [p for name, p in module.named_parameters() if not name.startswith("free.")]
        # Optimisers, and how fast each learns.
        self._optimizers = [(Optimizer(recipe.solver, networks), 1.0)]
        if free:
            self._optimizers.append((Optimizer(recipe.solver, free), _FREE_RATE_FACTOR))

    def epoch(self, rows: Rows) -> Record:
        """Pass over all rows once, in random order, and return the epoch's figures.

        A user's networks may draw from torch's global generators, for dropout: they get
        seeded ones.

        Raises
        ------
        DivergenceError
            If the loss is not finite during the epoch or after its last step.
        """
        with ExitStack() as stack:
            stack.callback(self.module.eval)
            stack.enter_context(suitable_threads(self.module, self.recipe.batch_size))
            if callable(self.module.config.architecture):
                seed = int(torch.randint(2**62, (), generator=self._order))
                stack.enter_context(seeded_global_generator(seed, rows.device))
            return self._epoch(rows)

    def _epoch(self, rows: Rows) -> Record:
        module, recipe = self.module.train(), self.recipe
        n_batches = math.ceil(len(rows) / recipe.batch_size)
        totals = _Totals(module)
        for step, batch in enumerate(rows.shuffled(recipe.batch_size, self._order)):
            # Each step uses the schedules' value at its middle.
            progress = (self.n_epochs + (step + 0.5) / n_batches) / recipe.max_iter
            with arithmetic(batch.device, recipe.dtype):
                loss, terms = self._loss(batch, recipe.kl_weight(progress))
            for optimizer, _ in self._optimizers:
                optimizer.zero_grad()
            recipe.mean(loss).backward()
            rate = recipe.rate(progress)
            for optimizer, factor in self._optimizers:
                optimizer.step(factor * rate)
            totals.add(terms)
        self.n_epochs += 1
        record = totals.record()
        # The last step's outcome shows in no loss yet: look at its rows once more.
        module.eval()
        with torch.inference_mode():
            last = elbo_terms(
                module, module.standardize(batch), torch.zeros_like(terms.posterior.mean)
            )
        if not (math.isfinite(record["loss"]) and bool(last.elbo.isfinite().all())):
            raise DivergenceError
        return record

    def _loss(self, batch: Tensor, kl_weight: float) -> tuple[Tensor, ElboTerms]:
        """Return what training minimises, for each row, and the terms of the bound."""
        if self.recipe.n_draws == 1:
            terms = _elbo_terms(self.module, batch, self._noise)
            return kl_weight * terms.kl_divergence - terms.log_likelihood, terms
        x = self.module.standardize(batch)
        eps = _draws((self.recipe.n_draws, len(x), self.module.latent_dim), self._noise, like=x)
        bound, terms = importance_weighted_terms(self.module, x, eps)
        return -bound, terms

    def evaluate(self, rows: Rows) -> Record:
        """Return the figures of rows that are not trained on, with the same draws each time."""
        with suitable_threads(self.module, min(len(rows), _EVALUATION_BATCH)):
            return evaluate(self.module, rows, self.seed)


@torch.inference_mode()
def evaluate(module: VAE, rows: Rows, seed: int) -> Record:
    """Return the mean terms of the bound, at beta = 1 and one draw per row."""
    module.eval()
    generator = seeded_generator(seed, module.bias.device)
    totals = _Totals(module)
    for batch in rows.batches(_EVALUATION_BATCH):
        totals.add(_elbo_terms(module, batch, generator))
    return totals.record()


def train(
    trainer: Trainer,
    rows: Rows,
    validation: Rows | None = None,
    *,
    n_iter_no_change: int,
    tol: float,
) -> Generator[Epoch]:
    """Train for at most `max_iter` epochs and yield the figures of each.

    With validation rows, training stops once their loss has not fallen by more than `tol`
    for `n_iter_no_change` epochs, and the module ends with the weights of the best epoch,
    even if the caller closes the iterator before. Without, and at a constant learning
    rate, it stops once the objective, averaged over `n_iter_no_change` epochs, is no lower
    by `tol` than over as many epochs before. A descending rate is planned to its end, and
    gains most near it: there `max_iter` alone decides.

    Raises
    ------
    DivergenceError
        If the loss is not finite during an epoch, after its last step, or on the
        validation rows.
    """
    best = _BestEpoch(trainer.module, n_iter_no_change, tol)
    objectives: list[float] = []
    try:
        while True:
            record = trainer.epoch(rows)
            if validation is not None:
                held_out = trainer.evaluate(validation)
                if not math.isfinite(held_out["loss"]):
                    raise DivergenceError
                record |= {f"validation_{name}": held_out[name] for name in _LOSSES}
            objectives.append(trainer.recipe.objective(record))
            if validation is not None:
                stalled = best.has_stalled(record["validation_loss"])
            elif trainer.recipe.learning_rate == "constant":
                stalled = _has_plateaued(objectives, n_iter_no_change, tol)
            else:
                stalled = False
            is_last = stalled or len(objectives) == trainer.recipe.max_iter
            yield Epoch(record, is_last)
            if is_last:
                return
    finally:
        best.restore()


_LOSSES = ("loss", "reconstruction_loss", "kl_loss")


def _has_plateaued(values: list[float], window: int, tol: float) -> bool:
    """Whether the last `window` values are on average no lower than those before them.

    Averages, because the draws of an epoch make its loss jump about its trend.
    """
    if len(values) < 2 * window:
        return False
    last, before = values[-window:], values[-2 * window : -window]
    return math.fsum(before) - math.fsum(last) < tol * window


class _BestEpoch:
    """The weights of the epoch with the lowest validation loss so far."""

    def __init__(self, module: VAE, n_iter_no_change: int, tol: float) -> None:
        self.module = module
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.lowest = self.threshold = math.inf
        self.n_stalled = 0
        self.weights: dict[str, Tensor] | None = None

    def has_stalled(self, loss: float) -> bool:
        """Take note of an epoch's loss, and tell whether it is time to stop."""
        if loss < self.lowest:
            self.lowest = loss
            self.weights = {name: w.clone() for name, w in self.module.state_dict().items()}
        if loss < self.threshold - self.tol:
            self.threshold, self.n_stalled = loss, 0
        else:
            self.n_stalled += 1
        return self.n_stalled >= self.n_iter_no_change

    def restore(self) -> None:
        if self.weights is not None:
            self.module.load_state_dict(self.weights)


class _Totals:
    """Running sums over the rows of an epoch, on the device: one transfer, at its end."""

    def __init__(self, module: VAE) -> None:
        self.latent_dim = module.latent_dim
        self.n = 0
        # Log-likelihood, KL divergence, posterior means and their squares.
        self.sums = module.scale.new_zeros(2 + 2 * module.latent_dim)
        self._steps: list[tuple[Tensor, ...]] = []  # not in the sums yet

    def add(self, terms: ElboTerms) -> None:
        terms_and_mean = (terms.log_likelihood, terms.kl_divergence, terms.posterior.mean)
        self._steps.append(tuple(tensor.detach() for tensor in terms_and_mean))
        if len(self._steps) == _STEPS_SUMMED_AT_ONCE:
            self._sum_up()

    def _sum_up(self) -> None:
        log_likelihood, kl, mean = map(torch.cat, zip(*self._steps, strict=True))
        columns = (log_likelihood[:, None], kl[:, None], mean, mean.square())
        self.sums += torch.cat(columns, dim=1).sum(0)
        self.n += len(mean)
        self._steps.clear()

    def record(self) -> Record:
        if self._steps:
            self._sum_up()
        log_likelihood, kl, *moments = (self.sums / self.n).tolist()
        means, squares = moments[: self.latent_dim], moments[self.latent_dim :]
        active = sum(s - m * m > _ACTIVE_VARIANCE for m, s in zip(means, squares, strict=True))
        return {
            "loss": kl - log_likelihood,
            "reconstruction_loss": -log_likelihood,
            "kl_loss": kl,
            "active_units": active,
        }


def _elbo_terms(module: VAE, batch: Tensor, generator: torch.Generator) -> ElboTerms:
    """Return the terms of the bound for rows of X, with a draw for each."""
    x = module.standardize(batch)
    return elbo_terms(module, x, _draws((len(x), module.latent_dim), generator, like=x))


def _draws(shape: tuple[int, ...], generator: torch.Generator, *, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
