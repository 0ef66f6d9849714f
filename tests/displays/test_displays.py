"""Properties that all displays share."""

import sys
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer, displays
from skvae.displays import (
    ContributionsDisplay,
    EmbeddingsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    SyntheticTableDisplay,
)


def test_all_displays_draw_on_given_axes_and_on_new_axes(
    images, vae, table, small_table, small_vae, detector
):
    X, y = images
    shape = (8, 8)
    makers = [
        lambda ax: LatentSpaceDisplay.from_estimator(vae, X, y, ax=ax),
        lambda ax: ManifoldDisplay.from_estimator(vae, image_shape=shape, n_steps=3, ax=ax),
        lambda ax: LossCurveDisplay.from_estimator(vae, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(vae, X, image_shape=shape, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(small_vae, small_table, ax=ax),
        lambda ax: SampleDisplay.from_estimator(vae, n_samples=4, image_shape=shape, ax=ax),
        lambda ax: SampleDisplay.from_estimator(small_vae, small_table, ax=ax),
        lambda ax: EmbeddingsDisplay.from_estimators({"VAE": vae}, X, y, ax=ax),
        lambda ax: ContributionsDisplay.from_estimator(detector, table[:2], ax=ax),
        lambda ax: SyntheticTableDisplay.from_tables(small_table, small_table[:50], ax=ax),
    ]
    kinds = set()
    for maker in makers:
        figure, axes = plt.subplots(1, 2)
        display = maker(axes[0])
        assert display.ax_ is axes[0]
        assert display.figure_ is figure
        assert not axes[1].has_data()
        assert display.plot() is display
        assert display.figure_ is not figure
        display.figure_.canvas.draw()
        kinds.add(type(display).__name__)
        plt.close("all")
    assert kinds == set(displays.__all__)


def test_an_error_names_matplotlib_and_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib, .* with the extra 'plot'"):
        LatentSpaceDisplay.from_codes(np.eye(2))


@pytest.mark.parametrize("display", [ManifoldDisplay, LossCurveDisplay, SampleDisplay])
def test_estimators_of_other_packages_and_unfitted_estimators_are_errors(display, images):
    kwargs = {} if display is LossCurveDisplay else {"image_shape": (8, 8)}
    with pytest.raises(TypeError, match=r"must be an estimator of skvae, .*; got PCA\(\)"):
        display.from_estimator(PCA().fit(images[0]), **kwargs)
    with pytest.raises(NotFittedError):
        display.from_estimator(VAETransformer(), **kwargs)


FROM_ESTIMATOR = {
    "latent": LatentSpaceDisplay.from_estimator,
    "loss": lambda model, X: LossCurveDisplay.from_estimator(model),
    "manifold": lambda model, X: ManifoldDisplay.from_estimator(model, image_shape=(2, 2)),
    "reconstruction": ReconstructionDisplay.from_estimator,
    "sample": SampleDisplay.from_estimator,
    "images": lambda model, X: SampleDisplay.from_estimator(model, image_shape=(2, 2)),
    "contributions": lambda model, X: ContributionsDisplay.from_estimator(model, X[:2]),
    "embeddings": lambda model, X: EmbeddingsDisplay.from_estimators({"a": model}, X),
}
SUITABLE = {
    VAETransformer: FROM_ESTIMATOR.keys() - {"contributions"},
    VAEOutlierDetector: {"loss", "contributions", "sample", "images"},
    VAEImputer: {"loss"},
    TabularVAE: {"loss", "latent", "reconstruction", "embeddings"},
}
REMEDIES = {
    VAETransformer: "which has no explain",
    VAEOutlierDetector: "ContributionsDisplay",
    VAEImputer: "compare transform.* by SyntheticTableDisplay",
    TabularVAE: r"estimator.sample\(len\(X\)\) to SyntheticTableDisplay.from_tables",
}


@cache
def small_models(cls):
    """Return rows, and an unfitted model, a fitted model and a fitted pipeline."""
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 4)), columns=list("abcd"))
    model = cls(2, hidden_layer_sizes=4, max_iter=1, random_state=0)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), clone(model))
    return X, model, clone(model).fit(X), pipeline.fit(X)


