"""Steps and epochs: trimming, schedules, reproducibility, metrics and divergence."""

import copy
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from helpers import dropout_networks, same_weights, unchanged_random_states
from helpers_training import CPU, LATENT_DIM, N_FEATURES, Observer, build, fit, make_config, rows
from skvae import Gaussian
from skvae.models._objectives import elbo_terms
from skvae.training._batches import Rows
from skvae.training._config import TrainingConfig
from skvae.training._loop import TrainingLoop
from skvae.training._optimizer import Optimizer
from skvae.training._trainer import DivergenceError, Trainer, evaluate
from skvae.utils import seeded_generator

pytestmark = pytest.mark.torch_only

every_solver = pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop"])


def certain(**options):
    """Return a module with a posterior of almost no spread, for which draws hardly matter."""
    module = build(**options)
    with torch.no_grad():
        for layer in (module.encoder.linear, module.encoder.perceptron[-1]):
            layer.weight[LATENT_DIM:] = 0
            layer.bias[LATENT_DIM:] = -1e30
    return module


# ---- Schedules -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, 50])
def test_schedules_are_evaluated_at_the_middle_of_each_step(monkeypatch, batch_size):
    seen = {"learning_rate_at": [], "kl_weight_at": []}

    def spy_on(name):
        schedule = getattr(TrainingConfig, name)

        def spy(config, progress, *others):
            seen[name].append(progress)
            return schedule(config, progress, *others)

        monkeypatch.setattr(TrainingConfig, name, spy)  # instances are frozen, their class is not

    for name in seen:
        spy_on(name)
    fit(build(), make_config(learning_rate="cosine", batch_size=batch_size, max_iter=3))
    n_steps = 3 * math.ceil(50 / batch_size)
    expected = (np.arange(n_steps) + 0.5) / n_steps
    assert_allclose(seen["learning_rate_at"], expected, rtol=1e-14)
    assert_allclose(seen["kl_weight_at"], expected, rtol=1e-14)


def test_the_rate_falls_to_zero_from_the_start_of_the_descent(monkeypatch):
    config = make_config(learning_rate="cosine", batch_size=25, max_iter=20, n_iter_no_change=2)
    rates = []
    monkeypatch.setattr(Optimizer, "step", lambda self, rate: rates.append(rate))
    trainer = Trainer(build(likelihood="bernoulli"), config, 0)
    data = Rows(np.zeros((50, N_FEATURES), dtype=np.float32), CPU)
    for epoch in range(6):
        if epoch == 4:
            trainer.begin_descent()
        trainer.train_epoch(data)
    trainer.begin_descent()  # has no effect any more
    assert trainer.descent_start == 4
    assert trainer.last_epoch == 6
    schedule = [config.learning_rate_at((i + 0.5) / 40) for i in range(8)]
    descent = config.learning_rate_at(0.2) * np.cos(np.pi / 16 * np.array([1, 3, 5, 7])) ** 2
    assert_allclose(rates, [*schedule, *descent], rtol=1e-12)


@every_solver
def test_the_size_of_a_step_is_the_scheduled_rate(solver):
    # The first step of these solvers is as long as the rate, or 10 times for RMSprop.
    module = build()
    before = copy.deepcopy(module.state_dict())
    config = make_config(solver=solver, learning_rate="cosine", batch_size=50, max_iter=2)
    Trainer(module, config, 0).train_epoch(rows())
    after = module.state_dict()
    rate = config.learning_rate_at(0.25) * (10 if solver == "rmsprop" else 1)
    assert_allclose((after["bias"] - before["bias"]).abs(), rate, rtol=1e-3)
    # The rate of the noise is five times as large.
    noise = "global_params.log_noise"
    assert_allclose((after[noise] - before[noise]).abs(), 5 * rate, rtol=1e-3)


def test_adamw_is_adam_with_weight_decay_of_a_hundredth_of_the_rate():
    weights = {}
    for solver in ("adam", "adamw"):
        module = build()
        start = module.decoder.linear.weight.detach().clone()
        Trainer(
            module, make_config(solver=solver, learning_rate_init=0.1, batch_size=50), 0
        ).train_epoch(rows())
        weights[solver] = module.decoder.linear.weight.detach()
    assert_allclose(weights["adam"] - weights["adamw"], 0.1 * 0.01 * start, rtol=1e-2, atol=1e-6)


@every_solver
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_step_shrinks_decaying_weights_by_alpha_times_the_rate(solver, schedule):
    likelihood, alpha, rate = Gaussian("row"), 7.0, 0.01
    states = []
    for strength in (0.0, alpha):
        module = build(likelihood=likelihood)
        start = copy.deepcopy(module.state_dict())
        config = make_config(
            solver=solver,
            learning_rate=schedule,
            learning_rate_init=rate,
            batch_size=50,
            max_iter=1,
            alpha=strength,
        )
        Trainer(module, config, 0).train_epoch(rows())
        states.append(module.state_dict())
    lost = alpha * config.learning_rate_at(0.5)
    # AdamW shrinks the weights that remain.
    lost *= 1 - 0.01 * config.learning_rate_at(0.5) if solver == "adamw" else 1
    decaying = {"decoder.perceptron.0.weight": 0, "decoder.perceptron.2.weight": 0}
    decaying["decoder.linear.weight"] = N_FEATURES  # the first row of the noise
    for name, without in states[0].items():
        difference = (without - states[1][name]).flatten().numpy()
        expected = torch.zeros_like(without)
        if name in decaying:
            expected[decaying[name] :] = lost * start[name][decaying[name] :]
        assert_allclose(difference, expected.flatten(), atol=1e-6, err_msg=name)


