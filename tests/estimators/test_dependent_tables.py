"""Tables with columns that are linear functions of other columns."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

import skvae
from helpers import FAST, assert_same_fit
from skvae import Gaussian, VAEOutlierDetector, VAETransformer
from skvae.training import Trainer

pytestmark = pytest.mark.torch_only

TOTAL = 4  # position of the column that is the sum of two columns


def table(n=120, seed=0):
    """Return four columns on different scales, the sum of the first two, and a scaled copy."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(n, 4))
    X = X * [1, 3, 0.1, 50] + [0, 10, 0, -500]
    return np.c_[X, X[:, 0] + X[:, 1], -7 * X[:, 3]]


def assert_relation_holds(X, tolerance):
    assert_allclose(X[:, TOTAL], X[:, 0] + X[:, 1], atol=tolerance)
    assert_allclose(X[:, 5], -7 * X[:, 3], atol=1e3 * tolerance)


@pytest.fixture(scope="module")
def X():
    return table()


@pytest.fixture(scope="module")
def vae(X):
    return VAETransformer(**FAST).fit(X)


def test_reconstructions_and_samples_keep_the_relation(vae, X):
    assert_relation_holds(vae.reconstruct(X), 1e-4)
    assert_relation_holds(vae.inverse_transform([[0.3, -2.0]]), 1e-4)
    assert_relation_holds(vae.sample(200, random_state=0), 1e-3)


def test_samples_of_a_noisy_relation_have_its_noise(X):
    noise = 1e-3 * np.random.RandomState(1).normal(size=len(X))
    noisy = X + noise[:, None] * (np.arange(6) == TOTAL)
    rows = VAETransformer(**FAST).fit(noisy).sample(2000, random_state=0)
    deviation = rows[:, TOTAL] - rows[:, 0] - rows[:, 1]
    assert 0.7e-3 < np.median(np.abs(deviation)) / 0.67 < 1.5e-3


def test_the_score_is_the_density_of_the_rows(X):
    # By the change of variables: the density of the independent columns, times the density of the
    # deviations, which are normal with the standard deviation at which they are observed.
    rng = np.random.RandomState(1)
    noisy = X + rng.normal(size=X.shape) * [0, 0, 0, 0, 1e-3, 2e-2]
    options = {"hidden_layer_sizes": (), "likelihood": Gaussian(), "max_iter": 1}
    vae = VAETransformer(4, learning_rate_init=1e-6, random_state=0, **options).fit(noisy)
    rows = noisy[:, :4]
    deviations = noisy[:, 4:] - np.c_[rows[:, 0] + rows[:, 1], -7 * rows[:, 3]]
    cov = (np.cov(part.T, bias=True) for part in (rows, deviations))
    expected = multivariate_normal(rows.mean(0), next(cov)).logpdf(rows)
    covariance = np.diag(np.diag(next(cov)))
    expected += multivariate_normal([0, 0], covariance).logpdf(deviations)
    assert_allclose(vae.score(noisy), expected.mean(), atol=0.1)


def test_a_row_that_breaks_the_relation_keeps_its_code_and_loses_its_score(vae, X):
    broken = X.copy()
    broken[:, TOTAL] += X[:, TOTAL].std()
    assert_allclose(vae.transform(broken), vae.transform(X), rtol=1e-12)
    assert (vae.score_samples(broken) < vae.score_samples(X) - 10).all()


@pytest.mark.parametrize("novelty", [False, True])
def test_explanations_name_the_column_that_breaks_the_relation(X, novelty):
    detector = VAEOutlierDetector(3, novelty=novelty, **FAST).fit(X)
    broken = X[:20].copy()
    broken[:, TOTAL] += 1
    assert (detector.predict(broken) == -1).all()
    features, code = detector.explain(broken)
    assert (features.argmin(axis=1) == TOTAL).all()
    assert (features[:, TOTAL] < -5).all()
    assert (np.abs(np.delete(features, TOTAL, axis=1)) < 5).all()
    assert (np.abs(code) < 5).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_rounding_and_offsets_keep_scores_of_new_rows_finite_and_alike(dtype, offset):
    rows = (table(240) + offset).astype(dtype)
    vae = VAETransformer(**FAST).fit(rows[:120])
    assert vae.module_.config.dependent_columns
    train, test = vae.score_samples(rows[:120]), vae.score_samples(rows[120:])
    assert np.isfinite(test).all()
    assert_allclose(np.median(train), np.median(test), atol=3)
    assert np.isfinite(vae.sample(10, random_state=0)).all()


def test_few_rows_and_repeated_rows_are_not_dependent():
    few = table(8)
    for rows in (few, np.repeat(few, 20, axis=0)):
        assert not VAETransformer(**FAST).fit(rows).module_.config.dependent_columns


# ---- State ---------------------------------------------------------------------------


def test_files_and_pickles_restore_dependent_columns(vae, X, tmp_path):
    vae.save(tmp_path / "vae")
    for restored in (skvae.load(tmp_path / "vae"), pickle.loads(pickle.dumps(vae))):
        assert restored.module_.config.dependent_columns
        assert np.array_equal(restored.score_samples(X), vae.score_samples(X))
        assert np.array_equal(restored.sample(3, random_state=0), vae.sample(3, random_state=0))


def test_a_detector_of_a_frame_can_be_saved(X, tmp_path):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    detector = VAEOutlierDetector(3, **FAST).fit(frame)
    detector.save(tmp_path / "detector")
    scores = skvae.load(tmp_path / "detector").score_samples(frame)
    assert np.array_equal(scores, detector.score_samples(frame))


def test_a_file_cannot_claim_dependent_columns_without_their_weights(vae, tmp_path):
    state = vae._portable_state()
    state["module_"]["config"] = {**state["module_"]["config"], "n_features": 10**6}
    with pytest.raises(ValueError, match="larger than the stored weights"):
        skvae.estimators._restored.check_state(VAETransformer, state)
    state["module_"]["weights"]["decoder.linear.weight"] = np.zeros(10**6, dtype=np.float32)
    with pytest.raises(ValueError, match="more memory than the stored weights"):
        skvae.estimators._restored.check_state(VAETransformer, state)


def test_refits_are_equal_bit_for_bit(vae, X):
    assert_same_fit(VAETransformer(**FAST).fit(X), vae)


def test_training_continues_with_the_first_relations(vae, X):
    other = X.copy()
    other[:, TOTAL] = np.random.RandomState(2).normal(size=len(X))
    for train in (
        lambda: VAETransformer(**FAST, warm_start=True).fit(X).fit(other),
        lambda: VAETransformer(**FAST).partial_fit(X).partial_fit(other),
    ):
        continued = train()
        for name in ("dependence", "is_independent", "scale", "shift"):
            expected = getattr(vae.module_.units, name)
            assert torch.equal(getattr(continued.module_.units, name), expected)


def test_a_fit_resumes_from_its_checkpoint(vae, X, tmp_path, monkeypatch):
    plain = Trainer.train_epoch

    def train_epoch(self, rows, **hooks):
        if self.n_epochs == 1:
            raise OSError("stop here")
        return plain(self, rows, **hooks)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    resumable = VAETransformer(**FAST, checkpoint=tmp_path / "run")
    with pytest.raises(OSError, match="stop here"):
        resumable.fit(X)
    monkeypatch.undo()
    assert_same_fit(resumable.fit(X), vae)
