"""Condition columns of the estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from helpers import FAST, assert_same_fit
from skvae import Gaussian, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

N = 200
COLUMNS = ["label", "age"]
MODELLED = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def frame():
    """Return a frame of numbers with a label, which shifts the columns, and an age."""
    rng = np.random.RandomState(0)
    label, age = rng.randint(3, size=N), 40 + 10 * rng.normal(size=N)
    X = rng.normal(size=(N, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(N, 4))
    X += 5 * rng.normal(size=(3, 4))[label] + np.outer(age, rng.normal(size=4)) / 10
    frame = pd.DataFrame(X, columns=MODELLED)
    frame.insert(1, "label", np.array(["x", "y", "z"])[label])
    return frame.assign(age=age)


@pytest.fixture(scope="module")
def array(frame):
    """Return the frame as an array, with 0, 1, 2 for the labels."""
    return frame.assign(label=frame["label"].map({"x": 0, "y": 1, "z": 2})).to_numpy()


@pytest.fixture(scope="module")
def mixed(frame):
    """Return the frame with a modelled column of words, and counts as conditions."""
    rng = np.random.RandomState(1)
    label = frame["label"].astype("category")
    return frame.assign(label=label, word=rng.choice(["p", "q"], N), age=rng.randint(50, size=N))


@pytest.fixture(scope="module")
def vae(frame):
    return VAETransformer(condition_columns=COLUMNS, **FAST).fit(frame)


@pytest.fixture(scope="module")
def tabular(mixed):
    return TabularVAE(2, condition_columns=COLUMNS, **FAST).fit(mixed)


def incomplete(X, columns, seed=0):
    """Return a copy of a frame with missing entries in some columns."""
    X, rng = X.copy(), np.random.RandomState(seed)
    for name in columns:
        X.loc[rng.uniform(size=len(X)) < 0.3, name] = None
    return X


# ---- Models --------------------------------------------------------------------------


def test_the_linear_model_is_factor_analysis_of_residuals(frame):
    vae = VAETransformer(
        1,
        condition_columns=COLUMNS,
        hidden_layer_sizes=(),
        likelihood=Gaussian("feature"),
        max_iter=2,
        learning_rate_init=1e-6,
        random_state=0,
    ).fit(frame)
    C = np.column_stack([pd.get_dummies(frame["label"]), frame["age"]])
    residual = frame[MODELLED] - LinearRegression().fit(C, frame[MODELLED]).predict(C)
    exact = FactorAnalysis(1, tol=1e-8, max_iter=5000, svd_method="lapack").fit(residual)
    assert vae.score(frame) == pytest.approx(exact.score(residual), abs=0.01)


def test_codes_do_not_carry_the_conditions(frame):
    params = {"likelihood": Gaussian(), "hidden_layer_sizes": (), "max_iter": 20}
    given = VAETransformer(condition_columns=COLUMNS, random_state=0, **params).fit(frame)
    codes = {True: given.transform(frame)}
    plain = VAETransformer(random_state=0, **params).fit(frame[MODELLED])
    codes[False] = plain.transform(frame[MODELLED])
    C = np.column_stack([pd.get_dummies(frame["label"]), frame["age"]])
    explained = {kind: LinearRegression().fit(C, Z).score(C, Z) for kind, Z in codes.items()}
    assert explained[True] < 0.1
    assert explained[False] > 0.5


def test_names_and_positions_in_frames_arrays_and_sparse_matrices_are_equivalent(frame, array, vae):
    kinds = {1: "categorical", 5: "numeric"}
    for X, columns in (
        (frame, [1, "age"]),
        (frame, {"label": "categorical", -1: "numeric"}),
        (array, kinds),
        (csr_matrix(array), kinds),
        (pd.DataFrame(array), kinds),
        (frame.to_numpy(object), kinds),
    ):
        other = VAETransformer(condition_columns=columns, **FAST).fit(X)
        assert other.score(X) == pytest.approx(vae.score(frame), abs=0.01)


def test_the_dtype_determines_the_kind(frame):
    X = frame.assign(flag=frame["age"] > 40, count=frame["age"].astype(int))
    columns = ["label", "flag", "count", "age"]
    vae = VAETransformer(condition_columns=columns, **FAST).fit(X)
    kinds = [condition.kind for condition in vae.module_.config.conditions]
    assert kinds == ["categorical", "categorical", "numeric", "numeric"]


def test_an_empty_list_is_no_condition(array):
    plain = VAETransformer(**FAST).fit(array)
    assert_same_fit(plain, VAETransformer(condition_columns=[], **FAST).fit(array))


# ---- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["size"], r"names 'size', which X does not have\. X has \['a', 'label'"),
        ([9], "has 9, but X has 6 columns"),
        (["age", 5], "names the column 'age' twice"),
        (range(6), "all columns of X"),
        ({"age": "real"}, r"condition_columns\['age'\] must be one of"),
        ({"label": "numeric"}, "Input X contains strings: the first is '.' in column 'label'"),
        ({"age": "exposure", "label": "categorical"}, "multiplies the rate of counts"),
        ("age", "must be an array-like"),
    ],
)
def test_invalid_columns_are_errors(frame, columns, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(condition_columns=columns, **FAST).fit(frame)


def test_classes_that_are_taken_as_numbers_cause_a_warning(frame, array):
    kinds = (
        r"\{'label': 'categorical', 'age': 'numeric'\}.*\{'label': 'numeric', 'age': 'numeric'\}"
    )
    numbered = frame.assign(label=array[:, 1].astype(int))
    with pytest.warns(UserWarning, match=rf"\['label'\] have few different integers.*{kinds}"):
        VAETransformer(condition_columns=COLUMNS, **FAST).fit(numbered)
    with pytest.warns(UserWarning, match=r"condition columns \[1\] have few different integers"):
        VAETransformer(condition_columns=[1, 5], **FAST).fit(array)
    # Warnings are errors in these tests.
    VAETransformer(condition_columns={1: "numeric", 5: "numeric"}, **FAST).fit(array)
    VAETransformer(condition_columns=[1], **FAST).fit(array + 0.5)
    VAETransformer(condition_columns=[1], **FAST).fit(np.minimum(array, 1))


def test_names_need_a_frame(array):
    with pytest.raises(ValueError, match="the columns of X have no names"):
        VAETransformer(condition_columns=["age"], **FAST).fit(array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "w"}, "Unknown category 'w' in column 'label', row 0.* 'x', 'y', 'z'"),
        ({"label": None}, "condition in column 'label', row 0 is missing"),
        ({"age": np.nan}, "contains NaN"),
    ],
)
def test_unknown_and_missing_conditions_are_errors_with_their_place(frame, vae, change, message):
    with pytest.raises(ValueError, match=message):
        vae.transform(frame.assign(**change))


def test_many_known_categories_are_cut_short(array):
    X = np.column_stack([array[:, :2], np.arange(N) % 30])
    vae = VAETransformer(condition_columns={2: "categorical"}, **FAST).fit(X)
    with pytest.raises(ValueError, match=r"Unknown category 31.*19\.0, \.\.\. \(30 categories\)"):
        vae.transform(X + np.array([0, 0, 31]))
    many = np.random.RandomState(0).normal(size=(1001, 2))
    with pytest.raises(ValueError, match="at most 1000 are possible"):
        VAETransformer(condition_columns={1: "categorical"}, **FAST).fit(many)


# ---- Counts --------------------------------------------------------------------------


def test_an_exposure_takes_the_size_of_rows_out_of_the_codes():
    rng = np.random.RandomState(0)
    kind, size = rng.randint(2, size=N), rng.choice([50, 500], N)
    rates = np.array([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1]])[kind]
    X = csr_matrix(np.column_stack([rng.poisson(size[:, None] * rates), size]).astype(float))
    vae = VAETransformer(
        1, likelihood="poisson", condition_columns={3: "exposure"}, max_iter=60, random_state=0
    ).fit(X)
    z = vae.transform(X)[:, 0]
    assert abs(np.corrcoef(z, kind)[0, 1]) > 0.95
    assert abs(np.corrcoef(z, size)[0, 1]) < 0.3
    for exposure in (10, 1000):
        means = vae.inverse_transform([[z[0]]], conditions={3: exposure})
        np.testing.assert_allclose(means[0] / exposure, rates[0], atol=0.1)


# ---- Conditions of users -------------------------------------------------------------


def test_conditions_are_given_for_all_rows_or_for_each_row(frame, vae):
    Z = vae.transform(frame)[:3]
    rows = frame.iloc[:3]
    by_row = vae.inverse_transform(Z, conditions=rows)
    assert by_row.shape == (3, 4)
    np.testing.assert_allclose(by_row, vae.reconstruct(rows), rtol=1e-6)
    columns = {"label": rows["label"].tolist(), 5: rows["age"].to_numpy()}
    np.testing.assert_array_equal(by_row, vae.inverse_transform(Z, conditions=columns))
    same = vae.inverse_transform(Z, conditions={"label": "x", "age": 30})
    np.testing.assert_allclose(
        same[1], vae.inverse_transform(Z[1:2], conditions={"label": "x", "age": 30})[0], rtol=1e-6
    )


def test_samples_have_the_conditions(frame, vae):
    means = frame.groupby("label")[MODELLED].mean()
    for label in "xyz":
        X = vae.sample(2000, conditions={"label": label, "age": 40}, random_state=0)
        assert X.shape == (2000, 4)
        distances = np.linalg.norm(means - X.mean(axis=0), axis=1)
        assert means.index[distances.argmin()] == label


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, r"has the condition columns \['label', 'age'\]"),
        ({"label": "x"}, r"absent: \['age'\]"),
        ({"label": "x", "age": 1, "a": 1}, r"names \['a'\], but the condition columns are"),
        ({"label": "w", "age": 1}, r"Unknown category 'w' in conditions\['label'\], row 0"),
        ({"label": "x", "age": "old"}, r"'old' is in conditions\['age'\], row 0"),
        ({"label": "x", "age": [1, None]}, r"condition in conditions\['age'\], row 1 is missing"),
        ({"label": ["x"], "age": 1}, r"conditions\['label'\] has 1 values for 2 rows"),
    ],
)
def test_invalid_conditions_are_errors(vae, tabular, conditions, message):
    with pytest.raises(ValueError, match=message):
        vae.sample(2, conditions=conditions)
    with pytest.raises(ValueError, match=message):
        vae.inverse_transform([[0, 0], [1, 1]], conditions=conditions)
    with pytest.raises(ValueError, match=message):
        tabular.inverse_transform([[0, 0], [1, 1]], conditions=conditions)


def test_the_error_without_any_condition_column_names_the_keys(tabular):
    with pytest.raises(ValueError, match=r"absent: \['label', 'age'\].*names \['lable'\]"):
        tabular.sample(2, conditions={"lable": "x"})


def test_models_without_condition_columns_take_no_conditions(array):
    with pytest.raises(ValueError, match="has no condition columns"):
        VAETransformer(**FAST).fit(array).sample(conditions={"label": 1})


# ---- Detection and imputation --------------------------------------------------------


def test_the_detector_explains_modelled_columns_given_the_context(frame):
    detector = VAEOutlierDetector(1, condition_columns=COLUMNS, random_state=0).fit(frame)
    # The values are those of the other labels: usual in the table, unusual given the label.
    strange = frame.assign(label=frame["label"].map({"x": "y", "y": "z", "z": "x"}))
    assert (detector.predict(frame) == 1).mean() > 0.9
    assert (detector.predict(strange) == -1).mean() > 0.9
    features, code = detector.explain(frame)
    assert features.columns.tolist() == MODELLED
    total = features.sum(axis=1) + code + detector.usual_contributions_.sum()
    np.testing.assert_allclose(total, detector.score_samples(frame), rtol=1e-6)


@pytest.mark.torch_only
def test_distances_between_categories_do_not_matter(frame):
    effects = frame[MODELLED] - frame.groupby("label")[MODELLED].transform("mean")
    near = frame[["label"]].join(effects)
    means = 30 * frame["label"].map({"x": 0, "y": 1, "z": 2}).to_numpy()[:, None]
    far = near.assign(**dict(zip(MODELLED, (near[MODELLED] + means).T.to_numpy(), strict=True)))
    scores = [
        VAEOutlierDetector(2, condition_columns=["label"], random_state=0).fit(X).score(X)
        for X in (near, far)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)


def test_columns_that_the_conditions_determine_have_positive_units(frame):
    determined = 30.0 * frame["label"].map({"x": 0, "y": 1, "z": 2})
    X = frame[["label", *MODELLED]].assign(a=determined, b=7.0)
    vae = VAETransformer(2, condition_columns=["label"], **FAST).fit(X)
    a, b = vae.module_.units.scale[:2].tolist()
    assert a == pytest.approx(0.01 * determined.std(ddof=0))
    assert b == 1
    assert np.isfinite(vae.score(X))


def test_the_imputer_returns_condition_columns_unchanged(array):
    X = array.copy()
    X[np.random.RandomState(0).uniform(size=N) < 0.4, 0] = np.nan
    kinds = {1: "categorical", 5: "numeric"}
    imputer = VAEImputer(2, condition_columns=kinds, add_indicator=True, **FAST)
    filled = imputer.fit_transform(X)
    assert filled.shape == (N, 7)
    observed = ~np.isnan(X)
    np.testing.assert_array_equal(filled[:, :6][observed], X[observed])
    assert np.isfinite(filled).all()
    assert imputer.sample_imputations(X, 2).shape == (2, N, 7)
    assert imputer.reconstruct(X).shape == (N, 4)
    X[3, 5] = np.nan
    with pytest.raises(ValueError, match="condition in column 5, row 3 is missing"):
        imputer.transform(X)


def test_the_numeric_imputer_refuses_labels(frame):
    with pytest.raises(ValueError, match=r"\['label'\] are no numbers.*likelihood='mixed'"):
        VAEImputer(condition_columns=["label"], **FAST).fit(frame)


def test_the_mixed_imputer_restores_the_table(mixed):
    X = incomplete(mixed, ["a", "b", "word"])
    imputer = VAEImputer(2, likelihood="mixed", condition_columns=COLUMNS, **FAST).fit(X)
    filled = imputer.transform(X)
    assert filled.dtypes.equals(mixed.dtypes)
    assert filled.notna().all(axis=None)
    pd.testing.assert_frame_equal(filled[COLUMNS], mixed[COLUMNS])
    pd.testing.assert_frame_equal(filled[X.notna()], X[X.notna()], check_dtype=False)
    assert [table.shape for table in imputer.sample_imputations(X, 2)] == [X.shape] * 2


# ---- Tables --------------------------------------------------------------------------


def test_synthetic_rows_have_the_values_of_condition_columns(mixed, tabular):
    ages = [4, 3, 2, 1, 0, 100]
    table = tabular.sample(6, conditions={"label": "x", "age": ages}, random_state=0)
    assert table["age"].tolist() == ages
    assert set(table["label"]) == {"x"}
    assert table.dtypes.equals(mixed.dtypes)
    decoded = tabular.reconstruct(mixed)
    pd.testing.assert_frame_equal(decoded[COLUMNS], mixed[COLUMNS])
    again = tabular.inverse_transform(tabular.transform(mixed), conditions=mixed)
    pd.testing.assert_frame_equal(again, decoded)


def test_conditions_on_modelled_columns_are_combined_with_condition_columns(tabular):
    labels = ["x", "z", "x", "y"]
    conditions = {"label": labels, "age": 2, "word": "q", "a": pd.Interval(-100, 100)}
    table = tabular.sample(4, conditions=conditions, random_state=0)
    assert table["label"].tolist() == labels
    assert set(table["word"]) == {"q"}


def test_column_types_are_of_modelled_columns(mixed):
    vae = TabularVAE(condition_columns=["label"], column_types={"label": "categorical"}, **FAST)
    with pytest.raises(ValueError, match=r"column_types names \['label'\]"):
        vae.fit(mixed)


def test_a_table_of_conditions_on_modelled_columns_is_refused(tabular):
    table = pd.DataFrame({"label": ["x"], "age": [2], "word": ["q"]})
    with pytest.raises(ValueError, match=r"table with \['word'\], which are no condition columns"):
        tabular.sample(1, conditions=table)
    assert tabular.sample(1, conditions=table[COLUMNS])["label"].tolist() == ["x"]


@pytest.mark.parametrize("cls", [TabularVAE, VAEImputer])
def test_later_conditions_of_another_type_are_errors_with_their_place(cls, mixed):
    params = {**FAST, **({"likelihood": "mixed"} if cls is VAEImputer else {})}
    flags = mixed.assign(label=mixed["label"] == "x")
    model = cls(condition_columns=COLUMNS, **params).fit(flags)
    for change in ({"label": "True"}, {"age": "old"}):
        with pytest.raises(
            ValueError, match=r"must be numbers, but '\w+' is in column '\w+', row 0"
        ):
            model.transform(flags.assign(**change))
    with pytest.raises(ValueError, match=r"is one of the integers beyond 2\*\*53"):
        cls(condition_columns=["age"], **params).fit(mixed.assign(age=2**60 + 1))


def test_intervals_are_categories(mixed):
    ages = pd.IntervalIndex(pd.cut(mixed["age"], 3))
    vae = TabularVAE(2, condition_columns=["age"], **FAST).fit(mixed.assign(age=ages))
    assert vae.sample(2, conditions={"age": ages[0]})["age"].tolist() == [ages[0]] * 2


def test_rows_of_a_rare_category_are_no_outliers():
    rng = np.random.RandomState(0)
    is_rare = rng.uniform(size=600) < 0.05
    X = rng.normal(size=(600, 1)) + 0.3 * rng.normal(size=(600, 3))
    X += 30 * is_rare[:, None] * np.array([1, -1, 1])
    X = pd.DataFrame(X, columns=list("abc")).assign(kind=np.where(is_rare, "rare", "usual"))
    detector = VAEOutlierDetector(1, condition_columns=["kind"], random_state=0).fit(X)
    assert (detector.predict(X)[is_rare] == -1).mean() < 0.3


# ---- Composition and files -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["vae", "tabular"])
def test_saved_and_pickled_estimators_have_the_same_results(kind, frame, mixed, request, tmp_path):
    estimator, X = request.getfixturevalue(kind), frame if kind == "vae" else mixed
    estimator.save(tmp_path / "vae.safetensors")
    for copy in (
        pickle.loads(pickle.dumps(estimator)),
        skvae.load(tmp_path / "vae.safetensors"),
    ):
        np.testing.assert_array_equal(copy.transform(X), estimator.transform(X))
        conditions = {"label": "x", "age": 1}
        first, second = (
            e.sample(3, conditions=conditions, random_state=0) for e in (copy, estimator)
        )
        np.testing.assert_array_equal(first, second)


def test_pipelines_and_searches_need_no_metadata(frame):
    scaled = make_column_transformer(
        (StandardScaler(), MODELLED), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipeline = make_pipeline(scaled, VAETransformer(condition_columns=COLUMNS, **FAST))
    search = GridSearchCV(pipeline, {"vaetransformer__latent_dim": [1, 2]}, cv=2).fit(frame)
    assert search.transform(frame).shape[0] == N
    assert clone(pipeline)[-1].condition_columns == COLUMNS


def test_training_continues_with_the_conditions_of_the_first_fit(frame):
    vae = VAETransformer(condition_columns=COLUMNS, warm_start=True, **FAST).fit(frame)
    vae.fit(frame)
    stream = VAETransformer(condition_columns=COLUMNS, **FAST)
    for _ in range(2):
        stream.partial_fit(frame)
    with pytest.raises(ValueError, match="Unknown category 'w'"):
        stream.partial_fit(frame.assign(label="w"))
    assert stream.n_iter_ == 2


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"encoder_dropout": 0.2}])
def test_conditions_travel_through_training(frame, options, tmp_path):
    params = FAST | options | {"condition_columns": COLUMNS, "n_training_draws": 2}
    first = VAETransformer(**params, checkpoint=tmp_path / "fit").fit(frame)
    assert_same_fit(first, VAETransformer(**params).fit(frame))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_frames_of_other_libraries(frame, mixed, library, vae):
    module = pytest.importorskip(library)
    make = module.from_pandas if library == "polars" else module.Table.from_pandas
    X = make(frame)
    other = VAETransformer(condition_columns=COLUMNS, **FAST).fit(X)
    assert other.score(X) == pytest.approx(vae.score(frame), abs=1e-9)
    table = TabularVAE(2, condition_columns=COLUMNS, **FAST).fit(make(mixed))
    sample = table.sample(3, conditions={"label": "y", "age": 2}, random_state=0)
    assert sample.schema == make(mixed).schema or library == "pyarrow"
    assert type(sample) is type(X)


@pytest.mark.parametrize("changed", [None, [0], [3, 0], {3: "categorical"}])
def test_training_does_not_continue_with_other_conditions(changed):
    X = np.random.RandomState(0).normal(size=(50, 4))
    vae = VAETransformer(condition_columns=[3], warm_start=True, **FAST).fit(X)
    before = vae.score(X)
    vae.set_params(condition_columns=changed)
    for train in (vae.fit, vae.partial_fit):
        with pytest.raises(ValueError, match=r"has the condition columns \[3\], but"):
            train(X)
    assert vae.set_params(condition_columns=[-1]).score(X) == before
    assert np.isfinite(vae.fit(X).score(X))
