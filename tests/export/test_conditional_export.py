"""Exported estimators with condition columns."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from helpers import FAST
from skvae import VAETransformer
from skvae.export import to_onnx

pytestmark = pytest.mark.torch_only  # other tests of exports run with old versions of ONNX


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return np.column_stack([rng.normal(size=(60, 2)), rng.randint(3, size=60), rng.normal(size=60)])


@pytest.mark.parametrize(("part", "method"), [("encoder", "transform"), ("score", "score_samples")])
def test_numbers_and_categories_are_columns_of_the_input(X, part, method, tmp_path):
    kinds = {2: "categorical", 3: "numeric"}
    vae = VAETransformer(condition_columns=kinds, **FAST).fit(X)
    to_onnx(vae, tmp_path / "vae.onnx", part=part, dtype="float64")
    session = onnxruntime.InferenceSession(tmp_path / "vae.onnx")
    result = session.run(None, {"X": X})[0]
    assert_allclose(result, getattr(vae, method)(X), rtol=1e-8, atol=1e-8)


def test_conditions_are_an_input_of_the_decoder(X, tmp_path):
    vae = VAETransformer(condition_columns={3: "numeric", 2: "categorical"}, **FAST).fit(X)
    to_onnx(vae, tmp_path / "vae.onnx", part="decoder", dtype="float64")
    session = onnxruntime.InferenceSession(tmp_path / "vae.onnx")
    assert [given.name for given in session.get_inputs()] == ["Z", "conditions"]
    Z, given = vae.transform(X)[:7], X[10:17, [3, 2]]
    X_mean = session.run(["X_mean"], {"Z": Z, "conditions": given})[0]
    expected = vae.inverse_transform(Z, conditions={3: given[:, 0], 2: given[:, 1]})
    assert_allclose(X_mean, expected, rtol=1e-8, atol=1e-8)


def test_the_exposure_is_an_input_of_the_decoder(X, tmp_path):
    counts = np.random.RandomState(0).poisson(3, size=(60, 3)).astype(float)
    counts = np.column_stack([counts, counts.sum(axis=1) + 1])
    options = {"condition_columns": {3: "exposure"}, "likelihood": "poisson"}
    vae = VAETransformer(**options, **FAST).fit(counts)
    to_onnx(vae, tmp_path / "vae.onnx", part="decoder", dtype="float64")
    session = onnxruntime.InferenceSession(tmp_path / "vae.onnx")
    Z = vae.transform(counts)
    X_mean = session.run(["X_mean"], {"Z": Z, "conditions": counts[:, 3:]})[0]
    expected = vae.inverse_transform(Z, conditions={3: counts[:, 3]})
    assert_allclose(X_mean, expected, rtol=1e-8, atol=1e-8)


def test_labels_are_refused(X, tmp_path):
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(label=X[:, 2].astype(str))
    vae = VAETransformer(condition_columns=["label"], **FAST).fit(frame)
    with pytest.raises(TypeError, match=r"columns \['label'\] are no numbers"):
        to_onnx(vae, tmp_path / "vae.onnx")
