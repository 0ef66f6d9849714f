"""Tables of all dtypes, containers and libraries are read rightly by the estimators of numbers.

Or they are refused, with the column, the row and a remedy.
"""

import array
import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone

from helpers import FAST
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

N = 12
RNG = np.random.RandomState(0)
NUMBERS = RNG.randint(0, 50, size=(N, 2)).astype(np.float64)
A, B = NUMBERS.T
B_MISSING = np.append(np.nan, B[1:])
BITS = np.arange(N) % 2
DAY = datetime.date(2020, 1, 1)
TIMES = pd.date_range("2020", periods=N)
SMALL = {**FAST, "latent_dim": 1, "hidden_layer_sizes": (4,), "max_iter": 1}
ESTIMATORS = [
    cls(likelihood="gaussian", **SMALL) for cls in (VAETransformer, VAEOutlierDetector, VAEImputer)
]


def objects(values):
    cells = np.empty(len(values), object)
    cells[:] = list(values)
    return cells


def frame(b, index=None):
    return pd.DataFrame({"a": A, "b": b}, index=index)


def arrow(values, dtype):
    return frame(pd.array(list(values), dtype=pd.ArrowDtype(dtype)))


def table(b):
    """Return a matrix of objects."""
    return np.column_stack([objects(A), objects(b)])


def masked(dtype):
    X = np.ma.array(NUMBERS.astype(dtype), mask=False)
    X[0, 1] = np.ma.masked
    X.data[0, 1] = 99
    return X


def sparse_duplicates():
    row, column = np.indices(NUMBERS.shape).reshape(2, -1)
    halves = np.tile(NUMBERS.ravel() / 2, 2)
    return sparse.coo_matrix((halves, (np.tile(row, 2), np.tile(column, 2))), shape=NUMBERS.shape)


def with_b(b):
    return np.column_stack([A, np.asarray(b, dtype=np.float64)])


