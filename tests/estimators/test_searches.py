"""Hyperparameter searches in processes and on clusters equal searches in a loop."""

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.protocol import dask_deserialize, dask_serialize
from distributed.protocol.numpy import deserialize_numpy_ndarray, serialize_numpy_ndarray
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

X, y = load_wine(return_X_y=True)
VAE = VAETransformer(hidden_layer_sizes=(16,), max_iter=6, batch_size=32, random_state=0)
SEARCH = GridSearchCV(
    VAE, {"latent_dim": [1, 2]}, cv=KFold(3, shuffle=True, random_state=0), error_score="raise"
)


def scores(search):
    """Return the test scores of each split and their means."""
    return {name: s for name, s in search.cv_results_.items() if "test" in name}


def assert_same_outcome(search, expected):
    assert search.best_params_ == expected.best_params_
    for name, values in scores(expected).items():
        np.testing.assert_array_equal(scores(search)[name], values, err_msg=name)
    np.testing.assert_array_equal(search.transform(X), expected.transform(X))


@pytest.fixture(scope="module")
def in_a_loop():
    return clone(SEARCH).fit(X)


@pytest.fixture
def cluster():
    """Two workers of Dask in threads of this process that communicate over TCP."""
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with (
        LocalCluster(**workers, protocol="tcp://", dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        yield


def test_search_selects_enough_latent_dimensions(in_a_loop):
    assert in_a_loop.best_params_ == {"latent_dim": 2}


def test_processes_of_joblib_equal_a_loop_bit_for_bit(in_a_loop):
    assert_same_outcome(clone(SEARCH).set_params(n_jobs=2).fit(X), in_a_loop)


def test_workers_of_dask_equal_a_loop_bit_for_bit(in_a_loop, cluster):
    with joblib.parallel_config(backend="dask", scatter=[X]):
        assert_same_outcome(clone(SEARCH).fit(X), in_a_loop)


def test_pipelines_and_random_searches_run_on_dask(cluster):
    model = make_pipeline(StandardScaler(), VAE, LogisticRegression())
    grid = {"vaetransformer__latent_dim": [2, 4], "logisticregression__C": [0.1, 1.0]}
    search = RandomizedSearchCV(model, grid, n_iter=3, cv=2, random_state=0, error_score="raise")
    expected = clone(search).fit(X, y)
    with joblib.parallel_config(backend="dask"):
        search.fit(X, y)
    assert search.best_params_ == expected.best_params_
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


@pytest.mark.filterwarnings("ignore")  # warnings of Ray
def test_workers_of_ray_equal_a_loop_bit_for_bit(in_a_loop):
    ray = pytest.importorskip("ray", reason="needs ray, which is too large to install for one test")
    from ray.util.joblib import register_ray

    register_ray()
    with ray.init(num_cpus=2, include_dashboard=False), joblib.parallel_config(backend="ray"):
        assert_same_outcome(clone(SEARCH).set_params(n_jobs=2).fit(X), in_a_loop)


class CountedArray(np.ndarray):
    """Array that counts how often Dask serializes it."""

    n_serialized = 0


@dask_serialize.register(CountedArray)
def serialize(array, context=None):
    CountedArray.n_serialized += 1
    return serialize_numpy_ndarray(np.asarray(array))


@dask_deserialize.register(CountedArray)
def deserialize(header, frames):
    return deserialize_numpy_ndarray(header, frames)


def test_dask_sends_the_data_to_each_worker_at_most_once(cluster):
    rows = np.tile(X, (10, 1)).view(CountedArray)
    search = clone(SEARCH).set_params(estimator__max_iter=1, cv=5, refit=False)
    CountedArray.n_serialized = 0
    with joblib.parallel_config(backend="dask", scatter=[rows]):
        search.fit(rows)
    assert 1 <= CountedArray.n_serialized <= 2  # for ten fits