@pytest.mark.parametrize("name", FROM_ESTIMATOR)
@pytest.mark.parametrize("cls", SUITABLE)
def test_each_display_draws_an_estimator_or_names_a_suitable_display(cls, name):
    X, unfitted, model, pipeline = small_models(cls)
    draw = FROM_ESTIMATOR[name]
    if name in SUITABLE[cls]:
        with pytest.raises(NotFittedError):
            draw(unfitted, X)
        draw(model, X)
        plt.close("all")  # the figure of the pipeline shows the same
        draw(pipeline, X)
    else:
        for fitted in (model, pipeline):
            with pytest.raises(TypeError, match=rf"can't draw {cls.__name__}.*{REMEDIES[cls]}"):
                draw(fitted, X)


@pytest.mark.parametrize("name", ["sample", "reconstruction"])
@pytest.mark.parametrize("value", [np.nan, np.inf, "text", None])
def test_a_column_without_numbers_is_named(name, value):
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 4)), columns=list("abcd"))
    model = VAETransformer(2, hidden_layer_sizes=4, max_iter=1, random_state=0).fit(X)
    X = X.astype({"c": object})
    X.iloc[3, 2] = value
    with pytest.raises(ValueError, match=r"unlike column 'c', row 3.*SyntheticTableDisplay"):
        FROM_ESTIMATOR[name](model, X)
    with pytest.raises(ValueError, match="X is a masked array with missing values"):
        FROM_ESTIMATOR[name](model, np.ma.masked_less(X[["a", "b", "d", "d"]].to_numpy(float), 0))


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
def test_frames_of_other_libraries_keep_the_names(small_table, small_vae, convert):
    for display in (
        SampleDisplay.from_estimator(small_vae, convert(small_table), random_state=0),
        ReconstructionDisplay.from_estimator(small_vae, convert(small_table)),
    ):
        assert display.feature_names == list(small_table.columns)
        np.testing.assert_array_equal(display.X, small_table)


def test_real_rows_are_drawn_in_the_order_of_the_generated_columns(small_table, small_vae):
    display = SampleDisplay.from_estimator(small_vae, small_table[small_table.columns[::-1]])
    assert display.feature_names == list(small_table.columns)
    np.testing.assert_array_equal(display.X, small_table)
    with pytest.raises(ValueError, match=r"X must have the columns .* fitted to, \['alcohol'"):
        SampleDisplay.from_estimator(small_vae, small_table.rename(columns={"ash": "dust"}))


def test_a_single_row_and_constant_columns_are_drawn(small_table, small_vae):
    for X in (small_table[:1], small_table.assign(ash=1.0)):
        SampleDisplay.from_estimator(small_vae, X)
        ReconstructionDisplay.from_estimator(small_vae, X)
        LatentSpaceDisplay.from_codes(np.tile(X[:1], (3, 1)))
    with pytest.raises(ValueError, match="at least two codes; got 1"):
        LatentSpaceDisplay.from_codes(small_table[:1])


def test_the_current_axes_and_the_settings_of_pyplot_stay(small_table, small_vae):
    settings = dict(plt.rcParams)
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    SampleDisplay.from_estimator(small_vae, small_table, ax=axes[1])
    SyntheticTableDisplay.from_tables(small_table, small_table, ax=figure.add_subplot(3, 3, 9))
    plt.sca(axes[0])
    LossCurveDisplay.from_estimator(small_vae, ax=figure.add_subplot(3, 3, 1))
    assert plt.gcf() is figure
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize("display", [LatentSpaceDisplay, EmbeddingsDisplay])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, np.nan, 2.0], "label nan in row 1"),
        ([1.0, 2.0, np.inf], "label inf in row 2"),
        (["a", None, "b"], "label None in row 1"),
        (pd.Categorical(["a", "b", None]), "label nan in row 2"),
        (pd.array(["a", "b", None], dtype="string"), "label <NA> in row 2"),
        (pd.to_datetime(["2020", None, "2021"]), "label NaT in row 1"),
        (np.ma.masked_equal([1, 2, 3], 2), "in row 1"),
        (pd.period_range("2020", periods=3), "classes or real numbers"),
    ],
)
def test_labels_without_a_colour_are_an_error_that_names_the_row(display, labels, message):
    Z = np.random.RandomState(0).normal(size=(3, 2))
    with pytest.raises(ValueError, match=message):
        display.from_codes(Z if display is LatentSpaceDisplay else {"a": Z}, labels)


