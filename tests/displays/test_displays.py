"""The displays: what they compute, what they draw, and what they refuse."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from helpers import run_python
from skvae import VAEOutlierDetector, VAETransformer, displays
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

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """Close what a test draws, and see that nothing is shown."""
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a display called plt.show"))
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def images():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="module")
def fit(images):
    def fit(latent_dim=2, **params):
        params = {"hidden_layer_sizes": 16, "likelihood": "bernoulli", "max_iter": 2, **params}
        return VAETransformer(latent_dim, random_state=0, **params).fit(images[0])

    return fit


@pytest.fixture(scope="module")
def vae(fit):
    return fit()


@pytest.fixture(scope="module")
def table():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def detector(table):
    params = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0}
    return VAEOutlierDetector(2, **params).fit(table)


@pytest.fixture(scope="module")
def table_vae(table):
    return VAETransformer(hidden_layer_sizes=8, max_iter=3, random_state=0).fit(table)


def drawn(display):
    """Return the picture of a grid of images."""
    return np.asarray(display.ax_.images[0].get_array())


# --- all of them ---


def test_all_draw_on_axes_that_are_given_and_again(images, vae, table, table_vae, detector):
    X, y = images
    shape = (8, 8)
    makers = [
        lambda ax: LatentSpaceDisplay.from_estimator(vae, X, y, ax=ax),
        lambda ax: ManifoldDisplay.from_estimator(vae, image_shape=shape, n_steps=3, ax=ax),
        lambda ax: LossCurveDisplay.from_estimator(vae, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(vae, X, image_shape=shape, ax=ax),
        lambda ax: ReconstructionDisplay.from_estimator(table_vae, table, ax=ax),
        lambda ax: SampleDisplay.from_estimator(vae, n_samples=4, image_shape=shape, ax=ax),
        lambda ax: SampleDisplay.from_estimator(table_vae, table, ax=ax),
        lambda ax: EmbeddingsDisplay.from_estimators({"VAE": vae}, X, y, ax=ax),
        lambda ax: ContributionsDisplay.from_estimator(detector, table[:2], ax=ax),
        lambda ax: SyntheticTableDisplay.from_tables(table, table[:50], ax=ax),
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


def test_importing_them_does_not_import_matplotlib():
    run_python("import sys, skvae.displays; assert 'matplotlib' not in sys.modules")


def test_axes_that_cannot_be_divided_are_refused(vae):
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"must belong to a grid of subplots.*plt\.subplots"):
        LossCurveDisplay.from_estimator(vae, ax=ax)
    assert LossCurveDisplay.from_estimator(vae, ax=ax, losses=["loss"]).ax_ is ax


def test_without_matplotlib_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib, .* with the extra 'plot'"):
        LatentSpaceDisplay.from_codes(np.eye(2))


@pytest.mark.parametrize("display", [ManifoldDisplay, LossCurveDisplay, SampleDisplay])
def test_estimators_must_be_ours_and_fitted(display, images):
    kwargs = {} if display is LossCurveDisplay else {"image_shape": (8, 8)}
    with pytest.raises(TypeError, match=r"must be an estimator of skvae, .*; got PCA\(\)"):
        display.from_estimator(PCA().fit(images[0]), **kwargs)
    with pytest.raises(NotFittedError):
        display.from_estimator(VAETransformer(), **kwargs)


def test_pipelines_and_searches_are_drawn_in_the_units_of_their_data(images):
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


# --- the latent space ---


def test_latent_space_colours_each_code_by_its_class(images, vae):
    X, y = images
    names = [f"digit {i}" for i in range(10)]
    display = LatentSpaceDisplay.from_estimator(vae, X, y, target_names=names)
    np.testing.assert_array_equal(display.codes, vae.transform(X))
    legend = display.ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    by_name = {
        name: to_hex(handle.get_color())
        for name, handle in zip(names, legend.legend_handles, strict=True)
    }
    assert len(set(by_name.values())) == 10
    points = display.ax_.collections[0]
    label_of = {tuple(code): label for code, label in zip(display.codes, y, strict=True)}
    for offset, color in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        assert to_hex(color) == by_name[names[label_of[tuple(offset)]]]
    assert display.ax_.get_xlabel() == "z[0]"
    assert display.ax_.get_ylabel() == "z[1]"


def test_names_stay_with_their_classes_when_some_are_absent():
    Z = np.random.RandomState(0).normal(size=(6, 2))
    display = LatentSpaceDisplay.from_codes(Z, [2, 0, 2, 0, 2, 0], target_names=["a", "b", "c"])
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["a", "c"]
    with pytest.raises(ValueError, match=r"names the classes 0 to 1, but the labels are \[0, 2\]"):
        LatentSpaceDisplay.from_codes(Z, [2, 0, 2, 0, 2, 0], target_names=["a", "b"])


def test_strings_are_classes_and_many_numbers_a_scale():
    rng = np.random.RandomState(0)
    Z = rng.normal(size=(60, 2))
    strings = rng.choice(["left", "right"], 60)
    legend = LatentSpaceDisplay.from_codes(Z, strings).ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["left", "right"]
    for scale in (rng.normal(size=60), np.arange(60)):
        display = LatentSpaceDisplay.from_codes(Z, scale)
        assert display.ax_.get_legend() is None
        assert len(display.figure_.axes) == 2  # the colour bar
        assert len(LatentSpaceDisplay.from_codes(Z, scale, legend=False).figure_.axes) == 1
    assert len(LatentSpaceDisplay.from_codes(Z).figure_.axes) == 1
    many = np.repeat([f"class {i:02}" for i in range(15)], 4)
    handles = LatentSpaceDisplay.from_codes(Z, many).ax_.get_legend().legend_handles
    assert len({to_hex(handle.get_color()) for handle in handles}) == 15


def test_one_dimension_is_a_histogram(images, fit):
    X, y = images
    display = LatentSpaceDisplay.from_estimator(fit(1), X, y)
    assert display.ax_.get_xlabel() == "z[0]"
    assert display.ax_.get_ylabel() == "rows"
    assert len(display.ax_.patches) == 10
    assert LatentSpaceDisplay.from_codes(np.arange(9.0)[:, None]).ax_.has_data()


def test_more_dimensions_are_projected(images, fit):
    X, y = images
    vae = fit(5)
    Z = vae.transform(X)
    by_pca = LatentSpaceDisplay.from_estimator(vae, X, y)
    np.testing.assert_allclose(by_pca.codes, PCA(2).fit_transform(Z), atol=1e-5)
    assert "principal component 1 of z" in by_pca.ax_.get_xlabel()
    assert "% of variance" in by_pca.ax_.get_xlabel()
    by_tsne = LatentSpaceDisplay.from_estimator(vae, X, y, projection="tsne")
    assert by_tsne.codes.shape == (300, 2)
    assert by_tsne.ax_.get_ylabel() == "t-SNE 2 of z"
    own = PCA(3, whiten=True)
    by_own = LatentSpaceDisplay.from_estimator(vae, X, y, projection=own)
    np.testing.assert_allclose(by_own.codes, PCA(2, whiten=True).fit_transform(Z), atol=1e-4)
    assert not hasattr(own, "components_")
    with pytest.raises(ValueError, match="projection must be 'pca', 'tsne' or a transformer"):
        LatentSpaceDisplay.from_codes(Z, projection="umap")


def test_of_many_points_some_are_drawn():
    Z = np.random.RandomState(0).normal(size=(70_000, 2))
    y = Z[:, 0] > 0
    assert len(LatentSpaceDisplay.from_codes(Z, y).codes) == 70_000
    display = LatentSpaceDisplay.from_codes(Z, y, max_points=100)
    assert display.codes.shape == (100, 2)
    np.testing.assert_array_equal(display.labels, display.codes[:, 0] > 0)
    few = LatentSpaceDisplay.from_codes(Z[:50], max_points=100)
    np.testing.assert_array_equal(few.codes, Z[:50])
    again = LatentSpaceDisplay.from_codes(Z, y, max_points=100)
    np.testing.assert_array_equal(display.codes, again.codes)


def test_points_shrink_as_they_grow_in_number_and_are_one_picture_in_a_vector_file():
    rng = np.random.RandomState(0)
    few, many = (
        LatentSpaceDisplay.from_codes(rng.normal(size=(n, 2))).ax_.collections[0]
        for n in (100, 70_000)
    )
    assert few.get_sizes()[0] > 5 * many.get_sizes()[0] >= 5
    assert many.get_rasterized()


def test_scatter_kwargs_win():
    Z = np.random.RandomState(0).normal(size=(10, 2))
    kwargs = {"s": 50, "alpha": 0.3}
    points = LatentSpaceDisplay.from_codes(Z, scatter_kwargs=kwargs).ax_.collections[0]
    assert points.get_sizes()[0] == 50
    assert points.get_alpha() == 0.3


@pytest.mark.parametrize(
    ("Z", "y", "message"),
    [
        (np.zeros(3), None, "Expected 2D array"),
        ([[0, np.nan]], None, "Z contains NaN"),
        (np.zeros((3, 2)), [0, 1], "inconsistent numbers of samples"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "should be a 1d array"),
    ],
)
def test_bad_codes_are_errors(Z, y, message):
    with pytest.raises(ValueError, match=message):
        LatentSpaceDisplay.from_codes(Z, y)


# --- the manifold ---


@pytest.mark.parametrize("kind", ["linear", "quantile"])
def test_the_plane_decodes_each_tile_from_the_code_on_its_axes(kind, fit):
    vae = fit(prior_std=3.0)
    display = ManifoldDisplay.from_estimator(
        vae, kind=kind, n_steps=5, coverage=0.9, image_shape=(8, 8)
    )
    low = norm.ppf(0.05)
    steps = {
        "linear": np.linspace(low, -low, 5),
        "quantile": norm.ppf([0.05, 0.275, 0.5, 0.725, 0.95]),
    }[kind]
    np.testing.assert_allclose(display.steps, 3 * steps, atol=1e-12)
    # The tile in column 4 and row 1 from below, and where it stands in the picture.
    tile = vae.inverse_transform([[display.steps[4], display.steps[1]]]).reshape(8, 8)
    np.testing.assert_allclose(display.images[1, 4], tile, rtol=1e-5)
    np.testing.assert_allclose(drawn(display)[27:35, 36:44], tile, rtol=1e-5)
    ax = display.ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[0]", "z[1]")
    assert [label.get_text() for label in ax.get_xticklabels()][::4] == ["-4.9", "4.9"]
    heights = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert heights["-4.9"] == 4  # the lowest z[1] is at the bottom, and y grows downwards
    assert heights["4.9"] == 0
    assert heights["0.0"] == 2


def test_more_dimensions_are_traversed_one_at_a_time(fit):
    vae = fit(5)
    display = ManifoldDisplay.from_estimator(vae, n_steps=4, n_dims=3, image_shape=(8, 8))
    assert display.images.shape == (3, 4, 8, 8)
    spreads = []
    for i in range(5):
        Z = np.zeros((4, 5))
        Z[:, i] = display.steps
        rows = vae.inverse_transform(Z)
        spreads.append(rows.var(axis=0).sum())
        if i in display.dims:
            row = display.images[list(display.dims).index(i)]
            np.testing.assert_allclose(row.reshape(4, 64), rows, rtol=1e-5)
    assert list(display.dims) == list(np.argsort(spreads)[::-1][:3])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [f"z[{i}]" for i in display.dims]
    one = ManifoldDisplay.from_estimator(fit(1), n_steps=4, image_shape=(8, 8))
    assert one.images.shape == (1, 4, 8, 8)


def test_the_image_shape_may_be_the_estimators(fit, images):
    conv = fit(architecture="conv", image_shape=(8, 8), hidden_layer_sizes=(4, 8))
    assert ManifoldDisplay.from_estimator(conv, n_steps=3).images.shape == (3, 3, 8, 8)
    assert SampleDisplay.from_estimator(conv).samples.shape == (100, 64)
    assert ReconstructionDisplay.from_estimator(conv, images[0]).image_shape == (8, 8)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, r"pass image_shape=\(height, width\)"),
        ({"image_shape": (7, 8)}, "has 56 values, but each row has 64"),
        ({"image_shape": (2, 4, 8)}, "with 1 or 3 channels"),
        ({"image_shape": (64,)}, "with 1 or 3 channels"),
        ({"image_shape": (8, 8), "kind": "normal"}, "kind must be one of 'quantile', 'linear'"),
        ({"image_shape": (8, 8), "n_steps": 1}, "n_steps == 1"),
        ({"image_shape": (8, 8), "coverage": 1.0}, "coverage == 1.0"),
        ({"image_shape": (8, 8), "n_dims": 0}, "n_dims == 0"),
    ],
)
def test_bad_manifolds_are_errors(vae, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ManifoldDisplay.from_estimator(vae, **kwargs)
    with pytest.raises(ValueError, match=r"rows must have shape \(2, 2, n_features\)"):
        ManifoldDisplay.from_rows(np.zeros((3, 2, 64)), [0, 1], image_shape=(8, 8))


def test_colours_are_channels_first_in_rows_and_last_in_pictures():
    X = np.random.RandomState(0).uniform(size=(5, 3 * 2 * 4))
    display = SampleDisplay.from_rows(X, image_shape=(3, 2, 4))
    picture = drawn(display)
    assert picture.shape == (2 * 3 - 1, 3 * 5 - 1, 3)
    np.testing.assert_allclose(picture[:2, :4], np.moveaxis(X[0].reshape(3, 2, 4), 0, -1))


# --- losses ---


def test_losses_are_drawn_apart_for_training_and_validation(fit):
    vae = fit(early_stopping=True, max_iter=3)
    display = LossCurveDisplay.from_estimator(vae)
    assert len(display.axes_) == 3
    for ax, key in zip(display.axes_, ("loss", "reconstruction_loss", "kl_loss"), strict=True):
        training, validation = ax.lines
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(training.get_ydata(), vae.history_[key])
        np.testing.assert_array_equal(validation.get_ydata(), vae.history_[f"validation_{key}"])
    assert display.axes_[0].get_ylabel() == "nats per row"
    assert [t.get_text() for t in display.axes_[0].get_legend().get_texts()] == [
        "training",
        "validation",
    ]


def test_losses_may_be_chosen_and_come_from_a_frame(vae):
    history = pd.DataFrame(vae.history_)
    display = LossCurveDisplay.from_history(history, losses=["kl_loss"], line_kwargs={"color": "k"})
    assert display.axes_[0] is display.ax_
    (line,) = display.ax_.lines
    assert line.get_color() == "k"
    assert display.ax_.get_ylabel() == "nats per row"
    counts = LossCurveDisplay.from_history(history, losses=["active_units"])
    assert counts.ax_.get_ylabel() == ""
    assert display.axes_[0].get_legend() is None
    with pytest.raises(ValueError, match=r"name in losses must be one of 'loss', .* got 'elbo'"):
        LossCurveDisplay.from_history(vae.history_, losses=["elbo"])
    with pytest.raises(ValueError, match="must name at least one key"):
        LossCurveDisplay.from_history(vae.history_, losses=[])


# --- reconstructions ---


def test_originals_stand_over_their_reconstructions(images, vae):
    X, _ = images
    display = ReconstructionDisplay.from_estimator(vae, X, image_shape=(8, 8), n_images=4)
    picture = drawn(display)
    assert picture.shape == (2 * 9 - 1, 4 * 9 - 1)
    np.testing.assert_allclose(picture[:8, 27:35], X[3].reshape(8, 8))
    np.testing.assert_allclose(picture[9:, 27:35], vae.reconstruct(X)[3].reshape(8, 8), rtol=1e-5)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["original", "reconstruction"]


def test_tables_are_drawn_by_column(table):
    pca = make_pipeline(StandardScaler(), PCA(3)).fit(table)
    display = ReconstructionDisplay.from_estimator(pca, table)
    assert len(display.axes_) == 12
    assert display.axes_[0].get_title().startswith("alcohol, R² = 0.")
    offsets = display.axes_[1].collections[0].get_offsets()
    np.testing.assert_allclose(offsets[:, 0], table["malic_acid"])
    np.testing.assert_allclose(offsets[:, 1], pca.inverse_transform(pca.transform(table))[:, 1])
    few = ReconstructionDisplay.from_rows(
        np.eye(3), np.eye(3), feature_names=["a", "b", "c"], max_features=2
    )
    assert [ax.get_title() for ax in few.axes_] == ["a, R² = 1.00", "b, R² = 1.00"]


def test_bad_reconstructions_are_errors():
    with pytest.raises(
        ValueError, match=r"X has shape \(3, 3\), but X_reconstructed has shape \(2, 2\)"
    ):
        ReconstructionDisplay.from_rows(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="feature_names has 1 names, but X has 3 columns"):
        ReconstructionDisplay.from_rows(np.eye(3), np.eye(3), feature_names=["a"])


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
def test_nothing_to_draw_is_an_error(draw, name):
    with pytest.raises(ValueError, match=f"{name} == 0, must be >= 1"):
        draw()


# --- samples ---


def test_generated_images_are_means_unless_noise_is_asked_for(vae):
    means, draws = (
        SampleDisplay.from_estimator(vae, image_shape=(8, 8), random_state=0, noise=noise)
        for noise in (None, True)
    )
    np.testing.assert_array_equal(means.samples, vae.sample(100, noise=False, random_state=0))
    assert set(np.unique(draws.samples)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn(means)[9:17, :8], means.samples[10].reshape(8, 8))


def test_the_last_row_of_a_grid_is_filled_with_blanks():
    display = SampleDisplay.from_rows(np.ones((7, 4)), image_shape=(2, 2))
    picture = drawn(display)
    assert picture.shape == (8, 8)
    np.testing.assert_array_equal(picture[6:, :2], 1)
    np.testing.assert_array_equal(picture[6:, 3:5], 0)


def test_images_of_one_channel_are_images_without():
    rows = np.random.RandomState(0).uniform(size=(4, 6))
    of_one_channel = SampleDisplay.from_rows(rows, image_shape=(1, 2, 3))
    without = SampleDisplay.from_rows(rows, image_shape=(2, 3))
    np.testing.assert_array_equal(drawn(of_one_channel), drawn(without))


def test_correlations_of_many_columns_go_without_their_names():
    X = np.random.RandomState(0).normal(size=(30, 21))
    displays = [SampleDisplay.from_rows(rows, rows) for rows in (X[:, :20], X)]
    assert [len(display.axes_[-1].get_xticks()) for display in displays] == [20, 0]


def test_tables_show_marginals_and_correlations(table, table_vae):
    display = SampleDisplay.from_estimator(table_vae, table, random_state=0)
    samples = table_vae.sample(len(table), random_state=0)
    np.testing.assert_array_equal(display.samples, samples)
    *columns, real, generated = display.axes_
    assert [ax.get_title() for ax in columns] == list(table.columns[:12])
    np.testing.assert_allclose(real.images[0].get_array(), table.corr(), atol=1e-10)
    np.testing.assert_allclose(
        generated.images[0].get_array(), np.corrcoef(samples, rowvar=False), atol=1e-10
    )
    bars = sum(bar.get_height() for bar in columns[0].containers[0])
    assert 0.97 < bars <= 1  # shares of the real rows, but for the outermost
    # Constant columns are drawn too.
    constant = table.assign(alcohol=1.0)
    SampleDisplay.from_rows(constant, constant, max_features=3)


def test_a_table_needs_real_rows_of_the_same_width(table, table_vae):
    for make in (
        lambda: SampleDisplay.from_estimator(table_vae),
        lambda: SampleDisplay.from_rows(np.eye(3)),
    ):
        with pytest.raises(ValueError, match="for a table, pass real rows as X"):
            make()
    with pytest.raises(ValueError, match="samples has 3 columns, but X has 13"):
        SampleDisplay.from_rows(np.eye(3), table)


# --- embeddings side by side ---


def test_embeddings_stand_side_by_side(images, vae):
    X, y = images
    pca = PCA(2).fit(X)
    display = EmbeddingsDisplay.from_estimators(
        {"PCA": pca, "VAE": vae}, X, y, titles={"VAE": "ours"}
    )
    assert [ax.get_title() for ax in display.axes_] == ["PCA", "ours"]
    np.testing.assert_array_equal(display.codes["PCA"], pca.transform(X))
    assert [ax.get_legend() is not None for ax in display.axes_] == [False, True]
    assert all(ax.get_legend() is None for ax in display.plot(legend=False).axes_)
    colors = [ax.collections[0].get_facecolors() for ax in display.axes_]
    np.testing.assert_array_equal(*colors)


def test_bad_embeddings_are_errors():
    with pytest.raises(ValueError, match="at least one embedding"):
        EmbeddingsDisplay.from_codes({})
    with pytest.raises(ValueError, match=r"two columns; got the shapes {'b': \(3, 3\)}"):
        EmbeddingsDisplay.from_codes({"a": np.zeros((3, 2)), "b": np.zeros((3, 3))})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EmbeddingsDisplay.from_codes({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))})


# --- contributions ---


def test_contributions_are_bars_of_the_most_telling_features(detector, table):
    display = ContributionsDisplay.from_estimator(detector, table[:2], max_features=3)
    features, code = detector.explain(table[:2])
    for row, panel in enumerate(display.axes_):
        values = np.append(features[row], code[row])
        expected = values[np.abs(values).argsort()[::-1][:3]]
        assert [bar.get_width() for bar in panel.patches] == expected.tolist()
        names = [label.get_text().partition(" = ")[0] for label in panel.get_yticklabels()]
        labels = [*table.columns, "code"]
        assert names == [labels[i] for i in np.abs(values).argsort()[::-1][:3]]
        top, bottom = panel.get_ylim()[::-1]
        assert top < bottom  # the first bar is the uppermost


def test_contributions_behind_a_scaler_show_the_values_before_it(table):
    params = {"hidden_layer_sizes": 8, "max_iter": 3, "random_state": 0}
    pipeline = make_pipeline(StandardScaler(), VAEOutlierDetector(2, **params)).fit(table)
    display = ContributionsDisplay.from_estimator(pipeline, table[:1], max_features=20)
    labels = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert f"alcohol = {table.alcohol[0]:.4g}" in labels
    assert len(labels) == table.shape[1] + 1
    assert np.array_equal(display.decision, pipeline.decision_function(table[:1]))


def test_contributions_of_other_columns_than_given_are_refused(table):
    pipeline = make_pipeline(PCA(3), VAEOutlierDetector(2, max_iter=1)).fit(table)
    with pytest.raises(ValueError, match="transform 13 columns into 3"):
        ContributionsDisplay.from_estimator(pipeline, table[:1])


def test_contributions_of_many_rows_are_refused(detector, table):
    with pytest.raises(ValueError, match="at most 6 rows to explain; got 7 rows"):
        ContributionsDisplay.from_estimator(detector, table[:7])


# --- SyntheticTableDisplay ---


def test_synthetic_table_display_draws_each_column_and_three_matrices():
    real = pd.DataFrame(
        {
            "size": [1.0, 2.0, 3.0, np.nan],
            "kind": list("aabc"),
            "many": [f"{i}" for i in range(4)],
            "flag": [True, False, True, True],
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2021-06-01"]),
        }
    )
    synthetic = real.iloc[[0, 0, 2, 3]]
    display = SyntheticTableDisplay.from_tables(real, synthetic[real.columns[::-1]])
    assert list(display.marginals) == list(real.columns)
    assert len(display.axes_) == len(real.columns) + 3
    kind = display.marginals["kind"]
    assert kind.labels == ["a", "b", "c"]
    assert kind.real.tolist() == [0.5, 0.25, 0.25]
    assert kind.synthetic.tolist() == [0.5, 0.25, 0.25]
    assert display.marginals["size"].real.sum() == 0.75
    assert display.marginals["size"].synthetic.sum() == 0.75
    when = display.marginals["when"]
    np.testing.assert_allclose(when.edges[[0, -1]], [2020, 2021.41], atol=0.01)
    assert display.axes_[-1].get_title() == "difference"
    difference = display.axes_[-1].images[0].get_array()
    expected = display.synthetic_associations - display.real_associations
    np.testing.assert_allclose(difference, expected)


def test_synthetic_table_display_counts_categories_beyond_the_most_frequent_as_others():
    real = pd.DataFrame({"x": [f"c{i}" for i in range(12)]})
    display = SyntheticTableDisplay.from_tables(real, pd.DataFrame({"x": ["c0", "new"]}))
    marginal = display.marginals["x"]
    assert marginal.labels[-1] == "others"
    assert marginal.real.sum() == pytest.approx(1)
    assert marginal.synthetic.tolist()[-1] == pytest.approx(0.5)


def test_synthetic_table_display_refuses_other_columns_and_too_many(table):
    with pytest.raises(ValueError, match="must have the same columns"):
        SyntheticTableDisplay.from_tables(table, table.iloc[:, 1:])
    wide = pd.DataFrame(np.zeros((3, 21)))
    with pytest.raises(ValueError, match="at most 20 columns"):
        SyntheticTableDisplay.from_tables(wide, wide)
