"""Processes that differ, or of which one fails, end in one clear error before the first step."""

import json
import os
import time
import traceback

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from torch import nn

import helpers
from helpers import free_port
from skvae import Checkpoint, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.training._progress import ProgressBar

pytestmark = [
    pytest.mark.torch_only,
    pytest.mark.skipif(not dist.is_available(), reason="needs torch.distributed"),
]

FAST = {**helpers.FAST, "max_iter": 2}
# No process may wait for this number of seconds: a fit takes a fraction of a second.
TIMEOUT = 60
X = np.random.RandomState(0).normal(size=(60, 4))
FRAME = pd.DataFrame(X, columns=list("abcd"))
MIXED = FRAME.round(1)


def vae(**options):
    return VAETransformer(**{**FAST, **options})


def networks_with(activation):
    def networks(n_features, latent_dim, n_outputs):
        encoder = nn.Sequential(nn.Linear(n_features, 2 * latent_dim), activation())
        return encoder, nn.Linear(latent_dim, n_outputs)

    return networks


def failing_networks(n_features, latent_dim, n_outputs):
    if dist.get_rank() == 1:
        raise OSError("no networks here")
    return helpers.linear_networks(n_features, latent_dim, n_outputs)


def warm():
    """Return a fitted model for a warm start, which differs between the processes."""
    model = vae(warm_start=True).fit(X)
    with torch.no_grad():
        model.module_.bias += dist.get_rank()
    return model


class Scaled(Gaussian):
    def log_prob(self, x, params):
        return 2 * super().log_prob(x, params)


class Failing(ProgressBar):
    """Progress bar that fails in one of its methods."""

    def __init__(self, method, error):
        self.method, self.error = method, error

    def _fail(self, method):
        if method == self.method:
            raise self.error

    def on_train_begin(self, loop):
        self._fail("on_train_begin")

    def on_epoch_begin(self, loop):
        self._fail("on_epoch_begin")

    def on_epoch_end(self, loop):
        self._fail("on_epoch_end")
        return False

    def on_train_end(self, loop):
        self._fail("on_train_end")


def with_nan(value):
    data = X.copy()
    data[3, 2] = value
    return data


# The fit of process 0, the fit of process 1, and what the message says on both.
DIFFERENT = {
    "rows": ((vae(), X), (vae(), X + 1e-12), "the values of X or their order"),
    "order of rows": ((vae(), X), (vae(), X[::-1]), "the values of X or their order"),
    "number of rows": ((vae(), X), (vae(), X[:-1]), "the number of rows of X"),
    "part of the rows": ((vae(), X[::2]), (vae(), X[1::2]), "the values of X"),
    "number of columns": ((vae(), X), (vae(), X[:, :-1]), "the number of columns of X"),
    "feature names": ((vae(), FRAME), (vae(), FRAME.set_axis(list("abce"), axis=1)), "the names"),
    "categories": (
        (TabularVAE(2, **FAST), MIXED),
        (TabularVAE(2, **FAST), MIXED.astype({"a": str})),
        "the names or types of the columns of X",
    ),
    "dtype": ((vae(), X.astype(np.float32)), (vae(), X), "the dtype of X"),
    "latent_dim": ((vae(), X), (vae(latent_dim=3), X), "latent_dim"),
    "batch_size": ((vae(), X), (vae(batch_size=7), X), "batch_size"),
    "max_iter": ((vae(), X), (vae(max_iter=3), X), "max_iter"),
    "solver": ((vae(), X), (vae(solver="rmsprop"), X), "solver"),
    "seed": ((vae(), X), (vae(random_state=1), X), "random_state"),
    "no seed": ((vae(), X), (vae(random_state=None), X), "random_state"),
    "random state": (
        (vae(random_state=np.random.RandomState(0)), X),
        (vae(random_state=np.random.RandomState(1)), X),
        "random_state",
    ),
    "no checkpoint in process 0": ((vae(), X), (vae(checkpoint="new"), X), "checkpoint"),
    "no checkpoint in process 1": ((vae(checkpoint="new"), X), (vae(), X), "checkpoint"),
    "path": ((vae(checkpoint="new"), X), (vae(checkpoint="other"), X), "checkpoint"),
    "interval": (
        (vae(checkpoint="new"), X),
        (vae(checkpoint=Checkpoint("new", seconds=0)), X),
        "checkpoint",
    ),
    "class": ((vae(), X), (VAEOutlierDetector(**FAST), X), "the class of the estimator"),
    "class with missing entries": ((vae(), X), (VAEImputer(**FAST), X), "the class"),
    "architecture": (
        (vae(architecture=networks_with(nn.ELU)), X),
        (vae(architecture=networks_with(nn.ReLU)), X),
        "architecture",
    ),
    "likelihood": (
        (vae(likelihood=Gaussian()), X),
        (vae(likelihood=Scaled()), X),
        "likelihood",
    ),
    "early stopping": ((vae(early_stopping=True), X), (vae(), X), "early_stopping"),
    "fitted model": ((warm, X), (warm, X), "the fitted model that training continues"),
    "method": ((vae(), X), (vae(), X, "partial_fit"), "the method"),
    "device": ((vae(), X), (vae(device="cpu"), X, "on another device"), "the type of device"),
}
FAILED = "Process {} of this run has failed"
# The fits, the rank of the failing process, its error, and the type of error in the others.
FAILING = {
    "NaN": ((vae(), X), (vae(), with_nan(np.nan)), 1, "NaN", "ValueError"),
    "infinity": ((vae(), with_nan(np.inf)), (vae(), X), 0, "infinity", "ValueError"),
    "no rows": ((vae(), X), (vae(), X[:0]), 1, "0 sample", "ValueError"),
    "no frame": ((vae(), X), (vae(), None), 1, "Expected 2D array", "ValueError"),
    "text": ((vae(), X), (vae(), [["a", "b"]]), 1, "strings", "ValueError"),
    "support": (
        (vae(likelihood="bernoulli"), X > 0),
        (vae(likelihood="bernoulli"), X),
        1,
        "is impossible for",
        "ValueError",
    ),
    "parameter": ((vae(), X), (vae(latent_dim=0), X), 1, "latent_dim", "ValueError"),
    "parameter of the main process": ((vae(tol="a"), X), (vae(), X), 0, "tol", "ValueError"),
    "unknown device": ((vae(), X), (vae(device="cuda:99"), X), 1, "not available", "ValueError"),
    "networks": (
        (vae(architecture=failing_networks), X),
        (vae(architecture=failing_networks), X),
        1,
        "no networks here",
        "RuntimeError",
    ),
    "folder": (
        (vae(checkpoint="none/run"), X),
        (vae(checkpoint="none/run"), X),
        0,
        "does not exist",
        "ValueError",
    ),
    "checkpoint of another fit": (
        (vae(checkpoint="old", beta=2.0), X),
        (vae(checkpoint="old", beta=2.0), X),
        0,
        "differs in beta",
        "ValueError",
    ),
    **{
        f"{type(error).__name__} in {method}": (
            (vae(verbose=1), X, Failing(method, error)),
            (vae(verbose=1), X, Failing(method, error)),
            0,
            "stop" if isinstance(error, Exception) else "",
            "RuntimeError",
        )
        for method in ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end")
        for error in (ArithmeticError("stop"), KeyboardInterrupt())
    },
}


