"""The training loop: early stopping, plateaus, callbacks and interruptions."""

import copy
import math

import numpy as np
import pytest
from torch import nn

from helpers import same_weights
from helpers_training import Observer, build, make_config, rows
from skvae.training._loop import LoopCallback, TrainingLoop
from skvae.training._process_group import ProcessGroup
from skvae.training._trainer import DivergenceError, Trainer

pytestmark = pytest.mark.torch_only


# ---- Stopping, with scripted losses --------------------------------------------------


class Script:
    """Replaces a trainer: replays losses, with the number of the epoch as the weight."""

    begin_descent, last_epoch = Trainer.begin_descent, Trainer.last_epoch
    start = math.inf  # the validation loss before the first epoch

    def __init__(self, losses, validation_losses=None, *, max_iter=None, **options):
        defaults = {"n_iter_no_change": 2, "max_iter": max_iter or len(losses)}
        self.config = make_config(**defaults | options)
        self.group = ProcessGroup()
        self.module = nn.Linear(1, 1)
        self.losses, self.validation_losses = losses, validation_losses
        self.n_epochs, self.descent_start = 0, self.config.max_iter

    def train_epoch(self, data, on_step_end):
        self.n_epochs += 1
        self.module.bias.data.fill_(self.n_epochs)
        return {**self.metrics(self.losses), "active_units": 1}

    def abandon_epoch(self):
        pass

    def release_memory(self):
        pass

    def check_finite(self, data):
        pass

    def evaluate(self, data):
        return self.metrics(self.validation_losses)

    def metrics(self, losses):
        loss = losses[self.n_epochs - 1] if self.n_epochs else self.start
        return {"loss": loss, "reconstruction_loss": loss - 1, "kl_loss": 1.0}

    @property
    def epoch_of_the_weights(self):
        return int(self.module.bias)


def loop_of(script: Script, *callbacks: LoopCallback) -> TrainingLoop:
    validation = None if script.validation_losses is None else rows(2)
    return TrainingLoop(script, rows(2), validation, callbacks=callbacks)


def play(script: Script):
    """Run a script to the end, and return the history."""
    loop = loop_of(script)
    loop.run()
    assert loop.is_finished
    return loop.history


@pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
def test_training_ends_after_max_iter_epochs(learning_rate):
    history = play(Script([5.0, 4.0, 3.0, 2.0], learning_rate=learning_rate))
    assert [metrics["loss"] for metrics in history] == [5, 4, 3, 2]


STOPS = {
    # name: validation losses, tol, epochs run, epoch of the weights
    "falls to the end": ([5, 4, 3, 2, 1], 0.0, 5, 5),
    "rises after the best": ([3, 2, 2.5, 2.6, 0], 0.0, 4, 2),
    "improves again just in time": ([3, 2, 2.5, 1.9, 2.5], 0.0, 5, 4),
    "is constant": ([3, 3, 3, 3, 3], 0.0, 3, 1),
    "falls by less than tol": ([3, 2.95, 2.9, 2.85, 2.8], 0.2, 3, 3),
    "falls by tol in several epochs": ([3, 2.95, 2.85, 2.8, 2.7], 0.1, 5, 5),
}


@pytest.mark.parametrize(("losses", "tol", "n_epochs", "best"), STOPS.values(), ids=STOPS)
def test_early_stopping_waits_n_iter_no_change_epochs_and_restores_the_best_epoch(
    losses, tol, n_epochs, best
):
    script = Script([9.0] * 5, losses, tol=tol)
    assert len(play(script)) == n_epochs
    assert script.n_epochs == n_epochs
    assert script.epoch_of_the_weights == best


@pytest.mark.parametrize(("start", "epoch"), [(2.1, 2), (1.9, 0), (math.nan, 2)])
def test_early_stopping_keeps_the_start_if_no_epoch_is_better(start, epoch):
    script = Script([9.0] * 5, [3, 2, 2.5, 2.6, 0])
    script.start = start
    script.module.bias.data.zero_()
    assert len(play(script)) == 4
    assert script.epoch_of_the_weights == epoch


@pytest.mark.parametrize("n_iter_no_change", [1, 3, 6])
def test_patience_is_counted_from_the_last_improvement(n_iter_no_change):
    script = Script([9.0] * 20, [3, 2] + [4] * 18, n_iter_no_change=n_iter_no_change)
    assert len(play(script)) == 2 + n_iter_no_change


DESCENTS = {
    # name: validation losses, options, start of the descent, epochs run, epoch of the weights.
    # The rate rises for one epoch of 20, and a descent takes n_iter_no_change = 2 epochs.
    "rises after the best": ([3, 2] + [4] * 18, {}, 4, 6, 2),
    "improves in the descent": ([3, 2, 4, 4, 4, 1] + [0] * 14, {}, 4, 6, 6),
    "rises with the rate": ([2, 3, 2.9, 2.8, 2.8, 2.8] + [2.9] * 14, {}, 6, 8, 1),
    "rises with the weight of the KL term": ([1, 2, 3, 4] + [5] * 16, {"kl_warmup": 0.2}, 7, 9, 1),
    "falls to the end": (list(range(20, 0, -1)), {}, 20, 20, 20),
    "stalls near the end": ([*range(20, 4, -1)] + [9] * 4, {}, 20, 20, 16),
}


