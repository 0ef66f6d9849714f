"""Recorded steps, with a stand-in for CUDA graphs on a CPU."""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

from helpers import FAST, assert_same_fit, dropout_networks, same_weights
from helpers_training import LATENT_DIM, build, make_config, rows
from skvae import (
    Bernoulli,
    Checkpoint,
    Gaussian,
    TabularVAE,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae.priors import Flow, Mixture, VampPrior
from skvae.training import _trainer
from skvae.training._batches import Rows
from skvae.training._captured import _MAX_RECORDINGS, _N_WARMUP_STEPS, CapturedStep
from skvae.training._loop import TrainingLoop
from skvae.training._rehearsal import CaptureError, check_operations
from skvae.training._trainer import Trainer

pytestmark = pytest.mark.torch_only

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
X = np.random.RandomState(0).normal(size=(300, 5)) @ np.random.RandomState(1).normal(size=(5, 5))


class Repetition:
    """Stand-in for CUDA graphs: a replay runs the recorded function on the same tensors."""

    def __init__(self):
        self.n_recordings = self.n_replays = self.n_epochs = 0

    @contextmanager
    def epoch(self):
        self.n_epochs += 1
        yield

    def record(self, function):
        self.n_recordings += 1

        def replay():
            self.n_replays += 1
            function()

        return replay


@pytest.fixture
def recorders(monkeypatch):
    """Record the steps of all trainers, and return a list of their recorders."""
    made = []

    def make_recorder(noise, group):
        made.append(Repetition())
        return made[-1]

    monkeypatch.setattr(_trainer, "make_recorder", make_recorder)
    return made


def no_recorder(noise, group):
    """Return no recorder, so that all steps are eager."""


def train(module, **options):
    """Train to the end, and return the trainer and the history."""
    trainer = Trainer(module, make_config(**options), 0)
    loop = TrainingLoop(trainer, rows(70))
    loop.run()
    return trainer, loop.history


def custom(make_encoder):
    """Return an architecture with a custom encoder."""

    def architecture(n_features, latent_dim, n_outputs):
        return make_encoder(n_features, 2 * latent_dim), nn.Linear(latent_dim, n_outputs)

    return architecture


def normalized(n_in, n_out):
    # A bias would have no effect, and its gradient would be a rounding error.
    first = nn.Linear(n_in, 8, bias=False)
    return nn.Sequential(first, nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, n_out))


def dropped(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 8), nn.Dropout(), nn.GELU(), nn.Linear(8, n_out))


MODULES = {
    "default": {},
    "dropout": {"architecture": custom(dropped)},
    "batch normalisation": {"architecture": custom(normalized)},
    "binarised": {"likelihood": Bernoulli(binarize=True)},
    "mixture": {"prior": Mixture(3)},
    "pseudo-inputs": {"prior": VampPrior(5)},
    "flow, trained separately": {"prior": Flow(2, 8, training="separate")},
    "Fourier features": {"architecture": "fourier_mlp"},
    "convolutions": {
        "architecture": "conv",
        "image_shape": (2, 2),
        "hidden_layer_sizes": (4, 8),
        "likelihood": "bernoulli",
    },
}
CONFIGS = {
    "default": {},
    "trimmed": {"trim": 0.2},
    "importance-weighted": {"n_training_draws": 3},
    "hidden entries": {"encoder_dropout": 0.3},
    "schedules": {"learning_rate": "cosine", "kl_warmup": 0.5, "alpha": 2.0},
    "AdamW": {"solver": "adamw"},
}


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("structure", MODULES.values(), ids=MODULES)
def test_recorded_steps_have_the_effect_of_eager_steps(structure, options, recorders, monkeypatch):
    captured = build(**structure)
    _, history = train(captured, **options)
    (recorder,) = recorders
    # Five steps an epoch, the last of which has fewer rows.
    assert recorder.n_recordings == 2
    assert recorder.n_replays == 4 * 5 - 2 * _N_WARMUP_STEPS
    monkeypatch.undo()
    eager = build(**structure)
    _, expected = train(eager, **options)
    for metrics, others in zip(history, expected, strict=True):
        assert metrics == pytest.approx(others, rel=1e-5)
    for name, weight in eager.state_dict().items():
        torch.testing.assert_close(captured.state_dict()[name], weight, rtol=1e-4, atol=1e-5)