def test_pipelines_and_searches_are_drawn_in_the_units_of_the_input(images):
    X = images[0] * 255
    pipeline = make_pipeline(MinMaxScaler((0, 0.5)), VAETransformer(max_iter=1, random_state=0))
    search = GridSearchCV(pipeline, {"vaetransformer__latent_dim": [2, 3]}, cv=2).fit(X)
    best = search.best_estimator_
    samples = SampleDisplay.from_estimator(search, n_samples=9, image_shape=(8, 8), random_state=0)
    codes = best[-1].sample(9, noise=False, random_state=0)
    np.testing.assert_allclose(samples.samples, best[0].inverse_transform(codes))
    assert samples.samples.max() > 100
    manifold = ManifoldDisplay.from_estimator(search, image_shape=(8, 8), n_steps=3)
    assert manifold.images.max() > 100
    rows = ReconstructionDisplay.from_estimator(search, X, image_shape=(8, 8))
    np.testing.assert_allclose(rows.X_reconstructed, best.inverse_transform(best.transform(X)))
    assert LossCurveDisplay.from_estimator(search).history == best[-1].history_


def test_the_image_shape_defaults_to_that_of_the_estimator(fit, images):
    conv = fit(architecture="conv", image_shape=(8, 8), hidden_layer_sizes=(4, 8))
    assert ManifoldDisplay.from_estimator(conv, n_steps=3).images.shape == (3, 3, 8, 8)
    assert SampleDisplay.from_estimator(conv).samples.shape == (100, 64)
    assert ReconstructionDisplay.from_estimator(conv, images[0]).image_shape == (8, 8)


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: LatentSpaceDisplay.from_codes(np.eye(2), max_points=0), "max_points"),
        (lambda: SampleDisplay.from_rows(np.eye(2), np.eye(2), max_features=0), "max_features"),
        (
            lambda: ReconstructionDisplay.from_rows(np.eye(2), np.eye(2), max_features=0),
            "max_features",
        ),
        (lambda: ReconstructionDisplay.from_rows(np.eye(2), np.eye(2), n_images=0), "n_images"),
    ],
)
def test_a_maximum_of_0_is_an_error(draw, name):
    with pytest.raises(ValueError, match=f"{name} == 0, must be >= 1"):
        draw()


def test_the_remedy_for_missing_labels_works(images, vae):
    X = images[0][:3]
    for y in ([1.0, np.nan, 2.0], ["a", None, "b"], pd.Series([1, pd.NA, 2], dtype="Int64")):
        with pytest.raises(ValueError, match=r"class of their own by") as caught:
            LatentSpaceDisplay.from_estimator(vae, X, y)
        remedy = str(caught.value).rpartition(" by ")[2].rstrip(".")
        LatentSpaceDisplay.from_estimator(vae, X, eval(remedy, {"y": y}))


def test_a_column_of_datetimes_among_numbers_is_named(small_table, small_vae):
    X = small_table.assign(when=pd.Timestamp(0))
    with pytest.raises(
        ValueError, match=r"unlike column 'when', row 0\. .*SyntheticTableDisplay\.$"
    ):
        ReconstructionDisplay.from_estimator(small_vae, X)


def test_frames_are_paired_by_name():
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 3)), columns=["a", "b", "c"])
    permuted = X[["c", "a", "b"]]
    assert np.array_equal(ReconstructionDisplay.from_rows(X, permuted).X_reconstructed, X)
    assert np.array_equal(SampleDisplay.from_rows(permuted, X).samples, X)


def test_dollar_signs_in_names_of_columns_are_no_formulas():
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(20, 2)), columns=["a$\\frac$", "b"])
    detector = VAEOutlierDetector(1, max_iter=2, random_state=0).fit(X)
    labels = ContributionsDisplay.from_estimator(detector, X[:1]).axes_[0].get_yticklabels()
    titles = [cls.from_rows(X, X).axes_[0].title for cls in (ReconstructionDisplay, SampleDisplay)]
    texts = [text for text in (*labels, *titles) if "$" in text.get_text()]
    assert len(texts) == 3
    assert not any(text.get_parse_math() for text in texts)
