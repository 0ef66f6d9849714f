"""Rows of an array, handed out as tensors, batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Generator, Tensor

from ..utils import free_memory

# What torch computes with. Any other number type is read as float64.
_TORCH_KINDS = ("f4", "f8", "u1", "i1", "i2", "i4", "i8", "b1")
# Rows are worked through, in order, so many numbers at a time: 2 MiB, which caches hold.
_CHUNK_ELEMENTS = 2**18
# Rows are shuffled within windows of such a size, put together from blocks of neighbouring rows.
_WINDOW_BYTES = 2**26
_BLOCK_BYTES = 2**18
# Training rows move to a device's own memory as a whole if they take at most this share of what
# is free there.
_RESIDENT_SHARE = 0.5
_MOVED_AT_ONCE = 4096


class Batch(NamedTuple):
    """Rows of one step, or of those the ones that are this process's share."""

    x: Tensor  # (n, n_features)
    n_rows: int  # of the step
    places: Tensor | None = None  # of `x` among these, if it is not all of them


class Rows:
    """A view of some rows of a 2-D array, which is never copied whole in the main memory.

    Parameters
    ----------
    X : ndarray, memmap or CSR matrix of shape (n, n_features)
        Any numeric dtype and memory order; it may be read-only. Rows of a sparse matrix are
        made dense batch by batch.
    device : torch.device
        Where batches go.
    index : ndarray of shape (n_rows,), optional
        Rows of X to use; all by default.
    share : range, optional
        Which of these batches hold, all by default: other processes have the others.
    """

    def __init__(
        self,
        X: Any,
        device: torch.device,
        index: np.ndarray | None = None,
        share: range | None = None,
    ) -> None:
        self.X = X
        self.device = device
        self.index = index
        self.share = share

    def __len__(self) -> int:
        return self.X.shape[0] if self.index is None else len(self.index)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield all rows in order, as arrays of a size that suits caches."""
        size = chunk_length(self.X.shape[1])
        for start in range(0, len(self), size):
            yield self._read(slice(start, start + size))

    def take(self, positions: np.ndarray | slice) -> Tensor:
        """Return those rows, (len(positions), n_features), in X's dtype where torch has it."""
        return self._tensor(self._read(positions))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield all rows in order."""
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            if self.share is None:
                yield Batch(self.take(slice(start, stop)), stop - start)
            else:
                first = min(max(start, self.share.start), stop)
                last = max(min(stop, self.share.stop), first)
                places = torch.arange(first - start, last - start, device=self.device)
                yield Batch(self.take(slice(first, last)), stop - start, places)

    def shuffled(
        self, batch_size: int, generator: Generator, n_skipped: int = 0
    ) -> Iterator[Batch]:
        """Yield all rows once, in an order drawn from `generator`, a CPU one.

        The order is that of `shuffled_windows`, wherever X is. From a memory map, a window is
        read at once, in the order of the file. The first `n_skipped` batches are left out, and
        not read.
        """
        n_bytes = self.X.shape[1] * self.X.dtype.itemsize
        for order in shuffled_windows(len(self), n_bytes, batch_size, generator):
            steps = order.split(batch_size)
            steps, n_skipped = steps[n_skipped:], max(0, n_skipped - len(steps))
            if not steps:
                continue
            if self.share is None:
                for step, x in zip(steps, self._fetch(steps), strict=True):
                    yield Batch(x, len(step))
            else:
                start, stop = self.share.start, self.share.stop
                places = [((step >= start) & (step < stop)).nonzero().squeeze(1) for step in steps]
                own = [step[place] for step, place in zip(steps, places, strict=True)]
                for step, place, x in zip(steps, places, self._fetch(own), strict=True):
                    yield Batch(x, len(step), place.to(self.device))

    def _fetch(self, steps: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the rows at the positions of each step."""
        if self._resident is not None:
            first = 0 if self.share is None else self.share.start
            for positions in steps:
                yield self._resident.index_select(0, positions.to(self.device) - first)
        elif self._is_mapped:
            in_file, places = torch.cat([*steps]).sort()
            window = self._read(in_file.numpy())
            place_of = torch.empty_like(places)
            place_of[places] = torch.arange(len(places))
            for some in place_of.split([len(positions) for positions in steps]):
                yield self._tensor(np.take(window, some.numpy(), axis=0))
        else:
            for positions in steps:
                yield self.take(positions.numpy())

    def _read(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return those rows as a dense array of their own."""
        if self.index is not None:
            positions = self.index[positions]
        if issparse(self.X):
            return self.X[positions].toarray()
        if isinstance(positions, slice):
            return np.array(self.X[positions], order="C")
        return np.take(self.X, positions, axis=0)

    def _tensor(self, rows: np.ndarray) -> Tensor:
        if rows.dtype.str[1:] not in _TORCH_KINDS or not rows.dtype.isnative:
            rows = rows.astype(np.float64)
        batch = torch.from_numpy(rows)
        if self.device.type == "mps" and batch.dtype == torch.float64:
            batch = batch.float()  # the only floating point type that Metal has
        return batch.to(self.device, non_blocking=True)

    @cached_property
    def _is_mapped(self) -> bool:
        """Whether X is, or is a view of, a file mapped into memory."""
        array = self.X
        while array is not None and not isinstance(array, np.memmap | mmap.mmap):
            array = getattr(array, "base", None)
        return array is not None

    @cached_property
    def _resident(self) -> Tensor | None:
        """The share on the device, moved there once for all epochs, if it has room for it."""
        share = self.share or range(len(self))
        first = self.take(slice(1))
        if len(share) * first.nbytes > _RESIDENT_SHARE * free_memory(self.device):
            return None
        resident = first.new_empty(len(share), *first.shape[1:])
        for start in range(0, len(share), _MOVED_AT_ONCE):
            some = share[start : start + _MOVED_AT_ONCE]
            resident[start : start + len(some)] = self.take(slice(some.start, some.stop))
        return resident


def chunk_length(n_features: int) -> int:
    """Return how many rows to work on at a time."""
    return max(1, _CHUNK_ELEMENTS // n_features)


def shuffled_windows(
    n_rows: int, row_bytes: int, batch_size: int, generator: Generator
) -> Iterator[Tensor]:
    """Yield positions of all rows once, in random order, window by window.

    Up to 64 MiB of rows are one window, in perfectly random order. More are cut into blocks of
    neighbouring rows, of 256 KiB each, and a window is 256 blocks drawn without replacement. So
    rows of a batch come from 256 places of the file, which are drawn anew in each epoch, while
    what is read at once lies side by side. In a file that is sorted, the share that a window has
    of any kind of row scatters about the whole's like that among 256 rows drawn at random.

    Parameters
    ----------
    n_rows : int
    row_bytes : int
        Size of a row.
    batch_size : int
        Of each window but the last, the length is a multiple: rows left over join the next.
    generator : torch.Generator
        Of the CPU.
    """
    n_block = max(1, _BLOCK_BYTES // row_bytes)
    if n_rows * row_bytes <= _WINDOW_BYTES:
        n_block = 1
    n_blocks = -(-n_rows // n_block)
    per_window = max(1, _WINDOW_BYTES // (n_block * row_bytes))
    left = torch.empty(0, dtype=torch.int64)
    for blocks in torch.randperm(n_blocks, generator=generator).split(per_window):
        order = blocks
        if n_block > 1:
            positions = (blocks[:, None] * n_block + torch.arange(n_block)).flatten()
            positions = positions[positions < n_rows]
            order = positions[torch.randperm(len(positions), generator=generator)]
        order = torch.cat([left, order])
        n_whole = len(order) // batch_size * batch_size
        order, left = order.tensor_split([n_whole])
        if len(order):
            yield order
    if len(left):
        yield left


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
    for chunk in rows.chunks():
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
