"""Checkpoints and interrupts: training that is killed at any moment gives the same model."""

import os
import random
import signal
import threading
import time
import warnings
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import helpers
import skvae
from helpers import assert_same_fit, dropout_networks, unchanged_random_states
from skvae import Checkpoint, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.priors import Flow
from skvae.training._step import EagerStep
from skvae.training._trainer import Trainer

pytestmark = pytest.mark.torch_only

X = np.random.RandomState(0).normal(size=(300, 5)) @ np.random.RandomState(1).normal(size=(5, 5))
FAST = {**helpers.FAST, "max_iter": 6}


class StopHereError(Exception):
    """Error that stands in for the end of a process."""


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that makes the next fit fail after a number of epochs."""
    plain = Trainer.train_epoch

    def set_limit(n_epochs, error=StopHereError):
        def train_epoch(self, rows, **hooks):
            if self.n_epochs == n_epochs:
                monkeypatch.setattr(Trainer, "train_epoch", plain)
                raise error
            return plain(self, rows, **hooks)

        monkeypatch.setattr(Trainer, "train_epoch", train_epoch)

    return set_limit


# ---- Resuming ------------------------------------------------------------------------


VARIANTS = {
    "default": VAETransformer(**FAST),
    "early stopping": VAETransformer(early_stopping=True, n_iter_no_change=2, tol=1.0, **FAST),
    "constant rate": VAETransformer(learning_rate="constant", n_iter_no_change=2, tol=9, **FAST),
    "rmsprop": VAETransformer(solver="rmsprop", likelihood="student_t", **FAST),
    "custom networks": VAETransformer(architecture=dropout_networks, **FAST),
    "detector": VAEOutlierDetector(**FAST),
    "learned prior": VAETransformer(
        prior=Flow(2, 8), n_training_draws=2, encoder_dropout=0.2, **FAST
    ),
    "imputer": VAEImputer(**FAST),
    "table": TabularVAE(3, **FAST),
}


@cache
def undisturbed_fit(name, batch_size="auto"):
    """Return the data of a variant and the estimator fitted without interruption."""
    data = pd.DataFrame(X).round(1) if name == "table" else X
    return data, clone(VARIANTS[name]).set_params(batch_size=batch_size).fit(data)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("n_epochs", [1, 4])
def test_a_fit_resumes_from_its_checkpoint_bit_for_bit(name, n_epochs, tmp_path, stop_after):
    data, undisturbed = undisturbed_fit(name)
    vae = clone(VARIANTS[name]).set_params(checkpoint=tmp_path / "run")
    stop_after(min(n_epochs, undisturbed.n_iter_ - 1))
    with pytest.raises(StopHereError):
        clone(vae).fit(data)
    assert_same_fit(vae.fit(data), undisturbed)


@pytest.mark.parametrize(
    ("name", "n_steps"),
    [
        *((name, 7) for name in VARIANTS),
        # Within the first epoch, and at the end of an epoch.
        *product(["early stopping", "custom networks", "table"], [2, 10]),
    ],
)
def test_a_fit_resumes_within_an_epoch_bit_for_bit(name, n_steps, tmp_path, monkeypatch):
    data, undisturbed = undisturbed_fit(name, batch_size=64)  # five steps an epoch
    fit = clone(undisturbed).set_params(checkpoint=Checkpoint(tmp_path / "run", seconds=0))
    limit_steps(monkeypatch, n_steps)
    with unchanged_random_states():
        with pytest.raises(StopHereError):
            clone(fit).fit(data)
        monkeypatch.undo()
        n_left = limit_steps(monkeypatch, 10**6)
        assert_same_fit(fit.fit(data), undisturbed)
    assert 10**6 - n_left[0] == 5 * undisturbed.n_iter_ - n_steps


def limit_steps(monkeypatch, n_steps):
    """Make training fail after a number of steps, and return a list of the steps left."""
    plain, n_left = EagerStep.__call__, [n_steps]

    def step(self, *arguments):
        if n_left[0] == 0:
            raise StopHereError
        n_left[0] -= 1
        return plain(self, *arguments)

    monkeypatch.setattr(EagerStep, "__call__", step)
    return n_left


def test_ctrl_c_in_a_resumed_epoch_gives_the_model_of_the_previous_epoch(
    tmp_path, monkeypatch, stop_after
):
    checkpoint = Checkpoint(tmp_path / "run", seconds=0)
    vae = VAETransformer(checkpoint=checkpoint, batch_size=64, **FAST)
    limit_steps(monkeypatch, 12)
    with pytest.raises(StopHereError):
        clone(vae).fit(X)
    monkeypatch.undo()
    stop_after(2, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted after 2 of 6 epochs"):
        vae.fit(X)
    two = VAETransformer(batch_size=64, **FAST)
    stop_after(2, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted after 2 of 6 epochs"):
        assert_same_fit(vae, two.fit(X))
    n_left = limit_steps(monkeypatch, 6)
    vae.partial_fit(X)
    assert n_left == [1]  # a complete epoch has five steps


@pytest.mark.parametrize("seed", [None, 3], ids=["None", "RandomState"])
def test_a_fit_without_a_seed_resumes_with_the_stored_seed(seed, tmp_path, stop_after):
    def make(checkpoint):
        random_state = None if seed is None else np.random.RandomState(seed)
        params = {**FAST, "random_state": random_state, "early_stopping": True}
        return VAETransformer(checkpoint=checkpoint, **params)

    stop_after(3)
    with pytest.raises(StopHereError):
        make(tmp_path / "run").fit(X)
    # Two processes that resume from the same file give the same model.
    copied = tmp_path / "copy"
    copied.write_bytes((tmp_path / "run").read_bytes())
    first = make(tmp_path / "run").fit(X)
    assert_same_fit(make(copied).fit(X), first)
    assert first.n_iter_ == 6


def test_a_fit_to_a_memory_map_can_resume_with_an_array(tmp_path, stop_after):
    np.save(tmp_path / "X.npy", X)
    vae = VAETransformer(checkpoint=tmp_path / "run", **FAST)
    stop_after(3)
    with pytest.raises(StopHereError):
        vae.fit(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert_same_fit(vae.fit(X), VAETransformer(**FAST).fit(X))


def test_a_warm_start_resumes_from_its_checkpoint(tmp_path, stop_after):
    undisturbed = VAETransformer(warm_start=True, **FAST).fit(X).fit(X)
    vae = VAETransformer(warm_start=True, **FAST).fit(X)
    vae.save(tmp_path / "start")
    stop_after(2)
    with pytest.raises(StopHereError):
        vae.set_params(checkpoint=tmp_path / "run").fit(X)
    again = skvae.load(tmp_path / "start").set_params(checkpoint=tmp_path / "run").fit(X)
    np.testing.assert_array_equal(again.transform(X), undisturbed.transform(X))


def test_a_finished_fit_is_restored_without_training(tmp_path, monkeypatch):
    vae = VAETransformer(checkpoint=tmp_path / "run", early_stopping=True, **FAST)
    first = clone(vae).fit(X)
    monkeypatch.setattr("skvae.training._trainer.Trainer.train_epoch", None)
    assert_same_fit(clone(vae).fit(X), first)


def test_the_progress_bar_resumes(tmp_path, stop_after, capsys):
    stop_after(4)
    with pytest.raises(StopHereError):
        VAETransformer(checkpoint=tmp_path / "run", **FAST).fit(X)
    VAETransformer(checkpoint=tmp_path / "run", verbose=1, **FAST).fit(X)
    bar = capsys.readouterr().err
    assert "4/6" in bar
    assert "6/6" in bar
    assert "1/6" not in bar


def test_checkpoints_are_written_at_the_requested_intervals(tmp_path, monkeypatch):
    written = []

    def note(path, document, arrays):
        written.append(len(document["state"]["dict"]["loop"]["dict"]["history"]))

    monkeypatch.setattr("skvae.training._checkpoint.write_file", note)
    clock = iter(range(0, 10**6, 10))  # 10 seconds pass between two calls
    monkeypatch.setattr("skvae.training._checkpoint.time.monotonic", lambda: float(next(clock)))
    for options, expected in [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"epochs": 4}, [4, 6]),
        ({"seconds": 25}, [3, 6]),
        ({"seconds": 1e9}, [6]),
        ({"epochs": 5, "seconds": 25}, [3, 5, 6]),
    ]:
        checkpoint = Checkpoint(tmp_path / "run", **options)
        VAETransformer(checkpoint=checkpoint, batch_size=len(X), **FAST).fit(X)
        assert written == expected, options
        written.clear()


# ---- Other files ---------------------------------------------------------------------


def test_parameters_without_effect_on_training_may_change(tmp_path, stop_after):
    stop_after(3)
    with pytest.raises(StopHereError):
        VAETransformer(checkpoint=tmp_path / "run", **FAST).fit(X)
    checkpoint = Checkpoint(str(tmp_path / "run"), epochs=2)
    vae = VAETransformer(checkpoint=checkpoint, on_interrupt="raise", **FAST).fit(X)
    assert_same_fit(vae, VAETransformer(**FAST).fit(X))


@pytest.mark.parametrize("content", [b"", b"something else", None], ids=repr)
def test_a_file_other_than_a_checkpoint_is_an_error_and_is_kept(content, tmp_path):
    path = tmp_path / "run"
    if content is None:
        VAETransformer(**FAST).fit(X).save(path)
        content = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a checkpoint|damaged"):
        VAETransformer(checkpoint=path, **FAST).fit(X)
    assert path.read_bytes() == content


def test_a_missing_folder_is_an_error_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"folder of checkpoint=.*does not exist"):
        VAETransformer(checkpoint=tmp_path / "none" / "run", **FAST).fit(X)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"path": 3}, TypeError),
        ({"epochs": 0}, ValueError),
        ({"epochs": 1.5}, TypeError),
        ({"seconds": -1}, ValueError),
        ({"seconds": "1"}, TypeError),
    ],
    ids=str,
)
def test_invalid_arguments_of_a_checkpoint_are_errors(wrong, error):
    with pytest.raises(error, match=rf"Checkpoint\({next(iter(wrong))}=\.\.\.\)"):
        Checkpoint(**{"path": "run", **wrong})


def test_an_estimator_with_a_checkpoint_can_be_saved(tmp_path):
    for checkpoint in ("run", Path("run"), Checkpoint(Path("run"), seconds=3)):
        vae = VAETransformer(checkpoint=checkpoint)
        vae.save(tmp_path / "vae")
        # A file never determines where an estimator writes.
        assert skvae.load(tmp_path / "vae").checkpoint is None


# ---- Failures while writing ----------------------------------------------------------


def test_a_full_disk_gives_a_warning_and_training_continues(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows cannot limit the size of files")
    path = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(UserWarning, match=r"Could not write the checkpoint .*run'.*continues"):
            vae = VAETransformer(checkpoint=path, **FAST).fit(X)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert_same_fit(vae, VAETransformer(**FAST).fit(X))
    assert [file.name for file in tmp_path.iterdir()] == [".run.lock"]


def test_a_failed_write_gives_a_warning_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run"
    n_calls = 0

    def replace(source, target):
        nonlocal n_calls
        n_calls += 1
        if n_calls > 2:
            raise PermissionError(13, "Permission denied")
        Path(source).rename(target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.warns(UserWarning, match="Permission denied"):
        vae = VAETransformer(checkpoint=path, **FAST).fit(X)
    monkeypatch.undo()
    assert_same_fit(vae, VAETransformer(**FAST).fit(X))
    # The checkpoint of the second epoch is intact.
    assert_same_fit(VAETransformer(checkpoint=path, **FAST).fit(X), vae)


def test_a_path_that_is_not_a_file_is_an_error(tmp_path):
    paths = [tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        paths.append(tmp_path / "pipe")
    for path in paths:
        with pytest.raises(ValueError, match="is a folder or a device: pass the path of a file"):
            VAETransformer(checkpoint=path, **FAST).fit(X)


needs_kill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="Windows has no signal that cannot be caught"
)


def die_while_writing(folder):
    write = os.fsync

    def die(descriptor):
        write(descriptor)
        os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = die
    VAETransformer(checkpoint=folder / "run", **FAST).fit(X)


@needs_kill
def test_the_unfinished_file_of_a_killed_process_is_removed(tmp_path, fresh_processes):
    process = fresh_processes.Process(target=die_while_writing, args=(tmp_path,))
    process.start()
    process.join()
    left, lock = sorted(file.name for file in tmp_path.iterdir())
    assert left.startswith(".run-unfinished-")
    VAETransformer(checkpoint=tmp_path / "run", **FAST).fit(X)
    assert {file.name for file in tmp_path.iterdir()} == {"run", lock}


# ---- Killed --------------------------------------------------------------------------

KILLED = {
    "hidden_layer_sizes": (16,),
    "max_iter": 200,
    "early_stopping": True,
    "n_iter_no_change": 200,
    "random_state": 0,
}


def train_and_save(folder, seconds):
    checkpoint = Checkpoint(folder / "run", seconds=seconds)
    VAETransformer(checkpoint=checkpoint, **KILLED).fit(X).save(folder / "vae")


@needs_kill
@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "n_kills"), [(None, 2), (0.001, 3)])
def test_a_process_killed_many_times_gives_the_same_model_bit_for_bit(
    seconds, n_kills, tmp_path, fresh_processes
):
    rng = random.Random(0)
    n_killed = 0
    while not (tmp_path / "vae").exists():
        process = fresh_processes.Process(target=train_and_save, args=(tmp_path, seconds))
        process.start()
        if n_killed < n_kills:
            # Kill immediately, or some milliseconds after a checkpoint.
            immediately, seen = rng.random() < 0.2, modified(tmp_path / "run")
            while not immediately and process.is_alive() and modified(tmp_path / "run") == seen:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
            n_killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    assert n_killed == n_kills
    assert {path.name for path in tmp_path.iterdir()} == {"run", ".run.lock", "vae"}
    undisturbed = VAETransformer(**KILLED).fit(X)
    assert_same_fit(skvae.load(tmp_path / "vae"), undisturbed)


def modified(path):
    return path.stat().st_mtime_ns if path.exists() else 0


# ---- Ctrl-C --------------------------------------------------------------------------


@pytest.mark.parametrize(("early_stopping", "word"), [(False, "last"), (True, "best")])
def test_an_interrupted_fit_keeps_the_finished_epochs(early_stopping, word, stop_after):
    params = {**FAST, "early_stopping": early_stopping, "learning_rate": "constant"}
    stop_after(3, KeyboardInterrupt)
    with pytest.warns(UserWarning, match=f"interrupted after 3 of 6 epochs.*the {word} epoch"):
        vae = VAETransformer(**params).fit(X)
    assert vae.n_iter_ == 3
    assert_same_fit(vae, VAETransformer(**{**params, "max_iter": 3}).fit(X))
    assert np.isfinite(vae.score(X))
    assert vae.partial_fit(X).n_iter_ == 4


def test_an_interrupt_within_an_epoch_gives_the_model_of_the_previous_epoch(monkeypatch):
    from skvae.training._optimizer import Optimizer

    plain, n_steps = Optimizer.step, 0

    def step(self, rate):
        nonlocal n_steps
        n_steps += 1
        plain(self, rate)
        if n_steps == 10:  # three steps per epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(Optimizer, "step", step)
    params = {**FAST, "learning_rate": "constant"}
    with pytest.warns(UserWarning, match="after 3 of 6"):
        vae = VAETransformer(**params).fit(X)
    monkeypatch.undo()
    assert_same_fit(vae, VAETransformer(**{**params, "max_iter": 3}).fit(X))


def test_an_interrupted_detector_has_its_offset(stop_after):
    stop_after(3, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted"):
        detector = VAEOutlierDetector(**FAST).fit(X)
    assert set(detector.predict(X)) == {-1, 1}


def test_an_interrupt_is_raised_on_request_or_before_the_end_of_the_first_epoch(stop_after):
    stop_after(3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        VAETransformer(on_interrupt="raise", **FAST).fit(X)
    stop_after(0, KeyboardInterrupt)
    vae = VAETransformer(**FAST)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X)
    assert not hasattr(vae, "n_features_in_")


@pytest.mark.usefixtures("interruptible")
def test_a_real_interrupt_at_any_moment_gives_a_usable_model():
    rng = random.Random(0)
    n_kept = 0
    for _ in range(10):
        timer = threading.Timer(rng.uniform(0.02, 0.8), os.kill, (os.getpid(), signal.SIGINT))
        vae = VAETransformer(**{**FAST, "max_iter": 10_000})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                timer.start()
                vae.fit(X)
        except KeyboardInterrupt:  # before the end of the first epoch
            assert not hasattr(vae, "module_")
        else:
            n_kept += 1
            assert vae.n_iter_ < 10_000
            assert {len(values) for values in vae.history_.values()} == {vae.n_iter_}
            assert np.isfinite(vae.score(X))
        timer.join()
    assert n_kept > 0
