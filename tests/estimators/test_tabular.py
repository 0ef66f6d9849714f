"""TabularVAE: tables in, codes and tables out."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import FAST_TABULAR as FAST
from helpers import assert_like, change, equal_frames, unchanged_random_states
from skvae import TabularVAE

N = 300


# ---- Tables in, tables out -----------------------------------------------------------


def test_codes_are_finite(mixed_vae, mixed):
    Z = mixed_vae.transform(mixed)
    assert Z.shape == (N, 3)
    assert Z.dtype == np.float64
    assert np.isfinite(Z).all()
    mean, std = mixed_vae.encode(mixed)
    assert np.array_equal(mean, Z)
    assert (std > 0).all()


@pytest.mark.parametrize("params", [{}, {"autoregressive": False}, {"prior_std": 3.0}])
def test_decoded_and_sampled_rows_resemble_the_training_rows(mixed, params):
    vae = TabularVAE(**FAST, **params).fit(mixed)
    for table in (vae.inverse_transform(vae.transform(mixed)), vae.sample(N, random_state=0)):
        assert_like(table, mixed)
        assert table.index.equals(pd.RangeIndex(N))
    assert_like(vae.reconstruct(mixed), mixed)


def test_reconstructions_keep_the_index(mixed_vae, mixed):
    rows = mixed.iloc[5:15].set_axis([f"row {k}" for k in range(10)])
    table = mixed_vae.reconstruct(rows)
    assert table.index.equals(rows.index)
    expected = mixed_vae.inverse_transform(mixed_vae.transform(rows))
    pd.testing.assert_frame_equal(table, expected.set_axis(rows.index))


def test_the_index_of_a_frame_does_not_matter(mixed):
    moved = mixed.set_axis(np.arange(N) % 7)
    vae = TabularVAE(**FAST)
    assert np.array_equal(vae.fit_transform(moved), clone(vae).fit_transform(mixed))


def test_reconstructions_are_better_than_constant_predictions(dependent_vae, dependent):
    table = dependent_vae.reconstruct(dependent)
    assert (table["a"] == dependent["a"]).mean() > 0.8
    assert (table["b"] == dependent["b"]).mean() > 0.9
    error = (table["c"] - dependent["c"]).abs().mean()
    assert error < 0.75 * (dependent["c"] - dependent["c"].median()).abs().mean()


def test_attributes_describe_the_training_frame(mixed_vae, mixed):
    assert mixed_vae.n_features_in_ == mixed.shape[1]
    assert mixed_vae.feature_names_in_.tolist() == list(mixed.columns)
    assert mixed_vae.get_feature_names_out().tolist() == [f"tabularvae{k}" for k in range(3)]
    assert mixed_vae.n_iter_ == 3
    assert len(mixed_vae.loss_curve_) == 3


ARRAYS = {
    "float64": np.random.RandomState(0).normal(size=(60, 3)),
    "float32": np.random.RandomState(0).normal(size=(60, 3)).astype(np.float32),
    "int64": np.random.RandomState(0).poisson(3, (60, 3)),
    "int8": np.random.RandomState(0).randint(-128, 128, (60, 3)).astype(np.int8),
    "bool": np.random.RandomState(0).uniform(size=(60, 3)) < 0.3,
    "objects": np.array([[1, "a", 2.5], [2, "b", None], [3, None, 0.5]] * 20, dtype=object),
    "with missing": np.where(
        np.random.RandomState(1).uniform(size=(60, 3)) < 0.3,
        np.nan,
        np.random.RandomState(0).normal(size=(60, 3)),
    ),
}


@pytest.mark.parametrize("X", ARRAYS.values(), ids=ARRAYS)
def test_arrays_give_arrays_of_the_same_dtype(X):
    vae = TabularVAE(**FAST).fit(X)
    Z = vae.transform(X)
    for table in (vae.reconstruct(X), vae.inverse_transform(Z), vae.sample(60, random_state=0)):
        assert type(table) is np.ndarray
        assert table.dtype == X.dtype
        assert table.shape == (60, 3)
        assert not pd.isna(table[:, ~pd.isna(X).any(axis=0)]).any()


def test_lists_give_arrays():
    table = TabularVAE(**FAST).fit([[1, 2], [3, 4]] * 20).sample(50, random_state=0)
    assert set(np.unique(table)) == {1, 2, 3, 4}


def test_an_array_gives_the_model_of_a_frame():
    X = ARRAYS["with missing"]
    vae, of_frame = (TabularVAE(**FAST).fit(table) for table in (X, pd.DataFrame(X)))
    assert np.array_equal(vae.transform(X), of_frame.transform(pd.DataFrame(X)))
    sampled = of_frame.sample(20, random_state=0).to_numpy()
    assert np.array_equal(vae.sample(20, random_state=0), sampled, equal_nan=True)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_one_row_or_one_column_is_enough(autoregressive, mixed):
    vae = TabularVAE(**FAST, autoregressive=autoregressive)
    row = mixed[mixed.notna().all(axis=1)].iloc[:1]
    table = clone(vae).fit(row).sample(20, random_state=0)
    assert (table == row.loc[table.index * 0 + row.index[0]].set_axis(table.index)).all(axis=None)
    assert_like(clone(vae).fit(mixed[["grade"]]).sample(20, random_state=0), mixed[["grade"]])


def test_empty_columns_stay_empty(mixed):
    X = mixed[["word", "wide"]].assign(nothing=np.nan)
    vae = TabularVAE(**FAST).fit(X)
    assert vae.sample(20, random_state=0)["nothing"].isna().all()
    assert np.isfinite(vae.score(X))


def test_column_types_can_be_set(mixed):
    X = mixed[["count", "word"]]
    kinds = {"count": "categorical", "word": "ordinal"}
    vae = TabularVAE(**FAST, column_types=kinds).fit(X)
    assert_like(vae.sample(100, random_state=0), X)
    number, word = vae.module_.likelihood.columns
    assert number.n_ordered == 0
    assert number.n_levels <= X["count"].nunique()
    assert word.n_ordered == 3
    by_number = TabularVAE(**FAST, column_types={0: "categorical", 1: "ordinal"})
    assert by_number.fit(X.to_numpy()).module_.likelihood == vae.module_.likelihood


# ---- Random states -------------------------------------------------------------------


def test_the_same_random_state_gives_the_same_model_bit_for_bit(mixed_vae, mixed):
    again = TabularVAE(**FAST).fit(mixed)
    assert np.array_equal(again.transform(mixed), mixed_vae.transform(mixed))
    assert np.array_equal(again.score_samples(mixed), mixed_vae.score_samples(mixed))
    assert not np.array_equal(
        TabularVAE(**{**FAST, "random_state": 1}).fit(mixed).transform(mixed),
        mixed_vae.transform(mixed),
    )


def test_global_random_states_are_unchanged(mixed):
    with unchanged_random_states():
        vae = TabularVAE(**{**FAST, "random_state": None}).fit(mixed)
        vae.sample(5)
        vae.sample(5, conditions={"count": pd.Interval(2, 4)})
        vae.score(vae.reconstruct(mixed))


# ---- Tables and parameters that are errors -------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[X.columns[::-1]], "must be in the same order"),
        (lambda X: X.drop(columns="word"), "now missing"),
        (lambda X: X.assign(more=1), "unseen at fit time"),
        (lambda X: X.rename(columns={"word": "count"}), "Names of columns must differ"),
        (lambda X: X[:0], "at least one row"),
        (lambda X: X.assign(count="many"), "Column 'count' of X can't be used"),
        (lambda X: X.assign(wide=np.inf), "Column 'wide' of X can't be used: it contains infinity"),
        (lambda X: X.assign(day="some day"), "Column 'day' of X can't be used"),
    ],
)
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples", "partial_fit"])
def test_an_invalid_table_is_an_error(mixed_vae, mixed, method, spoil, message):
    with pytest.raises(ValueError, match=message):
        getattr(mixed_vae, method)(spoil(mixed))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (pd.DataFrame({"a": [1, 2]})[:0], ValueError, "at least one row and one column"),
        (pd.DataFrame(index=[0, 1]), ValueError, "at least one row and one column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "Names of columns must differ"),
        (pd.DataFrame({"a": [1, np.inf]}), ValueError, "Column 'a'"),
        (pd.DataFrame({"a": [[1], [2]]}), TypeError, "Column 'a'"),
        (pd.Series([1, 2]), ValueError, "2-dimensional"),
        (np.zeros(3), ValueError, "2D array"),
        (np.empty((0, 2)), ValueError, "0 sample"),
        (np.empty((2, 0)), ValueError, "0 feature"),
    ],
)
def test_an_invalid_training_table_is_an_error(X, error, message):
    vae = TabularVAE(**FAST)
    with pytest.raises(error, match=message):
        vae.fit(X)
    assert not hasattr(vae, "n_features_in_")


def test_a_failed_fit_keeps_the_fitted_model(mixed):
    vae = TabularVAE(**FAST).fit(mixed)
    before = vae.sample(10, random_state=0), vae.score(mixed)
    with pytest.raises(ValueError, match="Column 'b'"):
        vae.fit(pd.DataFrame({"b": [np.inf, 1]}))
    with pytest.raises(ValueError, match="needs at least 2 samples"):
        vae.set_params(early_stopping=True).fit(pd.DataFrame({"b": ["a"]}))
    pd.testing.assert_frame_equal(vae.sample(10, random_state=0), before[0])
    assert vae.score(mixed) == before[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"column_types": {"colour": "numeric"}}, r"\['colour'\], which X does not have"),
        ({"column_types": {"word": "numeric"}}, "Column 'word'"),
        ({"column_types": ["numeric"]}, "'column_types' parameter"),
        ({"autoregressive": "yes"}, "'autoregressive' parameter"),
        ({"latent_dim": 0}, "'latent_dim' parameter"),
    ],
)
def test_invalid_parameters_are_errors(mixed, params, message):
    with pytest.raises(ValueError, match=message):
        TabularVAE(**{**FAST, **params}).fit(mixed)


@pytest.mark.parametrize("method", ["transform", "score", "reconstruct", "inverse_transform"])
def test_methods_of_an_unfitted_model_are_errors(method, mixed):
    with pytest.raises(NotFittedError):
        getattr(TabularVAE(), method)(mixed)


@pytest.mark.parametrize("conditions", [None, {"a": 1}])
def test_sampling_from_an_unfitted_model_is_an_error(conditions):
    with pytest.raises(NotFittedError):
        TabularVAE().sample(conditions=conditions)


def test_codes_with_a_wrong_number_of_columns_are_an_error(mixed_vae):
    with pytest.raises(ValueError, match="latent_dim=3"):
        mixed_vae.inverse_transform(np.zeros((2, 5)))


def test_an_error_names_pandas_and_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas, .* with the extra 'data'"):
        TabularVAE(**FAST).fit(np.zeros((5, 2)))


# ---- Clones, pipelines and searches --------------------------------------------------


def test_a_clone_has_the_parameters_but_is_not_fitted(mixed_vae, mixed):
    kinds = {"count": "ordinal"}
    other = clone(mixed_vae).set_params(column_types=kinds, autoregressive=False)
    assert other.get_params() == {
        **mixed_vae.get_params(),
        "column_types": kinds,
        "autoregressive": False,
    }
    with pytest.raises(NotFittedError):
        clone(mixed_vae).transform(mixed)
    assert np.array_equal(clone(mixed_vae).fit_transform(mixed), mixed_vae.transform(mixed))


def test_codes_can_be_a_frame(mixed):
    rows = mixed.set_axis([f"row {k}" for k in range(N)])
    vae = TabularVAE(**FAST).set_output(transform="pandas")
    Z = vae.fit_transform(rows)
    assert list(Z.columns) == ["tabularvae0", "tabularvae1", "tabularvae2"]
    assert Z.index.equals(rows.index)
    assert_like(vae.inverse_transform(Z), mixed)


def test_tabular_vae_works_in_a_pipeline(dependent):
    X, y = dependent[["b", "c"]], dependent["a"] == "q"
    model = make_pipeline(TabularVAE(**{**FAST, "max_iter": 10}), LogisticRegression())
    assert model.fit(X, y).score(X, y) > 0.95


def test_a_grid_search_over_latent_dim_needs_no_scorer(dependent):
    # Without autoregression, columns depend on each other only through the code.
    vae = TabularVAE(**{**FAST, "max_iter": 10}, autoregressive=False)
    grid = {"latent_dim": [1, 4]}
    search = GridSearchCV(vae, grid, cv=2, error_score="raise").fit(dependent[:1000])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.module_.latent_dim == search.best_params_["latent_dim"]
    assert_like(search.best_estimator_.sample(20, random_state=0), dependent)


# ---- Training ------------------------------------------------------------------------


def test_early_stopping_ends_training(mixed):
    params = {**FAST, "max_iter": 30, "n_iter_no_change": 2, "learning_rate_init": 0.1}
    vae = TabularVAE(**params, early_stopping=True).fit(mixed)
    losses = vae.history_["validation_loss"]
    assert np.isfinite(losses).all()
    assert len(losses) == vae.n_iter_ < 30
    assert_like(vae.sample(20, random_state=0), mixed)


def test_partial_fit_keeps_the_bins_of_the_first_call(mixed):
    vae = TabularVAE(**FAST).partial_fit(mixed)
    likelihood, score = vae.module_.likelihood, vae.score(mixed)
    # The second call has new values.
    vae.partial_fit(change(mixed, word="plum", wide=1e6, count=99))
    for _ in range(5):
        vae.partial_fit(mixed)
    assert vae.n_iter_ == 7
    assert vae.module_.likelihood == likelihood
    assert vae.score(mixed) > score
    assert_like(vae.sample(50, random_state=0), mixed)


def test_warm_start_continues_from_the_weights(mixed):
    vae = TabularVAE(**FAST, warm_start=True).fit(mixed)
    likelihood, score = vae.module_.likelihood, vae.score(mixed)
    vae.fit(mixed[: N // 2])
    assert vae.module_.likelihood == likelihood
    assert vae.fit(mixed).score(mixed) > score
    assert not equal_frames(
        vae.sample(20, random_state=0),
        TabularVAE(**FAST).fit(mixed).sample(20, random_state=0),
    )
    vae.set_params(autoregressive=False)
    with pytest.raises(ValueError, match="training cannot continue"):
        vae.fit(mixed)


def test_a_second_fit_may_have_other_columns(mixed):
    vae = TabularVAE(**FAST).fit(mixed).fit(mixed[["grade", "wide"]])
    assert_like(vae.sample(20, random_state=0), mixed[["grade", "wide"]])
    assert TabularVAE(**FAST).fit(mixed).fit(ARRAYS["int8"]).sample().dtype == np.int8


def test_autoregression_does_not_change_what_encoder_and_decoder_learn(mixed):
    with_context, without = (
        TabularVAE(**FAST, autoregressive=autoregressive).fit(mixed).module_
        for autoregressive in (True, False)
    )
    plain = dict(without.named_parameters())
    names = {name for name, _ in with_context.named_parameters()} - set(plain)
    assert names == {"code_weight", "level_embedding", "column_bias", "output_weight"}
    learned = dict(with_context.named_parameters())
    for name, weights in plain.items():
        torch.testing.assert_close(learned[name], weights, rtol=1e-3, atol=1e-4)
    assert learned["output_weight"].abs().max() > 0.01