@pytest.mark.parametrize(
    ("losses", "options", "start", "n_epochs", "best"), DESCENTS.values(), ids=DESCENTS
)
def test_early_stopping_on_the_cosine_schedule_ends_with_a_descent_of_the_rate(
    losses, options, start, n_epochs, best
):
    script = Script([9.0] * 20, losses, learning_rate="cosine", **options)
    assert len(play(script)) == n_epochs
    assert script.descent_start == start
    assert script.epoch_of_the_weights == best


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_validation_loss_that_is_never_finite_is_a_divergence(loss):
    # There is no best epoch to restore.
    with pytest.raises(DivergenceError):
        play(Script([9.0] * 5, [loss] * 5))


@pytest.mark.parametrize(("n_epochs", "best"), [(1, 1), (2, 2), (3, 2)])
def test_a_callback_that_stops_training_restores_the_best_epoch(n_epochs, best):
    script = Script([9.0] * 5, [3, 2, 2.5, 1, 0], n_iter_no_change=5)
    loop = loop_of(script, Observer(lambda loop: len(loop.history) == n_epochs))
    loop.run()
    assert script.n_epochs == n_epochs
    assert not loop.is_finished
    assert script.epoch_of_the_weights == best


def test_an_error_in_an_epoch_restores_the_best_epoch():
    # The script ends after two epochs.
    script = Script([9.0, 9.0], [1, 2], max_iter=9, n_iter_no_change=5)
    with pytest.raises(IndexError):
        play(script)
    assert script.epoch_of_the_weights == 1


def test_weights_without_validation_rows_are_those_of_the_last_epoch():
    script = Script([1.0, 2.0, 3.0], learning_rate="cosine")
    play(script)
    assert script.epoch_of_the_weights == 3


PLATEAUS = {
    # name: losses, tol, epochs run with n_iter_no_change = 2
    "too few epochs to tell": ([3, 3, 3], 0.0, 3),
    "stands still": ([3, 3, 3, 3, 3, 3], 1e-9, 4),
    "levels off": ([5, 4, 3, 3, 3, 3, 3], 1e-9, 6),
    "falls by tol on average": ([6, 6, 5, 5, 4, 4], 0.99, 6),
    "falls by less than tol on average": ([6, 6, 5, 5, 4, 4], 1.01, 4),
    "rises": ([3, 3, 4, 5, 6, 7], 0.0, 4),
    "oscillates around a falling trend": ([9, 10, 7, 8, 5, 6, 3, 4], 0.0, 8),
}


@pytest.mark.parametrize(("losses", "tol", "n_epochs"), PLATEAUS.values(), ids=PLATEAUS)
def test_a_plateau_of_the_mean_objective_ends_training_at_a_constant_rate(losses, tol, n_epochs):
    assert len(play(Script(losses, tol=tol))) == n_epochs


def test_a_plateau_does_not_end_training_at_a_decreasing_rate():
    assert len(play(Script([3.0] * 9, learning_rate="cosine", tol=1.0))) == 9


def test_a_plateau_depends_on_beta():
    # The reconstruction improves by as much as the KL term grows: at beta = 1 nothing is gained.
    def n_epochs(beta):
        script = Script([5.0] * 8, beta=beta, tol=1e-9)
        script.metrics = lambda losses: {
            "loss": 5.0,
            "reconstruction_loss": 5.0 - script.n_epochs,
            "kl_loss": float(script.n_epochs),
        }
        return len(play(script))

    assert n_epochs(1.0) == 4
    assert n_epochs(0.5) == 8


def test_history_holds_validation_metrics_next_to_those_of_training():
    assert play(Script([9.0, 9.0], [3.0, 2.0]))[0] == {
        "loss": 9.0,
        "reconstruction_loss": 8.0,
        "kl_loss": 1.0,
        "active_units": 1,
        "validation_loss": 3.0,
        "validation_reconstruction_loss": 2.0,
        "validation_kl_loss": 1.0,
    }


# ---- Callbacks -----------------------------------------------------------------------


class Recorder(LoopCallback):
    """Records the hooks that the loop runs."""

    def __init__(self):
        self.events = []

    def on_train_begin(self, loop):
        self.events.append("train begin")

    def on_epoch_begin(self, loop):
        self.events.append("epoch begin")

    def on_epoch_end(self, loop):
        self.events.append(f"epoch end {len(loop.history)}")
        return False

    def on_train_end(self, loop):
        self.events.append("train end")

    def on_exit(self, loop):
        self.events.append("exit")


