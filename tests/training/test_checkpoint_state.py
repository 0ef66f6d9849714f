"""Checkpoints that are damaged or hostile, come from another device, or are in use."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone

import helpers
from helpers import assert_same_fit, dropout_networks
from skvae import Checkpoint, VAETransformer
from skvae.serialization import decode, encode, read_file, write_file
from skvae.training._step import EagerStep
from skvae.training._trainer import Trainer

pytestmark = pytest.mark.torch_only

FAST = {**helpers.FAST, "max_iter": 4}
X = np.random.RandomState(0).normal(size=(150, 4))


class StopHereError(Exception):
    """Error that stands in for the end of a process."""


def make(path, **options):
    """Return an estimator that writes a checkpoint after each step, or none at all."""
    checkpoint = None if path is None else Checkpoint(path, seconds=0)
    return VAETransformer(**{**FAST, "batch_size": 32, "checkpoint": checkpoint, **options})


def interrupt(vae, monkeypatch, n_steps):
    """Fit an estimator, and stop after a number of steps. An epoch has five steps."""
    plain, left = EagerStep.__call__, iter(range(n_steps))

    def step(self, *arguments):
        if next(left, None) is None:
            raise StopHereError
        return plain(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(EagerStep, "__call__", step)
        with pytest.raises(StopHereError):
            vae.fit(X)


def rewrite(path, change):
    """Change the content of a checkpoint, with a digest that matches."""
    document, arrays = read_file(path)
    state = decode(document["state"], arrays, {})
    change(state)
    document["state"], arrays = encode(state)
    write_file(path, document, arrays)


# ---- Hostile files -------------------------------------------------------------------


def put(*keys_and_value):
    """Return a change of a state that replaces one part."""
    *keys, last, value = keys_and_value

    def change(state):
        part = state
        for key in keys:
            part = part[key]
        part[last] = value(part[last]) if callable(value) else value

    return change


def drop(*keys):
    def change(state):
        part = state
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return change


TRAINER = ("loop", "trainer")
WITHIN = (*TRAINER, "within")
STEP = (*TRAINER, "step")
ONE = torch.zeros(1)
HOSTILE = {
    "weights of another shape": put(*TRAINER, "weights", "bias", ONE),
    "weights of another dtype": put(*TRAINER, "weights", "bias", lambda bias: bias.long()),
    "weights that are no tensors": put(*TRAINER, "weights", "bias", 3),
    "missing weights": drop(*TRAINER, "weights", "bias"),
    "no weights": put(*TRAINER, "weights", None),
    "more weights": lambda state: state["loop"]["trainer"]["weights"].update(more=ONE),
    "one group of parameters": put(*STEP, "optimizer", lambda groups: groups[:1]),
    "no averages": put(*STEP, "optimizer", 0, "averages", []),
    "averages of another shape": put(
        *STEP, "optimizer", 0, "averages", lambda a: [[ONE] * len(a[0]), a[1]]
    ),
    "steps of another length": put(*STEP, "optimizer", 0, "steps", lambda steps: steps[:-1]),
    "no clipping": put(*STEP, "clipping", None),
    "a running norm of another shape": put(*STEP, "clipping", 0, "sum", ONE),
    "a short generator": put(*STEP, "noise", lambda state: state[:16]),
    "an invalid generator": put(*STEP, "noise", lambda state: state * 0 + 255),
    "an invalid order of rows": put(*TRAINER, "shuffling", lambda state: state * 0 + 255),
    "no order of rows": drop(*TRAINER, "shuffling"),
    "a negative number of epochs": put(*TRAINER, "n_epochs", -1),
    "too many epochs": put(*TRAINER, "n_epochs", 10**9),
    "a descent before the first epoch": put(*TRAINER, "descent_start", 0),
    "a descent of later epochs": put(*TRAINER, "descent_start", 3),
    "a descent that is no number": put(*TRAINER, "descent_start", None),
    "epochs that are no number": put(*TRAINER, "n_epochs", "2"),
    "no trainer": drop("loop", "trainer"),
    "a negative number of steps": put(*WITHIN, "n_steps", -1),
    "too many steps": put(*WITHIN, "n_steps", 5),
    "no steps": put(*WITHIN, "n_steps", True),
    "sums of another shape": put(*WITHIN, "metrics", "sums", ONE),
    "metrics without steps": put(*WITHIN, "metrics", "pending", 3),
    "steps of another shape": put(*WITHIN, "metrics", "pending", [(ONE, ONE, ONE)]),
    "steps of no shape": put(*WITHIN, "metrics", "pending", [(1, 2, 3)]),
    "global generators": put(*WITHIN, "global_rng_states", [ONE]),
    "a shorter history": put("loop", "history", lambda history: history[:1]),
    "a history of text": put("loop", "history", lambda history: ["loss"] * len(history)),
    "a history of other metrics": put("loop", "history", 0, {"loss": 1.0}),
    "a loss that is not finite": put("loop", "history", 0, "loss", math.nan),
    "a finished run": put("loop", "is_finished", True),
    "a run that is neither": put("loop", "is_finished", 0),
    "a stopping rule of another kind": put("loop", "stopping", {}),
    "a stopping rule of text": put("loop", "stopping", "n_stalled", "1"),
    "kept weights of another shape": put("loop", "kept_weights", {"bias": ONE}),
    "no loop": drop("loop"),
    "more": lambda state: state.update(more=1),
    "no random state": put("random_state", 3),
    "a state of text": put("loop", "text"),
    "a device of no type": put("device", None),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Return the bytes of a checkpoint within the third epoch."""
    path = tmp_path_factory.mktemp("checkpoint") / "run"
    with pytest.MonkeyPatch.context() as patch:
        interrupt(make(path, early_stopping=True, n_iter_no_change=9), patch, n_steps=11)
    return path.read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_an_error_that_names_the_file(name, interrupted, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(interrupted)
    rewrite(path, HOSTILE[name])
    before = path.read_bytes()
    vae = make(path, early_stopping=True, n_iter_no_change=9)
    if name == "a device of no type":
        assert vae.fit(X).n_iter_ == 4  # as for another device
        return
    with pytest.raises(ValueError, match=r"run' is not a checkpoint .* delete the file"):
        vae.fit(X)
    assert path.read_bytes() == before
    assert not hasattr(vae, "module_")


def test_the_same_state_is_accepted(interrupted, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(interrupted)
    rewrite(path, lambda state: None)
    options = {"early_stopping": True, "n_iter_no_change": 9}
    assert_same_fit(make(path, **options).fit(X), make(None, **options).fit(X))


@pytest.mark.parametrize("missing", ["identity", "versions", "state"])
def test_a_checkpoint_of_another_version_is_an_error(missing, interrupted, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(interrupted)
    document, arrays = read_file(path)
    del document[missing]
    write_file(path, document, arrays)
    with pytest.raises(ValueError, match="not a checkpoint of this version"):
        make(path, early_stopping=True, n_iter_no_change=9).fit(X)


def test_long_names_in_a_file_are_cut(interrupted, tmp_path):
    path = tmp_path / "run"
    path.write_bytes(interrupted)
    document, arrays = read_file(path)
    document["identity"].update({f"{i}{'x' * 1000}": "" for i in range(1000)})
    write_file(path, document, arrays)
    with pytest.raises(ValueError, match="belongs to another fit") as info:
        make(path, early_stopping=True, n_iter_no_change=9).fit(X)
    assert len(str(info.value)) < 3000


# ---- Other devices -------------------------------------------------------------------


def from_gpu(state):
    """Change a state to what a GPU would have written: generators there have 16 bytes."""
    state["device"] = "cuda"
    trainer = state["loop"]["trainer"]
    trainer["step"]["noise"] = torch.arange(16, dtype=torch.uint8)
    if trainer["within"] and trainer["within"]["global_rng_states"]:
        trainer["within"]["global_rng_states"].append(torch.arange(16, dtype=torch.uint8))


@pytest.mark.parametrize("architecture", ["mlp", dropout_networks])
@pytest.mark.parametrize("n_steps", [5, 7, 12])
def test_the_checkpoint_of_a_gpu_resumes_on_the_cpu(architecture, n_steps, tmp_path, monkeypatch):
    vae = make(tmp_path / "run", architecture=architecture)
    interrupt(clone(vae), monkeypatch, n_steps)
    rewrite(tmp_path / "run", from_gpu)
    content = (tmp_path / "run").read_bytes()
    first = clone(vae).fit(X)
    (tmp_path / "run").write_bytes(content)
    assert_same_fit(clone(vae).fit(X), first)
    # The draws after the change of device are new, and the epochs before are the same.
    undisturbed = clone(vae).set_params(checkpoint=None).fit(X)
    n_epochs = (n_steps - 1) // 5
    losses = first.history_["loss"], undisturbed.history_["loss"]
    assert losses[0][:n_epochs] == losses[1][:n_epochs]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("architecture", ["mlp", dropout_networks])
@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_fit_may_move_to_another_device(devices, architecture, tmp_path, monkeypatch):
    before, after = devices
    vae = make(tmp_path / "run", architecture=architecture)
    interrupt(clone(vae).set_params(device=before), monkeypatch, n_steps=7)
    content = (tmp_path / "run").read_bytes()
    first = clone(vae).set_params(device=after).fit(X)
    (tmp_path / "run").write_bytes(content)
    assert_same_fit(clone(vae).set_params(device=after).fit(X), first)


def test_a_finished_checkpoint_of_a_gpu_gives_the_same_model_on_the_cpu(tmp_path):
    vae = make(tmp_path / "run")
    finished = clone(vae).fit(X)
    rewrite(tmp_path / "run", from_gpu)
    assert_same_fit(vae.fit(X), finished)


# ---- Several processes ---------------------------------------------------------------


N_FILES = 8


def fit_to_all(folder, results):
    """Fit to each checkpoint, again and again while another process is using the checkpoint."""
    losses, n_refused = [], 0
    while len(losses) < N_FILES:
        try:
            vae = make(folder / f"run{len(losses)}").fit(X)
        except ValueError as error:
            if "Another fit is using the checkpoint" not in str(error):
                raise
            n_refused += 1
        else:
            losses.append(vae.history_["loss"])
    results.put((losses, n_refused))


def test_two_processes_never_disturb_each_other(tmp_path, fresh_processes):
    expected = make(None).fit(X).history_["loss"]
    results = fresh_processes.SimpleQueue()
    processes = [
        fresh_processes.Process(target=fit_to_all, args=(tmp_path, results)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    outcomes = [results.get() for _ in processes]
    assert [losses for losses, _ in outcomes] == [[expected] * N_FILES] * 2
    assert sum(n_refused for _, n_refused in outcomes) > 0
    names = {name for i in range(N_FILES) for name in (f"run{i}", f".run{i}.lock")}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_a_checkpoint_in_use_is_an_error_and_free_afterwards(tmp_path, monkeypatch):
    vae, refused = make(tmp_path / "run"), []
    plain = Trainer.train_epoch

    def train_epoch(self, rows, **hooks):
        with pytest.raises(ValueError, match=r"Another fit is using the checkpoint .*run'") as info:
            make(tmp_path / "run").fit(X)
        refused.append(info.value)
        if len(refused) == 2:
            raise StopHereError
        return plain(self, rows, **hooks)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", train_epoch)
        with pytest.raises(StopHereError):
            vae.fit(X)
    assert len(refused) == 2
    assert_same_fit(make(tmp_path / "run").fit(X), make(None).fit(X))


def test_a_file_of_another_fit_does_not_stay_locked(tmp_path):
    make(tmp_path / "run").fit(X)
    for _ in range(2):
        with pytest.raises(ValueError, match="differs in latent_dim"):
            make(tmp_path / "run", latent_dim=3).fit(X)
    make(tmp_path / "run").fit(X)


@pytest.mark.parametrize("error", [NotImplementedError, PermissionError])
def test_without_locks_partial_files_are_kept(error, tmp_path, monkeypatch):
    """Another process may be writing them."""

    def acquire(self, *args, **kwargs):
        raise error

    monkeypatch.setattr("filelock.BaseFileLock.acquire", acquire)
    partial = tmp_path / ".run-unfinished-1234"
    partial.mkdir()
    make(tmp_path / "run").fit(X)
    assert {file.name for file in tmp_path.iterdir()} == {"run", partial.name}
