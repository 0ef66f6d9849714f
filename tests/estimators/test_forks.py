"""Fits, loads and answers in forked processes, after and during fits in the parent."""

import copy
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone

import skvae
from helpers import FAST, FAST_TABULAR, dropout_networks
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = [
    pytest.mark.torch_only,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot fork after threads"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

RNG = np.random.RandomState(0)
X, LARGE = RNG.normal(size=(40, 4)), RNG.normal(size=(400, 64))
MISSING = np.where(RNG.uniform(size=X.shape) < 0.2, np.nan, X)
FRAME = pd.DataFrame({"a": X[:, 0], "b": ["x", "y"] * 20})
WIDE = {**FAST, "hidden_layer_sizes": (400, 400), "max_iter": 1, "batch_size": 200}
CONV = {**FAST, "max_iter": 1, "architecture": "conv", "image_shape": (8, 8)}
CONV["hidden_layer_sizes"] = (8, 8)
MODELS = {
    "transformer": (VAETransformer(2, early_stopping=True, **FAST), X),
    "large networks": (VAETransformer(2, **WIDE), LARGE),
    "convolution": (VAETransformer(2, **CONV), LARGE),
    "bfloat16": (VAETransformer(2, precision="bfloat16", **FAST), X),
    "custom networks": (VAETransformer(2, architecture=dropout_networks, **FAST), X),
    "detector": (VAEOutlierDetector(2, **FAST), X),
    "imputer": (VAEImputer(2, n_importance_samples=4, **FAST), MISSING),
    "mixed imputer": (VAEImputer(2, likelihood="mixed", **FAST), FRAME.assign(a=MISSING[:, 0])),
    "tabular": (TabularVAE(**FAST_TABULAR), FRAME),
}


@pytest.fixture(autouse=True)
def threads_at_work(two_threads):
    """Let torch start the threads that do not survive a fork."""
    torch.ones(10**6).exp()


def run_in_child(function):
    """Run a function in a forked process, and fail if the function fails or never ends."""
    if not (pid := os.fork()):
        signal.alarm(120)  # ends a process that waits forever
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def answers_of(model, data):
    methods = ["transform", "score_samples", "reconstruct", "predict", "decision_function"]
    answers = [getattr(model, name)(data) for name in methods if hasattr(model, name)]
    if isinstance(model, VAEImputer):
        return [*answers, *model.sample_imputations(data, 2, random_state=0)]
    return [*answers, model.sample(5, random_state=0)]


def assert_close(answers, expected, *, exact):
    for given, values in zip(answers, expected, strict=True):
        if isinstance(values, pd.DataFrame):
            pd.testing.assert_frame_equal(given, values)
        elif exact:
            np.testing.assert_array_equal(given, values)
        else:  # sums in another order
            np.testing.assert_allclose(given, values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_everything_works_in_a_forked_process(name, tmp_path):
    unfitted, data = MODELS[name]
    model = clone(unfitted).fit(data)
    answers, pickled = answers_of(model, data), pickle.dumps(model)
    model.save(tmp_path / "model")
    is_custom = name == "custom networks"
    parameters = {"architecture": dropout_networks} if is_custom else {}
    # The steps of large networks have two threads in the parent, and one in the child.
    exact = name not in ("large networks", "convolution")

    def use_everything():
        copies = [pickle.loads(pickled), skvae.load(tmp_path / "model", **parameters)]
        for fitted in (model, copy.deepcopy(model), *copies):
            assert_close(answers_of(fitted, data), answers, exact=exact)
        if exact:
            assert_close(answers_of(clone(unfitted).fit(data), data), answers, exact=True)
        clone(unfitted).fit(data).partial_fit(data).save(tmp_path / "other")
        assert torch.get_num_threads() == 2

    run_in_child(use_everything)


def _score(model):
    return model.score(X)


def _fit(random_state):
    return VAETransformer(2, **{**FAST, "random_state": random_state}).fit(X)


def test_pools_fit_and_answer():
    expected = [_fit(seed) for seed in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        fitted = pool.map_async(_fit, range(3)).get(timeout=120)
        scores = pool.map_async(_score, expected).get(timeout=120)
    assert scores == [_score(model) for model in expected]
    assert [_score(model) for model in fitted] == scores


def test_processes_of_joblib_fit_and_answer():
    expected = [_fit(seed) for seed in range(3)]
    parallel = Parallel(n_jobs=2, backend="multiprocessing", timeout=120)
    assert parallel(delayed(_score)(model) for model in expected) == [*map(_score, expected)]
    assert [_score(model) for model in parallel(delayed(_fit)(seed) for seed in range(3))] == [
        *map(_score, expected)
    ]


@pytest.mark.parametrize("name", ["transformer", "convolution", "bfloat16", "custom networks"])
def test_a_fork_during_a_fit_in_another_thread(name):
    unfitted, data = MODELS[name]
    end, begun = threading.Event(), threading.Event()

    def fit_and_transform():
        clone(unfitted).fit(data).transform(data)

    def fit_again_and_again():
        while not end.is_set():
            fit_and_transform()
            begun.set()

    thread = threading.Thread(target=fit_again_and_again)
    thread.start()
    try:
        assert begun.wait(timeout=60)
        for _ in range(5):
            run_in_child(fit_and_transform)
    finally:
        end.set()
        thread.join()