def test_very_strong_weight_decay_leaves_no_weights_instead_of_growing_weights():
    module = build(likelihood=Gaussian("row"))
    fit(module, make_config(alpha=1e9, max_iter=20))
    for layer in (module.decoder.perceptron[0], module.decoder.perceptron[2]):
        assert layer.weight.abs().max() < 0.05  # a step after the last decay
    # Means and bias do not decay: the model is still a linear model of the rows.
    assert module.decoder.linear.weight[:N_FEATURES].abs().max() > 0.1


def test_a_large_beta_moves_the_posterior_to_the_prior():
    kl = [fit(build(), make_config(beta=beta, max_iter=15))[-1]["kl_loss"] for beta in (0, 1, 50)]
    assert kl[0] > kl[1] > kl[2]
    assert kl[2] < 0.01


def test_the_kl_term_has_almost_no_weight_at_the_start_of_a_long_warm_up():
    # The first of a hundred epochs at beta = 1 equals that at beta = 0, up to 2 %.
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


# ---- Reproducibility and side effects ------------------------------------------------


@every_solver
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_same_seed_gives_the_same_weights_bit_for_bit(solver, dtype):
    def trained(seed):
        module = build()
        epochs = fit(module, make_config(solver=solver, dtype=dtype), seed=seed)
        return copy.deepcopy(module), epochs

    (first, first_epochs), (second, second_epochs), (other, _) = map(trained, (1, 1, 2))
    assert same_weights(first, second)
    assert first_epochs == second_epochs
    assert not same_weights(first, other)


def test_the_seed_determines_the_shuffling_of_each_epoch():
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


def test_training_leaves_global_random_states_unchanged():
    with unchanged_random_states():
        trainer = Trainer(build(), make_config(), 0)
        TrainingLoop(trainer, rows(), rows(20, seed=5)).run()


def test_networks_with_dropout_are_reproducible():
    modules = []
    for _ in range(2):
        module = build(architecture=dropout_networks)
        fit(module, make_config())
        modules.append(copy.deepcopy(module))
        torch.rand(3)  # changes the global random state
    assert same_weights(*modules)


def test_networks_with_dropout_leave_global_random_states_unchanged():
    module = build(architecture=dropout_networks)
    with unchanged_random_states():
        fit(module, make_config())


def test_weights_stay_in_float32_with_bfloat16_arithmetic():
    module = build()
    (*_, last) = fit(module, make_config(dtype=torch.bfloat16))
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert math.isfinite(last["loss"])
    assert not torch.is_autocast_enabled("cpu")


def test_units_and_fixed_parameters_are_not_trained():
    module = build(likelihood=Gaussian(0.5))
    module.initialize(50, torch.ones(N_FEATURES).double(), torch.ones(N_FEATURES).double())
    before = copy.deepcopy(module.state_dict())
    fit(module, make_config())
    for name in ("units.shift", "units.scale", "global_params.log_noise"):
        assert torch.equal(module.state_dict()[name], before[name])
    assert not torch.equal(module.bias, before["bias"])


def test_the_module_is_in_training_mode_only_during_steps():
    module, passes = build(), []

    def record(*_):
        passes.append((torch.is_grad_enabled(), module.training))

    module.encoder.register_forward_hook(record)
    trainer = Trainer(module, make_config(batch_size=16), 0)
    for _ in range(2):
        trainer.train_epoch(rows())
        assert not module.training
        assert passes == [(True, True)] * 4
        trainer.evaluate(rows())
        trainer.check_finite(rows())
        assert set(passes) == {(True, True), (False, False)}
        passes.clear()


def test_gradients_are_freed_after_an_epoch():
    module = build()
    Trainer(module, make_config(), 0).train_epoch(rows())
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (7, 200), (33, 16)])
def test_any_number_of_rows_and_batch_size_is_accepted(n, batch_size):
    (*_, last) = fit(build(), make_config(batch_size=batch_size), data=rows(n))
    assert math.isfinite(last["loss"])


# ---- Metrics -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_metrics_of_an_epoch_are_means_over_rows_for_any_batch_size(batch_size):
    # A rate of 1e-30 does not change the weights.
    module = certain()
    metrics = Trainer(
        module, make_config(batch_size=batch_size, learning_rate_init=1e-30), 0
    ).train_epoch(rows())
    x = torch.from_numpy(rows().X)
    terms = elbo_terms(module, x, torch.zeros(50, LATENT_DIM))
    assert metrics["reconstruction_loss"] == pytest.approx(
        -terms.log_likelihood.mean().item(), rel=1e-5
    )
    assert metrics["kl_loss"] == pytest.approx(terms.kl_divergence.mean().item(), rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 10.0])
