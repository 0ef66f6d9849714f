"""Which rows of a step take part."""

import numpy as np
import pytest
import torch

from skvae.training._trimming import kept_rows

pytestmark = pytest.mark.torch_only


def naive(loss, trim, groups):
    n_kept = max(1, round(len(loss) * (1 - trim)))
    kept = set(np.argsort(loss)[:n_kept].tolist())
    for group in groups:
        for number in set(group):
            rows = [i for i in np.argsort(loss) if group[i] == number]
            kept |= set(rows[: len(rows) // 2])
    return [i in kept for i in range(len(loss))]


@pytest.mark.parametrize("trim", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("n_groups", [0, 1, 2])
def test_the_lowest_losses_and_the_better_half_of_each_group_are_kept(trim, n_groups):
    rng = np.random.RandomState(0)
    for n in (1, 2, 30):
        groups = [rng.randint(4, size=n) for _ in range(n_groups)]
        loss = rng.permutation(n).astype(float) + (10 * (groups[0] == 3) if groups else 0)
        loss[-1] = np.inf
        kept = kept_rows(torch.tensor(loss), trim, [torch.tensor(g) for g in groups])
        assert kept.tolist() == naive(loss, trim, groups)


@pytest.mark.parametrize(
    ("trim", "mean"), [(0.0, 22.0), (0.2, 2.5), (0.3, 2.5), (0.35, 2.0), (0.49, 2.0)]
)
def test_a_step_excludes_the_highest_losses(trim, mean):
    loss = torch.tensor([3.0, 1.0, 100.0, 4.0, 2.0])
    assert loss[kept_rows(loss, trim)].mean().item() == mean


def test_a_step_keeps_at_least_one_row():
    assert kept_rows(torch.tensor([7.0]), trim=0.4).tolist() == [True]
