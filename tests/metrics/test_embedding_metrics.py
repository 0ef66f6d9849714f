"""Comparison of embeddings."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.manifold import TSNE, trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae import VAETransformer
from skvae.metrics import compare_embeddings
from skvae.metrics._embeddings import METRICS

ALWAYS = ["out_of_sample", "fit_seconds", "transform_seconds"]


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(n_class=4, return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(
        2, hidden_layer_sizes=8, likelihood="bernoulli", max_iter=3, random_state=0
    )


def test_every_metric_equals_its_definition(data, vae):
    X, y = data
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    embedders = {"PCA": PCA(2), "VAE": vae}
    table = compare_embeddings(
        embedders, X_train, y_train, X_test=X_test, y_test=y_test, n_neighbors=3
    )
    assert list(table.index) == ["PCA", "VAE"]
    assert list(table.columns) == [*METRICS, *ALWAYS]
    for name, embedder in (("PCA", PCA(2)), ("VAE", vae)):
        Z_train = embedder.fit_transform(X_train)
        Z_test = embedder.transform(X_test)
        row = table.loc[name]
        assert row["trustworthiness"] == pytest.approx(
            trustworthiness(X_test, Z_test, n_neighbors=3)
        )
        neighbours = KNeighborsClassifier(3).fit(Z_train, y_train)
        assert row["knn_accuracy"] == neighbours.score(Z_test, y_test)
        assert row["silhouette"] == pytest.approx(silhouette_score(Z_test, y_test), abs=1e-6)
        assert row["reconstruction_error"] == pytest.approx(
            np.mean((embedder.inverse_transform(Z_test) - X_test) ** 2)
        )
        assert row["fit_seconds"] > 0
        assert row["transform_seconds"] > 0
    assert np.isnan(table["bound"]["PCA"])
    assert table["bound"]["VAE"] == vae.score(X_test)


def test_embedders_stay_unfitted(data, vae):
    pca = PCA(2)
    compare_embeddings({"PCA": pca, "VAE": vae}, *data, metrics=["knn_accuracy"])
    assert not hasattr(pca, "components_")


def test_a_method_without_transform_is_fitted_to_all_rows(data):
    X, y = data
    table, codes, y_test = compare_embeddings(
        {"t-SNE": TSNE(random_state=0), "PCA": PCA(2)},
        X,
        y,
        test_size=60,
        random_state=0,
        return_codes=True,
    )
    assert not table["out_of_sample"]["t-SNE"]
    assert table["out_of_sample"]["PCA"]
    missing = ["reconstruction_error", "bound", "transform_seconds"]
    assert table.loc["t-SNE", missing].isna().all()
    assert table["knn_accuracy"]["t-SNE"] > 0.9
    assert table["trustworthiness"]["t-SNE"] > 0.9
    assert codes["t-SNE"].shape == codes["PCA"].shape == (60, 2)
    # The split is stratified.
    assert np.all(np.abs(np.bincount(y_test) / 60 - np.bincount(y) / 300) < 1 / 60)


def test_random_state_determines_the_split(data):
    first, second, other = (
        compare_embeddings({"PCA": PCA(2)}, *data, random_state=seed, return_codes=True)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first[1]["PCA"], second[1]["PCA"])
    np.testing.assert_array_equal(first[2], second[2])
    assert not np.array_equal(first[1]["PCA"], other[1]["PCA"])


def test_metrics_of_classes_are_nan_without_classes(data):
    X, _ = data
    for held_out in ({}, {"X_test": X[:50]}):
        table, _, y_test = compare_embeddings(
            {"PCA": PCA(2)}, X, return_codes=True, random_state=0, **held_out
        )
        assert y_test is None
        assert table[["knn_accuracy", "silhouette"]].isna().all(axis=None)
        assert table[["trustworthiness", "reconstruction_error"]].notna().all(axis=None)


def test_max_rows_limits_pairwise_metrics(data):
    X, y = data
    table = compare_embeddings({"PCA": PCA(2)}, X, y, X_test=X, y_test=y, max_rows=40)
    whole = compare_embeddings({"PCA": PCA(2)}, X, y, X_test=X, y_test=y)
    assert table["trustworthiness"]["PCA"] != whole["trustworthiness"]["PCA"]
    assert table["knn_accuracy"]["PCA"] == whole["knn_accuracy"]["PCA"]


def test_metrics_can_be_selected(data):
    table = compare_embeddings({"PCA": PCA(2)}, *data, metrics=["silhouette"])
    assert list(table.columns) == ["silhouette", *ALWAYS]


def test_frames_and_pipelines_are_accepted(data, vae):
    X, y = data
    frame = pd.DataFrame(X).add_prefix("pixel_")
    frame = frame.loc[:, frame.std() > 0]
    table = compare_embeddings(
        {
            "scaled": make_pipeline(StandardScaler(), PCA(2)).set_output(transform="pandas"),
            "VAE": vae,
            "t-SNE": TSNE(random_state=0),
        },
        frame,
        pd.Series(y).map("class {}".format),
        random_state=0,
    )
    assert table["knn_accuracy"].notna().all()
    assert table["reconstruction_error"].notna().sum() == 2


def test_umap_is_accepted(data):
    umap = pytest.importorskip("umap", reason="needs umap-learn")
    table = compare_embeddings({"UMAP": umap.UMAP(n_epochs=20)}, *data, metrics=["knn_accuracy"])
    assert table["out_of_sample"]["UMAP"]
    assert table["knn_accuracy"]["UMAP"] > 0.8


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"metrics": ["accuracy"]}, ValueError, "name in metrics must be one of 'trustworthiness'"),
        ({"max_rows": 1}, ValueError, "max_rows == 1"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors == 0"),
        ({"y_test": [0]}, ValueError, "y_test is given without X_test"),
        ({"X_test": np.eye(64)}, ValueError, "pass both y and y_test"),
        ({"X_test": np.eye(64), "y_test": [0]}, ValueError, "inconsistent numbers of samples"),
        ({"X_test": csr_array(np.eye(64))}, TypeError, "requires dense data"),
        ({"n_neighbors": 40}, ValueError, "more than 2 . n_neighbors held-out rows; got 75 rows"),
        (
            {"n_neighbors": 240, "metrics": ["knn_accuracy"]},
            ValueError,
            "at least n_neighbors=240 training rows; got 225",
        ),
        ({"embedders": [PCA(2)]}, TypeError, "embedders must be a dict.*got list"),
        ({"embedders": {}}, ValueError, "at least one estimator"),
        ({"X": np.zeros(9)}, ValueError, r"X must have shape .*got \(9,\)"),
        ({"X": np.zeros((0, 9))}, ValueError, r"X must have shape .*got \(0, 9\)"),
        ({"X": np.ma.masked_less(np.eye(300), 1)}, ValueError, "X is a masked array with missing"),
        ({"y": np.ma.masked_less(np.arange(300) % 2, 1)}, ValueError, "y is a masked array"),
        ({"y": np.where(np.arange(300) == 7, None, "a")}, ValueError, "missing class in row 7"),
        ({"y": np.where(np.arange(300) == 7, np.nan, 1)}, ValueError, "missing class in row 7"),
        ({"y": np.linspace(0, 1, 300)}, ValueError, "y must consist of classes"),
        ({"y": np.zeros(300)}, ValueError, "'silhouette' requires .* got 1 classes in 75 rows"),
    ],
)
def test_the_error_for_an_invalid_argument_names_the_argument(data, kwargs, error, message):
    with pytest.raises(error, match=message):
        compare_embeddings(**{"embedders": {"PCA": PCA(2)}, "X": data[0], "y": data[1], **kwargs})


@pytest.mark.parametrize("value", [np.nan, np.inf, "a"])
def test_metrics_of_numbers_name_the_column_without_numbers(data, value):
    frame = pd.DataFrame(data[0]).add_prefix("pixel_").astype({"pixel_5": object})
    frame["pixel_5"] = value
    pipeline = make_pipeline(FunctionTransformer(lambda X: X.drop(columns="pixel_5")), PCA(2))
    with pytest.raises(ValueError, match=r"'trustworthiness' .*finite .* unlike column 'pixel_5'"):
        compare_embeddings({"PCA": pipeline}, frame, data[1])
    metrics = ["knn_accuracy", "silhouette"]
    table = compare_embeddings({"PCA": pipeline}, frame, data[1], metrics=metrics)
    assert table[metrics].notna().all(axis=None)


@pytest.mark.parametrize(
    "convert",
    [
        pl.DataFrame,
        pytest.param(
            pa.Table.from_pandas,
            marks=pytest.mark.skipif(
                sklearn.__version__ < "1.9", reason="scikit-learn cannot select rows of Arrow"
            ),
        ),
        lambda X: X.astype(object),
    ],
)
def test_frames_of_other_libraries_give_the_same_metrics(data, convert):
    frame = pd.DataFrame(data[0]).add_prefix("pixel_")
    expected = compare_embeddings({"PCA": PCA(2)}, frame, data[1], random_state=0)
    found = compare_embeddings({"PCA": PCA(2)}, convert(frame), data[1], random_state=0)
    assert_allclose(found[list(METRICS)], expected[list(METRICS)])


@pytest.mark.parametrize("codes", [np.zeros(9), np.full((9, 2), np.nan), np.full((9, 2), "a")])
def test_invalid_codes_are_an_error_that_names_the_method(data, codes):
    broken = FunctionTransformer(lambda X: codes)
    with pytest.raises(ValueError, match="codes of 'broken' must be finite numbers"):
        compare_embeddings({"broken": broken}, *data)


def test_the_error_for_an_invalid_embedder_names_the_embedder(data):
    with pytest.raises(TypeError, match="must have transform or fit_transform; 'line' is"):
        compare_embeddings({"line": LinearRegression()}, *data)


def test_without_pandas_the_extra_is_named(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas, .* with the extra 'data'"):
        compare_embeddings({"PCA": PCA(2)}, *data)