# Tables of numbers, with the same numbers in float64.
BIG = 2**60 + 1024 * NUMBERS.astype(np.int64)
RIGHT = {
    **{d: (NUMBERS.astype(d), NUMBERS) for d in ("f2", "f4", "f8", ">f8", ">i4", "g", "u1", "i8")},
    "bool array": (NUMBERS > 20, NUMBERS > 20),
    "large integers": (BIG, BIG),
    "large unsigned integers": (BIG.astype(np.uint64), BIG),
    "object array": (NUMBERS.astype(object), NUMBERS),
    "list": (NUMBERS.tolist(), NUMBERS),
    "list of arrays": (list(NUMBERS), NUMBERS),
    "list of array.array": ([array.array("d", row) for row in NUMBERS], NUMBERS),
    "memoryview": (memoryview(NUMBERS), NUMBERS),
    "masked array without masked entries": (np.ma.array(NUMBERS), NUMBERS),
    "tensor": (torch.tensor(NUMBERS), NUMBERS),
    "tensor with gradient": (torch.tensor(NUMBERS, requires_grad=True), NUMBERS),
    "bfloat16 tensor": (torch.tensor(NUMBERS, dtype=torch.bfloat16), NUMBERS),
    "integer tensor": (torch.tensor(NUMBERS, dtype=torch.int16), NUMBERS),
    "pandas": (frame(B), NUMBERS),
    "pandas bool": (frame(BITS == 1), with_b(BITS)),
    "pandas Int64": (frame(pd.array(B, dtype="Int64")), NUMBERS),
    "pandas Float32": (frame(pd.array(B, dtype="Float32")), NUMBERS),
    "pandas boolean": (frame(pd.array(BITS == 1, dtype="boolean")), with_b(BITS)),
    "pandas Sparse": (frame(pd.arrays.SparseArray(B)), NUMBERS),
    "pandas sparse frame": (
        pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(NUMBERS)),
        NUMBERS,
    ),
    "pandas objects": (frame(objects(B)), NUMBERS),
    "pandas Decimal": (frame(objects([Decimal(i) / 10 for i in range(N)])), with_b(np.r_[:N] / 10)),
    "pandas Fraction": (
        frame(objects([Fraction(i, 3) for i in range(N)])),
        with_b([i / 3 for i in range(N)]),
    ),
    "pandas arrow int64": (arrow(B.astype(int), pa.int64()), NUMBERS),
    "pandas arrow double": (arrow(B, pa.float64()), NUMBERS),
    "pandas arrow bool": (arrow(BITS == 1, pa.bool_()), with_b(BITS)),
    "pandas arrow decimal": (arrow([Decimal("1.5")] * N, pa.decimal128(9, 2)), with_b([1.5] * N)),
    "polars": (pl.DataFrame({"a": A, "b": B}), NUMBERS),
    "polars mixed": (pl.DataFrame({"a": A, "b": B.astype(np.int16)}), NUMBERS),
    "polars Boolean": (pl.DataFrame({"a": A, "b": BITS == 1}), with_b(BITS)),
    "polars Decimal": (pl.DataFrame({"a": A, "b": [Decimal("1.5")] * N}), with_b([1.5] * N)),
    "arrow table": (pa.table({"a": A, "b": B}), NUMBERS),
    "arrow batch": (pa.table({"a": A, "b": B}).to_batches()[0], NUMBERS),
}
MISSING = {
    "list of masked rows": (list(masked("f8")), with_b(B_MISSING)),
    **{f"masked {d}": (masked(d), with_b(B_MISSING)) for d in ("f8", "f4", "i8", "O")},
    **{
        f"{cell!r} in {name}": (make(objects([cell, *B[1:]])), with_b(B_MISSING))
        for cell in (None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT"))
        for name, make in {"pandas objects": frame, "object array": table}.items()
    },
    "sparse frame": (
        pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(with_b(B_MISSING))),
        with_b(B_MISSING),
    ),
    **{
        f"pandas {d}": (frame(pd.array([None, *B[1:]], dtype=d)), with_b(B_MISSING))
        for d in ("Int64", "Float64", "int64[pyarrow]", "double[pyarrow]")
    },
    "pandas boolean": (
        frame(pd.array([None, *(BITS == 1)[1:]], dtype="boolean")),
        with_b([np.nan, *BITS[1:]]),
    ),
    "pandas Sparse": (frame(pd.arrays.SparseArray(B_MISSING)), with_b(B_MISSING)),
    "polars Float64": (pl.DataFrame({"a": A, "b": [None, *B[1:]]}), with_b(B_MISSING)),
    "polars Int64": (
        pl.DataFrame({"a": A, "b": [None, *B[1:].astype(int).tolist()]}),
        with_b(B_MISSING),
    ),
    "arrow table": (pa.table({"a": A, "b": pa.array([None, *B[1:]])}), with_b(B_MISSING)),
}
REFUSED = {
    "strings": frame(["x"] * N),
    "numeric strings": frame(objects([f"{i:03}" for i in range(N)])),
    "numeric strings in an array": table([f"{i:03}" for i in range(N)]),
    "strings among numbers": np.array([["1", "x"]] * N),
    "bytes": frame(objects([b"1"] * N)),
    "arrow strings": arrow(["x"] * N, pa.string()),
    "string dtype": frame(pd.array(["x"] * N, dtype="string")),
    "categories": frame(pd.Categorical(["x"] * N)),
    "numeric categories": frame(pd.Categorical(BITS)),
    "arrow dictionary": arrow(["x"] * N, pa.dictionary(pa.int32(), pa.string())),
    "datetimes": frame(TIMES),
    "datetimes with a zone": frame(TIMES.tz_localize("UTC")),
    "datetimes with NaT": frame(TIMES.where(np.arange(N) > 0)),
    "dates": frame(objects([DAY] * N)),
    "arrow dates": arrow([DAY] * N, pa.date32()),
    "arrow timestamps": arrow(TIMES, pa.timestamp("us")),
    "durations": frame(pd.to_timedelta(np.arange(N), unit="D")),
    "durations with NaT": frame(pd.to_timedelta([None, *range(1, N)], unit="D")),
    "periods": frame(pd.period_range("2020", periods=N, freq="M")),
    "intervals": frame(pd.interval_range(0, N)),
    "times of day": frame(objects([datetime.time(1)] * N)),
    "datetime cells": table([np.datetime64("NaT"), np.datetime64("2020"), *B[2:]]),
    "complex": frame(B + 0j),
    "complex cells": table([1j, *B[1:]]),
    "lists": frame(objects([[1, 2]] * N)),
    "dicts": frame(objects([{"a": 1}] * N)),
    "inexact integers": frame(np.full(N, 2**53 + 1)),
    "inexact unsigned integers": np.array([[0, 2**63 + 1]] * N, dtype=np.uint64),
    "inexact nullable integers": frame(pd.array([None] + [2**53 + 1] * (N - 1), dtype="Int64")),
    "inexact Decimal": frame(objects([Decimal(2**53 + 1)] * N)),
    "huge integers": table([10**400, *B[1:]]),
    "huge Decimal": frame(objects([Decimal("1e400")] * N)),
    "signalling NaN": frame(objects([Decimal("sNaN")] * N)),
    "infinity": frame(np.append(np.inf, B[1:])),
    "polars strings": pl.DataFrame({"a": A, "b": ["x"] * N}),
    "polars dates": pl.DataFrame({"a": A, "b": [DAY] * N}),
    "polars datetimes": pl.DataFrame({"a": A, "b": TIMES.to_numpy()}),
    "polars durations": pl.DataFrame({"a": A, "b": [datetime.timedelta(1)] * N}),
    "polars categories": pl.DataFrame({"a": A, "b": pl.Series(["x"] * N, dtype=pl.Categorical)}),
    "polars lists": pl.DataFrame({"a": A, "b": [[1, 2]] * N}),
    "polars arrays": pl.DataFrame({"a": A, "b": pl.Series([[1, 2]] * N, dtype=pl.Array(int, 2))}),
    "polars inexact integers": pl.DataFrame({"a": A, "b": [None] + [2**53 + 1] * (N - 1)}),
    "arrow table of strings": pa.table({"a": A, "b": ["x"] * N}),
    "arrow table of times": pa.table({"a": A, "b": TIMES}),
}
# Tables without any number are wrong from the first column on.
REFUSED_AS_A_WHOLE = {
    "datetime array": np.array([["2020-01-01"] * 2] * N, dtype="M8[D]"),
    "NaT array": np.array([["NaT"] * 2] * N, dtype="M8[D]"),
    "duration array": np.zeros((N, 2), dtype="m8[s]"),
    "masked datetimes": np.ma.array(np.zeros((N, 2), dtype="M8[s]"), mask=NUMBERS > 10),
    "complex array": NUMBERS + 0j,
    "string array": np.array([["1", "2"]] * N),
    "bytes array": np.array([[b"1", b"2"]] * N),
    "records": np.array([(1.0, 2.0)] * N, dtype=[("a", float), ("b", float)]),
    "complex sparse matrix": sparse.csr_matrix(NUMBERS + 1j),
}
SPARSE = {
    "csr_matrix": sparse.csr_matrix(NUMBERS),
    "csr_array": sparse.csr_array(NUMBERS),
    "lil_matrix": sparse.lil_matrix(NUMBERS),
    "duplicate entries": sparse_duplicates(),
    "integers": sparse.csr_matrix(NUMBERS.astype(np.int64)),
}

