"""Many fits and answers at once: in threads and processes, each is what it is alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from torch import nn

from helpers import FAST, dropout_networks, unchanged_random_states
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.utils import autocast, init_threads, single_thread

pytestmark = pytest.mark.torch_only

PARAMS = {**FAST, "batch_size": 16}
N_THREADS = 4


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=(60, 6))


@pytest.fixture(scope="module")
def X_missing(X):
    return np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.2, np.nan, X)


def at_once(calls):
    """Return what the calls give when all of them begin at the same time, each in a thread."""
    barrier = threading.Barrier(len(calls))

    def wait_and_call(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(wait_and_call, c) for c in calls]]


def answers(estimator, X):
    """Return what the fitted estimator says of X, by method."""
    methods = ["transform", "reconstruct", "score_samples", "decision_function"]
    given = {name: getattr(estimator, name)(X) for name in methods if hasattr(estimator, name)}
    given["mean"], given["std"] = estimator.encode(X)
    if isinstance(estimator, VAEOutlierDetector):
        given["features"], given["code"] = estimator.explain(X)
    if isinstance(estimator, VAEImputer):
        return {**given, "sample": estimator.sample_imputations(X, 2, random_state=0)}
    return {**given, "sample": estimator.sample(5, random_state=0)}


def assert_same_bits(given, expected):
    assert given.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, pd.DataFrame):
            pd.testing.assert_frame_equal(given[name], values, check_exact=True)
        else:
            np.testing.assert_array_equal(given[name], values, err_msg=name)


ESTIMATORS = {
    "transformer": VAETransformer(2, **PARAMS),
    "early stopping": VAETransformer(2, early_stopping=True, **PARAMS),
    "own networks": VAETransformer(2, architecture=dropout_networks, **PARAMS),
    "convolution": VAETransformer(
        2, architecture="conv", image_shape=(2, 3), **{**PARAMS, "hidden_layer_sizes": (4, 8)}
    ),
    "detector": VAEOutlierDetector(2, **PARAMS),
    "imputer": VAEImputer(2, n_importance_samples=10, **PARAMS),
    "tabular": TabularVAE(2, **PARAMS),
}


def data_for(name, X, X_missing):
    if name == "tabular":
        return (
            pd.DataFrame(X.round(1))
            .astype({0: "str", 1: "category"})
            .set_axis(list("abcdef"), axis=1)
        )
    return X_missing if name == "imputer" else X


def fit_and_answer(estimator, X):
    return answers(clone(estimator).fit(X), X)


# ---- Threads -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fits_and_answers_in_threads_are_those_of_one_after_the_other(
    name, X, X_missing, two_threads
):
    data = data_for(name, X, X_missing)
    estimators = [clone(ESTIMATORS[name]).set_params(random_state=i) for i in range(N_THREADS)]
    expected = [fit_and_answer(estimator, data) for estimator in estimators]
    together = at_once([lambda e=e: fit_and_answer(e, data) for e in estimators])
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_fitted_model_answers_many_threads_at_once(name, X, X_missing, two_threads):
    data = data_for(name, X, X_missing)
    fitted = clone(ESTIMATORS[name]).fit(data)
    expected = answers(fitted, data)
    for given in at_once([lambda: answers(fitted, data)] * N_THREADS):
        assert_same_bits(given, expected)


def test_joblibs_threads_give_the_bits_of_a_loop(X):
    vaes = [VAETransformer(k, **PARAMS) for k in (1, 2, 3)]
    expected = [fit_and_answer(vae, X) for vae in vaes]
    together = Parallel(n_jobs=3, backend="threading")(delayed(fit_and_answer)(v, X) for v in vaes)
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


def test_fits_in_threads_leave_torchs_global_state_as_it_was(X, two_threads):
    n_threads = torch.get_num_threads()
    vaes = [clone(ESTIMATORS["own networks"]).set_params(random_state=i) for i in range(N_THREADS)]
    with unchanged_random_states():
        at_once([lambda v=v: v.fit(X) for v in vaes])
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == n_threads


def test_thread_that_begins_during_small_steps_of_another_has_all_of_torchs_threads(two_threads):
    small_steps, begun = threading.Event(), threading.Event()

    def begin():
        small_steps.wait()
        n_threads = torch.get_num_threads()
        begun.set()
        return n_threads

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(begin)
        with single_thread():
            assert torch.get_num_threads() == 1
            small_steps.set()
            begun.wait()
        assert future.result() == 2
        assert pool.submit(torch.get_num_threads).result() == 2


def test_threads_that_keep_to_themselves_at_once_get_their_numbers_back(two_threads):
    def numbers():
        init_threads()
        before = torch.get_num_threads()
        for _ in range(50):
            with single_thread():
                inside = torch.get_num_threads()
                time.sleep(1e-4)
        return before, inside, torch.get_num_threads()

    assert at_once([numbers] * N_THREADS) == [(2, 1, 2)] * N_THREADS


class Counted(nn.Linear):
    """A layer that notes how many threads torch uses in it."""

    noted: ClassVar[set[int]] = set()

    def forward(self, x):
        if len(x) > 2:  # not the rows by which a module checks the networks
            self.noted.add(torch.get_num_threads())
        return super().forward(x)


def counted_networks(n_features, latent_dim, n_outputs):
    return Counted(n_features, 2 * latent_dim), Counted(latent_dim, n_outputs)


def test_small_fits_and_answers_keep_to_the_calling_thread(X, two_threads, monkeypatch):
    def cholesky(matrix):
        Counted.noted.add(torch.get_num_threads())
        return torch.linalg.cholesky_ex(matrix).L

    monkeypatch.setattr(torch.linalg, "cholesky", cholesky)
    vae = VAETransformer(2, architecture=counted_networks, early_stopping=True, **PARAMS)
    Counted.noted.clear()
    answers(vae.fit(X), X)
    assert Counted.noted == {1}


def test_cudnn_stays_reproducible_until_the_last_thread_leaves():
    cuda, cudnn = torch.device("cuda"), torch.backends.cudnn
    before = cudnn.deterministic
    entered, leave = threading.Event(), threading.Event()

    def first():
        with autocast(cuda, torch.float32):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with autocast(cuda, torch.float32):
        leave.set()
        thread.join()
        assert cudnn.deterministic
    assert cudnn.deterministic == before


# ---- Processes -----------------------------------------------------------------------


def test_processes_give_the_bits_of_a_loop(X, X_missing):
    jobs = [(e, data_for(name, X, X_missing)) for name, e in ESTIMATORS.items()]
    # Networks that this module defines would need this module over there.
    jobs = [(e, data) for e, data in jobs if not callable(e.get_params().get("architecture"))]
    expected = [fit_and_answer(*job) for job in jobs]
    together = Parallel(n_jobs=2, backend="loky")(delayed(fit_and_answer)(*job) for job in jobs)
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


def test_model_fitted_in_a_process_answers_here_as_it_did_there(X):
    def fit(vae):
        return vae.fit(X), vae.score_samples(X)

    jobs = [VAETransformer(k, **PARAMS) for k in (1, 2)]
    for vae, scores in Parallel(n_jobs=2, backend="loky")(delayed(fit)(vae) for vae in jobs):
        np.testing.assert_array_equal(vae.score_samples(X), scores)