def try_fit(case):
    """Fit one of the cases, and return the error and the seconds until the error."""
    estimator, data, *change = case
    estimator = estimator() if not hasattr(estimator, "fit") else estimator
    method = change[0] if change in (["partial_fit"],) else "fit"
    patch = pytest.MonkeyPatch()
    if change == ["on another device"]:
        device = torch.device("meta")
        patch.setattr("skvae.estimators._identity.resolve_device", lambda name: device)
    elif change and isinstance(change[0], Failing):
        patch.setattr("skvae.estimators._base.ProgressBar", lambda: change[0])
    start = time.monotonic()
    try:
        getattr(estimator, method)(data)
    except BaseException as error:
        text = "".join(traceback.format_exception_only(error))
        return {"type": type(error).__name__, "text": text, "seconds": time.monotonic() - start}
    finally:
        patch.undo()
    return {"type": "", "text": "", "seconds": time.monotonic() - start}


def work(folder, rank, environment):
    """Try all cases one after the other, then fit without a difference."""
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    with open(f"output-{rank}", "w") as file:
        os.dup2(file.fileno(), 2)
    vae(checkpoint="old").fit(X)
    outcomes = {}
    for name, case in {**DIFFERENT, **FAILING}.items():
        outcomes[name] = try_fit(case[rank])
        with open(f"outcomes-{rank}.json", "w") as file:
            json.dump(outcomes, file)
    vae().fit(X).save(f"vae-{rank}")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, fresh_processes):
    """Return the errors of two processes, by the name of the case."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    environment["SKVAE_DISTRIBUTED_TIMEOUT"] = str(TIMEOUT)
    processes = []
    for rank in range(2):
        arguments = (folder, rank, {**environment, "RANK": str(rank)})
        processes.append(fresh_processes.Process(target=work, args=arguments))
        processes[-1].start()
    for process in processes:
        process.join(timeout=5 * TIMEOUT)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    # After all errors, the processes could still train together.
    assert (folder / "vae-0").read_bytes() == (folder / "vae-1").read_bytes()
    return [json.loads((folder / f"outcomes-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", DIFFERENT)
def test_processes_that_differ_are_an_error_that_names_the_difference(name, outcomes):
    for outcome in (outcomes[0][name], outcomes[1][name]):
        assert outcome["type"] == "ValueError"
        assert "process 1 of this run differs from process 0 in" in outcome["text"]
        assert DIFFERENT[name][2] in outcome["text"].partition("process 0 in")[2]
        assert outcome["seconds"] < TIMEOUT / 2


@pytest.mark.parametrize("name", FAILING)
def test_an_error_of_one_process_is_an_error_of_all_processes(name, outcomes):
    *_, rank, text, kind = FAILING[name]
    own, other = outcomes[rank][name], outcomes[1 - rank][name]
    assert FAILED.format(rank) not in own["text"]
    assert FAILED.format(rank) in other["text"]
    assert other["type"] == kind
    for outcome in (own, other):
        assert text in outcome["text"]
        assert outcome["seconds"] < TIMEOUT / 2


def test_exactly_the_named_parameter_differs(outcomes):
    assert "process 0 in beta" not in outcomes[0]["seed"]["text"]
    assert "differs from process 0 in random_state. Each process" in outcomes[0]["seed"]["text"]
