"""Estimators through pickle, joblib, skops and copies."""

import collections
import copy
import enum
import fractions
import pickle
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone

import skvae
from helpers import FAST, linear_networks
from skvae import Gaussian, TabularVAE, VAEImputer, VAETransformer
from skvae.serialization import encode_reversibly


def through_pickle(vae, tmp_path):
    return pickle.loads(pickle.dumps(vae))


def through_joblib(vae, tmp_path):
    joblib.dump(vae, tmp_path / "vae.joblib")
    return joblib.load(tmp_path / "vae.joblib")


def through_memory_map(vae, tmp_path):
    joblib.dump(vae, tmp_path / "vae.joblib")
    return joblib.load(tmp_path / "vae.joblib", mmap_mode="r")


def through_skops(vae, tmp_path):
    data = skops.io.dumps(vae)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith(("skvae.", "helpers.linear_networks")) for name in untrusted)
    return skops.io.loads(data, trusted=untrusted)


def through_copy(vae, tmp_path):
    return copy.deepcopy(vae)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"likelihood": Gaussian("row")},
        {"likelihood": Gaussian("full")},
        {"likelihood": Gaussian(0.5)},
        {"architecture": "fourier_mlp", "hidden_layer_sizes": (4, 3)},
        {"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": (4, 3)},
        {"architecture": linear_networks},
    ],
    ids=["default", "row noise", "full noise", "fixed noise", "fourier", "conv", "custom networks"],
)
@pytest.mark.parametrize(
    "round_trip",
    [through_pickle, through_joblib, through_memory_map, through_skops, through_copy],
    ids=lambda function: function.__name__,
)
def test_a_restored_estimator_gives_the_same_results(round_trip, params, blobs, tmp_path):
    vae = VAETransformer(**{**FAST, **params}).fit(blobs)
    restored = round_trip(vae, tmp_path)
    np.testing.assert_array_equal(restored.transform(blobs), vae.transform(blobs))
    np.testing.assert_array_equal(restored.score_samples(blobs), vae.score_samples(blobs))
    np.testing.assert_array_equal(restored.sample(3, random_state=0), vae.sample(3, random_state=0))
    assert restored.history_ == vae.history_
    assert restored.device_ == vae.device_


@pytest.mark.parametrize("round_trip", [through_pickle, through_memory_map, through_copy])
def test_a_restored_tabular_model_samples_and_trains_as_before(
    round_trip, mixed_vae, mixed, tmp_path
):
    restored = round_trip(mixed_vae, tmp_path)
    assert np.array_equal(restored.transform(mixed), mixed_vae.transform(mixed))
    assert np.array_equal(restored.score_samples(mixed), mixed_vae.score_samples(mixed))
    for conditions in (None, {"grade": "o"}):
        tables = (
            m.sample(20, conditions=conditions, random_state=0) for m in (restored, mixed_vae)
        )
        pd.testing.assert_frame_equal(*tables)
    assert restored.partial_fit(mixed).n_iter_ == 4


