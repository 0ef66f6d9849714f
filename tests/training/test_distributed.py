"""Distributed training in two processes."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist

import skvae
from helpers import free_port
from skvae import Checkpoint, VAETransformer
from skvae.training._batches import Rows
from skvae.training._process_group import ProcessGroup
from skvae.training._step import EagerStep
from skvae.training._trainer import Trainer

pytestmark = [
    pytest.mark.torch_only,
    pytest.mark.skipif(not dist.is_available(), reason="needs torch.distributed"),
]

SCRIPT = """
import os, sys
import numpy as np
from skvae import VAETransformer

folder = sys.argv[1]
X = np.load(f"{folder}/X.npy", mmap_mode="r")
vae = VAETransformer(hidden_layer_sizes=(8,), max_iter=2).fit(X)
vae.save(f"{folder}/vae-{os.environ['RANK']}")
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(407, 5)) @ rng.normal(size=(5, 5))
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    return tmp_path


def fit_and_save(folder, rank, accident=None, **options):
    """Fit an estimator to the array in a file, and save the estimator."""
    plain = Trainer.train_epoch

    def train_epoch(self, rows, **hooks):
        if accident is not None and rank == 1 and self.n_epochs == 2:
            accident()
        return plain(self, rows, **hooks)

    Trainer.train_epoch = train_epoch
    X = np.load(folder / "X.npy", mmap_mode="r")
    if options.pop("is_split", False):
        X = X[rank::2][:200]
    if options.pop("has_total", False):
        X = np.c_[X, X[:, 0] + X[:, 1]]
    if options.pop("has_odd_one", False) and rank == 1:
        options["latent_dim"] = 3
    kind = getattr(skvae, options.pop("kind", "VAETransformer"))
    params = {"hidden_layer_sizes": (8,), "max_iter": 4, "batch_size": 50, **options}
    kind(**params).fit(X).save(folder / f"vae-{rank}")
    Trainer.train_epoch = plain


def work(folder, rank, environment, options):
    """Run one of the processes that torchrun would start."""
    for stream in (sys.stdout, sys.stderr):
        with open(folder / f"{stream.name.strip('<>')}-{rank}", "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.update(environment)
    torch.set_num_threads(1)
    fit_and_save(folder, rank, **options)


@pytest.fixture
def start(folder, fresh_processes):
    """Return a function that starts two processes."""

    def start_two(timeout=120, target=work, **options):
        team = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        team["SKVAE_DISTRIBUTED_TIMEOUT"] = str(timeout)
        processes = []
        for rank in range(2):
            environment = {**team, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            arguments = (folder, rank, environment, *([options] if options else []))
            processes.append(fresh_processes.Process(target=target, args=arguments))
            processes[-1].start()
        return processes

    return start_two


@pytest.fixture
def run(start):
    """Return a function that trains in two processes and waits for their success."""

    def run_two(**options):
        processes = start(**options)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]

    return run_two


def load(folder, rank):
    return skvae.load(folder / f"vae-{rank}")


def assert_alike(vae, reference):
    """Check that two estimators are equal up to rounding."""
    assert vae.history_.keys() == reference.history_.keys()
    for name, values in reference.history_.items():
        np.testing.assert_allclose(vae.history_[name], values, rtol=1e-4)
    for name, weight in reference.module_.state_dict().items():
        np.testing.assert_allclose(vae.module_.state_dict()[name], weight, atol=2e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"random_state": 0},
        {"random_state": 0, "early_stopping": True, "n_iter_no_change": 1, "tol": 9.0},
        {"random_state": 0, "has_total": True, "alpha": 1.0},
        {"random_state": 0, "kind": "VAEOutlierDetector"},
        {"random_state": 0, "kind": "VAEImputer"},
        {"random_state": 0, "kind": "VAEImputer", "likelihood": skvae.Gaussian("full")},
    ],
    ids=["plain", "early stopping", "dependent columns", "trimmed", "weighted", "correlated"],
)
def test_two_processes_give_the_model_of_one_process(folder, run, options):
    run(**options)
    first, second = (folder / f"vae-{rank}" for rank in range(2))
    assert first.read_bytes() == second.read_bytes()
    fit_and_save(folder, "alone", **options)
    reference = load(folder, "alone")
    vae = load(folder, 0)
    assert_alike(vae, reference)
    assert vae.n_iter_ == reference.n_iter_
    assert (vae.n_iter_ < 4) == ("early_stopping" in options)


def test_processes_without_a_seed_agree_and_only_the_main_process_prints(folder, run):
    run(verbose=1)
    assert (folder / "vae-0").read_bytes() == (folder / "vae-1").read_bytes()
    assert "4/4" in (folder / "stderr-0").read_text()
    for name in ("stdout-0", "stdout-1", "stderr-1"):
        assert (folder / name).read_text() == ""


