"""Optimizers against the reference classes of torch."""

import pytest
import torch
from torch import nn

from skvae.training._optimizer import Optimizer

pytestmark = pytest.mark.torch_only

CLASSES = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}
RATES = [0.1, 0.03, 0.003]


def parameters():
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in [(3, 2), (5,), ()]]


def loss(parameters):
    return sum(((p - 1) ** 4).sum() for p in parameters)


@pytest.mark.parametrize("solver", CLASSES)
def test_steps_equal_those_of_torch_at_any_learning_rate(solver):
    ours, theirs = parameters(), parameters()
    optimizer, reference = Optimizer(solver, [(1.0, ours)]), CLASSES[solver](theirs)
    for rate in RATES:
        optimizer.zero_grad()
        loss(ours).backward()
        optimizer.step(rate)
        reference.zero_grad()
        loss(theirs).backward()
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("solver", CLASSES)
def test_parameters_without_a_gradient_are_unchanged(solver):
    moved, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Optimizer(solver, [(1.0, [unused, moved])])
    (2 * moved).sum().backward()
    optimizer.step(0.1)
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(moved, torch.ones(2))


@pytest.mark.parametrize("solver", CLASSES)
def test_the_rate_of_a_group_is_multiplied_by_its_factor(solver):
    alone, together = parameters(), parameters()
    separate = [Optimizer(solver, [(1.0, [p])]) for p in alone]
    optimizer = Optimizer(
        solver, [(factor, [p]) for factor, p in zip(RATES, together, strict=True)]
    )
    loss(alone).backward()
    loss(together).backward()
    for factor, one in zip(RATES, separate, strict=True):
        one.step(factor * 0.5)
    optimizer.step(0.5)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


def test_zero_grad_removes_gradients():
    parameter = nn.Parameter(torch.ones(2))
    parameter.sum().backward()
    optimizer = Optimizer("adam", [(1.0, [parameter])])
    assert len(optimizer.gradients()) == 1
    optimizer.zero_grad()
    assert parameter.grad is None
    assert optimizer.gradients() == []