def mixed(n):
    """Return a table with missing entries and columns of several types."""
    rng = np.random.default_rng(0)
    number = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    return pd.DataFrame({"number": number, "letter": rng.choice(list("abc"), n)})


ESTIMATORS = {
    "transformer": (VAETransformer(early_stopping=True, **FAST), X),
    "bernoulli": (VAETransformer(likelihood="bernoulli", **FAST), (X > 0).astype(float)),
    "counts": (VAETransformer(likelihood="poisson", **FAST), np.round(np.abs(X))),
    "detector": (VAEOutlierDetector(**FAST), X),
    "imputer": (VAEImputer(**FAST), np.where(X > 3, np.nan, X)),
    "mixed imputer": (VAEImputer(likelihood="mixed", **FAST), mixed(300)),
    "table": (TabularVAE(**FAST), mixed(300)),
}
every_estimator = pytest.mark.parametrize(
    ("estimator", "data"), ESTIMATORS.values(), ids=ESTIMATORS
)


@every_estimator
def test_all_estimators_train_with_recorded_steps(estimator, data, recorders, monkeypatch):
    estimator = clone(estimator).set_params(max_iter=12).fit(data)
    assert sum(recorder.n_replays for recorder in recorders) > 0
    losses = estimator.history_["loss"]
    monkeypatch.undo()
    assert estimator.fit(data).history_["loss"] == pytest.approx(losses, rel=1e-4)


def interrupt(estimator, n_steps, monkeypatch):
    """Fit an estimator, and stop after a number of steps."""
    plain, n_left = CapturedStep.__call__, [n_steps]

    def step(self, *arguments):
        n_left[0] -= 1
        if n_left[0] < 0:
            raise InterruptedError
        plain(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CapturedStep, "__call__", step)
        with pytest.raises(InterruptedError):
            estimator.fit(X)


def test_refits_with_recorded_steps_are_equal_bit_for_bit(recorders):
    first, second = (VAETransformer(**FAST).fit(X) for _ in range(2))
    assert_same_fit(first, second)


@pytest.mark.parametrize("architecture", ["mlp", dropout_networks])
@pytest.mark.parametrize("n_steps", [2, 7, 13])
def test_recorded_steps_resume_bit_for_bit(n_steps, architecture, recorders, tmp_path, monkeypatch):
    def make(checkpoint=None):
        options = {**FAST, "max_iter": 6, "batch_size": 70, "architecture": architecture}
        return VAETransformer(**options, checkpoint=checkpoint)

    undisturbed = make().fit(X)
    path = Checkpoint(tmp_path / "run", seconds=0)
    interrupt(make(path), n_steps, monkeypatch)
    assert_same_fit(make(path).fit(X), undisturbed)


def test_calls_of_partial_fit_share_recordings_until_the_parameters_change(recorders):
    vae = VAETransformer(batch_size=100, alpha=0.0, **FAST)
    for _ in range(2):
        vae.partial_fit(X)
    (recorder,) = recorders
    assert (recorder.n_recordings, recorder.n_replays) == (1, 3)
    vae.set_params(beta=2.0)
    for _ in range(2):
        vae.partial_fit(X)
    assert (recorder.n_recordings, recorder.n_replays) == (2, 6)


def test_the_number_of_recordings_is_limited(recorders):
    vae = VAETransformer(batch_size=100, alpha=0.0, **{**FAST, "learning_rate_init": 0.001})
    for n_rows in range(10, 10 + _MAX_RECORDINGS + 2):
        for _ in range(_N_WARMUP_STEPS + 1):
            vae.partial_fit(X[:n_rows])
    (recorder,) = recorders
    assert recorder.n_recordings == _MAX_RECORDINGS


