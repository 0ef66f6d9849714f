"""What the detector promises beyond scikit-learn's checks."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from skvae import Gaussian, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.torch_only

FAST = {"latent_dim": 2, "hidden_layer_sizes": (16,), "batch_size": 20, "random_state": 0}


@pytest.fixture(scope="module")
def tied():
    """Rows whose last column is the sum of the others, nearly."""
    X = np.random.RandomState(0).normal(size=(400, 4))
    X[:, 3] = X[:, :3].sum(axis=1) + 0.05 * X[:, 3]
    return X * [1, 10, 100, 1000]


@pytest.fixture(scope="module")
def detector(tied):
    return VAEOutlierDetector(3, max_iter=60, random_state=0).fit(tied)


# ---- Which rows are outliers ---------------------------------------------------------


def test_scores_are_those_of_a_transformer(tied):
    params = {**FAST, "likelihood": "gaussian", "max_iter": 5}
    detector = VAEOutlierDetector(**params, trim=0.0).fit(tied)
    vae = VAETransformer(**params).fit(tied)
    assert np.array_equal(detector.score_samples(tied), vae.score_samples(tied))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_contamination_is_the_share_of_training_rows_that_are_outliers(tied, share):
    detector = VAEOutlierDetector(**FAST, contamination=share, max_iter=3).fit(tied)
    assert np.sum(detector.predict(tied) == -1) == share * len(tied)


def test_automatic_offset_spares_clean_rows_and_catches_far_ones(detector, tied):
    assert np.mean(detector.predict(tied) == -1) < 0.1
    far = tied[:100].copy()
    far[:, 3] += 50_000  # 29 standard deviations
    assert np.mean(detector.predict(far) == -1) > 0.9


def test_decisions_are_scores_above_the_offset(detector, tied):
    decision = detector.decision_function(tied)
    assert np.array_equal(decision, detector.score_samples(tied) - detector.offset_)
    assert np.array_equal(detector.predict(tied), np.where(decision < 0, -1, 1))


def test_partial_fit_sets_the_offset_for_its_rows(tied):
    detector = VAEOutlierDetector(**FAST, contamination=0.25).partial_fit(tied[:100])
    assert np.sum(detector.predict(tied[:100]) == -1) == 25
    detector.partial_fit(tied[100:])
    assert np.sum(detector.predict(tied[100:]) == -1) == 75


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_rows_without_scores_leave_the_detector_as_it_was(tied, method, monkeypatch):
    def failing(self, X):
        raise ValueError("too far")

    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(tied)
    decisions, state = detector.decision_function(tied), vars(detector).copy()
    monkeypatch.setattr(VAEOutlierDetector, "_score_rows", failing)
    with pytest.raises(ValueError, match="too far"):
        getattr(detector, method)(tied[::2])
    monkeypatch.undo()
    assert vars(detector) == state
    assert np.array_equal(detector.decision_function(tied), decisions)


def test_trimming_keeps_outliers_out_of_the_model(tied):
    group = tied[:40] + np.array([0, 0, 0, 5000])  # enough rows for a model to learn
    is_outlier = np.r_[np.zeros(len(tied)), np.ones(len(group))]
    params = {**FAST, "latent_dim": 3, "likelihood": "gaussian"}
    rows = np.r_[tied, group]

    def mean_auc(trim):
        # Without trimming, it varies by 0.015 with the seed.
        detectors = [
            VAEOutlierDetector(**{**params, "trim": trim, "random_state": seed}).fit(rows)
            for seed in range(3)
        ]
        return np.mean([roc_auc_score(is_outlier, -d.score_samples(rows)) for d in detectors])

    assert mean_auc(trim=0.2) > 0.99
    assert mean_auc(trim=0.0) < 0.97


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"contamination": 0.0}, "contamination"),
        ({"contamination": 0.6}, "contamination"),
        ({"contamination": "some"}, "contamination"),
        ({"trim": 0.5}, "trim"),
        ({"trim": -0.1}, "trim"),
    ],
)
def test_shares_out_of_range_are_errors(tied, params, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        VAEOutlierDetector(**params).fit(tied)


# ---- Why -----------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian("row"), Gaussian("shared")])
def test_contributions_add_up_to_the_score(tied, likelihood):
    detector = VAEOutlierDetector(**FAST, likelihood=likelihood, max_iter=3).fit(tied)
    features, code = detector.explain(tied)
    assert features.shape == (400, 4)
    assert code.shape == (400,)
    total = features.sum(axis=1) + code + detector.usual_contributions_.sum()
    assert_allclose(total, detector.score_samples(tied), rtol=1e-9)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_contributions_of_a_broken_feature_stand_out(detector, tied, column):
    broken = tied[:50].copy()
    broken[:, column] += 12 * tied[:, column].std()
    features, _ = detector.explain(broken)
    assert (features.argmin(axis=1) == column).all()
    usual, _ = detector.explain(tied[50:100])
    drop = np.median(features, axis=0) - np.median(usual, axis=0)
    assert drop[column] < -5
    assert np.delete(drop, column).min() > drop[column] / 2


def test_usual_rows_contribute_nothing_unusual(detector, tied):
    features, code = detector.explain(tied)
    assert_allclose(np.median(features, axis=0), 0, atol=1e-12)
    assert abs(np.median(code)) < 1e-12


def test_frames_keep_their_names(tied):
    frame = pd.DataFrame(tied, columns=list("abcd"))
    detector = VAEOutlierDetector(**FAST, max_iter=2).fit(frame)
    assert list(detector.feature_names_in_) == list("abcd")
    assert np.array_equal(detector.predict(frame), detector.fit_predict(frame))


# ---- Real data -----------------------------------------------------------------------


@pytest.mark.slow
def test_outliers_of_a_classic_set_are_told_from_rows_that_trained_beside_them(data_folder):
    with np.load(data_folder / "outliers" / "thyroid.npz") as stored:
        X, is_outlier = stored["X"], stored["y"]
    scores = VAEOutlierDetector(random_state=0).fit(X).score_samples(X)
    assert roc_auc_score(is_outlier, -scores) > 0.95


def test_explanations_come_in_the_dtype_of_x(blobs):
    detector = VAEOutlierDetector(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(blobs)
    for dtype in (np.float32, np.float64):
        features, code = detector.explain(blobs.astype(dtype))
        assert (features.dtype, code.dtype) == (dtype, dtype)
