"""The progress bar and the callbacks of scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

pytestmark = pytest.mark.torch_only

X = np.random.default_rng(0).normal(size=(40, 4))

# The validation loss never falls by this much, so training stops early.
STOPPED_EARLY = {"early_stopping": True, "n_iter_no_change": 2, "tol": 1e6, "max_iter": 9}


def build(**options) -> VAETransformer:
    defaults = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0, "device": "cpu"}
    return VAETransformer(1, **defaults | options)


# ---- The progress bar ----------------------------------------------------------------


def test_the_bar_shows_the_loss_and_its_terms_on_standard_error(capsys):
    vae = build(verbose=1).fit(X)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err
    last = {name: f"{values[-1]:.2f}" for name, values in vae.history_.items()}
    for label, name in (
        ("loss", "loss"),
        ("reconstruction", "reconstruction_loss"),
        ("kl", "kl_loss"),
    ):
        assert f"{label}={last[name]}" in err
    assert "validation" not in err


def test_the_bar_shows_the_validation_loss_and_the_last_epoch(capsys):
    vae = build(verbose=1, **STOPPED_EARLY).fit(X)
    err = capsys.readouterr().err
    assert vae.n_iter_ == 5
    assert "5/9" in err
    assert f"validation={vae.history_['validation_loss'][-1]:.2f}" in err


@pytest.mark.parametrize("verbose", [0, False])
def test_training_prints_nothing_by_default(capsys, verbose):
    build(verbose=verbose).fit(X)
    build().fit(X)
    assert capsys.readouterr() == ("", "")


def test_the_bar_does_not_change_the_model():
    assert build(verbose=1).fit(X).loss_curve_ == build().fit(X).loss_curve_


def test_the_bar_ends_its_line_when_training_fails(capsys):
    with pytest.raises(ValueError, match="diverged"):
        build(verbose=1, learning_rate_init=1e30, max_iter=50).fit(X)
    err = capsys.readouterr().err
    assert "/50" in err
    assert err.endswith("\n")


# ---- Callbacks -----------------------------------------------------------------------


class WithoutCallbacks(VAETransformer):
    """Estimator as in scikit-learn before 1.9, without callbacks."""

    def __getattribute__(self, name):
        if name == "_init_callback_context":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_training_is_the_same_in_scikit_learn_without_callbacks():
    vae = build()
    plain = WithoutCallbacks(**vae.get_params())
    np.testing.assert_array_equal(plain.fit(X).transform(X), vae.fit(X).transform(X))


@pytest.fixture
def callback_module():
    """Return `sklearn.callback`, which requires scikit-learn 1.9."""
    return pytest.importorskip("sklearn.callback")


class Recorder:
    """Records each hook with its task, and the result of `look` for the fitted estimator."""

    def __init__(self, look=None, stop_after=None):
        self.look = look
        self.stop_after = stop_after
        self.events = []
        self.looks = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.X = X
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(("end", context.task_name, context.task_id))
        if self.look is not None:
            self.looks.append(self.look(fitted_estimator))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


def fail(vae):
    raise RuntimeError("out of cheese")


def events_of(n_epochs: int) -> list:
    epochs = [(hook, "epoch", index) for index in range(n_epochs) for hook in ("begin", "end")]
    return ["setup", ("begin", "fit", 0), *epochs, ("end", "fit", 0), "teardown"]


@pytest.mark.usefixtures("callback_module")
@pytest.mark.parametrize(
    ("options", "n_epochs"),
    [
        ({}, 4),
        ({"max_iter": 1}, 1),
        (STOPPED_EARLY, 5),
        ({"learning_rate": "constant", "n_iter_no_change": 2, "tol": 1e6, "max_iter": 9}, 4),
    ],
    ids=["to the end", "one epoch", "early stopping", "plateau"],
)
def test_callbacks_receive_the_begin_and_end_of_each_epoch(options, n_epochs):
    recorder = Recorder()
    vae = build(**options).set_callbacks(recorder).fit(X)
    assert vae.n_iter_ == n_epochs
    assert recorder.events == events_of(n_epochs)
    assert recorder.X is X


@pytest.mark.usefixtures("callback_module")
@pytest.mark.parametrize("options", [{}, STOPPED_EARLY], ids=["to the end", "early stopping"])
def test_callbacks_do_not_change_the_model(options):
    watched = build(**options).set_callbacks(Recorder(lambda vae: vae.transform(X))).fit(X)
    alone = build(**options).fit(X)
    assert watched.history_ == alone.history_
    np.testing.assert_array_equal(watched.transform(X), alone.transform(X))


@pytest.mark.usefixtures("callback_module")
@pytest.mark.parametrize("stop_after", [1, 3])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_that_returns_true_ends_training_with_a_usable_estimator(
    stop_after, early_stopping
):
    recorder = Recorder(stop_after=stop_after)
    vae = build(max_iter=9, early_stopping=early_stopping).set_callbacks(recorder).fit(X)
    assert recorder.events == events_of(stop_after)
    assert vae.n_iter_ == stop_after
    assert {len(values) for values in vae.history_.values()} == {stop_after}
    assert vae.transform(X).shape == (40, 1)
    assert np.isfinite(vae.score(X))


@pytest.mark.usefixtures("callback_module")
def test_a_callback_that_stops_training_gives_the_model_of_that_epoch():
    constant = {"learning_rate": "constant", "n_iter_no_change": 99}
    stopped = build(max_iter=9, **constant).set_callbacks(Recorder(stop_after=2)).fit(X)
    short = build(max_iter=2, **constant).fit(X)
    np.testing.assert_array_equal(stopped.transform(X), short.transform(X))


@pytest.mark.usefixtures("callback_module")
def test_the_fitted_estimator_of_each_epoch_is_a_snapshot():
    recorder = Recorder(lambda vae: (vae, vae.transform(X)))
    final = build(max_iter=3).set_callbacks(recorder).fit(X)
    snapshots = [vae for vae, _ in recorder.looks]
    assert [vae.n_iter_ for vae in snapshots] == [1, 2, 3, 3]
    for vae, Z in recorder.looks:
        np.testing.assert_array_equal(vae.transform(X), Z)  # unchanged by later epochs
        assert vae.loss_curve_ == final.loss_curve_[: vae.n_iter_]
        assert vae.module_ is not final.module_
    assert not np.array_equal(recorder.looks[0][1], recorder.looks[1][1])
    np.testing.assert_array_equal(recorder.looks[-1][1], final.transform(X))


@pytest.mark.usefixtures("callback_module")
def test_the_fitted_estimator_of_a_callback_has_all_methods():
    def use(vae):
        return (
            vae.transform(X).shape,
            vae.inverse_transform(np.zeros((2, 1))).shape,
            vae.sample(3, random_state=0).shape,
            vae.score_samples(X).shape,
            list(vae.get_feature_names_out()),
        )

    recorder = Recorder(use)
    build(max_iter=1).set_callbacks(recorder).fit(X)
    assert recorder.looks == [((40, 1), (2, 4), (3, 4), (40,), ["vaetransformer0"])] * 2


@pytest.mark.usefixtures("callback_module")
def test_the_final_estimator_of_a_callback_equals_the_result_of_early_stopping():
    # Both have the weights of the best epoch, not of the last epoch.
    recorder = Recorder(lambda vae: vae.transform(X))
    options = {"early_stopping": True, "n_iter_no_change": 5, "learning_rate_init": 0.1}
    vae = build(max_iter=200, tol=0.0, **options).set_callbacks(recorder).fit(X)
    assert vae.n_iter_ < 200
    np.testing.assert_array_equal(recorder.looks[-1], vae.transform(X))


@pytest.mark.usefixtures("callback_module")
def test_a_callback_that_fails_ends_the_fit_and_is_torn_down():
    recorder = Recorder(fail)
    with pytest.raises(RuntimeError, match="out of cheese"):
        build().set_callbacks(recorder).fit(X)
    assert recorder.events == [*events_of(1)[:4], "teardown"]


@pytest.mark.usefixtures("callback_module")
def test_an_estimator_whose_first_fit_failed_is_not_fitted():
    vae = build().set_callbacks(Recorder(fail))
    with pytest.raises(RuntimeError, match="out of cheese"):
        vae.fit(X)
    with pytest.raises(NotFittedError):
        vae.transform(X)


@pytest.mark.usefixtures("callback_module")
def test_a_callback_is_torn_down_when_training_diverges():
    recorder = Recorder()
    vae = build(learning_rate_init=1e30, max_iter=50).set_callbacks(recorder)
    with pytest.raises(ValueError, match="diverged"):
        vae.fit(X)
    assert recorder.events[-1] == "teardown"


@pytest.mark.usefixtures("callback_module")
def test_a_callback_works_in_every_refit():
    recorder = Recorder(lambda vae: vae.transform(X))
    vae = build(max_iter=2, warm_start=True).set_callbacks(recorder)
    vae.fit(X).fit(X)
    assert recorder.events == 2 * events_of(2)
    np.testing.assert_array_equal(recorder.looks[-1], vae.transform(X))


@pytest.mark.usefixtures("callback_module")
def test_the_bar_works_with_a_callback(capsys):
    recorder = Recorder(stop_after=2)
    build(verbose=1).set_callbacks(recorder).fit(X)
    assert recorder.events == events_of(2)
    assert "2/4" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{}, STOPPED_EARLY], ids=["to the end", "early stopping"])
def test_the_progress_bar_of_scikit_learn_reaches_100_percent(callback_module, capsys, options):
    pytest.importorskip("rich")
    vae = build(**options).set_callbacks(callback_module.ProgressBar()).fit(X)
    out = capsys.readouterr().out
    assert "VAETransformer - fit" in out
    assert "100%" in out
    assert vae.transform(X).shape == (40, 1)


def test_the_progress_bar_of_a_search_over_pipelines_shows_each_fit(callback_module, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), build(max_iter=2))
    search = GridSearchCV(pipeline, {"vaetransformer__beta": [0.5, 1.0]}, cv=2)
    search.set_callbacks(callback_module.ProgressBar(max_propagation_depth=None)).fit(X)
    assert "VAETransformer - fit" in capsys.readouterr().out
    assert search.best_estimator_.transform(X).shape == (40, 1)


def test_the_scoring_monitor_of_scikit_learn_logs_the_score_of_each_epoch(callback_module):
    y = np.zeros(len(X))  # the monitor computes no score without y
    scoring = {"bound": lambda vae, X, y: vae.score(X)}
    monitor = callback_module.ScoringMonitor(scoring=scoring)
    recorder = Recorder(lambda vae: vae.score(X))
    vae = build(max_iter=3).set_callbacks(monitor, recorder).fit(X, y)
    logged = {row["task_id_path"]: row["bound"] for row in monitor.get_logs().data}
    assert list(logged) == [(0,), (0, 0), (0, 1), (0, 2)]
    *epochs, end = recorder.looks
    assert_allclose(list(logged.values()), [end, *epochs], rtol=1e-12)
    assert end == vae.score(X)
