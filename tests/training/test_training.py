"""The training loop: schedules, stopping, reproducibility and the figures it reports."""

import copy
import math
from contextlib import closing

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from helpers import build_vae, dropout_networks, unchanged_random_states
from skvae import Gaussian
from skvae.models._objectives import elbo_terms
from skvae.models._vae import VAE
from skvae.training._batches import Rows
from skvae.training._loop import Epoch, Training
from skvae.training._trainer import DivergenceError, Trainer, TrainingConfig, evaluate
from skvae.utils._device import seeded_generator

pytestmark = pytest.mark.torch_only

CPU = torch.device("cpu")
N_FEATURES, LATENT_DIM = 4, 2
LOSSES = ("loss", "reconstruction_loss", "kl_loss")

every_solver = pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop"])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def rows(n: int = 50, seed: int = 0) -> Rows:
    """Return rows about a plane, as float32."""
    plane = normal(2, N_FEATURES, seed=99)
    X = normal(n, 2, seed=seed) @ plane + 0.1 * normal(n, N_FEATURES, seed=seed + 1)
    return Rows(X.astype(np.float32), CPU)


def build(*, seed: int = 0, **options) -> VAE:
    return build_vae(N_FEATURES, LATENT_DIM, seed=seed, **options)


def certain(**options) -> VAE:
    """Return a module whose posterior has next to no spread: draws hardly matter."""
    module = build(**options)
    with torch.no_grad():
        module.encoder[-1].weight[LATENT_DIM:] = 0
        module.encoder[-1].bias[LATENT_DIM:] = -1e30
    return module


def plan(**options) -> TrainingConfig:
    recipe = {
        "solver": "adam",
        "learning_rate": "constant",
        "learning_rate_init": 0.01,
        "batch_size": 16,
        "max_iter": 4,
        "beta": 1.0,
        "kl_warmup": 0.0,
        "dtype": torch.float32,
    }
    return TrainingConfig(**recipe | options)


def fit(
    module: VAE, recipe: TrainingConfig, *, seed: int = 0, data: Rows | None = None
) -> list[Epoch]:
    """Train to the end, without validation rows."""
    trainer = Trainer(module, recipe, seed)
    return list(train(trainer, data or rows(), n_iter_no_change=10, tol=0.0))


def train(*args, **options):
    return Training(*args, **options).epochs()


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(module.state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Tell whether two states are equal bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


# ---- Trimming ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trim", "mean"), [(0.0, 22.0), (0.2, 2.5), (0.3, 2.5), (0.35, 2.0), (0.49, 2.0)]
)
def test_a_step_leaves_out_its_highest_losses(trim, mean):
    loss = torch.tensor([3.0, 1.0, 100.0, 4.0, 2.0])
    assert plan(trim=trim).mean(loss).item() == mean


def test_a_step_never_leaves_out_all_rows():
    assert plan(trim=0.4).mean(torch.tensor([7.0])).item() == 7


# ---- Schedules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "share"),
    [(0, 0), (0.025, 0.5), (0.05, 1), (0.2875, (1 + 0.5**0.5) / 2), (0.525, 0.5), (1, 0)],
)
def test_cosine_rate_climbs_for_a_twentieth_of_training_and_then_descends_to_0(progress, share):
    recipe = plan(learning_rate="cosine", learning_rate_init=0.2)
    assert recipe.rate(progress) == pytest.approx(0.2 * share, abs=1e-15)


def test_cosine_rate_has_one_peak():
    recipe = plan(learning_rate="cosine")
    rates = np.array([recipe.rate(progress) for progress in np.linspace(0, 1, 201)])
    assert rates.argmax() == 10
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()


@pytest.mark.parametrize("progress", [0, 0.01, 0.5, 1, 7.3])
def test_constant_rate_is_always_the_initial_one(progress):
    assert plan(learning_rate_init=0.2).rate(progress) == 0.2


