"""One step of training: loss, gradients, update, sums for the metrics."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from ..models import VAE, ElboTerms, elbo_terms, importance_weighted_terms
from ..utils import autocast, deterministic_kernels
from ._batches import Batch
from ._clipping import GradientClipping
from ._config import TrainingConfig
from ._learning_rates import group_decaying_weights, group_parameters
from ._metrics import EpochMetrics
from ._optimizer import Optimizer
from ._process_group import ProcessGroup
from ._trimming import kept_rows

# A number, or for steps that are recorded a tensor of shape ().
Scalar = float | Tensor


class Step(Protocol):
    """A step of training."""

    def epoch(self) -> AbstractContextManager[None]:
        """Return a context for the steps of an epoch."""

    def __call__(self, batch: Batch, learning_rate: Scalar, kl_weight: Scalar) -> None:
        """Update the weights."""


class EagerStep:
    """One step of the optimizers, operation by operation.

    All effects are operations on tensors, none of which waits for the device, so `CapturedStep` can
    record a step.

    Parameters
    ----------
    module : VAE
        Module to train, in place.
    config : TrainingConfig
    noise : Generator
        Generator of the draws from the posterior, on the device.
    group : ProcessGroup
        Processes that train the same module.

    Attributes
    ----------
    metrics : EpochMetrics
        Receives the terms of the bound before each step.
    """

    def __init__(
        self, module: VAE, config: TrainingConfig, noise: Generator, group: ProcessGroup
    ) -> None:
        self.module = module
        self.config = config
        self.metrics = EpochMetrics(module)
        self._noise = noise
        self._group = group
        conditions = module.config.conditions
        self._categorical = [c.position for c in conditions if c.kind == "categorical"]
        # A prior and the networks have gradients of different sizes.
        self._parts = _split_parameters(module)
        self._clipping = [GradientClipping(module.bias.device) for _ in self._parts]
        self._optimizer = Optimizer(config.solver, group_parameters(module))
        self._decaying_weights = group_decaying_weights(module)

    def epoch(self) -> AbstractContextManager[None]:
        """Return a context for the steps of an epoch, which does nothing."""
        return nullcontext()

    def __call__(self, batch: Batch, learning_rate: Scalar, kl_weight: Scalar) -> None:
        config, optimizer = self.config, self._optimizer
        terms = self._compute_gradients(batch, kl_weight)
        self._group.all_reduce(optimizer.gradients())
        for clipping, parameters in zip(self._clipping, self._parts, strict=True):
            clipping.clip([p.grad for p in parameters if p.grad is not None])
        if config.alpha:
            for factor, weights in self._decaying_weights:
                remainder = _positive_part(1 - config.alpha * factor * learning_rate)
                torch._foreach_mul_(weights, remainder)
        optimizer.step(learning_rate)
        self.metrics.add(terms)

    def rehearse(self, batch: Batch, kl_weight: Scalar) -> list[Tensor]:
        """Return the gradients of a step, and their norms, without taking the step."""
        noise = self._noise.get_state()
        self._compute_gradients(batch, kl_weight)
        self._noise.set_state(noise)
        gradients = self._optimizer.gradients()
        self._optimizer.zero_grad()
        return [*gradients, *torch._foreach_norm(gradients)]

    def _compute_gradients(self, batch: Batch, kl_weight: Scalar) -> ElboTerms:
        """Set the gradients of the mean loss, and return the terms of the bound."""
        device = batch.x.device
        self._optimizer.zero_grad()
        with deterministic_kernels(device):
            with autocast(device, self.config.dtype):
                loss, terms = self._loss(batch, kl_weight)
            self._mean(loss, batch).backward()
        return terms

    def _loss(self, batch: Batch, kl_weight: Scalar) -> tuple[Tensor, ElboTerms]:
        """Return the loss of each row, (n,), and the terms of the bound."""
        module, n_draws = self.module, self.config.n_training_draws
        x = _draw_rows(module, batch, self._noise)
        hidden = None
        if self.config.encoder_dropout:
            hidden = _draw_uniform(module, batch, self._noise) < self.config.encoder_dropout
        if n_draws == 1:
            eps = _draw_eps(batch, (batch.n_rows, module.latent_dim), self._noise, like=x)
            terms = elbo_terms(module, x, eps, hidden)
            return kl_weight * terms.kl_divergence - terms.log_likelihood, terms
        shape = (n_draws, batch.n_rows, module.latent_dim)
        eps = _draw_eps(batch, shape, self._noise, like=x)
        bound, terms = importance_weighted_terms(module, x, eps, hidden, kl_weight)
        return -bound, terms

    def _mean(self, loss: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a step, without the trimmed rows.

        In a group of processes, the sum of the results of all processes is the mean.
        """
        trim = self.config.trim
        if not trim:
            return loss.mean() if batch.positions is None else loss.sum() / batch.n_rows
        values = [loss.detach(), *(batch.x[:, j].to(loss.dtype) for j in self._categorical)]
        if batch.positions is None:
            is_kept = is_kept_here = kept_rows(values[0], trim, values[1:])
        else:
            all_values = [
                v.new_zeros(batch.n_rows).index_copy_(0, batch.positions, v) for v in values
            ]
            self._group.all_reduce(all_values)
            is_kept = kept_rows(all_values[0], trim, all_values[1:])
            is_kept_here = is_kept[batch.positions]
        return torch.where(is_kept_here, loss, 0.0).sum() / is_kept.sum()

    # ---- State -----------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Discard the gradients, which take as much memory as the weights."""
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, without the metrics."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "clipping": [clipping.state_dict() for clipping in self._clipping],
            "noise": self._noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._optimizer.load_state_dict(state["optimizer"])
        for clipping, saved in zip(self._clipping, state["clipping"], strict=True):
            clipping.load_state_dict(saved)
        self._noise.set_state(state["noise"])