def test_hooks_run_in_order():
    recorder = Recorder()
    loop_of(Script([2.0, 1.0]), recorder).run()
    epochs = ["epoch begin", "epoch end 1", "epoch begin", "epoch end 2"]
    assert recorder.events == ["train begin", *epochs, "exit", "train end"]


def test_on_step_end_runs_after_each_step_except_the_last_of_an_epoch():
    n_epochs = []

    class Steps(LoopCallback):
        def on_step_end(self, loop):
            n_epochs.append(len(loop.history))

    trainer = Trainer(build(), make_config(batch_size=16, max_iter=2), 0)
    TrainingLoop(trainer, rows(50), callbacks=[Steps()]).run()
    assert n_epochs == [0] * 3 + [1] * 3


def test_on_train_end_runs_with_the_final_weights():
    weights = []

    class Final(LoopCallback):
        def on_train_end(self, loop):
            weights.append(script.epoch_of_the_weights)

    script = Script([9.0] * 4, [3, 2, 2.5, 2.6])
    loop_of(script, Final()).run()
    assert weights == [2]


def test_on_exit_runs_after_an_error():
    recorder = Recorder()
    with pytest.raises(IndexError):
        loop_of(Script([2.0], max_iter=2), recorder).run()
    assert recorder.events == ["train begin", "epoch begin", "epoch end 1", "epoch begin", "exit"]


def test_all_callbacks_run_even_if_an_earlier_callback_stops_training():
    recorder = Recorder()
    loop_of(Script([2.0, 1.0]), Observer(lambda loop: True), recorder).run()
    assert recorder.events == ["train begin", "epoch begin", "epoch end 1", "exit", "train end"]


def test_a_finished_loop_runs_no_hook():
    loop = loop_of(Script([2.0]), recorder := Recorder())
    loop.run()
    recorder.events.clear()
    loop.run()
    assert recorder.events == []
    assert len(loop.history) == 1


def test_only_the_main_process_runs_hooks():
    script = Script([2.0])
    script.group.rank = 1
    assert loop_of(script, Recorder()).callbacks == ()


# ---- State ---------------------------------------------------------------------------


class StateRecorder(LoopCallback):
    """Records the state of the loop after each step."""

    def __init__(self):
        self.states = []

    def on_step_end(self, loop):
        self.states.append(copy.deepcopy(loop.state_dict()))

    def on_epoch_end(self, loop):
        self.on_step_end(loop)
        return False


@pytest.mark.parametrize(
    ("has_validation", "options", "n_epochs"),
    [
        (False, {}, 4),
        (True, {}, 3),
        (True, {"learning_rate": "cosine", "tol": 9.0, "max_iter": 9}, 5),
    ],
    ids=["plateau", "early stopping", "descent"],
)
def test_training_resumes_from_the_state_after_any_step(has_validation, options, n_epochs):
    def make_loop(*callbacks):
        defaults = {"batch_size": 16, "max_iter": 4, "n_iter_no_change": 2, "tol": 0.3}
        config = make_config(**defaults | options)
        validation = rows(20, seed=5) if has_validation else None
        return TrainingLoop(Trainer(build(), config, 0), rows(50), validation, callbacks=callbacks)

    recorder = StateRecorder()
    complete = make_loop(recorder)
    complete.run()
    assert len(complete.history) == n_epochs
    assert len(recorder.states) == 4 * n_epochs
    for state in recorder.states:
        resumed = make_loop()
        resumed.load_state_dict(state)
        resumed.run()
        assert resumed.history == complete.history
        assert same_weights(resumed.trainer.module, complete.trainer.module)


# ---- Stopping, with a model ----------------------------------------------------------


def test_early_stopping_ends_with_the_weights_of_the_lowest_validation_loss():
    # A large network overfits eight rows soon.
    module, validation = build(hidden_layer_sizes=(50,)), rows(40, seed=5)
    config = make_config(learning_rate_init=0.03, batch_size=8, max_iter=200, n_iter_no_change=5)
    trainer = Trainer(module, config, 0)
    states, losses = [], []

    def record(loop):
        states.append(copy.deepcopy(module))
        losses.append(loop.history[-1]["validation_loss"])

    TrainingLoop(trainer, rows(8), validation, callbacks=[Observer(record)]).run()
    best = int(np.argmin(losses))
    assert best == len(losses) - 6
    assert len(losses) < 200
    assert same_weights(module, states[best])
    assert trainer.evaluate(validation)["loss"] == losses[best]


def test_validation_loss_does_not_depend_on_beta():
    # The initial weights are the same, before the first step depends on beta.
    def first_loss(beta):
        config = make_config(beta=beta, learning_rate_init=1e-30, kl_warmup=0.5, max_iter=1)
        loop = TrainingLoop(Trainer(build(), config, 0), rows(), rows(20, seed=5))
        loop.run()
        return loop.history[0]["validation_loss"]

    assert first_loss(0.0) == first_loss(1.0) == first_loss(10.0)
