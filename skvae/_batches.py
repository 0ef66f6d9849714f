"""Rows of an array, handed out as tensors, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from ._device import free_memory

# What torch computes with. Any other number type is read as float64.
_TORCH_KINDS = ("f4", "f8", "u1", "i1", "i2", "i4", "i8", "b1")
# Columns' moments are gathered from so many numbers at a time: 2 MiB, which caches hold.
_MOMENTS_ELEMENTS = 2**18
# Training rows move to a device's own memory as a whole if they take at most this share of what
# is free there.
_RESIDENT_SHARE = 0.5
_MOVED_AT_ONCE = 4096


class Rows:
    """A view of some rows of a 2-D array, which is never copied whole in the main memory.

    Parameters
    ----------
    X : ndarray or memmap of shape (n, n_features)
        Any numeric dtype and memory order; it may be read-only.
    device : torch.device
        Where batches go.
    index : ndarray of shape (n_rows,), optional
        Rows of X to use; all by default.
    """

    def __init__(
        self, X: np.ndarray, device: torch.device, index: np.ndarray | None = None
    ) -> None:
        self.X = X
        self.device = device
        self.index = np.arange(len(X)) if index is None else index

    def __len__(self) -> int:
        return len(self.index)

    def chunks(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in order, as arrays."""
        for start in range(0, len(self), size):
            yield np.take(self.X, self.index[start : start + size], axis=0)

    def take(self, positions: np.ndarray | slice) -> Tensor:
        """Return those rows, (len(positions), n_features), in X's dtype where torch has it."""
        rows = np.take(self.X, self.index[positions], axis=0)
        if rows.dtype.str[1:] not in _TORCH_KINDS or not rows.dtype.isnative:
            rows = rows.astype(np.float64)
        batch = torch.from_numpy(rows)
        if self.device.type == "mps" and batch.dtype == torch.float64:
            batch = batch.float()  # the only floating point type that Metal has
        return batch.to(self.device, non_blocking=True)

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """Yield all rows in order."""
        for start in range(0, len(self), batch_size):
            yield self.take(slice(start, start + batch_size))

    def shuffled(self, batch_size: int, generator: Generator) -> Iterator[Tensor]:
        """Yield all rows once, in an order drawn from `generator`, a CPU one."""
        order = torch.randperm(len(self), generator=generator)
        if self._resident is None:
            for positions in order.split(batch_size):
                yield self.take(positions.numpy())
        else:
            for positions in order.to(self.device).split(batch_size):
                yield self._resident.index_select(0, positions)

    @cached_property
    def _resident(self) -> Tensor | None:
        """All rows on the device, moved there once for all epochs, if it has room for them."""
        first = self.take(slice(1))
        if len(self) * first.nbytes > _RESIDENT_SHARE * free_memory(self.device):
            return None
        resident = first.new_empty(len(self), *first.shape[1:])
        for part, batch in zip(
            resident.split(_MOVED_AT_ONCE), self.batches(_MOVED_AT_ONCE), strict=True
        ):
            part.copy_(batch)
        return resident


def column_moments(rows: Rows) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of each column, (d,) in float64 on the CPU.

    NaN counts as missing. Gathered chunk by chunk, and told from rounding errors, as in Chan,
    Golub and LeVeque, "Algorithms for computing the sample variance: analysis and
    recommendations", The American Statistician 37, 1983.

    Raises
    ------
    ValueError
        If a variance overflows.
    """
    n_features = rows.X.shape[1]
    mean, squares, n = torch.zeros(3, n_features, dtype=torch.float64)
    for chunk in rows.chunks(max(1, _MOMENTS_ELEMENTS // n_features)):
        values = torch.from_numpy(chunk.astype(np.float64))
        n_chunk, chunk_mean = torch.full_like(n, len(values)), values.mean(0)
        if chunk_mean.isnan().any():  # asking that of all values would take longer than the rest
            is_missing = values.isnan()
            n_chunk -= is_missing.sum(0)
            chunk_mean = torch.where(n_chunk > 0, values.nanmean(0), 0.0)
            values = torch.where(is_missing, chunk_mean, values)
        step = chunk_mean - mean
        share = n_chunk / (n + n_chunk).clamp_min(1)
        squares += (values - chunk_mean).square_().sum(0) + n * share * step.square()
        mean += share * step
        n += n_chunk
    var = squares / n.clamp_min(1)
    overflowing = (~var.isfinite()).nonzero()
    if len(overflowing):
        raise ValueError(
            f"The values in column {int(overflowing[0])} are too large: their variance overflows. "
            "Divide the column by a constant."
        )
    # What rounding alone can make of a constant column.
    eps = torch.finfo(torch.float64).eps
    is_constant = var <= n * eps * var + (n * eps * mean).square()
    return mean, var.masked_fill(is_constant, 0.0)