all_estimators = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def results(estimator, X):
    model = clone(estimator).fit(X)
    if isinstance(model, VAEOutlierDetector):
        return model.score_samples(X)
    return np.asarray(model.transform(X))


@cache
def results_of_numbers(estimator, numbers):
    """Return the results for an array of float64, given as bytes."""
    return results(estimator, np.frombuffer(numbers).reshape(N, 2).copy())


# ---- Right ---------------------------------------------------------------------------


@all_estimators
@pytest.mark.parametrize("name", RIGHT)
def test_numbers_in_any_container_give_the_results_of_an_array(estimator, name):
    X, numbers = RIGHT[name]
    expected = results_of_numbers(estimator, np.asarray(numbers, dtype=np.float64).tobytes())
    np.testing.assert_allclose(results(estimator, X), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", MISSING)
def test_missing_entries_of_any_kind_are_nan_for_the_imputer(name):
    X, numbers = MISSING[name]
    filled = results(VAEImputer(**SMALL), X)
    expected = results(VAEImputer(**SMALL), numbers)
    np.testing.assert_allclose(filled, expected, rtol=1e-4)
    is_known = ~np.isnan(numbers)
    np.testing.assert_array_equal(filled[is_known], numbers[is_known])


@all_estimators
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_matrices_of_any_format_are_read_or_refused(estimator, name):
    X = SPARSE[name]
    if isinstance(estimator, VAEImputer):
        with pytest.raises(TypeError, match="toarray"):
            results(estimator, X)
    else:
        np.testing.assert_allclose(results(estimator, X), results(estimator, NUMBERS), rtol=1e-5)


@pytest.mark.parametrize("X", [RIGHT[name][0] for name in ("polars", "arrow table", "arrow batch")])
def test_frames_of_other_libraries_keep_the_names_of_columns(X):
    assert VAETransformer(**SMALL).fit(X).feature_names_in_.tolist() == ["a", "b"]


def test_frames_of_narwhals_are_read_as_the_frames_inside():
    narwhals = pytest.importorskip("narwhals")
    X = pl.DataFrame({"a": A, "b": B})
    model = VAETransformer(**SMALL).fit(narwhals.from_native(X))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(model.transform(X), results(VAETransformer(**SMALL), X))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_read_with_array_api_dispatch_too(dtype):
    X = torch.tensor(NUMBERS, dtype=dtype)
    expected = results(VAETransformer(**SMALL), X.numpy())
    try:
        with config_context(array_api_dispatch=True):
            codes = VAETransformer(**SMALL).fit_transform(X)
    except (ImportError, RuntimeError):
        pytest.skip("array API dispatch needs SCIPY_ARRAY_API")
    np.testing.assert_array_equal(codes, expected)


def test_codes_of_any_container_are_decoded_and_masks_are_respected():
    model = VAETransformer(**SMALL).fit(NUMBERS)
    Z = model.transform(NUMBERS)
    expected = model.inverse_transform(Z)
    for codes in (torch.tensor(Z), pl.DataFrame(Z), pd.DataFrame(Z), Z.astype(object)):
        np.testing.assert_array_equal(model.inverse_transform(codes), expected)
    with pytest.raises(ValueError, match="NaN"):
        model.inverse_transform(np.ma.array(Z, mask=Z.mean() < Z))
    with pytest.raises(ValueError, match=r"Codes must be numbers.*strings.*'x' in column 0, row 0"):
        model.inverse_transform([["x"]] * 3)


# ---- Refused -------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", MISSING)
def test_missing_entries_are_refused_by_estimators_of_complete_data(estimator, name):
    with pytest.raises(ValueError, match=r"NaN.* in column ('b'|1), row 0.* VAEImputer"):
        results(estimator, MISSING[name][0])


@all_estimators
@pytest.mark.parametrize("name", REFUSED)
def test_the_error_for_other_values_names_the_column_that_is_wrong(estimator, name):
    with pytest.raises((ValueError, TypeError), match=r"in column ('b'|1), row [01]") as error:
        results(estimator, REFUSED[name])
    assert "promot" not in str(error.value)


@all_estimators
@pytest.mark.parametrize("name", REFUSED_AS_A_WHOLE)
def test_the_error_for_an_array_without_numbers_names_its_content(estimator, name):
    with pytest.raises((ValueError, TypeError), match=r" in column 0, row 0|toarray"):
        results(estimator, REFUSED_AS_A_WHOLE[name])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("strings", "strings stand for numbers.*TabularVAE takes columns of any type"),
        ("categories", "TabularVAE takes columns of any type"),
        ("dates", "datetimes.*TabularVAE takes columns of any type"),
        ("durations", "durations.*TabularVAE takes columns of any type"),
        ("complex", "real and imaginary"),
        ("lists", "a column of its own"),
        ("inexact integers", "identifiers"),
        ("infinity", "Replace infinity"),
    ],
)
def test_the_error_for_other_values_names_a_remedy(name, advice):
    with pytest.raises((ValueError, TypeError), match=f"(?s){advice}"):
        VAETransformer(**SMALL).fit(REFUSED[name])


