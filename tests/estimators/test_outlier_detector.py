"""Behaviour of VAEOutlierDetector beyond the checks of scikit-learn."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.metrics import roc_auc_score

from skvae import Gaussian, StudentT, VAEOutlierDetector, VAETransformer, load
from skvae.training import Trainer

pytestmark = pytest.mark.torch_only

FAST = {"latent_dim": 2, "hidden_layer_sizes": (16,), "batch_size": 20, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    """Rows whose last column is nearly the sum of the other columns."""
    X = np.random.RandomState(0).normal(size=(400, 4))
    X[:, 3] = X[:, :3].sum(axis=1) + 0.05 * X[:, 3]
    return X * [1, 10, 100, 1000]


@pytest.fixture(scope="module")
def detector(X):
    return VAEOutlierDetector(3, max_iter=60, random_state=0).fit(X)


# ---- Which rows are outliers ---------------------------------------------------------


def test_without_trimming_scores_equal_those_of_a_transformer(X):
    params = {**FAST, "likelihood": "gaussian", "max_iter": 5}
    detector = VAEOutlierDetector(**params, trim=0.0).fit(X)
    vae = VAETransformer(**params).fit(X)
    assert np.array_equal(detector.score_samples(X), vae.score_samples(X))


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
def test_contamination_is_the_fraction_of_training_rows_flagged_as_outliers(X, fraction):
    detector = VAEOutlierDetector(**FAST, contamination=fraction, max_iter=3).fit(X)
    assert np.sum(detector.predict(X) == -1) == fraction * len(X)


def test_equal_rows_have_equal_labels():
    rng = np.random.RandomState(0)
    for contamination in (0.1, 0.3, "auto"):
        X = (rng.uniform(size=(150, 4)) < 0.1).astype(float)
        params = {"likelihood": "bernoulli", "max_iter": 3, "random_state": 0}
        detector = VAEOutlierDetector(contamination=contamination, **params).fit(X)
        labels = detector.predict(X)
        for other in (detector.predict(X.astype(np.float32)), detector.predict(X[::-1])[::-1]):
            assert np.array_equal(labels, other)
        groups = np.unique(X, axis=0, return_inverse=True)[1].ravel()
        assert all(len(set(labels[groups == group])) == 1 for group in groups)


def test_the_automatic_offset_separates_clean_rows_from_far_rows(detector, X):
    assert np.mean(detector.predict(X) == -1) < 0.1
    far = X[:100].copy()
    far[:, 3] += 50_000  # 29 standard deviations
    assert np.mean(detector.predict(far) == -1) > 0.9


def test_missing_values_are_an_error_that_names_no_other_kind_of_estimator(X):
    missing = np.where(np.arange(X.shape[1]) == 1, np.nan, X)
    with pytest.raises(ValueError, match=r"with VAEImputer\.$"):
        VAEOutlierDetector(**FAST).fit(missing)


def test_decision_function_is_the_score_minus_the_offset(detector, X):
    decision = detector.decision_function(X)
    assert np.array_equal(decision, detector.score_samples(X) - detector.offset_)
    assert np.array_equal(detector.predict(X), np.where(decision < 0, -1, 1))


def test_partial_fit_sets_the_offset_for_the_new_rows(X):
    detector = VAEOutlierDetector(**FAST, contamination=0.25).partial_fit(X[:100])
    assert np.sum(detector.predict(X[:100]) == -1) == 25
    detector.partial_fit(X[100:])
    assert np.sum(detector.predict(X[100:]) == -1) == 75


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_failure_to_score_training_rows_leaves_the_detector_unchanged(X, method, monkeypatch):
    def failing(self, X):
        raise ValueError("too far")

    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(X)
    decisions, state = detector.decision_function(X), vars(detector).copy()
    monkeypatch.setattr(VAEOutlierDetector, "_score_rows", failing)
    with pytest.raises(ValueError, match="too far"):
        getattr(detector, method)(X[::2])
    monkeypatch.undo()
    assert vars(detector) == state
    assert np.array_equal(detector.decision_function(X), decisions)


def test_trimming_keeps_the_model_from_learning_outliers(X):
    group = X[:60] + np.array([0, 0, 0, 5000])  # enough rows for a model to learn
    is_outlier = np.r_[np.zeros(len(X)), np.ones(len(group))]
    params = {**FAST, "latent_dim": 3, "likelihood": "gaussian"}
    rows = np.r_[X, group]

    def auc(trim):
        detector = VAEOutlierDetector(**params, trim=trim).fit(rows)
        return roc_auc_score(is_outlier, -detector.score_samples(rows))

    assert auc(trim=0.2) > 0.999
    assert auc(trim=0.0) < 0.98


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"contamination": 0.0}, "contamination"),
        ({"contamination": 0.6}, "contamination"),
        ({"contamination": "some"}, "contamination"),
        ({"trim": 0.5}, "trim"),
        ({"trim": -0.1}, "trim"),
        ({"trim": "none"}, "trim"),
        ({"max_iter": "all"}, "max_iter"),
        ({"novelty": "yes"}, "novelty"),
    ],
)
def test_parameters_out_of_range_are_errors(X, params, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        VAEOutlierDetector(**params).fit(X)


# ---- Novelty detection ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("novelty", "params"),
    [
        (False, {"trim": 0.2, "likelihood": StudentT(floor=0.4, df=2)}),
        (True, {"trim": 0.0, "likelihood": StudentT("row", floor=0.1)}),
    ],
)
def test_novelty_determines_the_automatic_settings(X, novelty, params):
    automatic = VAEOutlierDetector(**FAST, novelty=novelty).fit(X[:60])
    explicit = VAEOutlierDetector(**FAST, novelty=not novelty, **params).fit(X[:60])
    assert np.array_equal(automatic.score_samples(X), explicit.score_samples(X))
    assert automatic.trim == automatic.likelihood == "auto"


@pytest.mark.parametrize("likelihood", ["auto", "gaussian", "bernoulli"])
@pytest.mark.parametrize("novelty", [False, True])
def test_automatic_training_has_at_most_60_epochs(likelihood, novelty):
    X = np.random.RandomState(0).uniform(size=(20, 3))
    params = {**FAST, "novelty": novelty, "likelihood": likelihood}
    assert VAEOutlierDetector(**params).fit(X).n_iter_ == 60
    assert VAEOutlierDetector(**params, max_iter=61).fit(X).n_iter_ == 61


def test_novelty_detection_learns_small_groups_of_normal_rows():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(600, 4))
    X[::12] = 0.1 * X[::12] + [8, -8, 8, -8]  # a small group: 8 % of the rows
    train, unseen = X[:300], X[300::12]
    outliers = 0.1 * rng.normal(size=(100, 4)) + 4
    rows, is_outlier = np.r_[unseen, outliers], np.repeat([0, 1], [len(unseen), 100])
    for novelty in (False, True):
        detector = VAEOutlierDetector(**FAST, novelty=novelty).fit(train)
        auc = roc_auc_score(is_outlier, -detector.score_samples(rows))
        assert auc > 0.9 if novelty else auc < 0.5


@pytest.mark.parametrize("fraction", [0.05, 0.25])
def test_contamination_is_the_fraction_of_normal_rows_flagged_in_novelty_detection(X, fraction):
    detector = VAEOutlierDetector(**FAST, novelty=True, contamination=fraction, max_iter=3)
    is_outlier = detector.fit_predict(X) == -1
    assert np.sum(is_outlier) == fraction * len(X)
    assert np.array_equal(is_outlier, detector.decision_function(X) < 0)


def test_a_fitted_model_of_outlier_detection_is_not_continued_for_novelty_detection(X):
    detector = VAEOutlierDetector(**FAST, max_iter=2, warm_start=True).fit(X)
    scores = detector.score_samples(X)
    detector.set_params(novelty=True)
    with pytest.raises(ValueError, match=r"was built as .*floor=0\.4.* now specify .*floor=0\.1"):
        detector.fit(X)
    assert np.array_equal(detector.score_samples(X), scores)


def test_novelty_is_kept_by_files_and_determines_later_calls_of_partial_fit(X, tmp_path):
    detector = VAEOutlierDetector(**FAST, novelty=True).partial_fit(X)
    detector.save(tmp_path / "detector.safetensors")
    loaded = load(tmp_path / "detector.safetensors")
    assert loaded.novelty
    assert loaded.trim == "auto"
    assert_allclose(loaded.partial_fit(X).score_samples(X), detector.score_samples(X), rtol=0.2)
    assert loaded.module_.likelihood == StudentT("row", floor=0.1)


def test_an_interrupted_fit_of_automatic_length_names_the_number_of_epochs(X, monkeypatch):
    def stop(self, *args, **kwargs):
        if self.n_epochs == 2:
            raise KeyboardInterrupt
        return train_epoch(self, *args, **kwargs)

    train_epoch = Trainer.train_epoch
    monkeypatch.setattr(Trainer, "train_epoch", stop)
    with pytest.warns(UserWarning, match="interrupted after 2 of [0-9]+ epochs"):
        VAEOutlierDetector(**FAST, novelty=True).fit(X)


# ---- Explanations --------------------------------------------------------------------


@pytest.mark.parametrize(
    "likelihood", ["gaussian", Gaussian("row"), Gaussian("shared"), Gaussian("full")]
)
def test_contributions_add_up_to_the_score(X, likelihood):
    detector = VAEOutlierDetector(**FAST, likelihood=likelihood, max_iter=3).fit(X)
    features, code = detector.explain(X)
    assert features.shape == (400, 4)
    assert code.shape == (400,)
    total = features.sum(axis=1) + code + detector.usual_contributions_.sum()
    assert_allclose(total, detector.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_corrupted_feature_has_the_lowest_contribution(detector, X, column):
    broken = X[:50].copy()
    broken[:, column] += 12 * X[:, column].std()
    features, _ = detector.explain(broken)
    assert (features.argmin(axis=1) == column).all()
    usual, _ = detector.explain(X[50:100])
    drop = np.median(features, axis=0) - np.median(usual, axis=0)
    assert drop[column] < -5
    assert np.delete(drop, column).min() > drop[column] / 2


def test_median_contributions_of_training_rows_are_0(detector, X):
    features, code = detector.explain(X)
    assert_allclose(np.median(features, axis=0), 0, atol=1e-12)
    assert abs(np.median(code)) < 1e-12


@pytest.mark.parametrize(
    "names",
    [
        pd.Index(list("abcd"), name="column"),
        pd.RangeIndex(4),
        pd.MultiIndex.from_product([["first", "second"], ["a", "b"]], names=["group", "part"]),
    ],
    ids=["strings", "numbers", "levels"],
)
def test_explanations_of_a_frame_of_pandas_have_its_names_and_index(X, names):
    frame = pd.DataFrame(X, index=pd.date_range("2020", periods=len(X)), columns=names)
    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(frame)
    features, code = detector.explain(frame.iloc[[5, 3]])
    assert features.index.equals(frame.index[[5, 3]])
    assert code.index.equals(features.index)
    assert features.columns.equals(names)
    assert features.columns.names == names.names
    assert code.name == "code"
    assert (features.dtypes == np.float64).all()
    assert code.dtype == np.float64
    expected = VAEOutlierDetector(**FAST, max_iter=2).fit(X).explain(X[[5, 3]])
    assert np.array_equal(features, expected[0])
    assert np.array_equal(code, expected[1])


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["polars", "narwhals"])
def test_explanations_of_a_frame_of_polars_are_frames_of_polars(X, is_wrapped):
    frame = pl.DataFrame(X, schema=list("dcba"))
    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(frame)
    some = frame[:4]  # as many rows as columns
    if is_wrapped:
        some = pytest.importorskip("narwhals").from_native(some)
    features, code = detector.explain(some)
    expected = VAEOutlierDetector(**FAST, max_iter=2).fit(X).explain(X[:4])
    assert isinstance(features, pl.DataFrame)
    assert features.columns == list("dcba")
    assert np.array_equal(features.to_numpy(), expected[0])
    assert isinstance(code, pl.Series)
    assert code.name == "code"
    assert np.array_equal(code.to_numpy(), expected[1])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, np.ndarray.tolist, torch.tensor])
def test_explanations_of_other_data_are_arrays(X, convert):
    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(X)
    features, code = detector.explain(convert(X[:3]))
    assert type(features) is type(code) is np.ndarray
    assert (features.shape, code.shape) == ((3, 4), (3,))


def test_frames_set_feature_names(X):
    frame = pd.DataFrame(X, columns=list("abcd"))
    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(frame)
    assert list(detector.feature_names_in_) == list("abcd")
    assert np.array_equal(detector.predict(frame), detector.fit_predict(frame))


# ---- Real data -----------------------------------------------------------------------


@pytest.mark.slow
def test_outliers_among_the_training_rows_of_thyroid_are_detected(data_folder):
    with np.load(data_folder / "outliers" / "thyroid.npz") as stored:
        X, is_outlier = stored["X"], stored["y"]
    scores = VAEOutlierDetector(random_state=0).fit(X).score_samples(X)
    assert roc_auc_score(is_outlier, -scores) > 0.95


def test_explanations_have_the_dtype_of_x(blobs):
    detector = VAEOutlierDetector(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(blobs)
    for dtype in (np.float32, np.float64):
        features, code = detector.explain(blobs.astype(dtype))
        assert (features.dtype, code.dtype) == (dtype, dtype)
