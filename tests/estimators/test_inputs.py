"""Data of any size, dtype and layout give right results or a clear error."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from helpers import FAST
from skvae import Gaussian, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer


def fitted(X, **params):
    return VAETransformer(**{**FAST, **params}).fit(X)


# ---- Right results -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5), (7, 2)])
def test_small_data_gives_finite_results_of_the_right_shape(shape):
    X = np.random.RandomState(0).normal(size=shape)
    vae = fitted(X, batch_size=4)
    Z = vae.transform(X)
    assert Z.shape == (shape[0], 2)
    assert vae.inverse_transform(Z).shape == shape
    assert vae.sample(3, random_state=0).shape == (3, shape[1])
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("value", [0.3, 0.7, -1e-3, 1e6 / 3])
def test_the_value_of_a_constant_column_does_not_matter(blobs, value):
    zeros, constants = np.zeros((len(blobs), 2)), np.full((len(blobs), 2), value)
    vae, other = (fitted(np.column_stack([blobs, columns])) for columns in (zeros, constants))
    X = np.column_stack([blobs, constants])
    assert other.score(X) == vae.score(np.column_stack([blobs, zeros]))
    assert (other.reconstruct(X)[:, -2:] == value).all()


def test_batch_sizes_may_be_integers_of_numpy(blobs):
    for dtype in (np.int64, np.uint8):
        assert fitted(blobs, batch_size=dtype(16)).n_iter_ == fitted(blobs, batch_size=16).n_iter_


def test_constant_columns_are_reconstructed_and_scored(blobs):
    X = np.column_stack([blobs, np.full(len(blobs), 7.0), np.full(len(blobs), 1e10)])
    vae = fitted(X, max_iter=200)
    np.testing.assert_allclose(vae.reconstruct(X)[:, 6], 7, atol=0.1)
    np.testing.assert_allclose(vae.reconstruct(X)[:, 7], 1e10, atol=0.1)
    assert np.isfinite(vae.score(X))


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "continuous_bernoulli", "poisson", "negative_binomial"]
)
def test_columns_of_zeros_have_finite_scores(likelihood):
    vae = fitted(np.zeros((10, 3)), likelihood=likelihood)
    assert np.isfinite(vae.score(np.zeros((10, 3))))
    assert vae.inverse_transform(np.zeros((1, 2))).max() < 0.2


@pytest.mark.parametrize(
    "variant",
    [
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.int16),
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(np.uint32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.longdouble),
        lambda X: X.astype(">f8"),
        lambda X: X.astype(object),
        lambda X: np.asfortranarray(X),
        lambda X: X[::-1][::-1],
        lambda X: X.tolist(),
    ],
    ids=[
        "float32",
        "int64",
        "int16",
        "uint8",
        "uint32",
        "float16",
        "longdouble",
        "big-endian",
        "object",
        "fortran",
        "view",
        "list",
    ],
)
def test_dtype_and_layout_do_not_change_the_model(variant):
    X = np.random.RandomState(0).randint(0, 100, size=(30, 4)).astype(np.float64)
    expected = fitted(X).transform(X)
    same = variant(X)
    Z = fitted(same).transform(same)
    assert Z.dtype == (np.float32 if getattr(same, "dtype", None) == np.float32 else np.float64)
    np.testing.assert_allclose(Z, expected, rtol=1e-3, atol=1e-4)


def test_read_only_and_memory_mapped_arrays_are_accepted(tmp_path, blobs):
    path = tmp_path / "X.npy"
    np.save(path, blobs)
    mapped = np.load(path, mmap_mode="r")
    vae, expected = fitted(mapped), fitted(blobs)
    np.testing.assert_array_equal(vae.transform(mapped), expected.transform(blobs))
    np.testing.assert_array_equal(vae.score_samples(mapped), expected.score_samples(blobs))
    frozen = blobs.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(fitted(frozen).transform(frozen), expected.transform(blobs))


def test_results_have_the_dtype_of_x(blobs):
    vae = fitted(blobs)
    for dtype in (np.float32, np.float64):
        X = blobs.astype(dtype)
        outputs = [vae.transform(X), *vae.encode(X), vae.reconstruct(X), vae.score_samples(X)]
        outputs.append(vae.inverse_transform(outputs[0]))
        assert {output.dtype for output in outputs} == {np.dtype(dtype)}
    assert vae.sample(2).dtype == np.float64
    assert fitted(blobs.astype(np.float32)).sample(2).dtype == np.float32


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_give_the_results_of_arrays_and_set_feature_names(frame, blobs):
    names = [f"c{i}" for i in range(blobs.shape[1])]
    X = frame(dict(zip(names, blobs.T, strict=True)))
    vae = fitted(X)
    assert list(vae.feature_names_in_) == names
    np.testing.assert_array_equal(vae.transform(X), fitted(blobs).transform(blobs))


def test_the_score_of_a_row_depends_on_that_row_alone(blobs):
    vae = fitted(blobs)
    alone = np.concatenate([vae.score_samples(row[None]) for row in blobs[:20]])
    np.testing.assert_allclose(vae.score_samples(blobs)[:20], alone, rtol=1e-9)


@pytest.mark.parametrize("noise", ["feature", "row"])
def test_scores_are_in_the_units_of_x(blobs, noise):
    scales = np.array([1e-20, 1e-3, 1, 1e3, 1e10, 1e20])
    plain = fitted(blobs, likelihood=Gaussian(noise))
    scaled = fitted(blobs * scales, likelihood=Gaussian(noise))
    expected = plain.score_samples(blobs) - np.log(scales).sum()
    np.testing.assert_allclose(scaled.score_samples(blobs * scales), expected, rtol=1e-5)
    np.testing.assert_allclose(scaled.transform(blobs * scales), plain.transform(blobs), rtol=1e-4)


@pytest.mark.parametrize(
    "likelihood", ["gaussian", "student_t", Gaussian("row"), Gaussian("shared")]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_very_far_from_the_training_data_have_finite_results(likelihood, dtype):
    X = np.random.RandomState(0).normal(size=(50, 3)).astype(dtype)
    vae = fitted(X, likelihood=likelihood)
    far = np.array([[1e30, 0, 0], [-1e30, 1e30, 1e-30]], dtype)
    scores = vae.score_samples(far)
    assert np.isfinite(scores).all()
    assert scores.max() < vae.score_samples(X).min()
    for answer in (vae.transform(far), vae.reconstruct(far), *vae.encode(far)):
        assert np.isfinite(answer).all()


# ---- Sparse matrices -----------------------------------------------------------------


@pytest.fixture
def counts():
    rng = np.random.RandomState(0)
    return rng.poisson(0.3, size=(120, 9)).astype(np.float64)


@pytest.mark.parametrize("to_sparse", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize(
    "params", [{}, {"early_stopping": True}, {"likelihood": "poisson"}], ids=str
)
def test_sparse_data_give_the_results_of_dense_data_bit_for_bit(counts, to_sparse, params):
    X = to_sparse(counts)
    for kind in (VAETransformer, VAEOutlierDetector):
        vae, dense = (kind(**FAST, **params).fit(some) for some in (X, counts))
        assert vae.history_ == dense.history_
        np.testing.assert_array_equal(vae.score_samples(X), dense.score_samples(counts))
        np.testing.assert_array_equal(vae.reconstruct(X), dense.reconstruct(counts))
        np.testing.assert_array_equal(vae.encode(X), dense.encode(counts))
        again, dense_again = (v.partial_fit(some) for v, some in ((vae, X), (dense, counts)))
        np.testing.assert_array_equal(
            again.sample(3, random_state=0), dense_again.sample(3, random_state=0)
        )


def test_sparse_data_are_never_converted_to_one_dense_array():
    X = sparse.random(6_000, 1_000, density=0.01, format="csr", random_state=0)
    tracemalloc.start()
    vae = fitted(X, max_iter=1, batch_size=200)
    vae.score_samples(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * 6_000 * 1_000 * 8


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_the_error_for_a_non_finite_sparse_value_has_column_and_row(counts, value, word):
    counts[5, 3] = counts[7, 2] = value
    with pytest.raises(ValueError, match=rf"(?s){word}.*column 2, row 7"):
        fitted(sparse.csr_matrix(counts))


def test_the_error_for_a_sparse_value_outside_the_support_has_column_and_row(counts):
    counts[5, 3] = -2
    with pytest.raises(ValueError, match=r"-2.0 in column 3, row 5"):
        fitted(sparse.csr_matrix(counts), likelihood="poisson")


@pytest.mark.parametrize("estimator", [VAEImputer(), TabularVAE()], ids=repr)
def test_sparse_data_are_an_error_for_estimators_of_missing_values(counts, estimator):
    with pytest.raises(TypeError, match="toarray"):
        estimator.fit(sparse.csr_matrix(counts))


# ---- Clear errors --------------------------------------------------------------------


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_the_error_for_a_non_finite_value_has_column_and_row(blobs, value, word):
    X = blobs.copy()
    X[5, 3] = value
    with pytest.raises(ValueError, match=rf"(?s){word}.*column 3, row 5"):
        fitted(X)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    with pytest.raises(ValueError, match=rf"(?s){word}.*column 'd', row 5"):
        fitted(frame)
    vae = fitted(blobs)
    for method in (vae.transform, vae.score, vae.encode, vae.reconstruct, vae.partial_fit):
        with pytest.raises(ValueError, match="column 3, row 5"):
            method(X)


def test_the_error_for_strings_names_the_column():
    frame = pd.DataFrame({"age": [1.0, 2.0], "name": ["x", "y"]})
    with pytest.raises(ValueError, match="column 'name'"):
        fitted(frame)


@pytest.mark.parametrize(
    ("likelihood", "bad", "words"),
    [
        ("bernoulli", 255.0, ["[0, 1]", "255"]),
        ("bernoulli", -0.1, ["Negative", "MinMaxScaler"]),
        ("continuous_bernoulli", 1.1, ["MinMaxScaler"]),
        ("poisson", -1.0, ["Negative", "integers 0, 1, 2"]),
        ("poisson", 0.5, ["integers 0, 1, 2"]),
        ("negative_binomial", 0.5, ["integers 0, 1, 2"]),
    ],
)
def test_the_error_for_a_value_outside_the_support_has_column_row_and_remedy(
    likelihood, bad, words
):
    X = pd.DataFrame(np.ones((5000, 2)), columns=["a", "b"])
    vae = fitted(X, likelihood=likelihood)
    X.loc[4500, "b"] = bad
    for method in (vae.fit, vae.transform, vae.score_samples):
        with pytest.raises(ValueError, match="column 'b', row 4500") as error:
            method(X)
        assert all(word in str(error.value) for word in words)


def test_rounding_errors_outside_the_unit_interval_are_accepted():
    X = np.array([[0.0, 1.0 + 1e-7], [-1e-8, 0.5]])
    assert np.isfinite(fitted(X, likelihood="bernoulli").score(X))


def test_a_wrong_number_of_columns_is_an_error(blobs):
    vae = fitted(blobs)
    with pytest.raises(ValueError, match="5 features, but VAETransformer is expecting 6"):
        vae.transform(blobs[:, :5])
    with pytest.raises(ValueError, match="X has 3 columns, but the model has latent_dim=2"):
        vae.inverse_transform(np.zeros((1, 3)))


@pytest.mark.parametrize("method", ["transform", "score", "score_samples", "encode", "reconstruct"])
def test_use_before_fit_is_an_error(method, blobs):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(VAETransformer(), method)(blobs)


def test_sampling_and_decoding_before_fit_are_errors():
    with pytest.raises(NotFittedError, match="not fitted"):
        VAETransformer().sample()
    with pytest.raises(NotFittedError, match="not fitted"):
        VAETransformer().inverse_transform(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (8.5,)}, "hidden_layer_sizes"),
        ({"activation": "swish!"}, "activation"),
        ({"architecture": "transformer"}, "architecture"),
        ({"architecture": "conv"}, "image_shape"),
        ({"architecture": "conv", "image_shape": (2, 2)}, "image_shape"),
        ({"architecture": "conv", "image_shape": (6,)}, "image_shape"),
        ({"architecture": "conv", "image_shape": (-2, -3)}, "image_shape"),
        ({"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": (8,)}, "filters"),
        ({"likelihood": "cauchy"}, "likelihood"),
        ({"beta": -1}, "beta"),
        ({"beta": np.inf}, "beta"),
        ({"kl_warmup": 2}, "kl_warmup"),
        ({"prior_std": 0}, "prior_std"),
        ({"prior_std": np.inf}, "prior_std"),
        ({"learning_rate": 0.1}, "pass the rate as learning_rate_init=0.1"),
        ({"learning_rate_init": np.inf}, "learning_rate_init"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_iter": 0}, "max_iter"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"device": "cuda:77"}, "cuda:77.*available are.*cpu"),
        ({"device": "abacus"}, "abacus.*available are.*cpu"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_the_error_for_an_invalid_parameter_names_the_parameter(params, word, blobs):
    with pytest.raises(ValueError, match=word):
        fitted(blobs, **params)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3"])
def test_the_error_for_an_invalid_number_of_samples_names_the_parameter(n_samples, blobs):
    with pytest.raises(ValueError, match="n_samples"):
        fitted(blobs).sample(n_samples)


def test_early_stopping_with_one_row_is_an_error():
    with pytest.raises(ValueError, match="at least 2 samples"):
        fitted(np.zeros((1, 2)), early_stopping=True)


def test_a_validation_fraction_without_training_rows_is_an_error():
    with pytest.raises(ValueError, match=r"=0\.9 of 5 samples leaves no samples"):
        fitted(np.zeros((5, 2)), early_stopping=True, validation_fraction=0.9)


def test_a_result_that_overflows_is_an_error_with_the_row():
    counts = np.random.RandomState(0).poisson(3, size=(50, 3))
    vae = fitted(counts, likelihood="poisson", hidden_layer_sizes=())
    Z = np.zeros((4, 2))
    # Along the weights of a column, its log rate grows.
    Z[2] = 1e9 * vae.module_.decoder[-1].weight[0].detach().numpy()
    with pytest.raises(ValueError, match="for row 2 overflows float64"):
        vae.inverse_transform(Z)


def test_units_that_overflow_are_an_error_with_the_row():
    X = np.array([[1e-31, 1e36], [2e-31, -1e36], [-1e-31, 2e36]], np.float32)
    with pytest.raises(ValueError, match="for row 1 overflows float32"):
        fitted(X).reconstruct(np.array([[0, 0], [1, 0]], np.float32))


def test_the_error_for_divergence_names_the_learning_rate(blobs):
    with pytest.raises(ValueError, match=r"diverged in epoch \d.*learning_rate_init"):
        fitted(blobs, learning_rate_init=1e30, learning_rate="constant")


def test_a_failed_fit_keeps_the_fitted_model(blobs):
    vae = fitted(blobs)
    before = vae.transform(blobs)
    with pytest.raises(ValueError, match="diverged"):
        vae.set_params(learning_rate_init=1e30, learning_rate="constant").fit(blobs)
    np.testing.assert_array_equal(vae.transform(blobs), before)
    with pytest.raises(ValueError, match="diverged"):
        vae.partial_fit(blobs)
    np.testing.assert_array_equal(vae.transform(blobs), before)
    assert vae.n_iter_ == 3


def test_a_failed_partial_fit_does_not_change_later_training(blobs):
    params = {"learning_rate": "constant", "learning_rate_init": 0.01}
    vae, undisturbed = fitted(blobs, **params), fitted(blobs, **params)
    with pytest.raises(ValueError, match="diverged"):
        vae.set_params(learning_rate_init=1e30).partial_fit(blobs)
    vae.set_params(**params).partial_fit(blobs)
    np.testing.assert_array_equal(
        vae.transform(blobs), undisturbed.partial_fit(blobs).transform(blobs)
    )
