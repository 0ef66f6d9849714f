"""Rows of an array as tensors, batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Generator, Tensor

from ..utils import between_steps, free_memory

# Number types that torch supports. Other number types are converted to float64.
TORCH_KINDS = ("f4", "f8", "u1", "i1", "i2", "i4", "i8", "b1")
# Elements per chunk when rows are read in order: 2 MiB in float64, which fit in caches.
_CHUNK_ELEMENTS = 2**18
# Rows are shuffled within windows of this size, which consist of blocks of neighbouring rows.
_WINDOW_BYTES = 2**26
_BLOCK_BYTES = 2**18
# Largest fraction of a device's free memory for a copy of all training rows.
_RESIDENT_FRACTION = 0.5
_ROWS_PER_TRANSFER = 4096


class Batch(NamedTuple):
    """Rows of one step, or the part of the rows that belongs to this process."""

    x: Tensor  # (n, n_features)
    n_rows: int  # number of rows of the step, in all processes
    positions: Tensor | None = None  # of the rows of `x` within the step, if `x` is a part


class Rows:
    """A view of rows of a 2-D array, which is never copied as a whole in main memory.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n, n_features)
        Data of any numeric dtype and memory order; read-only arrays work. Rows of a sparse matrix
        become dense batch by batch.
    device : torch.device
        Device of the batches.
    index : ndarray of shape (n_rows,), optional
        Rows of X to use; all rows by default.
    partition : range, optional
        Positions of the rows that belong to this process; all rows by default.
    """

    def __init__(
        self,
        X: Any,
        device: torch.device,
        index: np.ndarray | None = None,
        partition: range | None = None,
    ) -> None:
        self.X = X
        self.device = device
        self.index = index
        self.partition = partition

    def __len__(self) -> int:
        return self.X.shape[0] if self.index is None else len(self.index)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield all rows in order, as arrays that fit in caches."""
        size = chunk_length(self.X.shape[1])
        for start in range(0, len(self), size):
            yield self._read(slice(start, start + size))
            between_steps()

    def take(self, positions: np.ndarray | slice) -> Tensor:
        """Return rows, (len(positions), n_features), in the dtype of X if torch supports it."""
        return self._tensor(self._read(positions))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield all rows in order."""
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            if self.partition is None:
                yield Batch(self.take(slice(start, stop)), stop - start)
            else:
                first = min(max(start, self.partition.start), stop)
                last = max(min(stop, self.partition.stop), first)
                positions = torch.arange(first - start, last - start, device=self.device)
                yield Batch(self.take(slice(first, last)), stop - start, positions)

    def shuffled(
        self, batch_size: int, generator: Generator, n_skipped: int = 0
    ) -> Iterator[Batch]:
        """Yield all rows once, in an order drawn from `generator`, a generator of the CPU.

        `shuffled_windows` defines the order, for arrays in memory and in files alike. A window of a
        memory map is read in the order of the file. The first `n_skipped` batches are skipped
        without reading.
        """
        n_bytes = self.X.shape[1] * self.X.dtype.itemsize
        for order in shuffled_windows(len(self), n_bytes, batch_size, generator):
            steps = order.split(batch_size)
            steps, n_skipped = steps[n_skipped:], max(0, n_skipped - len(steps))
            if not steps:
                continue
            if self.partition is None:
                for step, x in zip(steps, self._fetch(steps), strict=True):
                    yield Batch(x, len(step))
            else:
                start, stop = self.partition.start, self.partition.stop
                positions = [
                    ((step >= start) & (step < stop)).nonzero().squeeze(1) for step in steps
                ]
                own = [step[index] for step, index in zip(steps, positions, strict=True)]
                for step, index, x in zip(steps, positions, self._fetch(own), strict=True):
                    yield Batch(x, len(step), index.to(self.device))

    def _fetch(self, steps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the rows of each step, given their positions."""
        if self._resident is not None:
            first = 0 if self.partition is None else self.partition.start
            on_device = (torch.cat([*steps]) - first).to(self.device)  # a single transfer
            for index in on_device.split([len(positions) for positions in steps]):
                yield self._resident.index_select(0, index)
        elif self._is_mapped:
            in_file_order, permutation = torch.cat([*steps]).sort()
            window = self._read(in_file_order.numpy())
            inverse = torch.empty_like(permutation)
            inverse[permutation] = torch.arange(len(permutation))
            for index in inverse.split([len(positions) for positions in steps]):
                yield self._tensor(np.take(window, index.numpy(), axis=0))
        else:
            for positions in steps:
                yield self.take(positions.numpy())

    def _read(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return rows as a new dense array."""
        if self.index is not None:
            positions = self.index[positions]
        if issparse(self.X):
            return self.X[positions].toarray()
        if isinstance(positions, slice):
            return np.array(self.X[positions], order="C")
        return np.take(self.X, positions, axis=0)

    def _tensor(self, rows: np.ndarray) -> Tensor:
        if rows.dtype.str[1:] not in TORCH_KINDS or not rows.dtype.isnative:
            rows = rows.astype(np.float64)
        batch = torch.from_numpy(rows)
        if self.device.type == "mps" and batch.dtype == torch.float64:
            batch = batch.float()  # Metal has no float64
        return batch.to(self.device, non_blocking=True)

    @cached_property
    def _is_mapped(self) -> bool:
        """Whether X is a memory-mapped file or a view of a memory-mapped file."""
        array = self.X
        while array is not None and not isinstance(array, np.memmap | mmap.mmap):
            array = getattr(array, "base", None)
        return array is not None

    @cached_property
    def _resident(self) -> Tensor | None:
        """The rows of this process on the device, moved once for all epochs if they fit."""
        own = self.partition or range(len(self))
        first = self.take(slice(1))
        if len(own) * first.nbytes > _RESIDENT_FRACTION * free_memory(self.device):
            return None
        resident = first.new_empty(len(own), *first.shape[1:])
        for start in range(0, len(own), _ROWS_PER_TRANSFER):
            chunk = own[start : start + _ROWS_PER_TRANSFER]
            resident[start : start + len(chunk)] = self.take(slice(chunk.start, chunk.stop))
            between_steps()
        return resident


def chunk_length(n_features: int) -> int:
    """Return the number of rows to process at a time."""
    return max(1, _CHUNK_ELEMENTS // n_features)


def shuffled_windows(
    n_rows: int, row_bytes: int, batch_size: int, generator: Generator
) -> Iterator[Tensor]:
    """Yield the positions of all rows once, in random order, window by window.

    Up to 64 MiB of rows form one window, in a uniformly random order. More rows are divided into
    blocks of neighbouring rows, of 256 KiB each, and a window consists of 256 blocks drawn without
    replacement. The rows of a batch thus come from 256 random places of the file, while reads
    remain contiguous. In a sorted file, the composition of a window varies as the composition of
    256 rows drawn at random.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    row_bytes : int
        Size of a row in bytes.
    batch_size : int
        Number of rows per batch. The length of each window except the last window is a multiple of
        `batch_size`: the remaining rows join the next window.
    generator : torch.Generator
        Random generator of the CPU.
    """
    n_block = max(1, _BLOCK_BYTES // row_bytes)
    if n_rows * row_bytes <= _WINDOW_BYTES:
        n_block = 1
    n_blocks = -(-n_rows // n_block)
    per_window = max(1, _WINDOW_BYTES // (n_block * row_bytes))
    remainder = torch.empty(0, dtype=torch.int64)
    for blocks in torch.randperm(n_blocks, generator=generator).split(per_window):
        order = blocks
        if n_block > 1:
            positions = (blocks[:, None] * n_block + torch.arange(n_block)).flatten()
            positions = positions[positions < n_rows]
            order = positions[torch.randperm(len(positions), generator=generator)]
        order = torch.cat([remainder, order])
        n_whole = len(order) // batch_size * batch_size
        order, remainder = order.tensor_split([n_whole])
        if len(order):
            yield order
    if len(remainder):
        yield remainder


def column_moments(rows: Rows) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of each column, (d,) in float64 on the CPU.

    NaN counts as missing. The moments are updated chunk by chunk. A variance within the rounding
    error is set to 0, and the mean of the column to one of its values: Chan, Golub and LeVeque,
    "Algorithms for computing the sample variance: analysis and recommendations", The American
    Statistician 37, 1983.

    Raises
    ------
    ValueError
        If a variance overflows.
    """
    n_features = rows.X.shape[1]
    mean, squares, n = torch.zeros(3, n_features, dtype=torch.float64)
    example = torch.full_like(mean, torch.nan)
    for chunk in rows.chunks():
        values = torch.from_numpy(chunk.astype(np.float64))
        n_chunk, chunk_mean, first = torch.full_like(n, len(values)), values.mean(0), values[0]
        if chunk_mean.isnan().any():  # cheaper than a test of all values
            is_missing = values.isnan()
            first = values.gather(0, is_missing.byte().argmin(0, keepdim=True))[0]
            n_chunk -= is_missing.sum(0)
            chunk_mean = torch.where(n_chunk > 0, values.nanmean(0), 0.0)
            values = torch.where(is_missing, chunk_mean, values)
        example = torch.where(example.isnan(), first, example)
        step = chunk_mean - mean
        weight = n_chunk / (n + n_chunk).clamp_min(1)
        squares += (values - chunk_mean).square_().sum(0) + n * weight * step.square()
        mean += weight * step
        n += n_chunk
    var = squares / n.clamp_min(1)
    overflowing = (~var.isfinite()).nonzero()
    if len(overflowing):
        raise ValueError(
            f"The values in column {int(overflowing[0])} are too large: their variance overflows. "
            "Divide the column by a constant."
        )
    # Largest variance that rounding errors alone can give a constant column.
    eps = torch.finfo(torch.float64).eps
    is_constant = var <= n * eps * var + (n * eps * mean).square()
    mean = torch.where(is_constant & ~example.isnan(), example, mean)
    return mean, var.masked_fill(is_constant, 0.0)