def test_recordings_are_released_after_training(recorders):
    trainer, _ = train(build(), batch_size=14)
    assert recorders[0].n_recordings == 1
    assert not trainer._captured_step._recordings
    trainer.train_epoch(rows(70))  # five steps
    assert recorders[0].n_recordings == 2


# ---- Steps that cannot be recorded ---------------------------------------------------


class Encoder(nn.Module):
    """A custom encoder that also calls a function with its inputs and itself."""

    def __init__(self, function, n_in, n_out):
        super().__init__()
        self.layers, self.function, self.n_calls = normalized(n_in, n_out), function, 0

    def forward(self, x):
        return self.layers(x) * self.function(self, x)


def branch(network, x):
    return 1.0 if x.sum() > 0 else 0.9


def item(network, x):
    return float(x.mean().tanh()) + 1


def selection(network, x):
    return 1 + x[x > 0].mean().tanh()


def unique(network, x):
    return len(x.unique()) / x.numel()


def constant(network, x):
    return torch.tensor([0.9], dtype=x.dtype)


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient if gradient.sum() > 0 else gradient * 1


def gradient(network, x):
    return _Gradient.apply(network.layers[0].weight.new_ones(1) * network.layers[3].bias[:1] + 1)


def count(network, x):
    network.n_calls += 1
    return torch.full_like(x[:, :1], 0.9) if network.n_calls % 2 else 1.0


@pytest.mark.parametrize("function", [branch, item, selection, unique, constant, gradient, count])
def test_networks_that_cannot_be_recorded_train_with_eager_steps(function, recorders, monkeypatch):
    captured, eager = (build(architecture=custom(partial(Encoder, function))) for _ in range(2))
    trainer, history = train(captured)
    assert trainer.capture_failure.startswith("A custom network")
    assert recorders[0].n_recordings == 0
    if function is count:  # rehearsals count as calls
        return
    monkeypatch.undo()
    _, expected = train(eager)
    for metrics, others in zip(history, expected, strict=True):
        assert metrics == pytest.approx(others, rel=1e-5)


