"""Inference in bounded memory, and the draws at which the bound is evaluated."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from helpers import build_vae, unchanged_random_states
from skvae import VAETransformer
from skvae.estimators import _inference
from skvae.estimators._inference import as_dtype, chunk_size, map_chunks, normal_draws
from skvae.estimators._readers import result_dtype
from skvae.models._objectives import importance_weighted_bound

pytestmark = pytest.mark.torch_only

N, N_FEATURES, LATENT_DIM = 60, 5, 3
METHODS = ["transform", "encode", "reconstruct", "score_samples"]

every_method = pytest.mark.parametrize("method", METHODS)


def table(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, N_FEATURES)) * [1, 10, 1e-3, 1e4, 1] + 3


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(
        LATENT_DIM, hidden_layer_sizes=(8,), max_iter=3, random_state=0, device="cpu"
    ).fit(table())


def call(vae: VAETransformer, method: str, X: np.ndarray) -> np.ndarray:
    result = getattr(vae, method)(X)
    return np.hstack(result) if isinstance(result, tuple) else result


# ---- map_chunks ----------------------------------------------------------------------


@pytest.mark.parametrize("row_shape", [(), (3,), (3, 2)])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 10**6])
def test_the_result_does_not_depend_on_the_chunk_size(row_shape, size):
    whole = torch.arange(10 * math.prod(row_shape), dtype=torch.float64).reshape(10, *row_shape)
    result = map_chunks(lambda chunk: whole[chunk], 10, chunk_size=size, dtype="float64")
    np.testing.assert_array_equal(result, whole)


@pytest.mark.parametrize(("size", "sizes"), [(4, [4, 4, 2]), (1, [1] * 10), (10, [10]), (99, [10])])
def test_chunks_cover_all_rows_in_order(size, sizes):
    chunks = []

    def record(chunk):
        chunks.append(chunk)
        return torch.zeros(chunk.stop - chunk.start)

    map_chunks(record, 10, chunk_size=size, dtype="float32")
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [row for chunk in chunks for row in range(chunk.start, chunk.stop)] == list(range(10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_result_has_the_requested_dtype_and_records_no_gradients(dtype):
    weight = torch.ones(2, requires_grad=True)
    records_gradients = []

    def triple(chunk):
        records_gradients.append((3 * weight[chunk]).requires_grad)
        return 3 * weight[chunk]

    result = map_chunks(triple, 2, chunk_size=2, dtype=dtype)
    assert result.dtype == dtype
    assert result.tolist() == [3, 3]
    assert records_gradients == [False]


@pytest.mark.parametrize(
    ("elements", "n_draws", "size"), [(640, 1, 10), (639, 1, 9), (640, 4, 2), (10, 1, 1)]
)
def test_a_chunk_has_as_many_rows_as_fit_and_at_least_one(monkeypatch, elements, n_draws, size):
    monkeypatch.setattr(_inference, "chunk_elements", lambda device: elements)
    assert chunk_size(build_vae(hidden_layer_sizes=(64,)), n_draws) == size


# ---- normal_draws --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_draws", "dim"), [(1, 1), (2, 1), (3, 2), (16, 2), (16, 8), (5, 40), (1, 300)]
)
def test_normal_draws_are_finite_and_the_same_in_each_call(n_draws, dim):
    draws = normal_draws(n_draws, dim)
    assert draws.shape == (n_draws, dim)
    assert draws.dtype == torch.float64
    assert draws.isfinite().all()
    assert torch.equal(normal_draws(n_draws, dim), draws)


def test_normal_draws_leave_global_random_states_unchanged():
    with unchanged_random_states():
        normal_draws(16, 4)


@pytest.mark.parametrize(("n_draws", "dim"), [(2, 1), (16, 1), (16, 2), (16, 8), (100, 7)])
def test_an_even_number_of_draws_has_exactly_normal_moments(n_draws, dim):
    draws = normal_draws(n_draws, dim)
    assert_allclose(draws.mean(0), 0, atol=1e-14)
    assert_allclose(draws.T @ draws / n_draws, np.eye(dim), atol=1e-11)


@pytest.mark.parametrize(("n_draws", "dim"), [(3, 1), (17, 8), (101, 7)])
def test_an_odd_number_of_draws_has_exactly_normal_second_moments(n_draws, dim):
    draws = normal_draws(n_draws, dim)
    assert_allclose(draws.T @ draws / n_draws, np.eye(dim), atol=1e-11)


@pytest.mark.parametrize(("n_draws", "dim"), [(1, 1), (5, 3), (16, 9), (16, 40)])
def test_few_draws_have_an_exactly_normal_second_moment_on_each_axis(n_draws, dim):
    assert_allclose(normal_draws(n_draws, dim).square().mean(0), 1, rtol=1e-12)


@pytest.mark.parametrize("n_draws", [256, 1000])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_draws_are_closer_to_the_normal_distribution_than_independent_draws(n_draws, dim):
    # The median distance of independent draws is 0.83 / sqrt(n).
    for axis in normal_draws(n_draws, dim).T:
        assert stats.kstest(axis.numpy(), "norm").statistic < 0.4 / n_draws**0.5


# ---- Methods -------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("elements", [1, 37, 500])
def test_no_method_depends_on_the_chunk_size(monkeypatch, vae, method, elements):
    X = table(seed=1)
    whole = call(vae, method, X)
    monkeypatch.setattr(_inference, "chunk_elements", lambda device: elements)
    assert_allclose(call(vae, method, X), whole, rtol=1e-10, atol=1e-10)


def test_decoded_codes_do_not_depend_on_the_chunk_size(monkeypatch, vae):
    Z = vae.transform(table())
    whole = vae.inverse_transform(Z)
    monkeypatch.setattr(_inference, "chunk_elements", lambda device: 1)
    assert_allclose(vae.inverse_transform(Z), whole, rtol=1e-10)


@every_method
def test_the_result_for_a_row_depends_on_that_row_alone(vae, method):
    X = table(seed=1)
    some = np.array([7, 3, 50])
    assert_allclose(call(vae, method, X[some]), call(vae, method, X)[some], rtol=1e-10)


@pytest.mark.parametrize("elements", [2**8, 2**12])
def test_no_layer_returns_more_numbers_than_a_chunk_may_hold(monkeypatch, elements):
    # Hidden layers are wider than rows and take most memory.
    X = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    wide = VAETransformer(1, hidden_layer_sizes=(64,), max_iter=1, random_state=0, device="cpu")
    wide.fit(X)
    monkeypatch.setattr(_inference, "chunk_elements", lambda device: elements)
    held = []
    networks = (wide.module_.encoder, wide.module_.decoder)
    for layer in (layer for network in networks for layer in network.modules()):
        layer.register_forward_hook(lambda layer, x, out: held.append(out.numel()))
    wide.reconstruct(X)
    wide.score_samples(X)
    # A chunk has at least one row with all draws.
    assert max(held) <= max(elements, 64 * wide.n_importance_samples)


@every_method
@pytest.mark.parametrize(
    ("given", "expected"),
    [("float32", "float32"), ("float64", "float64"), ("int64", "float64"), ("float16", "float64")],
)
def test_the_result_has_the_precision_of_the_input(vae, method, given, expected):
    X = (table() > 3).astype(given)
    result = call(vae, method, X)
    assert result.dtype == expected
    exact = call(vae, method, X.astype(np.float64))
    if expected == "float64":
        np.testing.assert_array_equal(result, exact)
    else:
        assert_allclose(result, exact, rtol=1e-4, atol=1e-4)


@every_method
def test_no_method_changes_the_model(vae, method):
    before = {name: w.clone() for name, w in vae.module_.state_dict().items()}
    call(vae, method, table())
    after = vae.module_.state_dict()
    for name, weight in before.items():
        assert after[name].dtype == weight.dtype
        assert torch.equal(after[name], weight)


@every_method
def test_no_method_changes_the_data(vae, method):
    X = table()
    X.flags.writeable = False
    call(vae, method, X)
    np.testing.assert_array_equal(X, table())


def test_encode_returns_codes_and_positive_standard_deviations(vae):
    mean, std = vae.encode(table())
    np.testing.assert_array_equal(mean, vae.transform(table()))
    assert std.shape == (N, LATENT_DIM)
    assert (std > 0).all()


def test_reconstruct_decodes_the_code(vae):
    expected = vae.inverse_transform(vae.transform(table()))
    assert_allclose(vae.reconstruct(table()), expected, rtol=1e-12)


def test_score_is_the_mean_of_score_samples(vae):
    assert vae.score(table()) == pytest.approx(vae.score_samples(table()).mean(), rel=1e-14)


@pytest.mark.parametrize("n_draws", [1, 5, 32])
def test_score_samples_is_the_bound_at_n_importance_samples_normal_draws(vae, n_draws):
    module = as_dtype(vae.module_, "float64")
    x = module.standardize(torch.from_numpy(table()))
    expected = importance_weighted_bound(module, x, normal_draws(n_draws, LATENT_DIM)).detach()
    other = copy.copy(vae).set_params(n_importance_samples=n_draws)
    assert_allclose(other.score_samples(table()), expected, rtol=1e-12)


# ---- sample --------------------------------------------------------------------------


def test_sample_returns_one_row_by_default(vae):
    X = vae.sample(random_state=0)
    assert X.shape == (1, N_FEATURES)
    np.testing.assert_array_equal(vae.sample(1, random_state=0), X)


@pytest.mark.parametrize("elements", [1, 37, 10**6])
@pytest.mark.parametrize("noise", [True, False])
def test_sample_returns_the_requested_number_of_rows(monkeypatch, vae, elements, noise):
    monkeypatch.setattr(_inference, "chunk_elements", lambda device: elements)
    X = vae.sample(11, noise=noise, random_state=0)
    assert X.shape == (11, N_FEATURES)
    assert len(np.unique(X[:, 0])) == 11


def test_random_state_alone_determines_samples(vae):
    with unchanged_random_states():
        first = vae.sample(5, random_state=0)
        np.testing.assert_array_equal(vae.sample(5, random_state=0), first)
        np.testing.assert_array_equal(vae.sample(5, random_state=np.random.RandomState(0)), first)
        assert (vae.sample(5, random_state=1) != first).all()


def test_a_random_state_instance_advances_with_each_sample(vae):
    rng = np.random.RandomState(0)
    assert (vae.sample(5, random_state=rng) != vae.sample(5, random_state=rng)).all()


def test_samples_without_noise_are_means_and_samples_with_noise_are_data():
    X = (table() > 3).astype(np.float64)
    binary = VAETransformer(1, hidden_layer_sizes=(4,), likelihood="bernoulli", max_iter=1).fit(X)
    means, draws = binary.sample(50, noise=False), binary.sample(50)
    assert ((means > 0) & (means < 1)).all()
    assert set(np.unique(draws)) == {0, 1}


@pytest.mark.parametrize("n_samples", [0, -1, 2.0, "3", None])
def test_an_invalid_number_of_samples_is_an_error(vae, n_samples):
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
        vae.sample(n_samples)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_have_the_precision_of_the_training_data(dtype):
    vae = VAETransformer(1, hidden_layer_sizes=(4,), max_iter=1).fit(table().astype(dtype))
    assert vae.sample(3).dtype == dtype


# ---- Codes ---------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, LATENT_DIM + 1])
def test_codes_with_a_wrong_number_of_columns_are_an_error(vae, width):
    with pytest.raises(ValueError, match=rf"X has {width} columns, .*latent_dim=3"):
        vae.inverse_transform(np.zeros((2, width)))


def test_codes_with_nan_are_an_error(vae):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        vae.inverse_transform(np.full((2, LATENT_DIM), np.nan))


# ---- Precision -----------------------------------------------------------------------


def test_the_module_is_copied_only_to_change_the_precision(vae):
    module = vae.module_
    assert as_dtype(module, "float32") is module
    double = as_dtype(module, "float64")
    assert double.dtype == torch.float64
    assert module.dtype == torch.float32
    assert torch.equal(double.bias, module.bias.double())


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("int32", "float64"),
        ("bool", "float64"),
        (">f4", "float32"),
    ],
)
def test_only_single_precision_input_gives_single_precision_results(dtype, expected):
    assert result_dtype(np.zeros((1, 1), dtype)) == expected