@pytest.mark.parametrize("name", ["strings", "categories", "dates", "periods"])
def test_the_detector_asks_for_numbers(name):
    with pytest.raises((ValueError, TypeError), match=r"convert it: categories by a OneHotEncoder"):
        VAEOutlierDetector(max_iter=1).fit(REFUSED[name])


@pytest.mark.parametrize("name", ["strings", "categories", "dates", "periods"])
def test_the_imputer_names_the_likelihood_for_columns_of_any_type(name):
    with pytest.raises((ValueError, TypeError), match=r"likelihood='mixed'\) and TabularVAE"):
        VAEImputer(**SMALL).fit(REFUSED[name])


def test_the_error_names_the_column_with_strings_and_not_a_column_with_missing_values():
    X = pd.DataFrame({"a": [1.0, np.nan] * 6, "c": ["x", "y"] * 6})
    for estimator in ESTIMATORS:
        with pytest.raises(ValueError, match="strings: the first is 'x' in column 'c', row 0"):
            estimator.fit(X)


def test_the_error_names_the_label_of_the_row_if_it_differs_from_the_position():
    labels = [f"r{i}" for i in range(N)]
    with pytest.raises(ValueError, match=r"column 'b', row 0 \(index 'r0'\)"):
        VAETransformer(**SMALL).fit(frame(B_MISSING, labels))
    with pytest.raises(ValueError, match=r"column 'b', row 1 \(index 'r1'\), is impossible"):
        VAETransformer(likelihood="bernoulli").fit(pd.DataFrame({"b": [0, 2]}, ["r0", "r1"]))
    with pytest.raises(ValueError, match=r"column 'b', row 0 \(index 7\)"):
        VAETransformer(**SMALL).fit(frame(B_MISSING, range(7, 7 + N)))
    with pytest.raises(ValueError, match=r"column 'b', row 0\."):
        VAETransformer(**SMALL).fit(frame(B_MISSING))


