"""VAETransformer in pipelines, searches and other compositions of scikit-learn."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, VAETransformer

FAST = {"hidden_layer_sizes": (16,), "max_iter": 8, "batch_size": 64, "random_state": 0}


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True, as_frame=True)


def test_codes_in_a_pipeline_predict_classes(cancer):
    X, y = cancer
    model = make_pipeline(StandardScaler(), VAETransformer(4, **FAST), LogisticRegression())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9


def test_cross_val_score_needs_no_scorer(cancer):
    X, _ = cancer
    scores = cross_val_score(VAETransformer(4, **FAST), X, cv=3)
    alone = cross_val_score(VAETransformer(4, **{**FAST, "max_iter": 1}), X, cv=3)
    assert (scores > alone).all()


def test_grid_search_in_a_pipeline_selects_enough_latent_dimensions(cancer):
    X, _ = cancer
    model = make_pipeline(StandardScaler(), VAETransformer(**FAST))
    search = GridSearchCV(model, {"vaetransformer__latent_dim": [1, 6]}, cv=2).fit(X)
    assert search.best_params_ == {"vaetransformer__latent_dim": 6}
    assert search.transform(X).shape == (len(X), 6)


def test_grid_search_accepts_likelihood_objects(cancer):
    X, _ = cancer
    grid = {"likelihood": [Gaussian("shared"), Gaussian("feature")]}
    search = GridSearchCV(VAETransformer(2, **FAST), grid, cv=2).fit(X)
    # The scales of the columns differ by orders of magnitude, so a shared noise fits badly.
    assert search.best_params_ == {"likelihood": Gaussian("feature")}


def fit_and_count_threads(vae, X):
    n_threads = torch.get_num_threads()
    vae.fit(X)
    assert torch.get_num_threads() == n_threads
    return n_threads


@pytest.mark.slow
def test_worker_processes_share_the_cores_and_give_equal_scores(cancer, monkeypatch):
    from joblib import Parallel, cpu_count, delayed

    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # joblib leaves set variables alone
        monkeypatch.delenv(variable, raising=False)
    X, _ = cancer
    search = GridSearchCV(VAETransformer(**FAST), {"latent_dim": [1, 2]}, cv=2)
    here, there = clone(search).fit(X), clone(search).set_params(n_jobs=2).fit(X)
    np.testing.assert_allclose(
        here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"], rtol=1e-3
    )
    jobs = [delayed(fit_and_count_threads)(VAETransformer(**FAST), X) for _ in range(2)]
    assert sum(Parallel(n_jobs=2)(jobs)) <= max(2, cpu_count())


def test_feature_union_joins_codes_and_principal_components(cancer):
    X, _ = cancer
    union = FeatureUnion([("pca", PCA(3)), ("vae", VAETransformer(2, **FAST))])
    Z = union.fit_transform(StandardScaler().fit_transform(X))
    assert Z.shape == (len(X), 5)
    assert list(union.get_feature_names_out())[3:] == [
        "vae__vaetransformer0",
        "vae__vaetransformer1",
    ]


def test_column_transformer_encodes_the_selected_columns(cancer):
    X, _ = cancer
    some = list(X.columns[:10])
    model = ColumnTransformer(
        [("vae", VAETransformer(2, **FAST), some)], remainder="passthrough"
    ).set_output(transform="pandas")
    Z = model.fit_transform(X)
    assert list(Z.columns[:2]) == ["vae__vaetransformer0", "vae__vaetransformer1"]
    pd.testing.assert_series_equal(Z["remainder__worst area"], X["worst area"], check_names=False)
    expected = VAETransformer(2, **FAST).fit_transform(X[some])
    np.testing.assert_array_equal(Z.iloc[:, :2], expected)


def test_set_output_names_the_codes_and_keeps_the_index(cancer):
    X, _ = cancer
    X = X.set_axis([f"row{i}" for i in range(len(X))])
    vae = VAETransformer(2, **FAST).set_output(transform="pandas")
    Z = vae.fit_transform(X)
    assert list(Z.columns) == ["vaetransformer0", "vaetransformer1"]
    assert Z.index.equals(X.index)
    assert isinstance(vae.set_output(transform="polars").transform(X), pl.DataFrame)
    assert isinstance(vae.set_output(transform="default").transform(X), np.ndarray)


class Networks:
    """Custom architecture with a parameter, as a callable object."""

    def __init__(self, width):
        self.width = width

    def __call__(self, n_features, latent_dim, n_outputs):
        def network(n_in, n_out):
            layers = torch.nn.Linear(n_in, self.width), torch.nn.SiLU()
            return torch.nn.Sequential(*layers, torch.nn.Linear(self.width, n_out))

        return network(n_features, 2 * latent_dim), network(latent_dim, n_outputs)


def test_custom_networks_work_with_clone_and_grid_search(cancer):
    X, _ = cancer
    vae = clone(VAETransformer(4, architecture=Networks(16), **FAST))
    assert vae.fit(X).module_.encoder[0].out_features == 16
    search = GridSearchCV(vae, {"architecture": [Networks(1), Networks(16)]}, cv=2).fit(X)
    assert search.best_params_["architecture"].width == 16
