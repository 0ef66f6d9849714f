"""Linear models at the start of training on rows with outliers."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis

from skvae.likelihoods import Gaussian, StudentT
from skvae.models import VAEConfig, build_vae, importance_weighted_bound, start_at_linear_model
from skvae.utils import seeded_generator

pytestmark = pytest.mark.torch_only


@pytest.fixture(scope="module")
def clean():
    rng = np.random.RandomState(0)
    return rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(400, 6))


def score_of_start(rows, clean, *, likelihood, trim):
    """Return the mean bound of clean rows for a module that starts at a linear model of rows."""
    config = VAEConfig(6, 2, (4,), "gelu", likelihood)
    module = build_vae(config, seeded_generator(0))
    rows, clean = torch.from_numpy(rows), torch.from_numpy(clean)
    module.initialize(len(rows), rows.mean(0), rows.var(0, correction=0))
    module.double()
    start_at_linear_model(module, module.standardize(rows), trim=trim)
    eps = torch.randn(100, 2, generator=seeded_generator(0), dtype=torch.float64)
    with torch.no_grad():
        return float(importance_weighted_bound(module, module.standardize(clean), eps).mean())


@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian("shared"), StudentT(df=4)])
def test_a_group_of_outliers_hardly_bends_the_start_of_trimmed_training(clean, likelihood):
    outliers = 0.1 * clean[:60] + [8, -8, 8, -8, 8, -8]
    rows = np.r_[outliers, clean]
    best = score_of_start(clean, clean, likelihood=likelihood, trim=0.0)
    assert score_of_start(rows, clean, likelihood=likelihood, trim=0.2) > best - 0.3
    assert score_of_start(rows, clean, likelihood=likelihood, trim=0.0) < best - 0.6


def test_trimmed_training_of_clean_rows_starts_near_factor_analysis(clean):
    best = FactorAnalysis(2).fit(clean).score(clean)
    start = score_of_start(clean, clean, likelihood=Gaussian(), trim=0.2)
    assert best - 0.3 < start < best


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_few_rows_have_a_finite_start(clean, n_rows):
    rows = clean[:n_rows]
    assert np.isfinite(score_of_start(rows, clean[:5], likelihood=Gaussian(), trim=0.2))
