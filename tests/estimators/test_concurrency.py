"""Parallel fits and predictions, in threads and processes, equal sequential ones bit for bit."""

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
from skvae.utils import deterministic_kernels, init_threads, single_thread

pytestmark = pytest.mark.torch_only

PARAMS = {**FAST, "batch_size": 16}
N_THREADS = 3


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=(60, 6))


@pytest.fixture(scope="module")
def X_missing(X):
    return np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.2, np.nan, X)


def run_in_parallel(calls):
    """Start all calls at the same time, each in a thread, and return their results."""
    barrier = threading.Barrier(len(calls))

    def wait_and_call(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(wait_and_call, c) for c in calls]]


def results_of(estimator, X):
    """Return the results of a fitted estimator for X, by method."""
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
    "custom networks": VAETransformer(2, architecture=dropout_networks, **PARAMS),
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


def fit_and_evaluate(estimator, X):
    return results_of(clone(estimator).fit(X), X)


# ---- Threads -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESTIMATORS)
def test_parallel_fits_in_threads_equal_sequential_fits(name, X, X_missing, two_threads):
    data = data_for(name, X, X_missing)
    estimators = [clone(ESTIMATORS[name]).set_params(random_state=i) for i in range(N_THREADS)]
    expected = [fit_and_evaluate(estimator, data) for estimator in estimators]
    together = run_in_parallel([lambda e=e: fit_and_evaluate(e, data) for e in estimators])
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fitted_model_can_be_used_in_several_threads(name, X, X_missing, two_threads):
    data = data_for(name, X, X_missing)
    fitted = clone(ESTIMATORS[name]).fit(data)
    expected = results_of(fitted, data)
    for given in run_in_parallel([lambda: results_of(fitted, data)] * N_THREADS):
        assert_same_bits(given, expected)


def test_threads_of_joblib_equal_a_loop_bit_for_bit(X):
    vaes = [VAETransformer(k, **PARAMS) for k in (1, 2, 3)]
    expected = [fit_and_evaluate(vae, X) for vae in vaes]
    together = Parallel(n_jobs=3, backend="threading")(
        delayed(fit_and_evaluate)(v, X) for v in vaes
    )
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


def test_fits_in_threads_leave_the_global_state_of_torch_unchanged(X, two_threads):
    n_threads = torch.get_num_threads()
    vaes = [
        clone(ESTIMATORS["custom networks"]).set_params(random_state=i) for i in range(N_THREADS)
    ]
    with unchanged_random_states():
        run_in_parallel([lambda v=v: v.fit(X) for v in vaes])
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == n_threads


def test_a_new_thread_has_all_threads_of_torch_during_small_steps_elsewhere(two_threads):
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


def test_parallel_single_threaded_blocks_restore_the_number_of_threads(two_threads):
    def numbers():
        init_threads()
        before = torch.get_num_threads()
        for _ in range(50):
            with single_thread():
                inside = torch.get_num_threads()
                time.sleep(1e-4)
        return before, inside, torch.get_num_threads()

    assert run_in_parallel([numbers] * N_THREADS) == [(2, 1, 2)] * N_THREADS


class CountingLinear(nn.Linear):
    """Layer that records how many threads torch uses."""

    n_threads: ClassVar[set[int]] = set()

    def forward(self, x):
        if len(x) > 2:  # the check of custom networks passes 2 rows
            self.n_threads.add(torch.get_num_threads())
        return super().forward(x)


def counting_networks(n_features, latent_dim, n_outputs):
    return CountingLinear(n_features, 2 * latent_dim), CountingLinear(latent_dim, n_outputs)


def test_small_fits_use_a_single_thread(X, two_threads, monkeypatch):
    def cholesky(matrix):
        CountingLinear.n_threads.add(torch.get_num_threads())
        return torch.linalg.cholesky_ex(matrix).L

    monkeypatch.setattr(torch.linalg, "cholesky", cholesky)
    vae = VAETransformer(2, architecture=counting_networks, early_stopping=True, **PARAMS)
    CountingLinear.n_threads.clear()
    results_of(vae.fit(X), X)
    assert CountingLinear.n_threads == {1}


def test_cudnn_stays_reproducible_until_the_last_thread_leaves():
    cuda, cudnn = torch.device("cuda"), torch.backends.cudnn
    before = cudnn.deterministic
    entered, leave = threading.Event(), threading.Event()

    def first():
        with deterministic_kernels(cuda):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with deterministic_kernels(cuda):
        leave.set()
        thread.join()
        assert cudnn.deterministic
    assert cudnn.deterministic == before


# ---- Processes -----------------------------------------------------------------------


def test_processes_of_joblib_equal_a_loop_bit_for_bit(X, X_missing):
    jobs = [(e, data_for(name, X, X_missing)) for name, e in ESTIMATORS.items()]
    # Networks that this module defines would need this module over there.
    jobs = [(e, data) for e, data in jobs if not callable(e.get_params().get("architecture"))]
    expected = [fit_and_evaluate(*job) for job in jobs]
    together = Parallel(n_jobs=2, backend="loky")(delayed(fit_and_evaluate)(*job) for job in jobs)
    for given, alone in zip(together, expected, strict=True):
        assert_same_bits(given, alone)


def test_a_model_fitted_in_another_process_gives_the_same_scores(X):
    def fit(vae):
        return vae.fit(X), vae.score_samples(X)

    jobs = [VAETransformer(k, **PARAMS) for k in (1, 2)]
    for vae, scores in Parallel(n_jobs=2, backend="loky")(delayed(fit)(vae) for vae in jobs):
        np.testing.assert_array_equal(vae.score_samples(X), scores)


class DrawingElsewhere(nn.Linear):
    """Layer with dropout, during which another thread draws from the global generator."""

    pool: ClassVar[ThreadPoolExecutor]

    def forward(self, x):
        if self.training:
            self.pool.submit(torch.rand, 1).result()
        return nn.functional.dropout(super().forward(x), training=self.training)


def test_custom_networks_restore_the_global_generator_even_if_other_threads_draw(X):
    def networks(n_features, latent_dim, n_outputs):
        return DrawingElsewhere(n_features, 2 * latent_dim), nn.Linear(latent_dim, n_outputs)

    with ThreadPoolExecutor(1) as DrawingElsewhere.pool, unchanged_random_states():
        VAETransformer(2, architecture=networks, **PARAMS).fit(X)
