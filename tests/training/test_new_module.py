"""New modules: which rows determine the linear start, and which columns are dependent."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from helpers import same_weights, seeded
from helpers_training import CPU
from skvae import Gaussian, StudentT
from skvae.models import VAEConfig, build_vae
from skvae.training import _new_module
from skvae.training._batches import Rows
from skvae.training._new_module import new_module

pytestmark = pytest.mark.torch_only


def make(X, *, seed=0, likelihood=None, **options):
    """Return the new module for rows of an array, a memory map or a sparse matrix."""
    config = VAEConfig(X.shape[1], 2, (4,), "tanh", likelihood or StudentT("row"), **options)
    return new_module(config, Rows(X, CPU), seeded(seed))


@pytest.fixture
def X():
    rng = np.random.RandomState(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(300, 5))


def test_the_start_depends_on_rows_and_seed_alone(X):
    first, same, other = (make(X, seed=seed) for seed in (0, 0, 1))
    assert same_weights(first, same)
    # The seed draws hidden weights, and the linear model of all rows is the same.
    assert not torch.equal(first.encoder.perceptron[0].weight, other.encoder.perceptron[0].weight)
    assert torch.equal(first.encoder.linear.weight, other.encoder.linear.weight)


def test_the_container_of_rows_does_not_matter(X, tmp_path):
    X = np.where(X > 0.5, X, 0)
    np.save(tmp_path / "X.npy", X)
    expected = make(X)
    for same in (
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        sparse.csr_matrix(X),
        np.asfortranarray(X),
        X[::-1][::-1],
    ):
        assert same_weights(make(same), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int64, bool])
def test_any_dtype_has_the_start_of_its_values_in_float64(X, dtype):
    rows = (X > 0).astype(dtype) if dtype is bool else np.abs(10 * X).astype(dtype)
    assert same_weights(make(rows), make(rows.astype(np.float64)))


def test_a_sample_of_many_rows_depends_on_the_seed_alone(X, monkeypatch, tmp_path):
    monkeypatch.setattr(_new_module, "_MAX_ROWS", 100)
    first, same, other = (make(X, seed=seed) for seed in (0, 0, 1))
    assert same_weights(first, same)
    assert not torch.equal(first.encoder.linear.weight, other.encoder.linear.weight)
    np.save(tmp_path / "X.npy", X)
    assert same_weights(make(np.load(tmp_path / "X.npy", mmap_mode="r")), first)


def test_the_start_of_very_many_rows_is_near_the_start_of_all_rows(monkeypatch):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20_000, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(20_000, 5))
    sampled = make(X, likelihood=Gaussian())
    monkeypatch.setattr(_new_module, "_MAX_ROWS", 20_000)
    complete = make(X, likelihood=Gaussian())
    # The units are those of all rows. The noise is that of the sample.
    assert torch.equal(sampled.units.scale, complete.units.scale)
    noise, expected = (m.global_params["log_noise"].detach() for m in (sampled, complete))
    assert_allclose(noise, expected, atol=0.05)
    assert not torch.equal(noise, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"likelihood": "bernoulli"},
        {"likelihood": "poisson"},
        {"architecture": "fourier_mlp"},
        {"missing": True},
    ],
    ids=str,
)
def test_other_modules_have_neither_linear_paths_nor_dependent_columns(X, options):
    X = np.abs(np.c_[X, X]).round().clip(0, 1)
    module = make(X, **options)
    assert not module.config.has_linear_path
    assert not module.config.dependent_columns
    assert isinstance(module.encoder, torch.nn.Sequential)
    expected = build_vae(module.config, seeded())
    assert torch.equal(module.encoder[0].weight, expected.encoder[0].weight)


@pytest.mark.parametrize(("n_features", "has_path"), [(512, True), (513, False)])
def test_more_than_512_columns_have_no_linear_path(n_features, has_path):
    X = np.random.RandomState(0).normal(size=(4, n_features))
    assert make(X, likelihood=Gaussian("shared")).config.has_linear_path is has_path


# ---- Dependent columns ---------------------------------------------------------------


def test_dependent_columns_have_the_unit_of_their_deviations(X):
    X = np.c_[X, X.sum(1) + 1e-3 * np.random.RandomState(1).normal(size=300)]
    module = make(X)
    assert module.config.dependent_columns
    assert module.units.is_independent.tolist() == [1, 1, 1, 1, 1, 0]
    assert_allclose(module.units.scale[:5], X[:, :5].std(0), rtol=1e-9)
    assert_allclose(module.units.scale[5], 1e-3, rtol=0.1)
    x = module.standardize(torch.from_numpy(X))
    assert_allclose(x.mean(0).detach(), [0] * 6, atol=1e-5)
    assert_allclose(x.std(0).detach(), [1] * 6, rtol=0.01)


@pytest.mark.parametrize("noise", ["shared", 0.5])
def test_columns_with_a_common_unit_are_not_dependent(X, noise):
    assert not make(np.c_[X, X], likelihood=Gaussian(noise)).config.dependent_columns


def test_rows_outside_the_sample_may_refute_dependence(X, monkeypatch):
    X = np.c_[X, X[:, :2]]
    monkeypatch.setattr(_new_module, "_MAX_ROWS", 100)
    assert make(X).units.is_independent.tolist() == [1, 1, 1, 1, 1, 0, 0]
    for n in range(20):  # each of the few rows is outside the sample of some seed
        X[n * 15, 6] += 1
        module = make(X, seed=n)
        assert module.units.is_independent.tolist() == [1, 1, 1, 1, 1, 0, 1]


def test_rare_events_outside_the_sample_are_not_dependent(X, monkeypatch):
    monkeypatch.setattr(_new_module, "_MAX_ROWS", 30)
    rare = np.zeros((300, 2))
    rare[7, 0], rare[8, 1] = 1, 3
    for seed in range(5):
        assert not make(np.c_[X, rare], seed=seed).config.dependent_columns