@pytest.mark.parametrize(
    ("kl_warmup", "progress", "share"),
    [
        (0, 0, 1),
        (0, 0.7, 1),
        (0.4, 0, 0),
        (0.4, 0.1, 0.25),
        (0.4, 0.4, 1),
        (0.4, 9, 1),
        (1, 0.5, 0.5),
    ],
)
def test_kl_weight_rises_in_proportion_to_beta_over_the_warm_up(kl_warmup, progress, share):
    assert plan(beta=3.0, kl_warmup=kl_warmup).kl_weight(progress) == pytest.approx(3 * share)


def test_objective_weighs_the_kl_term_by_beta():
    record = {"loss": 15.0, "reconstruction_loss": 10.0, "kl_loss": 5.0}
    assert plan(beta=0.5).objective(record) == 12.5


@pytest.mark.parametrize("batch_size", [16, 50])
def test_schedules_are_read_at_the_middle_of_each_step(monkeypatch, batch_size):
    seen = {"rate": [], "kl_weight": []}

    def spy_on(name):
        schedule = getattr(TrainingConfig, name)

        def spy(recipe, progress):
            seen[name].append(progress)
            return schedule(recipe, progress)

        monkeypatch.setattr(TrainingConfig, name, spy)  # instances are frozen, their class is not

    for name in seen:
        spy_on(name)
    fit(build(), plan(learning_rate="cosine", batch_size=batch_size, max_iter=3))
    n_steps = 3 * math.ceil(50 / batch_size)
    expected = (np.arange(n_steps) + 0.5) / n_steps
    assert_allclose(seen["rate"], expected, rtol=1e-14)
    assert_allclose(seen["kl_weight"], expected, rtol=1e-14)


@every_solver
def test_weights_move_by_the_scheduled_rate(solver):
    # The first step of these solvers is as long as the rate, or 10 times for RMSprop.
    module = build()
    before = module.bias.detach().clone()
    recipe = plan(solver=solver, learning_rate="cosine", batch_size=50, max_iter=2)
    Trainer(module, recipe, 0).epoch(rows())
    step = (module.bias.detach() - before).abs()
    expected = recipe.rate(0.25) * (10 if solver == "rmsprop" else 1)
    assert_allclose(step, expected, rtol=1e-3)


def test_adamw_is_adam_with_a_decay_of_weights_by_a_hundredth_of_the_rate():
    weights = {}
    for solver in ("adam", "adamw"):
        module = build()
        start = module.decoder[-1].weight.detach().clone()
        Trainer(module, plan(solver=solver, learning_rate_init=0.1, batch_size=50), 0).epoch(rows())
        weights[solver] = module.decoder[-1].weight.detach()
    assert_allclose(weights["adam"] - weights["adamw"], 0.1 * 0.01 * start, rtol=1e-2, atol=1e-6)


def test_large_beta_draws_the_posterior_to_the_prior():
    kl = [fit(build(), plan(beta=beta, max_iter=15))[-1].record["kl_loss"] for beta in (0, 1, 50)]
    assert kl[0] > kl[1] > kl[2]
    assert kl[2] < 0.01


def test_kl_term_has_no_weight_at_the_start_of_a_long_warm_up():
    # The first epoch of a hundred at beta = 1 goes as at beta = 0, to within 1 %.
    def kl_after_one_epoch(**options):
        module = build()
        Trainer(module, plan(max_iter=100, **options), 0).epoch(rows())
        return evaluate(module, rows(), 0)["kl_loss"]

    warm, none, full = (
        kl_after_one_epoch(kl_warmup=1.0),
        kl_after_one_epoch(beta=0.0),
        kl_after_one_epoch(),
    )
    assert abs(warm - none) < 0.02 * abs(full - none)


@every_solver
def test_training_lowers_the_loss(solver):
    epochs = fit(build(), plan(solver=solver, max_iter=20))
    assert epochs[-1].record["loss"] < epochs[0].record["loss"] - 1


# ---- What training may and may not touch ---------------------------------------------


