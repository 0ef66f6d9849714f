"""Estimators that are stored and come back."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone

from helpers import FAST, linear_networks
from skvae import Gaussian, TabularVAE, VAEImputer, VAETransformer


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
        {"likelihood": Gaussian(0.5)},
        {"architecture": "fourier_mlp", "hidden_layer_sizes": (4, 3)},
        {"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": (4, 3)},
        {"architecture": linear_networks},
    ],
    ids=["default", "row noise", "fixed noise", "fourier", "conv", "own networks"],
)
@pytest.mark.parametrize(
    "there_and_back",
    [through_pickle, through_joblib, through_memory_map, through_skops, through_copy],
    ids=lambda function: function.__name__,
)
def test_a_stored_estimator_answers_the_same(there_and_back, params, blobs, tmp_path):
    vae = VAETransformer(**{**FAST, **params}).fit(blobs)
    back = there_and_back(vae, tmp_path)
    np.testing.assert_array_equal(back.transform(blobs), vae.transform(blobs))
    np.testing.assert_array_equal(back.score_samples(blobs), vae.score_samples(blobs))
    np.testing.assert_array_equal(back.sample(3, random_state=0), vae.sample(3, random_state=0))
    assert back.history_ == vae.history_
    assert back.device_ == vae.device_


@pytest.mark.parametrize("there_and_back", [through_pickle, through_memory_map, through_copy])
def test_a_stored_model_of_a_table_draws_and_trains_the_same(
    there_and_back, mixed_vae, mixed, tmp_path
):
    back = there_and_back(mixed_vae, tmp_path)
    assert np.array_equal(back.transform(mixed), mixed_vae.transform(mixed))
    assert np.array_equal(back.score_samples(mixed), mixed_vae.score_samples(mixed))
    for conditions in (None, {"grade": "o"}):
        tables = (m.sample(20, conditions=conditions, random_state=0) for m in (back, mixed_vae))
        pd.testing.assert_frame_equal(*tables)
    assert back.partial_fit(mixed).n_iter_ == 4


@pytest.mark.parametrize(
    "estimator", [TabularVAE(3, **FAST), VAEImputer(likelihood="mixed", **FAST)], ids=repr
)
@pytest.mark.parametrize(
    "there_and_back",
    [through_pickle, through_joblib, through_memory_map, through_skops, through_copy],
    ids=lambda function: function.__name__,
)
def test_a_stored_estimator_of_tables_answers_the_same(there_and_back, estimator, blobs, tmp_path):
    frame = pd.DataFrame(blobs, columns=list("abcdef")).round(1)
    frame["category"] = pd.Categorical(["x", "y"] * (len(frame) // 2))
    frame["time"] = pd.date_range("2020", periods=len(frame), tz="UTC")
    frame.loc[::3, "category"] = None
    fitted = clone(estimator).fit(frame)
    back = there_and_back(fitted, tmp_path)
    answers = (some.transform(frame) for some in (fitted, back))
    if isinstance(estimator, TabularVAE):
        np.testing.assert_array_equal(*answers)
        pd.testing.assert_frame_equal(
            *(some.sample(5, random_state=0) for some in (fitted, back)), check_freq=False
        )
    else:
        pd.testing.assert_frame_equal(*answers)


def test_an_unfitted_estimator_can_be_stored(tmp_path):
    vae = VAETransformer(3, likelihood=Gaussian("shared"))
    assert repr(through_pickle(vae, tmp_path)) == repr(vae)


def test_a_loaded_estimator_trains_on(blobs, tmp_path):
    back = through_pickle(VAETransformer(**FAST).fit(blobs), tmp_path)
    assert back.partial_fit(blobs).n_iter_ == 4


def test_a_pickle_is_little_more_than_the_weights(blobs):
    vae = VAETransformer(hidden_layer_sizes=(512, 256), max_iter=1).fit(blobs)
    n_bytes = sum(w.numel() * w.element_size() for w in vae.module_.state_dict().values())
    assert len(pickle.dumps(vae)) < 1.02 * n_bytes + 5_000


def test_a_model_from_a_device_that_is_not_here_runs_on_the_cpu(blobs):
    vae = VAETransformer(**FAST, device="cpu").fit(blobs)
    state = vae.__getstate__()
    back = VAETransformer.__new__(VAETransformer)
    back.__setstate__({**state, "device": "cuda:7", "device_": "cuda:7"})
    assert back.device_ == torch.device("cpu")
    np.testing.assert_array_equal(back.transform(blobs), vae.transform(blobs))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_trained_on_a_gpu_is_stored_on_the_cpu(blobs):
    vae = VAETransformer(**FAST, device="cuda").fit(blobs)
    weights = vae.__getstate__()["module_"]["weights"]
    assert all(isinstance(w, np.ndarray) for w in weights.values())
    back = pickle.loads(pickle.dumps(vae))
    assert back.device_.type == "cuda"
    np.testing.assert_array_equal(back.transform(blobs), vae.transform(blobs))
