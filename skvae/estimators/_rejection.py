"""Rejection sampling of rows of bins whose modelled columns satisfy conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..models import HistogramVAE
from ..utils import draw_seed, limit_threads, seeded_generator
from ._inference import chunk_size, map_chunks

if TYPE_CHECKING:
    from ..columns import FrameCodec

# Draws per round, and rounds.
_MIN_DRAWS = 2000
_MAX_ROUNDS = 500

Bins = tuple[np.ndarray, np.ndarray]  # bin numbers, and positions within bins


class RejectionSampler:
    """Draws rows that satisfy conditions on modelled columns.

    Proposals are accepted with their probability over the largest probability so far: Caffo, Booth
    and Davis, "Empirical supremum rejection sampling", Biometrika 89, 2002.

    Parameters
    ----------
    module : HistogramVAE
    codec : FrameCodec
        Encoder of the modelled columns.
    conditions : mapping
        Names of columns to a value, a list of values or a `pandas.Interval`.
    rng : RandomState
        Source of randomness.

    Raises
    ------
    ValueError
        If a column is unknown, or if no training value of a column satisfies the condition.
    """

    def __init__(
        self,
        module: HistogramVAE,
        codec: FrameCodec,
        conditions: Mapping[Any, Any],
        rng: np.random.RandomState,
    ) -> None:
        self.module = module
        self.codec = codec
        self.conditions = conditions
        self.rng = rng
        self._ranges = codec.allowed_ranges(conditions)
        self._allowed = {j: torch.tensor(r[:, 1] - r[:, 0]) for j, r in self._ranges.items()}
        self._generator = seeded_generator(draw_seed(rng), module.bias.device)

    def sample_each(self, given: np.ndarray) -> Bins:
        """Draw a row for each row of condition columns, (n, n_conditions).

        Rows with the same conditions are drawn together.
        """
        different, group = np.unique(given, axis=0, return_inverse=True)
        drawn = [
            self.sample(int((group.ravel() == i).sum()), values)
            for i, values in enumerate(different)
        ]
        order = np.argsort(group.ravel(), kind="stable")
        bins, positions = (np.concatenate(arrays) for arrays in zip(*drawn, strict=True))
        inverse = np.argsort(order)
        return bins[inverse], positions[inverse]

    def sample(self, n_samples: int, given: np.ndarray | None = None) -> Bins:
        """Draw rows, (n_samples, n_features), with the same values of condition columns, if any.

        Raises
        ------
        ValueError
            If rows that satisfy all conditions are too rare.
        """
        n_draws = max(n_samples, _MIN_DRAWS)
        accepted: list[Bins] = []
        n_accepted, bound = 0, -math.inf
        for _ in range(_MAX_ROUNDS):
            bins, log_p = self._draw(n_draws, given)
            bound = max(bound, log_p.max())
            if bound == -math.inf:
                continue
            bins = bins[np.log(self.rng.uniform(size=n_draws)) < log_p - bound]
            positions = self.codec.sample_positions(bins, self._ranges, self.rng)
            satisfied = self.codec.satisfies(self.codec.decode(bins, positions), self.conditions)
            accepted.append((bins[satisfied], positions[satisfied]))
            n_accepted += int(satisfied.sum())
            if n_accepted >= n_samples:
                bins, positions = (np.concatenate(arrays) for arrays in zip(*accepted, strict=True))
                return bins[:n_samples], positions[:n_samples]
        raise ValueError(
            f"Only {n_accepted} of the {n_samples} rows satisfy {self.conditions!r} after "
            f"{_MAX_ROUNDS * n_draws} draws. Request fewer rows, or relax the conditions."
        )

    def _draw(self, n_draws: int, given: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows of allowed bins, (n_draws, n_features), and return their log-probabilities."""
        module, generator, c = self.module, self._generator, None
        if given is not None and module.conditions is not None:
            c = module.conditions(torch.from_numpy(given[None]).to(module.bias.device))

        def draw_chunk(chunk: slice) -> Tensor:
            z = module.sample_prior(chunk.stop - chunk.start, generator)
            bins, log_p = module.sample_allowed(z, self._allowed, generator, c)
            return torch.cat([bins, log_p.unsqueeze(-1)], -1)

        with limit_threads(module.networks, n_draws):
            draws = map_chunks(draw_chunk, n_draws, chunk_size=chunk_size(module), dtype="float64")
        return draws[:, :-1], draws[:, -1]