@every_solver
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_same_seed_gives_the_same_weights_bit_for_bit(solver, dtype):
    def trained(seed):
        module = build()
        epochs = fit(module, plan(solver=solver, dtype=dtype), seed=seed)
        return state_of(module), epochs

    (first, first_epochs), (second, second_epochs), (other, _) = map(trained, (1, 1, 2))
    assert same(first, second)
    assert first_epochs == second_epochs
    assert not same(first, other)


def test_order_of_rows_follows_from_the_seed_and_differs_from_epoch_to_epoch():
    def first_batches(seed):
        module, seen = build(), []
        module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].tolist()))
        trainer = Trainer(module, plan(), seed)
        trainer.epoch(rows())
        first = seen[0]
        seen.clear()
        trainer.epoch(rows())
        return first, seen[0]

    assert first_batches(1) == first_batches(1)
    assert len({str(batch) for seed in (1, 2) for batch in first_batches(seed)}) == 4


def test_global_random_states_stay_as_they_were():
    with unchanged_random_states():
        trainer = Trainer(build(), plan(), 0)
        list(train(trainer, rows(), rows(20, seed=5), n_iter_no_change=3, tol=0.0))


def test_network_with_dropout_trains_the_same_from_the_same_seed():
    states = []
    for _ in range(2):
        module = build(architecture=dropout_networks)
        fit(module, plan())
        states.append(state_of(module))
        torch.rand(3)  # moves the global state
    assert same(*states)


def test_network_with_dropout_leaves_the_global_state_of_torch_alone():
    module = build(architecture=dropout_networks)
    with unchanged_random_states():
        fit(module, plan())


def test_bfloat16_is_for_arithmetic_only():
    module = build()
    (*_, last) = fit(module, plan(dtype=torch.bfloat16))
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert math.isfinite(last.record["loss"])
    assert not torch.is_autocast_enabled("cpu")


def test_units_and_given_parameters_are_not_trained():
    module = build(likelihood=Gaussian(0.5))
    module.initialize(50, torch.ones(N_FEATURES).double(), torch.ones(N_FEATURES).double())
    before = state_of(module)
    fit(module, plan())
    for name in ("shift", "scale", "global_params.log_noise"):
        assert torch.equal(module.state_dict()[name], before[name])
    assert not torch.equal(module.bias, before["bias"])


def test_module_is_in_training_mode_for_each_step_and_in_evaluation_mode_otherwise():
    module, passes = build(), []

    def record(*_):
        passes.append((torch.is_grad_enabled(), module.training))

    module.encoder.register_forward_hook(record)
    trainer = Trainer(module, plan(batch_size=16), 0)
    trainer.epoch(rows())
    assert not module.training
    assert passes.count((True, True)) == 4
    trainer.evaluate(rows())
    assert set(passes) == {(True, True), (False, False)}


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (7, 200), (33, 16)])
def test_any_number_of_rows_and_batch_size_will_do(n, batch_size):
    (*_, last) = fit(build(), plan(batch_size=batch_size), data=rows(n))
    assert math.isfinite(last.record["loss"])


# ---- Figures -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_figures_of_an_epoch_are_means_over_rows_whatever_the_batch_size(batch_size):
    # A rate of 1e-30 leaves the weights as they are.
    module = certain()
    record = Trainer(module, plan(batch_size=batch_size, learning_rate_init=1e-30), 0).epoch(rows())
    x = torch.from_numpy(rows().X)
    terms = elbo_terms(module, x, torch.zeros(50, LATENT_DIM))
    assert record["reconstruction_loss"] == pytest.approx(
        -terms.log_likelihood.mean().item(), rel=1e-6
    )
    assert record["kl_loss"] == pytest.approx(terms.kl_divergence.mean().item(), rel=1e-6)


@pytest.mark.parametrize("beta", [0.0, 1.0, 10.0])
def test_loss_is_the_sum_of_its_terms_whatever_beta(beta):
    for epoch in fit(build(), plan(beta=beta, kl_warmup=0.5)):
        record = epoch.record
        expected = record["reconstruction_loss"] + record["kl_loss"]
        assert record["loss"] == pytest.approx(expected, rel=1e-12)