def test_a_failed_recording_leaves_steps_eager_and_is_not_repeated(recorders, monkeypatch):
    n_attempts = []

    def fail(self, function):
        n_attempts.append(1)
        raise CaptureError("not supported")

    monkeypatch.setattr(Repetition, "record", fail)
    module, expected = build(), build()
    trainer, _ = train(module)
    assert len(n_attempts) == 1
    assert trainer.capture_failure == "not supported"
    monkeypatch.undo()
    train(expected)
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_a_rehearsal_leaves_buffers_and_generators_unchanged(name):
    module = build(**MODULES[name])
    before = copy.deepcopy(module)
    state = torch.get_rng_state()
    check_operations(module.train(), torch.from_numpy(rows().X))
    assert same_weights(module, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert module.latent_dim == LATENT_DIM


@pytest.mark.parametrize("shape", [(3,), ()])
def test_networks_that_move_tensors_between_devices_cannot_be_recorded(shape):
    def move(network, x):
        return 1.0 if torch.ones(shape).to("meta").is_meta else 0.0

    module = build(architecture=custom(partial(Encoder, move))).train()
    with pytest.raises(CaptureError, match="between devices"):
        check_operations(module, torch.from_numpy(rows().X))


@dataclass(frozen=True)
class Truncated(Gaussian):
    """A custom likelihood that looks at the values of a tensor."""

    def log_prob(self, x, params):
        return super().log_prob(x, params) if x.max() < 1e9 else -x.square()


def test_custom_likelihoods_that_cannot_be_recorded_train_with_eager_steps(recorders):
    trainer, _ = train(build(likelihood=Truncated()))
    assert "_local_scalar_dense" in trainer.capture_failure
    assert recorders[0].n_recordings == 0


def test_verbose_reports_steps_that_cannot_be_recorded(recorders, monkeypatch, capsys):
    def fail(self, function):
        raise CaptureError("this GPU cannot record steps")

    monkeypatch.setattr(Repetition, "record", fail)
    VAETransformer(verbose=True, batch_size=50, **FAST).fit(X)
    assert capsys.readouterr().out.count("this GPU cannot record steps") == 1


# ---- A GPU ---------------------------------------------------------------------------


def cuda_train(structure, options, monkeypatch, *, is_eager):
    """Train on a GPU, and return the trainer and the history."""
    with monkeypatch.context() as patch:
        if is_eager:
            patch.setattr(_trainer, "make_recorder", no_recorder)
        trainer = Trainer(build(**structure).to("cuda"), make_config(**options), 0)
        loop = TrainingLoop(trainer, Rows(rows(70).X, torch.device("cuda")))
        loop.run()
    return trainer, loop.history


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("structure", MODULES.values(), ids=MODULES)
def test_cuda_graphs_have_the_effect_of_eager_steps(structure, options, monkeypatch):
    captured, history = cuda_train(structure, options, monkeypatch, is_eager=False)
    again, _ = cuda_train(structure, options, monkeypatch, is_eager=False)
    eager, expected = cuda_train(structure, options, monkeypatch, is_eager=True)
    assert captured.capture_failure is None
    assert same_weights(captured.module, again.module)
    for metrics, others in zip(history, expected, strict=True):
        assert metrics == pytest.approx(others, rel=1e-4)
    for name, weight in eager.module.state_dict().items():
        weights = captured.module.state_dict()[name]
        torch.testing.assert_close(weights, weight, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("function", [branch, item, selection, unique, constant, gradient, count])
def test_custom_networks_that_cuda_cannot_record_train_with_eager_steps(function, monkeypatch):
    structure = {"architecture": custom(partial(Encoder, function))}
    trainer, history = cuda_train(structure, {}, monkeypatch, is_eager=False)
    assert trainer.capture_failure is not None
    if function is not count:  # rehearsals count as calls
        _, expected = cuda_train(structure, {}, monkeypatch, is_eager=True)
        for metrics, others in zip(history, expected, strict=True):
            assert metrics == pytest.approx(others, rel=1e-4)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("is_early_stopping", [False, True])
@pytest.mark.parametrize("architecture", ["mlp", "fourier_mlp", dropout_networks])
@pytest.mark.parametrize("n_steps", [2, 7, 23])
def test_a_fit_with_cuda_graphs_resumes_bit_for_bit(
    n_steps, architecture, is_early_stopping, tmp_path, monkeypatch
):
    def make(checkpoint=None):
        return VAETransformer(
            batch_size=70,
            architecture=architecture,
            early_stopping=is_early_stopping,
            device="cuda",
            checkpoint=checkpoint,
            **{**FAST, "max_iter": 8},
        )

    path = Checkpoint(tmp_path / "run", seconds=0)
    interrupt(make(path), n_steps, monkeypatch)
    assert_same_fit(make(path).fit(X), make().fit(X))


@pytest.mark.gpu
@needs_cuda
@every_estimator
def test_all_estimators_train_with_cuda_graphs(estimator, data, monkeypatch):
    estimator = clone(estimator).set_params(device="cuda", max_iter=12)
    fits = [clone(estimator).fit(data) for _ in range(2)]
    assert_same_fit(*fits)
    assert fits[0]._trainer.capture_failure is None
    monkeypatch.setattr(_trainer, "make_recorder", no_recorder)
    losses = estimator.fit(data).history_["loss"]
    assert fits[0].history_["loss"] == pytest.approx(losses, rel=1e-3)


@pytest.mark.gpu
@needs_cuda
def test_fits_in_two_threads_record_and_replay_their_own_steps():
    def fit(seed):
        return VAETransformer(device="cuda", random_state=seed, max_iter=20).fit(X)

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(fit, range(4)))
    for seed, vae in enumerate(together):
        assert_same_fit(vae, fit(seed))
