"""Ctrl-C at any moment of a call."""

import random
import signal
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from helpers import FAST, FAST_TABULAR, same_weights
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.utils import _interrupts

pytestmark = pytest.mark.torch_only

X = np.random.RandomState(0).normal(size=(40, 4))
MISSING = np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.2, np.nan, X)
FRAME = pd.DataFrame({"a": X[:, 0], "b": ["x", "y"] * 20})
MODELS = {
    "transformer": (VAETransformer(2, early_stopping=True, **FAST), X),
    "bfloat16": (VAETransformer(2, precision="bfloat16", **FAST), X),
    "detector": (VAEOutlierDetector(2, **FAST), X),
    "imputer": (VAEImputer(2, n_importance_samples=4, **FAST), MISSING),
    "tabular": (TabularVAE(**FAST_TABULAR), FRAME),
}
CALLS = {
    "fit": lambda model, data: model.fit(data),
    "partial_fit": lambda model, data: model.partial_fit(data),
    "transform": lambda model, data: model.transform(data),
    "score": lambda model, data: model.score(data),
    "sample": lambda model, data: model.sample(5),
}
# Files with code that changes settings of torch, or restores them.
_PLACES = ("contextlib", "grad_mode", "autocast_mode", "_contextlib", "threading", "_threads")


@pytest.fixture
def live_thread():
    """Another thread, as in a notebook."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


class CtrlC:
    """Press Ctrl-C once, in front of one of the instructions of files that change settings."""

    def __init__(self, position):
        self.position = position
        self.n_instructions = 0

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.removesuffix(".py").endswith(_PLACES):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.n_instructions += 1
            if self.n_instructions == self.position:
                signal.raise_signal(signal.SIGINT)
        return self

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *error):
        sys.settrace(self._before)


def settings():
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_device(),
        signal.getsignal(signal.SIGINT),
    )


def interrupt(call, position):
    """Return whether KeyboardInterrupt left the call."""
    try:
        with CtrlC(position):
            call()
    except KeyboardInterrupt:
        return True
    return False


def number_of_instructions(call):
    with CtrlC(0) as counter:
        call()
    return counter.n_instructions


@pytest.mark.parametrize("on_interrupt", ["raise", "keep"])
@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_fit_changes_no_settings_and_loses_no_model(
    name, on_interrupt, two_threads, live_thread, interruptible
):
    unfitted, data = MODELS[name]
    model = clone(unfitted).set_params(on_interrupt=on_interrupt).fit(data)
    n_instructions = number_of_instructions(lambda: clone(model).fit(data))
    rng, before = random.Random(0), settings()
    n_raised = 0
    for _ in range(8):
        attributes, module = vars(model).copy(), model.module_
        with warnings.catch_warnings(action="ignore"):  # that training was interrupted
            n_raised += interrupt(lambda: model.fit(data), rng.randint(1, n_instructions))
        assert settings() == before
        assert vars(model).keys() == attributes.keys()
        if on_interrupt == "raise" and model.module_ is module:
            assert vars(model) == attributes
        model.score(data)
    assert n_raised > (5 if on_interrupt == "raise" else -1)


@pytest.mark.parametrize("call", ["partial_fit", "transform", "score", "sample"])
def test_interrupted_calls_change_no_settings_and_no_model(
    call, two_threads, live_thread, interruptible
):
    unfitted, data = MODELS["transformer"]
    model = clone(unfitted).fit(data)
    n_instructions = number_of_instructions(lambda: CALLS[call](model, data))
    rng, before = random.Random(0), settings()
    for _ in range(15):
        expected = model.transform(data)
        n_epochs = model.n_iter_
        assert interrupt(lambda: CALLS[call](model, data), rng.randint(1, n_instructions))
        assert settings() == before
        if model.n_iter_ == n_epochs:
            np.testing.assert_array_equal(model.transform(data), expected)


def test_a_second_interrupt_in_a_step_restores_threads(two_threads, interruptible, monkeypatch):
    """Ctrl-C again, in a step that does not end, raises within the step."""
    monkeypatch.setattr(_interrupts, "_PATIENCE", -1)

    class Stuck(torch.nn.Linear):
        def forward(self, x):
            if self.training and len(x) > 2:  # the check of custom networks passes 2 rows
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError
            return super().forward(x)

    def networks(n_features, latent_dim, n_outputs):
        return Stuck(n_features, 2 * latent_dim), torch.nn.Linear(latent_dim, n_outputs)

    before, state = settings(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        VAETransformer(2, architecture=networks, **FAST).fit(X)
    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)


class PressAfterTraining(VAEOutlierDetector):
    def _after_training(self, X, *, reset):
        signal.raise_signal(signal.SIGINT)
        super()._after_training(X, reset=reset)


@pytest.mark.parametrize("on_interrupt", ["raise", "keep"])
def test_an_interrupt_after_training_keeps_the_model_if_the_user_wants(on_interrupt, interruptible):
    model = PressAfterTraining(2, on_interrupt=on_interrupt, **FAST)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert hasattr(model, "module_") is (on_interrupt == "keep")
    if on_interrupt == "keep":
        expected = VAEOutlierDetector(2, **FAST).fit(X)
        assert same_weights(model.module_, expected.module_)
        assert model.offset_ == expected.offset_