def test_evaluation_is_the_mean_of_the_bounds_terms():
    module, data = build(), rows()
    record = evaluate(module, data, seed=7)
    eps = torch.randn(50, LATENT_DIM, generator=seeded_generator(7))
    terms = elbo_terms(module, module.standardize(torch.from_numpy(data.X)), eps)
    assert record["loss"] == pytest.approx(-terms.elbo.mean().item(), rel=1e-5)
    assert record["reconstruction_loss"] == pytest.approx(
        -terms.log_likelihood.mean().item(), rel=1e-5
    )
    assert record["kl_loss"] == pytest.approx(terms.kl_divergence.mean().item(), rel=1e-5)


def test_evaluation_is_identical_from_call_to_call():
    trainer = Trainer(build(), plan(), 0)
    trainer.epoch(rows())
    assert trainer.evaluate(rows()) == trainer.evaluate(rows())


def test_evaluation_takes_no_part_in_training():
    states = []
    for evaluated in (False, True):
        module = build()
        trainer = Trainer(module, plan(), 0)
        for _ in range(2):
            trainer.epoch(rows())
            if evaluated:
                trainer.evaluate(rows(20, seed=5))
        states.append(state_of(module))
    assert same(*states)


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((0, 0), 0), ((0.099, 0), 0), ((0.101, 0), 1), ((0.5, -0.101), 2), ((0, 1), 1)],
)
def test_active_units_are_those_whose_mean_varies_by_a_hundredth_of_the_prior(slopes, expected):
    module = build(hidden_layer_sizes=())
    with torch.no_grad():
        layer = module.encoder[0]
        layer.weight.zero_()
        layer.weight[0, 0], layer.weight[1, 0] = slopes
        layer.bias[:LATENT_DIM] = 3.0  # a constant code carries nothing, however large
    X = np.tile([[-1.0], [1.0]], (10, N_FEATURES))  # of variance 1
    assert evaluate(module, Rows(X, CPU), 0)["active_units"] == expected


# ---- Divergence ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_data_that_is_not_finite_is_a_divergence(value):
    data = rows()
    data.X[3, 1] = value
    with pytest.raises(DivergenceError):
        Trainer(build(), plan(), 0).epoch(data)


def test_loss_that_is_not_finite_is_a_divergence_though_the_weights_are():
    # The square of this value overflows, its gradient does not.
    data, module = rows(), build(likelihood=Gaussian(1.0))
    data.X[3, 1] = 1e20
    with pytest.raises(DivergenceError):
        Trainer(module, plan(), 0).epoch(data)
    assert all(p.isfinite().all() for p in module.parameters())


def test_weight_that_is_not_finite_is_a_divergence_though_the_loss_was_finite():
    # One batch: its loss is that of the start weights, which are fine.
    with pytest.raises(DivergenceError):
        Trainer(build(), plan(learning_rate_init=math.inf, batch_size=50), 0).epoch(rows())


@every_solver
def test_absurd_learning_rate_diverges_and_never_returns_a_figure_that_is_not_finite(solver):
    trainer = Trainer(build(), plan(solver=solver, learning_rate_init=1e30, max_iter=20), 0)
    records = []
    with pytest.raises(DivergenceError):
        records += [epoch.record for epoch in train(trainer, rows(), n_iter_no_change=99, tol=0.0)]
    assert all(math.isfinite(record["loss"]) for record in records)


# ---- Stopping: the loop alone, on a script -------------------------------------------


class Script:
    """Stands in for a trainer: plays losses back, with the epoch's number for a weight."""

    def __init__(self, losses, validation_losses=None, *, max_iter=None, **options):
        self.recipe = plan(max_iter=max_iter or len(losses), **options)
        self.module = nn.Linear(1, 1)
        self.losses, self.validation_losses = losses, validation_losses
        self.n_epochs = 0

    def epoch(self, data, after_step):
        self.n_epochs += 1
        self.module.bias.data.fill_(self.n_epochs)
        return {**self.record(self.losses), "active_units": 1}

    def leave_epoch(self):
        pass

    def evaluate(self, data):
        return self.record(self.validation_losses)

    def record(self, losses):
        loss = losses[self.n_epochs - 1]
        return {"loss": loss, "reconstruction_loss": loss - 1, "kl_loss": 1.0}

    @property
    def epoch_of_the_weights(self):
        return int(self.module.bias)