@pytest.mark.parametrize("difference", [{"is_split": True}, {"has_odd_one": True}], ids=str)
def test_processes_with_different_arguments_are_an_error(folder, start, difference):
    processes = start(random_state=0, **difference)
    for process in processes:
        process.join(timeout=90)
        assert process.exitcode == 1
    for rank in range(2):
        message = (folder / f"stderr-{rank}").read_text()
        assert "ValueError: Processes that train together must have the same X" in message


@pytest.mark.slow
def test_torchrun_starts_the_processes(folder):
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={free_port()}", str(folder / "script.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    assert (folder / "vae-0").read_bytes() == (folder / "vae-1").read_bytes()


def die():
    os._exit(3)


def hang():
    time.sleep(600)


@pytest.mark.slow
@pytest.mark.parametrize("accident", [die, hang])
def test_a_lost_process_is_an_error_and_training_resumes_from_the_checkpoint(
    folder, start, run, accident
):
    options = {"random_state": 0, "checkpoint": folder / "run"}
    # The timeout also covers the start of processes on a busy machine.
    first, second = start(timeout=12, **options, accident=accident)
    first.join(timeout=90)
    second.kill()
    second.join()
    assert first.exitcode == 1
    message = (folder / "stderr-0").read_text()
    assert "Another process of this run has ended or does not answer" in message
    assert "checkpoint" in message
    assert not (folder / "vae-0").exists()
    if accident is hang:
        return  # the checkpoint is that of the other accident
    run(**options)
    resumed = (folder / "vae-0").read_bytes()
    assert resumed == (folder / "vae-1").read_bytes()
    (folder / "run").unlink()
    run(**options)
    assert (folder / "vae-0").read_bytes() == resumed


def fail():
    raise OSError("no more data")


def fit_and_go_on(folder, rank, environment):
    """Fit with an error in process 1, which then goes on until process 0 has an error, too."""
    os.environ.update(environment)
    with open(folder / f"stderr-{rank}", "w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    with pytest.raises(RuntimeError if rank == 0 else OSError) as info:
        fit_and_save(folder, rank, accident=fail, random_state=0)
    (folder / f"error-{rank}").write_text(str(info.value))
    with pytest.raises(RuntimeError, match="Restart all processes"):
        VAETransformer().fit(np.eye(5))
    deadline = time.monotonic() + 60
    while not (folder / f"error-{1 - rank}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_process_waits_for_a_process_that_has_failed_within_a_step(start, folder):
    processes = start(timeout=300, target=fit_and_go_on)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    message = "Another process of this run has ended or does not answer"
    assert message in (folder / "error-0").read_text()
    assert "no more data" in (folder / "error-1").read_text()


def test_two_processes_resume_within_an_epoch_of_one_process(folder, run, monkeypatch):
    options = {"random_state": 0, "checkpoint": Checkpoint(folder / "run", seconds=0)}
    plain, left = EagerStep.__call__, [None] * 12

    def step(self, *arguments):
        left.pop()
        return plain(self, *arguments)

    monkeypatch.setattr(EagerStep, "__call__", step)
    with pytest.raises(IndexError):
        fit_and_save(folder, "alone", **options)
    monkeypatch.undo()
    run(**options)
    fit_and_save(folder, "alone", random_state=0)
    assert_alike(load(folder, 0), load(folder, "alone"))


def test_partitions_are_contiguous_and_cover_all_rows():
    for n_rows in (0, 1, 7, 100):
        partitions = [ProcessGroup(rank, 3).partition(n_rows) for rank in range(3)]
        assert [row for partition in partitions for row in partition] == list(range(n_rows))
        assert max(map(len, partitions)) - min(map(len, partitions)) <= 1


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_the_parts_of_all_processes_make_the_batches_of_one_process(batch_size):
    X = np.arange(42).reshape(21, 2)
    generators = [torch.Generator().manual_seed(0) for _ in range(4)]
    partitions = [None, *(ProcessGroup(rank, 3).partition(21) for rank in range(3))]
    rows = [Rows(X, torch.device("cpu"), None, partition) for partition in partitions]
    for kind in ("shuffled", "batches"):
        streams = [
            some.shuffled(batch_size, generator) if kind == "shuffled" else some.batches(batch_size)
            for some, generator in zip(rows, generators, strict=True)
        ]
        for whole, *parts in zip(*streams, strict=True):
            assert {part.n_rows for part in parts} == {len(whole.x)}
            together = torch.full_like(whole.x, -1)
            for part, partition in zip(parts, partitions[1:], strict=True):
                assert set((part.x[:, 0] // 2).tolist()) <= set(partition)
                together[part.positions] = part.x
            assert torch.equal(together, whole.x)


def test_a_single_process_has_no_process_group(folder):
    X = np.load(folder / "X.npy")
    VAETransformer(max_iter=1).fit(X)
    assert not dist.is_initialized()