def test_the_loss_is_the_sum_of_its_terms_for_any_beta(beta):
    for metrics in fit(build(), make_config(beta=beta, kl_warmup=0.5)):
        expected = metrics["reconstruction_loss"] + metrics["kl_loss"]
        assert metrics["loss"] == pytest.approx(expected, rel=1e-12)


def test_evaluation_is_the_mean_of_the_terms_of_the_elbo():
    module, data = build(), rows()
    metrics = evaluate(module, data, seed=7)
    eps = torch.randn(50, LATENT_DIM, generator=seeded_generator(7))
    terms = elbo_terms(module, module.standardize(torch.from_numpy(data.X)), eps)
    assert metrics["loss"] == pytest.approx(-terms.elbo.mean().item(), rel=1e-5)
    assert metrics["reconstruction_loss"] == pytest.approx(
        -terms.log_likelihood.mean().item(), rel=1e-5
    )
    assert metrics["kl_loss"] == pytest.approx(terms.kl_divergence.mean().item(), rel=1e-5)


def test_evaluation_is_the_same_in_each_call():
    trainer = Trainer(build(), make_config(), 0)
    trainer.train_epoch(rows())
    assert trainer.evaluate(rows()) == trainer.evaluate(rows())


def test_evaluation_does_not_affect_training():
    modules = []
    for evaluated in (False, True):
        module = build()
        trainer = Trainer(module, make_config(), 0)
        for _ in range(2):
            trainer.train_epoch(rows())
            if evaluated:
                trainer.evaluate(rows(20, seed=5))
        modules.append(copy.deepcopy(module))
    assert same_weights(*modules)


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((0, 0), 0), ((0.099, 0), 0), ((0.101, 0), 1), ((0.5, -0.101), 2), ((0, 1), 1)],
)
def test_units_are_active_above_a_variance_of_a_hundredth(slopes, expected):
    module = build(hidden_layer_sizes=())
    with torch.no_grad():
        layer = module.encoder.linear
        layer.weight.zero_()
        layer.weight[0, 0], layer.weight[1, 0] = slopes
        # A large constant code has no variance, and each posterior has a variance of 1.
        layer.bias[:LATENT_DIM], layer.bias[LATENT_DIM:] = 3.0, 0.0
    X = np.tile([[-1.0], [1.0]], (10, N_FEATURES))  # variance 1
    assert evaluate(module, Rows(X, CPU), 0)["active_units"] == expected


# ---- Divergence ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_data_are_a_divergence(value):
    data = rows()
    data.X[3, 1] = value
    with pytest.raises(DivergenceError):
        Trainer(build(), make_config(), 0).train_epoch(data)


def test_a_non_finite_loss_is_a_divergence_even_with_finite_weights():
    # The square of this value overflows, the gradient does not.
    data, module = rows(), build(likelihood=Gaussian(1.0), architecture="fourier_mlp")
    data.X[3, 1] = 1e20
    with pytest.raises(DivergenceError):
        Trainer(module, make_config(), 0).train_epoch(data)
    assert all(p.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("stopped", [False, True])
def test_the_last_step_of_training_can_be_a_divergence(stopped):
    # One batch, whose loss with the initial weights is finite.
    config = make_config(learning_rate_init=math.inf, batch_size=50, max_iter=4 if stopped else 1)
    trainer = Trainer(build(), config, 0)
    loop = TrainingLoop(trainer, rows(), callbacks=[Observer(lambda _: stopped)])
    with pytest.raises(DivergenceError):
        loop.run()


@every_solver
def test_an_extreme_learning_rate_diverges_in_the_first_epoch(solver):
    trainer = Trainer(build(), make_config(solver=solver, learning_rate_init=1e30, max_iter=20), 0)
    loop = TrainingLoop(trainer, rows())
    with pytest.raises(DivergenceError):
        loop.run()
    assert loop.history == []


def test_the_history_before_a_divergence_is_finite():
    data = rows()

    def corrupt(loop):
        if len(loop.history) == 2:
            data.X[3, 1] = math.nan

    trainer = Trainer(build(), make_config(max_iter=20), 0)
    loop = TrainingLoop(trainer, data, callbacks=[Observer(corrupt)])
    with pytest.raises(DivergenceError):
        loop.run()
    assert [math.isfinite(metrics["loss"]) for metrics in loop.history] == [True, True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_is_reproducible_and_leaves_the_global_random_state_unchanged():
    device = torch.device("cuda")
    before = torch.cuda.get_rng_state()
    modules = []
    for _ in range(2):
        module = build().to(device)
        fit(module, make_config(dtype=torch.bfloat16), data=Rows(rows().X, device))
        modules.append(copy.deepcopy(module))
    assert same_weights(*modules)
    assert torch.equal(torch.cuda.get_rng_state(), before)