def play(script: Script, *, n_iter_no_change: int = 2, tol: float = 0.0):
    validation = None if script.validation_losses is None else rows(2)
    return train(script, rows(2), validation, n_iter_no_change=n_iter_no_change, tol=tol)


@pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
def test_training_ends_after_max_iter_epochs_and_says_so(learning_rate):
    script = Script([5.0, 4.0, 3.0, 2.0], learning_rate=learning_rate)
    epochs = list(play(script))
    assert [epoch.is_last for epoch in epochs] == [False, False, False, True]
    assert [epoch.record["loss"] for epoch in epochs] == [5, 4, 3, 2]


STOPS = {
    # name: validation losses, tol, epochs run, epoch of the weights
    "falls to the end": ([5, 4, 3, 2, 1], 0.0, 5, 5),
    "rises after the best": ([3, 2, 2.5, 2.6, 0], 0.0, 4, 2),
    "dips again just in time": ([3, 2, 2.5, 1.9, 2.5], 0.0, 5, 4),
    "stands still": ([3, 3, 3, 3, 3], 0.0, 3, 1),
    "falls by less than tol": ([3, 2.95, 2.9, 2.85, 2.8], 0.2, 3, 3),
    "falls by tol in several epochs": ([3, 2.95, 2.85, 2.8, 2.7], 0.1, 5, 5),
}


@pytest.mark.parametrize(("losses", "tol", "n_epochs", "best"), STOPS.values(), ids=STOPS)
def test_early_stopping_waits_n_iter_no_change_epochs_and_restores_the_best_of_all(
    losses, tol, n_epochs, best
):
    script = Script([9.0] * 5, losses)
    epochs = list(play(script, tol=tol))
    assert len(epochs) == n_epochs
    assert [epoch.is_last for epoch in epochs] == [False] * (n_epochs - 1) + [True]
    assert script.epoch_of_the_weights == best


@pytest.mark.parametrize("n_iter_no_change", [1, 3, 6])
def test_patience_is_counted_from_the_last_improvement(n_iter_no_change):
    script = Script([9.0] * 20, [3, 2] + [4] * 18)
    assert len(list(play(script, n_iter_no_change=n_iter_no_change))) == 2 + n_iter_no_change


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_validation_loss_that_is_never_finite_is_a_divergence(loss):
    # There is no best epoch to return then.
    with pytest.raises(DivergenceError):
        list(play(Script([9.0] * 5, [loss] * 5)))


@pytest.mark.parametrize(("taken", "best"), [(1, 1), (2, 2), (3, 2)])
def test_closing_the_iterator_early_restores_the_best_epoch_so_far(taken, best):
    script = Script([9.0] * 5, [3, 2, 2.5, 1, 0])
    with closing(play(script, n_iter_no_change=5)) as epochs:
        for _ in range(taken):
            next(epochs)
    assert script.n_epochs == taken
    assert script.epoch_of_the_weights == best


def test_error_in_an_epoch_restores_the_best_epoch_so_far():
    script = Script([9.0, 9.0], [1, 2], max_iter=9)  # the script ends after two epochs
    with pytest.raises(IndexError):
        list(play(script, n_iter_no_change=5))
    assert script.epoch_of_the_weights == 1


def test_weights_are_the_last_ones_without_validation_rows():
    script = Script([1.0, 2.0, 3.0], learning_rate="cosine")
    list(play(script))
    assert script.epoch_of_the_weights == 3


