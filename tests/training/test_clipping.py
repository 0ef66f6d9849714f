"""Clipping of gradients by a running norm."""

import math

import pytest
import torch
from numpy.testing import assert_allclose

from helpers_training import CPU
from skvae.training._clipping import GradientClipping

pytestmark = pytest.mark.torch_only


def gradients(norm):
    """Return two gradients with a common norm."""
    return [torch.full((2, 4), 0.6 * norm / 8**0.5), torch.tensor([0.0, 0.8 * norm])]


def norm_of(tensors):
    return math.sqrt(sum(tensor.square().sum().item() for tensor in tensors))


def clipped_norms(clipping, norms):
    """Return the norms of gradients after clipping, in consecutive steps."""
    result = []
    for norm in norms:
        steps = gradients(norm)
        clipping.clip(steps)
        result.append(norm_of(steps))
    return result


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_ordinary_gradients_are_unchanged_in_any_unit(unit):
    norms = [unit * norm for norm in (2.0, 1.0, 3.0, 1.0, 2.0, 4.0)]
    clipping, tensors = GradientClipping(CPU), gradients(unit)
    clipping.clip(tensors)
    for actual, expected in zip(tensors, gradients(unit), strict=True):
        assert torch.equal(actual, expected)
    assert_allclose(clipped_norms(clipping, norms), norms, rtol=1e-6)


def test_a_spike_is_scaled_to_three_times_the_running_norm_without_a_change_of_direction():
    clipping = GradientClipping(CPU)
    clipped_norms(clipping, [2.0] * 500)
    spike = gradients(1e6)
    clipping.clip(spike)
    for actual, expected in zip(spike, gradients(6.0), strict=True):
        assert_allclose(actual, expected, rtol=1e-5)
    # The spike counts with its norm after clipping: 0.95 * 2 + 0.05 * 6 = 2.2.
    assert clipped_norms(clipping, [1e6]) == [pytest.approx(3 * 2.2, rel=1e-5)]


def test_the_limit_follows_a_lasting_rise():
    norms = clipped_norms(GradientClipping(CPU), [1.0] * 20 + [50.0] * 40)
    assert norms[20] < 4
    assert norms[-1] == pytest.approx(50, rel=1e-5)


def test_steps_without_gradients_do_not_stop_later_steps():
    assert clipped_norms(GradientClipping(CPU), [0.0, 0.0, 5.0]) == [0, 0, pytest.approx(5)]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_gradients_that_are_not_finite_stay_not_finite(value):
    clipping = GradientClipping(CPU)
    clipped_norms(clipping, [1.0] * 3)
    tensors = [torch.tensor([1.0, value])]
    clipping.clip(tensors)
    assert not tensors[0].isfinite().all()


def test_a_saved_state_continues_bit_for_bit():
    whole, resumed = GradientClipping(CPU), GradientClipping(CPU)
    clipped_norms(whole, [1.0, 2.0])
    resumed.load_state_dict({name: value.clone() for name, value in whole.state_dict().items()})
    assert clipped_norms(whole, [1e3, 5.0]) == clipped_norms(resumed, [1e3, 5.0])