def _split_parameters(module: VAE) -> list[list[nn.Parameter]]:
    """Return the learned parameters of the networks and likelihood, and of the prior, if any."""
    prior = set(module.prior_weights.parameters())
    learned = [p for p in module.parameters() if p.requires_grad]
    parts = [[p for p in learned if p not in prior], [p for p in learned if p in prior]]
    return [part for part in parts if part]


def draw_elbo_terms(module: VAE, batch: Batch, generator: Generator) -> ElboTerms:
    """Return the terms of the bound for rows of X, with one draw for each row."""
    x = _draw_rows(module, batch, generator)
    shape = (batch.n_rows, module.latent_dim)
    return elbo_terms(module, x, _draw_eps(batch, shape, generator, like=x))


def _draw_rows(module: VAE, batch: Batch, generator: Generator) -> Tensor:
    """Return standardised rows of a batch, drawn at random if the likelihood says so."""
    x = module.standardize(batch.x)
    if module.likelihood.is_row_random:
        x = module.draw_rows(x, _draw_uniform(module, batch, generator))
    return x


def _draw_uniform(module: VAE, batch: Batch, generator: Generator) -> Tensor:
    """Draw uniform numbers for all modelled entries of a step, and return those of the batch."""
    shape = (batch.n_rows, module.config.n_features)
    u = torch.rand(shape, generator=generator, dtype=torch.float32, device=batch.x.device)
    return _of_batch(u, batch)


def _draw_eps(
    batch: Batch, shape: tuple[int, ...], generator: Generator, *, like: Tensor
) -> Tensor:
    """Draw standard normal numbers for all rows of a step, and return those of the batch."""
    eps = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return _of_batch(eps, batch)


def _of_batch(draws: Tensor, batch: Batch) -> Tensor:
    """Return the draws, (..., n_rows, m), for the rows of a step that this process has."""
    return draws if batch.positions is None else draws.index_select(-2, batch.positions)


def _positive_part(x: Scalar) -> Scalar:
    return x.clamp_min(0) if isinstance(x, Tensor) else max(0.0, x)