PLATEAUS = {
    # name: losses, tol, epochs run with n_iter_no_change = 2
    "too few epochs to tell": ([3, 3, 3], 0.0, 3),
    "stands still": ([3, 3, 3, 3, 3, 3], 1e-9, 4),
    "levels off": ([5, 4, 3, 3, 3, 3, 3], 1e-9, 6),
    "falls by tol on average": ([6, 6, 5, 5, 4, 4], 0.99, 6),
    "falls by less than tol on average": ([6, 6, 5, 5, 4, 4], 1.01, 4),
    "rises": ([3, 3, 4, 5, 6, 7], 0.0, 4),
    "jumps about a falling trend": ([9, 10, 7, 8, 5, 6, 3, 4], 0.0, 8),
}


@pytest.mark.parametrize(("losses", "tol", "n_epochs"), PLATEAUS.values(), ids=PLATEAUS)
def test_plateau_of_the_averaged_objective_ends_training_at_a_constant_rate(losses, tol, n_epochs):
    epochs = list(play(Script(losses), tol=tol))
    assert len(epochs) == n_epochs
    assert [epoch.is_last for epoch in epochs] == [False] * (n_epochs - 1) + [True]


def test_plateau_does_not_end_training_at_a_descending_rate():
    assert len(list(play(Script([3.0] * 9, learning_rate="cosine"), tol=1.0))) == 9


def test_plateau_is_of_what_is_minimised_and_so_depends_on_beta():
    # The reconstruction improves by what the KL term costs: at beta = 1 nothing is won.
    def n_epochs(beta):
        script = Script([5.0] * 8, beta=beta)
        script.record = lambda losses: {
            "loss": 5.0,
            "reconstruction_loss": 5.0 - script.n_epochs,
            "kl_loss": float(script.n_epochs),
        }
        return len(list(play(script, tol=1e-9)))

    assert n_epochs(1.0) == 4
    assert n_epochs(0.5) == 8


def test_validation_figures_stand_beside_those_of_training():
    (epoch, *_) = play(Script([9.0, 9.0], [3.0, 2.0]))
    assert epoch.record == {
        "loss": 9.0,
        "reconstruction_loss": 8.0,
        "kl_loss": 1.0,
        "active_units": 1,
        "validation_loss": 3.0,
        "validation_reconstruction_loss": 2.0,
        "validation_kl_loss": 1.0,
    }


# ---- Stopping: with a model ----------------------------------------------------------


def test_early_stopping_ends_with_the_weights_of_the_lowest_validation_loss():
    # Eight rows, a large network: it overfits soon.
    module, validation = build(hidden_layer_sizes=(50,)), rows(40, seed=5)
    trainer = Trainer(module, plan(learning_rate_init=0.03, batch_size=8, max_iter=200), 0)
    states, losses = [], []
    for epoch in train(trainer, rows(8), validation, n_iter_no_change=5, tol=0.0):
        states.append(state_of(module))
        losses.append(epoch.record["validation_loss"])
    best = int(np.argmin(losses))
    assert best == len(losses) - 6
    assert len(losses) < 200
    assert same(state_of(module), states[best])
    assert trainer.evaluate(validation)["loss"] == losses[best]


def test_validation_loss_does_not_depend_on_beta():
    # The same start weights, before the first step could tell betas apart.
    def first_loss(beta):
        recipe = plan(beta=beta, learning_rate_init=1e-30, kl_warmup=0.5)
        epochs = train(
            Trainer(build(), recipe, 0), rows(), rows(20, seed=5), n_iter_no_change=2, tol=0.0
        )
        with closing(epochs):
            return next(epochs).record["validation_loss"]

    assert first_loss(0.0) == first_loss(1.0) == first_loss(10.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_is_reproducible_and_leaves_its_global_state_alone():
    device = torch.device("cuda")
    before = torch.cuda.get_rng_state()
    states = []
    for _ in range(2):
        module = build().to(device)
        fit(module, plan(dtype=torch.bfloat16), data=Rows(rows().X, device))
        states.append(state_of(module))
    assert same(*states)
    assert torch.equal(torch.cuda.get_rng_state(), before)
