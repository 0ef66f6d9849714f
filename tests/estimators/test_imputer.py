"""Behaviour of VAEImputer beyond the checks of scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skvae import Gaussian, TabularVAE, VAEImputer, VAETransformer

pytestmark = pytest.mark.torch_only

FAST = {
    "latent_dim": 8,
    "hidden_layer_sizes": (16,),
    "activation": "gelu",
    "learning_rate_init": "auto",
    "max_iter": 3,
    "n_training_draws": 5,
    "n_importance_samples": 10,
    "random_state": 0,
}
LINEAR = {
    "latent_dim": 2,
    "hidden_layer_sizes": (),
    "batch_size": 64,
    "learning_rate_init": 0.02,
    "n_training_draws": 8,
    "n_importance_samples": 2_000,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def whole():
    """Rows of five columns on different scales that depend on two factors."""
    rng = np.random.RandomState(0)
    factors = rng.normal(size=(600, 2))
    X = factors @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(600, 5))
    return X * [1, 10, 100, 1e3, 1e-3] + [0, 5, -100, 1e5, 1]


@pytest.fixture(scope="module")
def hidden(whole):
    return np.random.RandomState(1).uniform(size=whole.shape) < 0.3


@pytest.fixture(scope="module")
def holes(whole, hidden):
    return np.where(hidden, np.nan, whole)


@pytest.fixture(scope="module")
def imputer(holes):
    return VAEImputer(**LINEAR, max_iter=60).fit(holes)


# ---- What is filled in ---------------------------------------------------------------


def conditional_means(imputer, X):
    """Return X filled with the exact conditional means of a linear Gaussian model."""
    module = imputer.module_
    weight = module.decoder[-1].weight.detach().double().numpy()  # (d, k)
    bias = module.bias.detach().double().numpy()[0]
    noise = np.exp(
        2 * module.likelihood.log_noise(dict(module.global_params)).detach().double().numpy()
    )
    shift, scale = module.units.shift.numpy(), module.units.scale.numpy()
    cov = weight @ weight.T + np.diag(noise)
    means = X.copy()
    for row in range(len(X)):
        seen = ~np.isnan(X[row])
        if seen.all():
            continue
        x = (X[row, seen] - shift[seen]) / scale[seen]
        solved = np.linalg.solve(cov[np.ix_(seen, seen)], x - bias[seen]) if seen.any() else 0
        mean = bias[~seen] + (cov[np.ix_(~seen, seen)] @ solved if seen.any() else 0)
        means[row, ~seen] = mean * scale[~seen] + shift[~seen]
    return means


def test_missing_entries_are_filled_with_conditional_means(imputer, holes, whole, hidden):
    exact = conditional_means(imputer, holes)
    error = (imputer.transform(holes) - exact) / whole.std(axis=0)
    assert np.abs(error[hidden]).mean() < 0.02
    assert np.sqrt(np.mean(error[hidden] ** 2)) < 0.05


def test_imputation_has_a_smaller_error_than_column_means(imputer, holes, whole, hidden):
    def rmse(filled):
        return np.sqrt(np.mean(((filled - whole) / whole.std(axis=0))[hidden] ** 2))

    by_means = rmse(SimpleImputer().fit_transform(holes))
    assert rmse(imputer.transform(holes)) < 0.6 * by_means


def test_observed_entries_are_unchanged(imputer, holes, hidden):
    for dtype in (np.float64, np.float32):
        X = holes.astype(dtype)
        filled = imputer.transform(X)
        assert filled.dtype == dtype
        assert np.isfinite(filled).all()
        assert np.array_equal(filled[~hidden], X[~hidden])


def test_the_imputation_of_a_row_depends_on_that_row_alone(imputer, holes):
    alone = np.vstack([imputer.transform(holes[i : i + 1]) for i in range(20)])
    assert_allclose(imputer.transform(holes)[:20], alone, rtol=1e-10)


def test_complete_rows_are_unchanged_by_transform(imputer, whole):
    assert np.array_equal(imputer.transform(whole), whole)


def test_rows_without_observed_entries_are_filled_with_the_mean_of_the_model(imputer, whole):
    filled = imputer.transform(np.full((2, 5), np.nan))
    assert_allclose(filled[0], filled[1], rtol=1e-12)
    exact = conditional_means(imputer, np.full((1, 5), np.nan))
    # The largest difference is 0.003 standard deviations: 2,000 draws are not infinitely many.
    assert_allclose((filled[:1] - exact) / whole.std(axis=0), np.zeros((1, 5)), atol=0.01)
    assert_allclose((exact[0] - whole.mean(axis=0)) / whole.std(axis=0), np.zeros(5), atol=0.05)


def test_columns_complete_in_fit_may_have_missing_entries_in_transform(whole):
    imputer = VAEImputer(**FAST).fit(whole)
    X = whole.copy()
    X[:, 2] = np.nan
    filled = imputer.transform(X)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[:, [0, 1, 3, 4]], whole[:, [0, 1, 3, 4]])


@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian("full")], ids=str)
def test_a_fit_to_complete_rows_is_the_fit_of_a_transformer(whole, likelihood):
    # Transformers with this architecture start at no linear model, as imputers.
    params = {**FAST, "latent_dim": 2, "architecture": "fourier_mlp", "likelihood": likelihood}
    imputer = VAEImputer(**{**params, "n_training_draws": 1}).fit(whole)
    del params["n_training_draws"]
    vae = VAETransformer(**params).fit(whole)
    assert imputer.score(whole) == pytest.approx(vae.score(whole), rel=1e-6)


@pytest.mark.filterwarnings("ignore:No value of columns")
def test_score_is_the_log_density_of_the_observed_entries(imputer, whole):
    X = whole[:50].copy()
    X[:, 1:] = np.nan
    # One column of a linear model is normal.
    module = imputer.module_
    weight = module.decoder[-1].weight.detach().double().numpy()[0]
    noise = module.likelihood.log_noise(dict(module.global_params)).exp()[0].item()
    std = np.hypot(np.linalg.norm(weight), noise) * module.units.scale[0].item()
    mean = module.bias[0, 0].item() * module.units.scale[0].item() + module.units.shift[0].item()
    exact = -0.5 * ((X[:, 0] - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    gap = exact - imputer.score_samples(X)
    assert gap.min() > -0.02
    assert gap.mean() < 0.2  # few training rows have only one entry


# ---- Several imputations -------------------------------------------------------------


def test_imputations_vary_around_the_conditional_mean(imputer, holes, whole, hidden):
    samples = imputer.sample_imputations(holes, 40, random_state=0)
    assert samples.shape == (40, *whole.shape)
    assert (samples[:, ~hidden] == holes[~hidden]).all()
    # In standard errors of a mean of 40 draws. The median of the normal distribution is 0.67.
    gap = samples.mean(axis=0) - imputer.transform(holes)
    errors = gap[hidden] / (samples.std(axis=0)[hidden] / np.sqrt(40))
    assert 0.5 < np.median(np.abs(errors)) < 1
    # The ranks of the true values among the imputations are uniform.
    rank = (samples < whole).mean(axis=0)[hidden]
    assert 0.85 < np.mean((rank > 0.05) & (rank < 0.95)) < 0.95


def test_random_state_determines_the_imputations(imputer, holes):
    one, same, other = (imputer.sample_imputations(holes[:5], 2, random_state=s) for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_number_of_imputations_must_be_a_positive_integer(imputer, holes, n, error):
    with pytest.raises(error, match="n_imputations"):
        imputer.sample_imputations(holes, n)


# ---- Conventions of scikit-learn's imputers ------------------------------------------


def test_missing_values_may_be_a_number(holes):
    marked = np.where(np.isnan(holes), -1.0, holes)
    filled = VAEImputer(**FAST, missing_values=-1).fit_transform(marked)
    assert np.array_equal(filled, VAEImputer(**FAST).fit_transform(holes))
    with pytest.raises(ValueError, match="NaN"):
        VAEImputer(**FAST, missing_values=-1).fit(holes)


@pytest.mark.parametrize("call", ["transform", "partial_fit", "fit"])
def test_missing_values_may_change_after_fit(holes, call):
    marked = np.where(np.isnan(holes), -1.0, holes)
    nan_imputer, imputer = (VAEImputer(**FAST, warm_start=True).fit(holes) for _ in range(2))
    imputer.set_params(missing_values=-1)
    if call != "transform":
        getattr(nan_imputer, call)(holes)
        getattr(imputer, call)(marked)
    assert np.array_equal(imputer.transform(marked), nan_imputer.transform(holes))


def test_integers_with_missing_values_become_floats(whole, hidden):
    X = np.where(hidden, -1, (10 * whole).astype(int) % 100)
    filled = VAEImputer(**FAST, missing_values=-1).fit_transform(X)
    assert filled.dtype == np.float64
    assert np.array_equal(filled[~hidden], X[~hidden])


def test_missing_values_may_be_none_or_na(holes):
    expected = VAEImputer(**FAST).fit_transform(holes)
    objects = holes.astype(object)
    objects[np.isnan(holes)] = None
    assert np.array_equal(VAEImputer(**FAST, missing_values=None).fit_transform(objects), expected)
    frame = pd.DataFrame(holes).astype("Float64")
    assert frame.isna().to_numpy().any()
    assert np.array_equal(VAEImputer(**FAST, missing_values=pd.NA).fit_transform(frame), expected)


def test_empty_features_are_dropped_or_filled_with_0(holes):
    X = np.insert(holes, 2, np.nan, axis=1)
    names = [f"x{i}" for i in range(6)]
    narrow = VAEImputer(**FAST).fit(X)
    assert narrow.get_feature_names_out().tolist() == [n for n in names if n != "x2"]
    assert np.array_equal(narrow.transform(X), VAEImputer(**FAST).fit_transform(holes))
    wide = VAEImputer(**FAST, keep_empty_features=True).fit(X)
    assert wide.get_feature_names_out().tolist() == names
    assert np.array_equal(wide.transform(X), np.insert(narrow.transform(X), 2, 0, axis=1))
    assert wide.sample_imputations(X, 3).shape == (3, 600, 6)


def test_only_missing_entries_are_an_error():
    with pytest.raises(ValueError, match="All entries of X are missing"):
        VAEImputer(**FAST).fit(np.full((10, 2), np.nan))


def test_the_missing_indicator_appends_columns(holes, hidden):
    X = holes.copy()
    X[:, 0] = 1.0
    imputer = VAEImputer(**FAST, add_indicator=True).set_output(transform="pandas").fit(X)
    table = imputer.transform(X)
    expected = [f"x{i}" for i in range(5)] + [f"missingindicator_x{i}" for i in range(1, 5)]
    assert list(table.columns) == expected
    assert np.array_equal(table.iloc[:, 5:].to_numpy(), hidden[:, 1:])


def test_frames_keep_column_names_and_index(holes):
    frame = pd.DataFrame(holes, columns=list("abcde"), index=range(100, 700))
    table = VAEImputer(**FAST).set_output(transform="pandas").fit_transform(frame)
    assert list(table.columns) == list("abcde")
    assert list(table.index) == list(frame.index)


def test_imputer_works_in_a_pipeline(holes, whole):
    model = make_pipeline(VAEImputer(**FAST), LogisticRegression(max_iter=1000))
    assert model.fit(holes, whole[:, 0] > 0).predict(holes).shape == (600,)


def test_all_likelihoods_accept_missing_entries(hidden):
    rng = np.random.RandomState(0)
    for likelihood, X in (
        ("poisson", rng.poisson(3.0, hidden.shape)),
        ("bernoulli", rng.uniform(size=hidden.shape)),
        (Gaussian("row"), rng.normal(size=hidden.shape)),
        (Gaussian("full"), rng.normal(size=hidden.shape)),
    ):
        imputer = VAEImputer(**FAST, likelihood=likelihood)
        filled = imputer.fit_transform(np.where(hidden, np.nan, X))
        assert np.isfinite(filled).all()
        assert np.array_equal(filled[~hidden], X[~hidden])
    with pytest.raises(ValueError, match="is impossible for"):
        VAEImputer(**FAST, likelihood="poisson").fit([[np.nan, 1.0], [2.0, -1.0]])


def test_infinity_is_an_error_with_column_and_row(holes):
    X = holes.copy()
    X[7, 3] = np.inf
    with pytest.raises(ValueError, match="column 3, row 7"):
        VAEImputer(**FAST).fit(X)


def test_an_unpickled_imputer_gives_the_same_imputation(imputer, holes):
    restored = pickle.loads(pickle.dumps(imputer))
    assert np.array_equal(restored.transform(holes), imputer.transform(holes))


def test_imputer_supports_early_stopping_and_partial_fit(holes):
    imputer = VAEImputer(**{**FAST, "max_iter": 10}, early_stopping=True).fit(holes)
    assert np.isfinite(imputer.history_["validation_loss"]).all()
    filled = VAEImputer(**FAST, add_indicator=True).partial_fit(holes).partial_fit(holes)
    assert filled.n_iter_ == 2
    assert filled.transform(holes).shape == (600, 10)


def test_complete_rows_are_unchanged_by_every_imputation(imputer, whole):
    assert np.array_equal(imputer.transform(whole), whole)
    assert np.array_equal(imputer.sample_imputations(whole, 2), [whole, whole])


# ---- Mixed tables --------------------------------------------------------------------

MIXED = {"likelihood": "mixed", "max_iter": 60, "n_importance_samples": 50, "random_state": 0}


@pytest.fixture(scope="module")
def mixed():
    """Return rows whose columns depend on each other, the rows with missing entries, and a mask."""
    rng = np.random.RandomState(0)
    n = 300
    size = rng.choice(["S", "M", "L"], n)
    number = np.select([size == "S", size == "M"], [10, 20], 30) + rng.randint(-2, 3, n)
    whole = pd.DataFrame(
        {
            "size": pd.Categorical(size, ["S", "M", "L", "XL"], ordered=True),
            "number": pd.array(number, dtype="Int64"),
            "weight": (number / 10 + 0.1 * rng.normal(size=n)).round(2),
            "big": pd.array(number > 15, dtype="boolean"),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(number, unit="D"),
            "name": pd.array(np.where(size == "L", "large", "other"), dtype="string"),
        }
    )
    hidden = rng.uniform(size=whole.shape) < 0.25
    hidden[hidden.all(axis=1)] = False
    return whole, whole.mask(hidden), hidden


@pytest.fixture(scope="module")
def mixed_imputer(mixed):
    return VAEImputer(**MIXED).fit(mixed[1])


def assert_observed_stay(filled, holes, hidden):
    assert filled.dtypes.equals(holes.dtypes)
    assert filled.index.equals(holes.index)
    assert not filled.isna().any(axis=None)
    for j, name in enumerate(holes.columns):
        rows = ~hidden[:, j]
        assert (filled[name][rows] == holes[name][rows]).all()


def test_mixed_tables_keep_dtypes_and_observed_entries(mixed, mixed_imputer):
    _, holes, hidden = mixed
    assert_observed_stay(mixed_imputer.transform(holes), holes, hidden)
    first, second = mixed_imputer.sample_imputations(holes, 2, random_state=0)
    assert_observed_stay(first, holes, hidden)
    assert_observed_stay(second, holes, hidden)
    assert not first.equals(second)
    again = mixed_imputer.sample_imputations(holes, 2, random_state=0)
    assert again[0].equals(first)
    assert again[1].equals(second)


def test_imputation_of_mixed_tables_uses_the_dependence_between_columns(mixed, mixed_imputer):
    whole, holes, hidden = mixed
    filled = mixed_imputer.transform(holes)
    for name, least in {"size": 0.9, "big": 0.9, "name": 0.9}.items():
        rows = hidden[:, list(whole).index(name)]
        assert (filled[name] == whole[name])[rows].mean() > least
    for name in ("number", "weight"):
        rows = hidden[:, list(whole).index(name)]
        error = (filled[name].astype(float) - whole[name].astype(float))[rows]
        assert np.sqrt(np.mean(error**2)) < 0.35 * whole[name].astype(float).std()
    assert (filled["weight"].round(2) == filled["weight"]).all()
    assert filled["day"].between(whole["day"].min(), whole["day"].max()).all()
    assert (filled["day"].dt.normalize() == filled["day"]).all()


def test_the_imputation_of_a_mixed_row_depends_on_that_row_alone(mixed, mixed_imputer):
    holes = mixed[1].set_axis(range(1000, 1000 + len(mixed[1])))
    filled = mixed_imputer.transform(holes)
    some = mixed_imputer.transform(holes[40:60])
    pd.testing.assert_frame_equal(some, filled[40:60])
    whole = mixed_imputer.transform(mixed[0])
    pd.testing.assert_frame_equal(whole, mixed[0])
    pd.testing.assert_frame_equal(mixed_imputer.sample_imputations(mixed[0])[0], mixed[0])


def test_mixed_columns_may_have_another_dtype_in_transform(mixed, mixed_imputer):
    holes = mixed[1].astype({"size": object, "number": object})
    filled = mixed_imputer.transform(holes)
    pd.testing.assert_frame_equal(filled, mixed_imputer.transform(mixed[1]))


def test_mixed_tables_may_have_empty_columns_and_an_indicator(mixed):
    holes = mixed[1].assign(nothing=None)
    params = {**MIXED, "max_iter": 2, "add_indicator": True}
    narrow = VAEImputer(**params).fit(holes)
    filled = narrow.transform(holes)
    assert list(filled) == list(narrow.get_feature_names_out())
    assert "nothing" not in filled
    assert (filled["missingindicator_size"] == mixed[2][:, 0]).all()
    wide = VAEImputer(**params, keep_empty_features=True).fit(holes)
    filled = wide.transform(holes)
    assert list(filled) == list(wide.get_feature_names_out())
    assert filled["nothing"].isna().all()


def test_reconstructions_of_mixed_tables_are_tables_with_the_index_of_x(mixed, mixed_imputer):
    rows = mixed[1].iloc[5:15]
    table = mixed_imputer.reconstruct(rows)
    assert table.index.equals(rows.index)
    assert table.columns.equals(rows.columns)
    assert table.dtypes.equals(rows.dtypes)
    assert table.notna().all(axis=None)


def test_mixed_tables_may_have_integer_names_and_an_indicator_without_columns(mixed):
    holes = mixed[1].assign(nothing=None)
    numbered = holes.set_axis(range(holes.shape[1]), axis=1)
    params = {**MIXED, "max_iter": 2, "keep_empty_features": True}
    filled = VAEImputer(**params).fit_transform(numbered)
    assert list(filled) == list(numbered)
    whole = mixed[0].set_axis(range(mixed[0].shape[1]), axis=1)
    imputer = VAEImputer(**params, add_indicator=True).fit(whole)
    pd.testing.assert_frame_equal(imputer.transform(whole), whole)


def test_mixed_imputers_can_be_pickled_and_scored(mixed, mixed_imputer):
    _, holes, _ = mixed
    restored = pickle.loads(pickle.dumps(mixed_imputer))
    pd.testing.assert_frame_equal(restored.transform(holes), mixed_imputer.transform(holes))
    assert np.isfinite(mixed_imputer.score(holes))
    unseen = holes.assign(name=pd.array(["unheard of"] * len(holes), dtype="string"))
    assert (mixed_imputer.transform(unseen)["name"] == "unheard of").all()
    assert mixed_imputer.score(unseen) < mixed_imputer.score(holes)


def test_an_unseen_category_stays_and_says_nothing_about_other_entries():
    rng = np.random.RandomState(0)
    word = rng.choice(["often", "seldom"], 200, p=[0.7, 0.3])
    X = pd.DataFrame({"word": word, "number": rng.normal(size=200) + 5 * (word == "often")})
    imputer = VAEImputer(latent_dim=1, likelihood="mixed", max_iter=40, random_state=0).fit(X)
    rows = pd.DataFrame({"word": ["often", "seldom", "never", None], "number": np.nan})
    filled = imputer.transform(rows)
    often, seldom, never, missing = filled["number"]
    assert filled["word"].tolist()[:3] == ["often", "seldom", "never"]
    assert seldom < 1
    assert often > 4
    assert never == pytest.approx(missing)
    assert 1 < missing < 4
    for table in imputer.sample_imputations(rows, 3, random_state=0):
        assert table["word"].tolist()[:3] == ["often", "seldom", "never"]


def test_the_most_probable_category_is_filled_in_among_many_rare_categories():
    towns = [f"town {k}" for k in range(80) for _ in range(5)]
    city = np.random.RandomState(0).permutation(["London"] * 300 + towns)
    X = pd.DataFrame({"city": city, "number": np.random.RandomState(1).normal(size=700)})
    X.loc[:50, "city"] = None
    imputer = VAEImputer(latent_dim=1, likelihood="mixed", max_iter=10, random_state=0).fit(X)
    assert (imputer.transform(X)["city"][:50] == "London").all()
    table = TabularVAE(latent_dim=1, max_iter=10, random_state=0).fit(X.dropna())
    assert (table.reconstruct(X.dropna())["city"] == "London").all()


def test_mixed_imputation_needs_frames_with_missing_values_of_pandas(mixed):
    with pytest.raises(TypeError, match="data frame of pandas, polars or Arrow; got ndarray"):
        VAEImputer(**MIXED).fit(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="got missing_values=-1"):
        VAEImputer(**MIXED, missing_values=-1).fit(mixed[1])
    with pytest.raises(ValueError, match="nothing to learn from"):
        VAEImputer(**MIXED).fit(mixed[1].mask(np.ones(mixed[1].shape, dtype=bool)))


def test_booleans_may_have_a_missing_indicator():
    X = np.random.RandomState(0).uniform(size=(20, 3)) < 0.5
    imputer = VAEImputer(add_indicator=True, max_iter=2, random_state=0)
    np.testing.assert_array_equal(imputer.fit_transform(X), X)
