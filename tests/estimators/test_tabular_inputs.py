"""Inputs of `TabularVAE` other than pandas data frames with string names."""

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone

from skvae import TabularVAE, VAEImputer

FAST = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
MIXED = {**FAST, "likelihood": "mixed"}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_lists_are_reconstructed_by_a_model_of_data_frames():
    X = pd.DataFrame({"a": [1, 2] * 20, "b": [3.5, 4.5] * 20})
    vae = TabularVAE(**FAST).fit(X)
    assert len(vae.reconstruct(X.to_numpy().tolist())) == 40


def test_polars_frames_keep_column_names():
    vae = TabularVAE(**FAST).fit(pl.DataFrame({"n": [1, 2] * 20}))
    assert vae.feature_names_in_.tolist() == ["n"]
    new = vae.sample(20, conditions={"n": 1}, random_state=0)
    assert new["n"].to_list() == [1] * 20


@pytest.mark.parametrize("estimator", [TabularVAE(**FAST), VAEImputer(**MIXED)])
def test_columns_without_string_names_are_read_by_name_in_any_order(estimator):
    X = pd.DataFrame({0: [1.0, 2.0] * 20, 1: [3.5, np.nan] * 20})
    estimator.fit(X)
    assert estimator.score(X[[1, 0]]) == estimator.score(X)
    renamed = X.set_axis([5, 6], axis=1)  # scikit-learn ignores names that are not strings
    assert estimator.score(renamed) == estimator.score(X)


def test_conditions_that_are_not_a_mapping_are_an_error():
    X = pd.DataFrame({"c": np.arange(40)})
    with pytest.raises(TypeError, match="conditions must map names"):
        TabularVAE(**FAST).fit(X).sample(conditions=["c"])


def test_empty_features_and_indicators_follow_the_names_of_columns():
    X = pd.DataFrame({0: [1.0, 2.0] * 20, 1: [3.5, np.nan] * 20, 2: np.nan})
    imputer = VAEImputer(**MIXED, keep_empty_features=True, add_indicator=True).fit(X)
    pd.testing.assert_frame_equal(imputer.transform(X[[2, 1, 0]]), imputer.transform(X))


def test_columns_of_a_multiindex_are_read_from_arrays_too():
    names = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])
    X = pd.DataFrame({0: [1.0, 2.0] * 20, 1: [3.5, 4.5] * 20}).set_axis(names, axis=1)
    vae = TabularVAE(**FAST).fit(X)
    assert vae.score(X.to_numpy()) == vae.score(X) == vae.score(X.iloc[:, ::-1])


def test_indicator_columns_never_replace_columns_of_the_table():
    X = pd.DataFrame({"f": [1.0, np.nan] * 20, "missingindicator_f": np.arange(40.0) + 100})
    for params in (MIXED, FAST):
        imputer = VAEImputer(**params, add_indicator=True).set_output(transform="pandas").fit(X)
        filled = imputer.transform(X)
        names = ["f", "missingindicator_f", "missingindicator_f_"]
        assert list(filled) == imputer.get_feature_names_out().tolist() == names
        assert filled["missingindicator_f"].tolist() == X["missingindicator_f"].tolist()
        assert filled["missingindicator_f_"].tolist() == [0, 1] * 20