@pytest.mark.parametrize(
    "estimator", [TabularVAE(3, **FAST), VAEImputer(likelihood="mixed", **FAST)], ids=repr
)
@pytest.mark.parametrize(
    "round_trip",
    [through_pickle, through_joblib, through_memory_map, through_skops, through_copy],
    ids=lambda function: function.__name__,
)
def test_a_restored_estimator_of_tables_gives_the_same_results(
    round_trip, estimator, blobs, tmp_path
):
    frame = pd.DataFrame(blobs, columns=list("abcdef")).round(1)
    frame["category"] = pd.Categorical(["x", "y"] * (len(frame) // 2))
    frame["time"] = pd.date_range("2020", periods=len(frame), tz="UTC")
    frame.loc[::3, "category"] = None
    fitted = clone(estimator).fit(frame)
    restored = round_trip(fitted, tmp_path)
    answers = (some.transform(frame) for some in (fitted, restored))
    if isinstance(estimator, TabularVAE):
        np.testing.assert_array_equal(*answers)
        pd.testing.assert_frame_equal(
            *(some.sample(5, random_state=0) for some in (fitted, restored)), check_freq=False
        )
    else:
        pd.testing.assert_frame_equal(*answers)


def test_an_unfitted_estimator_can_be_pickled(tmp_path):
    vae = VAETransformer(3, likelihood=Gaussian("shared"))
    assert repr(through_pickle(vae, tmp_path)) == repr(vae)


def test_training_of_an_unpickled_estimator_continues(blobs, tmp_path):
    restored = through_pickle(VAETransformer(**FAST).fit(blobs), tmp_path)
    assert restored.partial_fit(blobs).n_iter_ == 4


def test_a_pickle_is_hardly_larger_than_the_weights(blobs):
    vae = VAETransformer(hidden_layer_sizes=(512, 256), max_iter=1).fit(blobs)
    n_bytes = sum(w.numel() * w.element_size() for w in vae.module_.state_dict().values())
    assert len(pickle.dumps(vae)) < 1.02 * n_bytes + 5_000


def test_a_model_from_an_unavailable_device_runs_on_the_cpu(blobs):
    vae = VAETransformer(**FAST, device="cpu").fit(blobs)
    state = vae.__getstate__()
    restored = VAETransformer.__new__(VAETransformer)
    restored.__setstate__({**state, "device": "cuda:7", "device_": "cuda:7"})
    assert restored.device_ == torch.device("cpu")
    np.testing.assert_array_equal(restored.transform(blobs), vae.transform(blobs))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_trained_on_a_gpu_is_pickled_on_the_cpu(blobs):
    vae = VAETransformer(**FAST, device="cuda").fit(blobs)
    weights = vae.__getstate__()["module_"]["weights"]
    assert all(isinstance(w, np.ndarray) for w in weights.values())
    restored = pickle.loads(pickle.dumps(vae))
    assert restored.device_.type == "cuda"
    np.testing.assert_array_equal(restored.transform(blobs), vae.transform(blobs))


# ---- Values that files cannot hold ---------------------------------------------------


class Colour(enum.IntEnum):
    RED = 1
    BLUE = 2


def fraction_frame():
    """Return a table whose second column has categories that files cannot hold."""
    halves = [fractions.Fraction(1, 2), fractions.Fraction(3, 2)]
    return pd.DataFrame({"a": np.arange(40.0), "halves": pd.Categorical(halves * 20)})


@pytest.mark.parametrize("round_trip", [through_pickle, through_joblib, through_copy])
def test_an_estimator_with_categories_of_any_type_is_pickled(round_trip, tmp_path):
    frame = fraction_frame()
    vae = TabularVAE(2, **FAST).fit(frame)
    restored = round_trip(vae, tmp_path)
    tables = [some.sample(20, random_state=0) for some in (vae, restored)]
    pd.testing.assert_frame_equal(*tables)
    assert set(map(type, tables[1]["halves"])) == {fractions.Fraction}


def test_the_error_for_a_category_names_the_category_and_the_column(tmp_path):
    vae = TabularVAE(2, **FAST).fit(fraction_frame())
    with pytest.raises(TypeError, match=r"fractions\.Fraction cannot be saved.*column 'halves'"):
        vae.save(tmp_path / "vae")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("latent_dim", Colour.BLUE, r"Colour cannot be saved.*in latent_dim"),
        ("hidden_layer_sizes", collections.UserList([4]), "UserList cannot be saved"),
        ("tol", np.longdouble(1) / 3, "longdouble cannot be saved.*in tol"),
    ],
)
def test_a_parameter_that_would_change_is_refused(name, value, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        VAETransformer(**{name: value}).save(tmp_path / "vae")


def test_a_pickle_of_a_version_without_a_parameter_gets_the_default(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    state = vae.__getstate__()
    del state["n_importance_samples"]
    restored = object.__new__(VAETransformer)
    restored.__setstate__(state)
    assert restored.get_params() == vae.get_params()
    assert restored.score(blobs) == vae.score(blobs)


def test_a_pickle_of_a_version_with_other_networks_is_a_clear_error(blobs):
    vae = VAETransformer(**FAST).fit(blobs)
    state = vae.__getstate__()
    weights = state["module_"]["weights"]
    for name in [name for name in weights if ".perceptron." in name]:
        weights[name.replace(".perceptron", "")] = weights.pop(name)
    with pytest.raises(ValueError, match=r"another version of skvae.*Fit the estimator again"):
        VAETransformer().__setstate__(state)


def test_attributes_of_the_user_are_pickled_but_not_saved(blobs, tmp_path):
    vae = VAETransformer(**FAST).fit(blobs)
    vae.note = "mine"
    assert through_pickle(vae, tmp_path).note == "mine"
    with pytest.raises(TypeError, match="attribute 'note' cannot be saved"):
        vae.save(tmp_path / "vae")


class OwnVAE(VAETransformer):
    """Estimator with a further parameter and further attributes."""

    def __init__(self, latent_dim=2, *, threshold=0.5, max_iter=3):
        super().__init__(latent_dim, max_iter=max_iter, hidden_layer_sizes=(4,), random_state=0)
        self.threshold = threshold

    def _after_training(self, X, *, reset):
        self.mean_, self._n_seen = X.mean(axis=0), len(X)


def test_attributes_that_the_methods_of_a_custom_class_assign_are_saved(blobs, tmp_path):
    vae = OwnVAE(threshold=0.7).fit(blobs)
    vae.save(tmp_path / "vae")
    loaded = skvae.load(tmp_path / "vae", estimator_class=OwnVAE)
    assert (loaded.threshold, loaded._n_seen) == (0.7, len(blobs))
    np.testing.assert_array_equal(loaded.mean_, vae.mean_)


def test_weights_are_not_copied_for_the_comparison(blobs):
    vae = VAETransformer(hidden_layer_sizes=(512, 512), max_iter=1).fit(blobs)
    state = vae._portable_state()
    weights = state["module_"]["weights"]
    tracemalloc.start()
    _, arrays = encode_reversibly(state)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(array is weights["encoder.perceptron.2.weight"] for array in arrays.values())
    assert peak < weights["encoder.perceptron.2.weight"].nbytes / 2
