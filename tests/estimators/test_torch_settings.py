"""Models and answers do not depend on the settings of torch and NumPy around a call."""

import contextlib
import copy
import decimal
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch.overrides import TorchFunctionMode

import skvae
from helpers import FAST, FAST_TABULAR, run_python, same_weights
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.torch_only

X = np.random.RandomState(0).normal(size=(40, 4))
MISSING = np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.2, np.nan, X)
FRAME = pd.DataFrame(X.round(1), columns=list("abcd")).astype({"a": str, "b": "category"})
CONV = {**FAST, "architecture": "conv", "image_shape": (2, 2), "hidden_layer_sizes": (4, 8)}
MODELS = {
    "transformer": (VAETransformer(2, early_stopping=True, **FAST), X),
    "fourier": (
        VAETransformer(
            2,
            architecture="fourier_mlp",
            likelihood="negative_binomial",
            solver="rmsprop",
            **FAST,
        ),
        np.exp(X).astype(int),
    ),
    "convolution": (VAETransformer(2, precision="float32", **CONV), X),
    "bfloat16": (VAETransformer(2, precision="bfloat16", **FAST), X),
    "detector": (VAEOutlierDetector(2, **FAST), X),
    "imputer": (VAEImputer(2, n_importance_samples=4, **FAST), MISSING),
    "mixed imputer": (
        VAEImputer(2, likelihood="mixed", **FAST),
        FRAME.mask(FRAME.iloc[0] == FRAME),
    ),
    "tabular": (TabularVAE(**FAST_TABULAR), FRAME),
}


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def detect_anomaly():
    with pytest.warns(UserWarning, match="Anomaly"), torch.autograd.detect_anomaly():
        yield


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs
        yield


@contextlib.contextmanager
def few_decimals():
    with decimal.localcontext(prec=3) as context:
        context.traps[decimal.Inexact] = True
        yield


