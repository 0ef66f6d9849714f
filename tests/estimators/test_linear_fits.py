"""Estimators that start at a linear model: defaults, continued training and extreme tables."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import FactorAnalysis

import skvae
from helpers import FAST, assert_same_fit, linear_networks
from skvae import Gaussian, StudentT, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.torch_only

AT_THE_START = {"max_iter": 1, "learning_rate_init": 1e-6, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(200, 6))


def linear_path(vae):
    return vae.module_.encoder.linear.weight


# ---- Defaults ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "noise"),
    [("mlp", "row"), ("fourier_mlp", "feature"), ("conv", "feature"), (linear_networks, "feature")],
)
def test_the_automatic_likelihood_fits_the_architecture(X, architecture, noise):
    options = {"architecture": architecture, "image_shape": (2, 3), **FAST}
    options["hidden_layer_sizes"] = (4, 3)
    vae = VAETransformer(**options).fit(X)
    assert vae.module_.likelihood == StudentT(noise, df="feature")
    assert VAETransformer(**FAST).fit(X).module_.config.has_linear_path
    for novelty, expected in [(False, StudentT(floor=0.4, df=2)), (True, StudentT(noise, 0.1))]:
        detector = VAEOutlierDetector(novelty=novelty, **options).fit(X)
        assert detector.module_.likelihood == expected
        assert np.isfinite(detector.score_samples(X)).all()


def test_many_columns_have_no_linear_path_and_the_default_likelihood():
    X = np.random.RandomState(0).normal(size=(20, 513))
    vae = VAETransformer(**FAST).fit(X)
    assert not vae.module_.config.has_linear_path
    assert vae.module_.likelihood == StudentT("row", df="feature")
    assert np.isfinite(vae.score(X))


def test_the_automatic_length_depends_on_the_start(X):
    lengths = []
    for likelihood in ("gaussian", "poisson"):
        vae = VAETransformer(likelihood=likelihood, **FAST).fit(np.abs(X).round())
        vae.set_params(max_iter="auto", batch_size=10)
        lengths.append(vae._training_config(vae.module_, 6_000).max_iter)
    assert lengths == [2, 10]  # 1,120 and 5,800 steps in epochs of 600 steps


def test_detectors_train_for_at_most_60_epochs(X):
    detector = VAEOutlierDetector(**{**FAST, "max_iter": "auto"}).fit(X)
    assert detector.n_iter_ == 60


@pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop"])
def test_strong_weight_decay_keeps_the_model_linear(X, solver):
    curved = np.c_[X, X[:, :1] ** 2]
    options = {"solver": solver, "hidden_layer_sizes": (16,), "random_state": 0}
    options |= {"likelihood": Gaussian(), "max_iter": 40}
    free, strong = (VAETransformer(alpha=a, **options).fit(curved) for a in (0, 1e4))
    linear = FactorAnalysis(2).fit(curved).score(curved)
    assert strong.score(curved) < linear + 0.1
    assert free.score(curved) > strong.score(curved) + 0.3


def test_alpha_is_automatic_by_the_number_of_rows_and_columns(X):
    vae = VAETransformer(**FAST).fit(X)
    assert vae._trainer.config.alpha == pytest.approx((300 / 200) ** 2 * 6 / 20)
    wide = VAETransformer(**FAST).fit(np.random.RandomState(0).normal(size=(200, 30)))
    assert wide._trainer.config.alpha == pytest.approx((300 / 200) ** 2 * 1.5)
    assert VAETransformer(**FAST, alpha=0.7).fit(X)._trainer.config.alpha == 0.7
    poisson = VAETransformer(**FAST, likelihood="poisson").fit(np.abs(X).round())
    assert poisson._trainer.config.alpha == 0


@pytest.mark.parametrize("alpha", [-1, "none", None, np.nan])
def test_invalid_alpha_is_an_error(X, alpha):
    with pytest.raises(ValueError, match="'alpha' parameter"):
        VAETransformer(**FAST, alpha=alpha).fit(X)


# ---- Continued training --------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"likelihood": Gaussian()}, {"likelihood": StudentT(0.3)}])
def test_refits_are_equal_bit_for_bit(X, params):
    assert_same_fit(*(VAETransformer(**FAST, **params).fit(X) for _ in range(2)))


def test_training_continues_from_the_start_at_the_first_rows(X):
    other = X[::-1] * 3 + 7
    first = VAETransformer(**AT_THE_START).fit(X)
    warm = VAETransformer(**AT_THE_START, warm_start=True).fit(X).fit(other)
    partial = VAETransformer(**AT_THE_START).partial_fit(X).partial_fit(other)
    fresh = VAETransformer(**AT_THE_START).fit(other)
    for continued in (warm, partial):
        assert torch.equal(continued.module_.units.scale, first.module_.units.scale)
        torch.testing.assert_close(linear_path(continued), linear_path(first), atol=1e-4, rtol=0)
    assert not torch.equal(fresh.module_.units.scale, first.module_.units.scale)


def test_a_start_in_a_fold_of_the_rows_ignores_held_out_rows(X):
    # Early stopping holds rows out: far rows among them must not move the start.
    far = X.copy()
    options = {**AT_THE_START, "early_stopping": True}
    start = VAETransformer(**options).fit(X)
    train = VAETransformer(**options)
    rows, held_out = train._split(X, np.random.RandomState(0), skvae.training.ProcessGroup())
    far[held_out.index] += 100
    units = VAETransformer(**options).fit(far).module_.units
    assert torch.equal(units.scale, start.module_.units.scale)
    assert len(rows) == 180


# ---- Rows ----------------------------------------------------------------------------


def test_the_container_of_rows_does_not_matter(X, tmp_path):
    X = np.where(X > 0, X, 0)
    np.save(tmp_path / "X.npy", X)
    expected = VAETransformer(**FAST).fit(X)
    for same in (sparse.csr_matrix(X), np.load(tmp_path / "X.npy", mmap_mode="r")):
        assert_same_fit(VAETransformer(**FAST).fit(same), expected)


EXTREME = {
    "one row": np.ones((1, 3)) * [1, 2, 3],
    "two rows": np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 3.0]]),
    "constant": np.full((30, 4), 0.1),
    "zeros": np.zeros((30, 4)),
    "the same row": np.repeat([[0.1, 0.7, 1e6]], 30, axis=0),
    "three rows repeated": np.repeat(np.random.RandomState(1).normal(size=(3, 5)), 20, axis=0),
    "fewer rows than columns": np.random.RandomState(1).normal(size=(8, 30)),
    "binary": np.random.RandomState(1).normal(size=(60, 5)) > 0,
    "one-hot": np.eye(3)[np.random.RandomState(1).randint(3, size=60)],
    "a single value": np.eye(60)[:, :3],
    "tiny": 1e-300 * np.random.RandomState(1).normal(size=(60, 3)),
    "huge": 1e150 * np.random.RandomState(1).normal(size=(60, 3)),
    "integers": np.random.RandomState(1).randint(2**53, size=(60, 3)),
    "a far row": np.r_[np.random.RandomState(1).normal(size=(60, 3)), np.full((1, 3), 1e12)],
}


@pytest.mark.parametrize("likelihood", ["auto", Gaussian(), Gaussian("shared")], ids=str)
@pytest.mark.parametrize("name", EXTREME)
def test_extreme_tables_have_finite_results(name, likelihood, tmp_path):
    X = EXTREME[name]
    vae = VAETransformer(4, **FAST, likelihood=likelihood).fit(X)
    codes = vae.transform(X)
    for result in (codes, vae.score_samples(X), vae.inverse_transform(codes), vae.sample(9)):
        assert np.isfinite(result).all()
    vae.save(tmp_path / "vae")
    assert np.array_equal(skvae.load(tmp_path / "vae").transform(X), codes)


@pytest.mark.parametrize("novelty", [False, True])
@pytest.mark.parametrize("name", EXTREME)
def test_detectors_of_extreme_tables_have_finite_results(name, novelty):
    X = EXTREME[name]
    detector = VAEOutlierDetector(4, novelty=novelty, **FAST).fit(X)
    features, code = detector.explain(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert np.isfinite(features).all()
    assert np.isfinite(code).all()


def test_a_far_row_leaves_the_other_rows_independent():
    vae = VAETransformer(2, **FAST).fit(EXTREME["a far row"])
    assert not vae.module_.config.dependent_columns


def test_more_dimensions_than_columns_add_nothing(X):
    options = {"likelihood": Gaussian(), "hidden_layer_sizes": (), **AT_THE_START}
    few, many = (VAETransformer(k, **options).fit(X) for k in (6, 9))
    assert_allclose(many.score(X), few.score(X), atol=1e-3)
    assert_allclose(many.transform(X)[:, 6:], np.zeros((200, 3)), atol=1e-4)


def test_early_stopping_keeps_the_linear_start_where_training_only_overfits():
    X = np.random.default_rng(0).normal(size=(40, 30))
    options = {"early_stopping": True, "validation_fraction": 0.5}
    start = VAETransformer(2, **options, **AT_THE_START).fit(X)
    longer = {"alpha": 0.0, "learning_rate_init": 0.1, "max_iter": 30, "random_state": 0}
    vae = VAETransformer(2, **options, **longer).fit(X)
    assert min(vae.history_["validation_loss"]) > start.history_["validation_loss"][0]
    assert_allclose(vae.score(X), start.score(X), atol=1e-3)