def test_empty_features_keep_later_entries_and_are_zero_elsewhere():
    X = pd.DataFrame({"a": [1.0, np.nan] * 20, "n": np.nan, "o": None})
    later = X.assign(n=[7.5, np.nan] * 20, o=["new", None] * 20)
    frames = VAEImputer(**MIXED, keep_empty_features=True).fit(X)
    filled = frames.transform(later)
    assert filled.dtypes.tolist() == X.dtypes.tolist()
    assert filled["n"].tolist() == [7.5, 0.0] * 20
    assert filled["o"].tolist() == ["new", None] * 20  # zero is no string
    assert frames.transform(X)["n"].tolist() == [0.0] * 40
    arrays = VAEImputer(**FAST, keep_empty_features=True).fit(X[["a", "n"]])
    assert arrays.transform(later[["a", "n"]])[:, 1].tolist() == [7.5, 0.0] * 20


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_keeps_names_and_dtypes(make, library):
    X = make(pd.DataFrame({"n": [1, None, 3, 3] * 10, "c": ["a", "b", None, "b"] * 10}))
    imputer = VAEImputer(**MIXED, add_indicator=True).set_output(transform=library)
    filled = imputer.fit_transform(X)
    assert type(filled).__module__.split(".")[0] == library
    assert list(filled.columns) == imputer.get_feature_names_out().tolist()
    assert set(filled["c"].to_list() if library == "polars" else filled["c"]) == {"a", "b"}
    assert filled["n"].min() == 1


def test_tuples_are_values_of_columns_of_tuples_only():
    X = pd.DataFrame({"k": [(1, 2), (3, 4)] * 20, "s": ["a", "b"] * 20})
    model = TabularVAE(**FAST).fit(X)
    assert model.sample(5, conditions={"k": (1, 2)}, random_state=0)["k"].tolist() == [(1, 2)] * 5
    with pytest.raises(TypeError, match=r"conditions\['s'\] can't be used.*pass a list"):
        model.sample(5, conditions={"s": ("a", "b")})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_are_read_as_arrays(dtype):
    X = torch.arange(80.0, dtype=dtype).view(40, 2)
    vae = TabularVAE(**FAST).fit(X.clone().requires_grad_())
    assert vae.score(X) == TabularVAE(**FAST).fit(X.float().numpy()).score(X.float().numpy())


def test_masks_of_rows_and_images_are_errors():
    X = np.arange(80.0).reshape(40, 2)
    rows = [np.ma.array(row, mask=[False, True]) for row in X]
    with pytest.raises(TypeError, match="masked array"):
        TabularVAE(**FAST).fit(rows)
    with pytest.raises(ValueError, match=r"X\.reshape\(len\(X\), -1\)"):
        TabularVAE(**FAST).fit(X.reshape(10, 4, 2))


NUMBERS = np.ma.array([[1, 2], [3, 4]] * 20, mask=[[False, True], [False, False]] * 20)


@pytest.mark.parametrize(
    "X", [NUMBERS, NUMBERS.astype(float), NUMBERS > 1, NUMBERS.astype(str), list(NUMBERS)], ids=str
)
def test_the_remedy_for_masked_arrays_keeps_the_missing_values(X):
    with pytest.raises(TypeError, match="masked array: pass ") as caught:
        TabularVAE(**FAST).fit(X)
    remedy = re.search(r"pass (.*), or a data frame", str(caught.value))[1]
    filled = eval(remedy, {"numpy": np, "X": X})
    sampled = TabularVAE(**FAST).fit(filled).sample(50, random_state=0)
    assert pd.isna(sampled[:, 1]).any()
    assert not pd.isna(sampled[:, 0]).any()


@pytest.mark.parametrize("X", [pa.chunked_array([[1.0, 2.0]]), pa.array([1.0, 2.0])], ids=str)
def test_a_column_of_arrow_is_no_table(X):
    with pytest.raises(TypeError, match="no table of columns"):
        TabularVAE(**FAST).fit(X)


@pytest.mark.skipif(pd.__version__ < "2.2", reason="pandas itself fails at signalling NaNs")
@pytest.mark.parametrize("estimator", [TabularVAE(), VAEImputer()], ids=str)
def test_signalling_nans_are_an_error_with_a_remedy_that_works(estimator):
    decimals = pd.DataFrame({"a": [Decimal("sNaN"), Decimal(1)] * 20})
    with pytest.raises(ValueError, match=r"(?s)'a'.*[Rr]eplace .*None|'a'.*signalling.*None"):
        clone(estimator).set_params(**FAST).fit(decimals)
    clone(estimator).set_params(**FAST).fit(decimals.map(lambda x: None if x.is_snan() else x))