def test_the_error_for_nan_names_another_placeholder_of_missing_entries():
    with pytest.raises(ValueError, match=r"missing_values=-1.*missing_values=np\.nan"):
        VAEImputer(missing_values=-1, **SMALL).fit(with_b(B_MISSING))


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (NUMBERS.reshape(3, 4, 2), r"X\.reshape\(len\(X\), -1\).*image_shape=\(4, 2\)"),
        (
            np.zeros((5, 3, 8, 8)),
            r"X\.reshape\(len\(X\), -1\).*image_shape=\(3, 8, 8\): \(channels, height, width\)",
        ),
        (np.zeros((5, 8, 8, 3)), r"transpose\(0, 3, 1, 2\).*image_shape=\(3, 8, 8\)"),
        (torch.zeros(5, 8, 8, 3), r"permute\(0, 3, 1, 2\).*image_shape=\(3, 8, 8\)"),
        (torch.zeros(5, 1, 8, 8), r"X\.reshape\(len\(X\), -1\).*image_shape=\(1, 8, 8\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"X\.reshape\(len\(X\), -1\), with one row"),
    ],
)
def test_the_error_for_images_says_how_to_reshape(X, advice):
    for estimator in ESTIMATORS:
        with pytest.raises(ValueError, match=f"Expected 2D array.*{advice}"):
            estimator.fit(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pl.LazyFrame({"a": [1.0]}), "LazyFrame, which is no table.*collect"),
        ({"a": [1.0]}, "dict, which is no table"),
        ([{"a": 1.0}, {"a": 2.0}], "list of dict, which is no table"),
        (None, "NoneType, which is no table"),
        (torch.zeros(3, 2).to_sparse(), "to_dense"),
        ([[1, 2], [3]], "list, cannot be read as an array"),
        (frame(B).set_axis(["a", "a"], axis=1), "Names of columns must differ"),
        (NUMBERS[:, 0], "Expected 2D array, got 1D array"),
        (NUMBERS[:, :0], "0 feature"),
        (frame(B)[[]], "0 feature"),
        (pl.DataFrame(), "0 feature"),
        (frame(pd.Categorical(["x"] * N))[:0], "0 sample"),
        (frame(TIMES)[:0], "0 sample"),
        (pl.DataFrame({"a": A, "b": ["x"] * N})[:0], "0 sample"),
    ],
)
def test_what_is_no_table_is_an_error(X, message):
    for estimator in ESTIMATORS:
        with pytest.raises((ValueError, TypeError), match=message):
            estimator.fit(X)


def test_integers_beyond_2_53_are_found_in_sparse_matrices():
    X = sparse.csr_matrix(NUMBERS.astype(np.int64))
    X[4, 1] = 2**53 + 1
    with pytest.raises(ValueError, match=r"9007199254740993 in column 1, row 4"):
        VAETransformer(**SMALL).fit(X)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no longdouble")
def test_numbers_beyond_float64_are_infinite():
    X = NUMBERS.astype(np.longdouble)
    X[4, 1] = np.longdouble("1e400")
    for table in (X, sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match=r"infinity or a value too large.* column 1, row 4"):
            VAETransformer(**SMALL).fit(table)


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="polars has no integers of 128 bits")
def test_integers_of_128_bits_are_read_exactly():
    X = pl.DataFrame({"a": A, "b": pl.Series(B.astype(int)).cast(pl.Int128)})
    np.testing.assert_array_equal(
        results(VAETransformer(**SMALL), X), results(VAETransformer(**SMALL), NUMBERS)
    )