class PassingMode(TorchFunctionMode):
    """A mode of the user, as profilers have."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


SETTINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "default device": lambda: default_device("meta"),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic_algorithms,
    "anomaly": detect_anomaly,
    "function mode": PassingMode,
    "NumPy errors": lambda: np.errstate(all="raise"),
    "warnings": warnings_as_errors,
    "decimals": few_decimals,
}


def main_results_of(model, data):
    methods = ["transform", "score_samples", "predict"]
    return [getattr(model, name)(data) for name in methods if hasattr(model, name)]


def results_of(model, data):
    results = [*main_results_of(model, data), *model.encode(data)]
    if hasattr(model, "reconstruct"):
        results.append(model.reconstruct(data))
    if isinstance(model, VAEOutlierDetector):
        results += model.explain(data)
    if isinstance(model, VAEImputer):
        results += list(model.sample_imputations(data, 2, random_state=0))
    else:
        results.append(model.sample(5, random_state=0))
    if isinstance(model, TabularVAE):
        results.append(model.sample(5, conditions={"b": data["b"][0]}, random_state=0))
    return results


def use(model, data, path):
    """Return the module and the results of each method, of a model that is fitted here."""
    model = clone(model).fit(data)
    model.save(path)
    copies = skvae.load(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    results = results_of(model, data)
    main_results = main_results_of(model, data)
    for other in copies:
        assert_equal(main_results_of(other, data), main_results)
    model.partial_fit(data)
    return [model, *copies], [*results, *results_of(model, data)]


def assert_equal(results, expected):
    assert len(results) == len(expected)
    for given, values in zip(results, expected, strict=True):
        if isinstance(values, pd.DataFrame):
            pd.testing.assert_frame_equal(given, values, check_exact=True)
        else:
            np.testing.assert_array_equal(given, values)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = tmp_path_factory.mktemp("usual") / "model"
    return {name: use(model, data, path) for name, (model, data) in MODELS.items()}


# All settings for two models, and for the others the settings that are most likely to matter.
PAIRS = [
    (name, setting)
    for name in MODELS
    for setting in SETTINGS
    if name in ("transformer", "tabular")
    or setting in ("inference_mode", "float64", "float16", "device", "autocast")
    or (name, setting) == ("convolution", "deterministic")
]


@pytest.mark.parametrize(("name", "setting"), PAIRS)
def test_models_and_answers_are_as_usual(name, setting, expected, tmp_path):
    model, data = MODELS[name]
    with SETTINGS[setting]():
        models, results = use(model, data, tmp_path / "model")
    usual_models, usual_results = expected[name]
    assert_equal(results, usual_results)
    for given, usual in zip(models, usual_models, strict=True):
        assert same_weights(given.module_, usual.module_)
        assert {p.dtype for p in given.module_.parameters()} == {torch.float32}
        tensors = given.module_.state_dict().values()
        assert not any(tensor.is_inference() or tensor.is_meta for tensor in tensors)


@pytest.mark.parametrize("name", ["transformer", "tabular"])
def test_training_continues_after_a_fit_in_inference_mode(name):
    model, data = MODELS[name]
    with torch.inference_mode():
        model = clone(model).set_params(warm_start=True).fit(data)
    model.fit(data).partial_fit(data)


class CachingNetwork(torch.nn.Linear):
    """A network that keeps a tensor from inference, as embeddings of positions do."""

    def forward(self, x):
        if not hasattr(self, "factor"):
            self.factor = 1 + 0 * self.weight.sum().detach()
        return super().forward(x) * self.factor


def caching_networks(n_features, latent_dim, n_outputs):
    return CachingNetwork(n_features, 2 * latent_dim), CachingNetwork(latent_dim, n_outputs)


def test_networks_can_train_with_tensors_that_they_keep_from_inference():
    model = VAETransformer(2, architecture=caching_networks, **FAST).fit(X)
    for network in (model.module_.encoder, model.module_.decoder):
        del network.factor
    model.transform(X.astype(np.float32))
    model.reconstruct(X.astype(np.float32))
    model.partial_fit(X)


def test_fits_import_no_large_modules():
    """A module that Ctrl-C leaves half imported breaks later fits, and imports take long."""
    program = """
import sys, warnings
import numpy as np, pandas as pd
import skvae.columns
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

before = set(sys.modules)
X = np.random.RandomState(0).normal(size=(20, 4))
frame = pd.DataFrame({"a": X[:, 0], "b": ["x", "y"] * 10})
for solver in ("adam", "adamw", "rmsprop"):
    VAETransformer(solver=solver, max_iter=1).fit(X).partial_fit(X)
for likelihood in ("gaussian", "student_t"):
    VAETransformer(likelihood=likelihood, max_iter=1).fit(X).sample(3)
for likelihood in ("bernoulli", "continuous_bernoulli", "poisson", "negative_binomial"):
    VAETransformer(likelihood=likelihood, max_iter=1).fit(X > 0).sample(3)
VAETransformer(architecture="fourier_mlp", early_stopping=True, max_iter=1).fit(X).transform(X)
conv = VAETransformer(architecture="conv", image_shape=(2, 2), precision="float32", max_iter=1)
conv.fit(X).score(X)
VAEOutlierDetector(max_iter=1).fit(X).explain(X)
VAEImputer(max_iter=1).fit(np.where(X > 1, np.nan, X)).sample_imputations(X)
VAEImputer(likelihood="mixed", max_iter=1).fit(frame).transform(frame)
TabularVAE(max_iter=1).fit(frame).sample(conditions={"b": "x"})
roots = ("mpmath", "scipy", "skvae", "sympy", "torch")
print(sorted(name for name in set(sys.modules) - before if name.startswith(roots)))
# Nor does the package: torch._dynamo would take over a second.
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    # A small module of torch for contexts of devices.
    during_fits, at_all = run_python(program).stdout.splitlines()
    assert during_fits in ("[]", "['torch.utils._device']")
    assert at_all == "[]"
