"""Steps and epochs: trimming, schedules, reproducibility, metrics and divergence."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from helpers import dropout_networks, unchanged_random_states
from helpers_training import (
    CPU,
    LATENT_DIM,
    N_FEATURES,
    build,
    fit,
    make_config,
    rows,
    same,
    state_of,
)
from skvae import Gaussian
from skvae.models._objectives import elbo_terms
from skvae.training._batches import Rows
from skvae.training._config import TrainingConfig
from skvae.training._loop import TrainingLoop
from skvae.training._trainer import DivergenceError, Trainer, _kept_rows, evaluate
from skvae.utils import seeded_generator

pytestmark = pytest.mark.torch_only

every_solver = pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop"])


def certain(**options):
    """Return a module with a posterior of almost no spread, for which draws hardly matter."""
    module = build(**options)
    with torch.no_grad():
        module.encoder[-1].weight[LATENT_DIM:] = 0
        module.encoder[-1].bias[LATENT_DIM:] = -1e30
    return module


# ---- Trimming ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trim", "mean"), [(0.0, 22.0), (0.2, 2.5), (0.3, 2.5), (0.35, 2.0), (0.49, 2.0)]
)
def test_a_step_leaves_out_its_highest_losses(trim, mean):
    loss = torch.tensor([3.0, 1.0, 100.0, 4.0, 2.0])
    assert loss[_kept_rows(loss, trim)].mean().item() == mean


def test_a_step_never_leaves_out_all_rows():
    assert _kept_rows(torch.tensor([7.0]), trim=0.4).tolist() == [0]


# ---- Schedules -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, 50])
def test_schedules_are_read_at_the_middle_of_each_step(monkeypatch, batch_size):
    seen = {"learning_rate_at": [], "kl_weight_at": []}

    def spy_on(name):
        schedule = getattr(TrainingConfig, name)

        def spy(config, progress):
            seen[name].append(progress)
            return schedule(config, progress)

        monkeypatch.setattr(TrainingConfig, name, spy)  # instances are frozen, their class is not

    for name in seen:
        spy_on(name)
    fit(build(), make_config(learning_rate="cosine", batch_size=batch_size, max_iter=3))
    n_steps = 3 * math.ceil(50 / batch_size)
    expected = (np.arange(n_steps) + 0.5) / n_steps
    assert_allclose(seen["learning_rate_at"], expected, rtol=1e-14)
    assert_allclose(seen["kl_weight_at"], expected, rtol=1e-14)


@every_solver
def test_weights_move_by_the_scheduled_rate(solver):
    # The first step of these solvers is as long as the rate, or 10 times for RMSprop.
    module = build()
    before = module.bias.detach().clone()
    config = make_config(solver=solver, learning_rate="cosine", batch_size=50, max_iter=2)
    Trainer(module, config, 0).train_epoch(rows())
    step = (module.bias.detach() - before).abs()
    expected = config.learning_rate_at(0.25) * (10 if solver == "rmsprop" else 1)
    assert_allclose(step, expected, rtol=1e-3)


def test_adamw_is_adam_with_a_decay_of_weights_by_a_hundredth_of_the_rate():
    weights = {}
    for solver in ("adam", "adamw"):
        module = build()
        start = module.decoder[-1].weight.detach().clone()
        Trainer(
            module, make_config(solver=solver, learning_rate_init=0.1, batch_size=50), 0
        ).train_epoch(rows())
        weights[solver] = module.decoder[-1].weight.detach()
    assert_allclose(weights["adam"] - weights["adamw"], 0.1 * 0.01 * start, rtol=1e-2, atol=1e-6)


def test_large_beta_draws_the_posterior_to_the_prior():
    kl = [fit(build(), make_config(beta=beta, max_iter=15))[-1]["kl_loss"] for beta in (0, 1, 50)]
    assert kl[0] > kl[1] > kl[2]
    assert kl[2] < 0.01


def test_kl_term_has_no_weight_at_the_start_of_a_long_warm_up():
    # The first epoch of a hundred at beta = 1 goes as at beta = 0, to within 1 %.
    def kl_after_one_epoch(**options):
        module = build()
        Trainer(module, make_config(max_iter=100, **options), 0).train_epoch(rows())
        return evaluate(module, rows(), 0)["kl_loss"]

    warm, none, full = (
        kl_after_one_epoch(kl_warmup=1.0),
        kl_after_one_epoch(beta=0.0),
        kl_after_one_epoch(),
    )
    assert abs(warm - none) < 0.02 * abs(full - none)


@every_solver
def test_training_lowers_the_loss(solver):
    epochs = fit(build(), make_config(solver=solver, max_iter=20))
    assert epochs[-1]["loss"] < epochs[0]["loss"] - 1


# ---- What training may and may not touch ---------------------------------------------


@every_solver
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_same_seed_gives_the_same_weights_bit_for_bit(solver, dtype):
    def trained(seed):
        module = build()
        epochs = fit(module, make_config(solver=solver, dtype=dtype), seed=seed)
        return state_of(module), epochs

    (first, first_epochs), (second, second_epochs), (other, _) = map(trained, (1, 1, 2))
    assert same(first, second)
    assert first_epochs == second_epochs
    assert not same(first, other)


def test_order_of_rows_follows_from_the_seed_and_differs_from_epoch_to_epoch():
    def first_batches(seed):
        module, seen = build(), []
        module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].tolist()))
        trainer = Trainer(module, make_config(), seed)
        trainer.train_epoch(rows())
        first = seen[0]
        seen.clear()
        trainer.train_epoch(rows())
        return first, seen[0]

    assert first_batches(1) == first_batches(1)
    assert len({str(batch) for seed in (1, 2) for batch in first_batches(seed)}) == 4


def test_global_random_states_stay_as_they_were():
    with unchanged_random_states():
        trainer = Trainer(build(), make_config(), 0)
        TrainingLoop(trainer, rows(), rows(20, seed=5)).run()


def test_network_with_dropout_trains_the_same_from_the_same_seed():
    states = []
    for _ in range(2):
        module = build(architecture=dropout_networks)
        fit(module, make_config())
        states.append(state_of(module))
        torch.rand(3)  # moves the global state
    assert same(*states)


def test_network_with_dropout_leaves_the_global_state_of_torch_alone():
    module = build(architecture=dropout_networks)
    with unchanged_random_states():
        fit(module, make_config())


def test_bfloat16_is_for_arithmetic_only():
    module = build()
    (*_, last) = fit(module, make_config(dtype=torch.bfloat16))
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert math.isfinite(last["loss"])
    assert not torch.is_autocast_enabled("cpu")


def test_units_and_given_parameters_are_not_trained():
    module = build(likelihood=Gaussian(0.5))
    module.initialize(50, torch.ones(N_FEATURES).double(), torch.ones(N_FEATURES).double())
    before = state_of(module)
    fit(module, make_config())
    for name in ("shift", "scale", "global_params.log_noise"):
        assert torch.equal(module.state_dict()[name], before[name])
    assert not torch.equal(module.bias, before["bias"])


def test_module_is_in_training_mode_for_each_step_and_in_evaluation_mode_otherwise():
    module, passes = build(), []

    def record(*_):
        passes.append((torch.is_grad_enabled(), module.training))

    module.encoder.register_forward_hook(record)
    trainer = Trainer(module, make_config(batch_size=16), 0)
    trainer.train_epoch(rows())
    assert not module.training
    assert passes.count((True, True)) == 4
    trainer.evaluate(rows())
    assert set(passes) == {(True, True), (False, False)}


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (7, 200), (33, 16)])
def test_any_number_of_rows_and_batch_size_will_do(n, batch_size):
    (*_, last) = fit(build(), make_config(batch_size=batch_size), data=rows(n))
    assert math.isfinite(last["loss"])


# ---- Metrics -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_figures_of_an_epoch_are_means_over_rows_whatever_the_batch_size(batch_size):
    # A rate of 1e-30 leaves the weights as they are.
    module = certain()
    record = Trainer(
        module, make_config(batch_size=batch_size, learning_rate_init=1e-30), 0
    ).train_epoch(rows())
    x = torch.from_numpy(rows().X)
    terms = elbo_terms(module, x, torch.zeros(50, LATENT_DIM))
    assert record["reconstruction_loss"] == pytest.approx(
        -terms.log_likelihood.mean().item(), rel=1e-6
    )
    assert record["kl_loss"] == pytest.approx(terms.kl_divergence.mean().item(), rel=1e-6)


@pytest.mark.parametrize("beta", [0.0, 1.0, 10.0])
def test_loss_is_the_sum_of_its_terms_whatever_beta(beta):
    for metrics in fit(build(), make_config(beta=beta, kl_warmup=0.5)):
        expected = metrics["reconstruction_loss"] + metrics["kl_loss"]
        assert metrics["loss"] == pytest.approx(expected, rel=1e-12)


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
    trainer = Trainer(build(), make_config(), 0)
    trainer.train_epoch(rows())
    assert trainer.evaluate(rows()) == trainer.evaluate(rows())


def test_evaluation_takes_no_part_in_training():
    states = []
    for evaluated in (False, True):
        module = build()
        trainer = Trainer(module, make_config(), 0)
        for _ in range(2):
            trainer.train_epoch(rows())
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
        Trainer(build(), make_config(), 0).train_epoch(data)


def test_loss_that_is_not_finite_is_a_divergence_though_the_weights_are():
    # The square of this value overflows, its gradient does not.
    data, module = rows(), build(likelihood=Gaussian(1.0))
    data.X[3, 1] = 1e20
    with pytest.raises(DivergenceError):
        Trainer(module, make_config(), 0).train_epoch(data)
    assert all(p.isfinite().all() for p in module.parameters())


def test_weight_that_is_not_finite_is_a_divergence_though_the_loss_was_finite():
    # One batch: its loss is that of the start weights, which are fine.
    with pytest.raises(DivergenceError):
        Trainer(build(), make_config(learning_rate_init=math.inf, batch_size=50), 0).train_epoch(
            rows()
        )


@every_solver
def test_absurd_learning_rate_diverges_and_never_returns_a_figure_that_is_not_finite(solver):
    trainer = Trainer(build(), make_config(solver=solver, learning_rate_init=1e30, max_iter=20), 0)
    loop = TrainingLoop(trainer, rows())
    with pytest.raises(DivergenceError):
        loop.run()
    assert all(math.isfinite(metrics["loss"]) for metrics in loop.history)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_is_reproducible_and_leaves_its_global_state_alone():
    device = torch.device("cuda")
    before = torch.cuda.get_rng_state()
    states = []
    for _ in range(2):
        module = build().to(device)
        fit(module, make_config(dtype=torch.bfloat16), data=Rows(rows().X, device))
        states.append(state_of(module))
    assert same(*states)
    assert torch.equal(torch.cuda.get_rng_state(), before)
