"""Smooth bounds, and uniform numbers without 0 and 1."""

import pytest
import torch
from numpy.testing import assert_allclose

from helpers import f64, seeded
from skvae.utils import soft_clamp, soft_clamp_inverse, uniform

pytestmark = pytest.mark.torch_only


def test_soft_clamp_is_bounded_and_increasing():
    x = f64(-1e300, -5, -1, 0, 1, 5, 1e300)
    y = soft_clamp(x, 7.0)
    assert (y.abs() <= 7).all()
    assert (y.diff() > 0).all()


def test_soft_clamp_is_the_identity_near_0():
    assert_allclose(soft_clamp(f64(1e-9, -1e-9, 0), 7.0), [1e-9, -1e-9, 0], rtol=1e-8)


def test_soft_clamp_inverse_is_the_inverse_within_nine_tenths_of_the_limit():
    y = torch.linspace(-6.3, 6.3, 21, dtype=torch.float64)
    assert_allclose(soft_clamp(soft_clamp_inverse(y, 7.0), 7.0), y, rtol=1e-14, atol=1e-15)
    assert_allclose(soft_clamp(soft_clamp_inverse(f64(-9, 9), 7.0), 7.0), [-6.3, 6.3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logs_of_uniform_numbers_are_finite(monkeypatch, dtype):
    monkeypatch.setattr(torch, "rand", lambda *_, **options: torch.tensor([0.0, 1.0], dtype=dtype))
    u = uniform(torch.Size([2]), seeded(), like=torch.zeros(2, dtype=dtype))
    assert u.log().isfinite().all()
    assert torch.log1p(-u).isfinite().all()
