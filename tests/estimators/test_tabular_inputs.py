"""Inputs of `TabularVAE` other than pandas data frames with string names."""

import numpy as np
import pandas as pd
import pytest

from skvae import TabularVAE, VAEImputer

FAST = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
MIXED = {**FAST, "likelihood": "mixed"}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_lists_are_reconstructed_by_a_model_of_data_frames():
    X = pd.DataFrame({"a": [1, 2] * 20, "b": [3.5, 4.5] * 20})
    vae = TabularVAE(**FAST).fit(X)
    assert len(vae.reconstruct(X.to_numpy().tolist())) == 40


def test_polars_frames_keep_column_names():
    pl = pytest.importorskip("polars")
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
