"""Trimming: steps of training without the rows that have the highest losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def kept_rows(loss: Tensor, trim: float, groups: Sequence[Tensor] = ()) -> Tensor:
    """Return which rows take part in a step.

    The rows with the lowest losses take part, and the better half of each group, rounded down.
    Otherwise, a small group of rows, once less well modelled than all other rows, would never take
    part again.

    Parameters
    ----------
    loss : Tensor of shape (n,)
        Loss of each row.
    trim : float
        Fraction of the rows to leave out.
    groups : sequence of Tensor of shape (n,)
        Numbers of the group of each row, for each division of the rows into groups.

    Returns
    -------
    is_kept : Tensor of bool, of shape (n,)
    """
    n_kept = max(1, round(len(loss) * (1 - trim)))
    lowest = loss.topk(n_kept, largest=False, sorted=False).indices
    is_kept = torch.zeros_like(loss, dtype=torch.bool).index_fill_(0, lowest, True)
    for group in groups:
        is_kept |= _is_in_better_half(loss, group)
    return is_kept


def _is_in_better_half(loss: Tensor, group: Tensor) -> Tensor:
    """Return whether the loss of each row is in the lower half of its group, (n,)."""
    order = loss.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]  # by group, and by loss within groups
    position = torch.arange(len(loss), device=loss.device)
    changes = group[order].diff() != 0
    ends = changes.new_ones(1)
    first = torch.where(torch.cat([ends, changes]), position, 0).cummax(0).values
    last = torch.where(torch.cat([changes, ends]), position, len(loss)).flip(0).cummin(0).values
    size = last.flip(0) + 1 - first
    result = torch.zeros_like(loss, dtype=torch.bool)
    result[order] = position - first < size // 2
    return result
