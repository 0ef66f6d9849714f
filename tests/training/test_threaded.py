"""The number of threads of training steps."""

import pytest
import torch

from helpers_training import make_config
from skvae import VAETransformer
from skvae.training._batches import Batch
from skvae.training._step import EagerStep
from skvae.training._threaded import ThreadedStep
from skvae.utils import _threads, single_thread

pytestmark = pytest.mark.torch_only

FULL, LAST = Batch(torch.zeros(4, 2), 4), Batch(torch.zeros(1, 2), 1)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Machine:
    """A step and a clock: a step takes as many seconds as `seconds` says for its threads."""

    def __init__(self, seconds, *, has_equal_bits=True):
        self.config = make_config(batch_size=4)
        self.seconds = seconds
        self.has_equal_bits = has_equal_bits
        self.time = 0.0
        self.n_threads = []

    def __call__(self, batch, learning_rate, kl_weight):
        self.n_threads.append(torch.get_num_threads())
        self.time += self.seconds[self.n_threads[-1]]

    def rehearse(self, batch, kl_weight):
        differs = not self.has_equal_bits and torch.get_num_threads() == 1
        return [torch.ones(3), torch.tensor(1.0 + differs)]

    def clock(self):
        return self.time


def run(step, n_steps, batch=FULL):
    with step.epoch():
        for _ in range(n_steps):
            step(batch, 0.1, 1.0)
    assert torch.get_num_threads() == 2


def test_two_threads_remain_if_they_are_faster():
    machine = Machine({1: 1.5, 2: 1.0})
    run(ThreadedStep(machine, machine.clock), 200)
    assert machine.n_threads[:7] == [2, 2, 2, 1, 1, 1, 2]
    assert machine.n_threads.count(1) == 12  # four trials


def test_one_thread_takes_over_while_another_program_uses_a_core():
    machine = Machine({1: 1.5, 2: 1.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 100)
    machine.seconds = {1: 1.6, 2: 5.0}
    run(step, 600)
    busy = machine.n_threads[100:]
    assert sum(machine.seconds[n] for n in busy) / len(busy) < 2
    machine.seconds = {1: 1.5, 2: 1.0}
    run(step, 600)
    assert machine.n_threads[-600:].count(2) > 500


def test_a_trial_ends_with_a_step_that_is_much_too_slow():
    machine = Machine({1: 1.5, 2: 4.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 300)
    assert machine.n_threads.count(2) == 3 + 5  # the first steps, and a step of each trial


def test_a_choice_lasts_for_several_epochs():
    machine = Machine({1: 1.0, 2: 2.0})
    step = ThreadedStep(machine, machine.clock)
    for _ in range(10):
        run(step, 10)
    assert machine.n_threads.count(2) == 3 + 3  # the first steps, and a trial


def test_a_gain_within_the_noise_of_times_changes_nothing():
    machine = Machine({1: 0.97, 2: 1.0})
    run(ThreadedStep(machine, machine.clock), 100)
    assert machine.n_threads.count(1) == 6


def test_steps_with_other_bits_use_all_threads():
    machine = Machine({1: 1.0, 2: 5.0}, has_equal_bits=False)
    run(ThreadedStep(machine, machine.clock), 100)
    assert set(machine.n_threads) == {2}


def test_a_last_batch_with_other_bits_uses_all_threads():
    machine = Machine({1: 1.0, 2: 5.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 20)
    assert machine.n_threads[-1] == 1
    machine.has_equal_bits = False
    run(step, 1, LAST)
    assert machine.n_threads[-1] == 2
    run(step, 20)
    assert machine.n_threads[-20:] == [1] * 20


def test_a_single_thread_leaves_no_choice():
    machine = Machine({1: 1.0})
    machine.rehearse = None
    with single_thread():
        step = ThreadedStep(machine, machine.clock)
        with step.epoch():
            step(FULL, 0.1, 1.0)
    assert machine.n_threads == [1]


def test_gradients_of_zero_do_not_count():
    machine = Machine({1: 1.0, 2: 2.0})
    machine.rehearse = lambda *_: [torch.zeros(3)]
    step = ThreadedStep(machine, machine.clock)
    run(step, 60)
    assert set(machine.n_threads) == {2}
    del machine.rehearse
    run(step, 60)
    assert 1 in machine.n_threads


def test_another_configuration_needs_another_rehearsal():
    machine = Machine({1: 1.0, 2: 2.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 20)
    machine.config = make_config(batch_size=4, dtype=torch.bfloat16)
    machine.has_equal_bits = False
    run(step, 20)
    assert machine.n_threads[-20:] == [2] * 20


def test_smaller_batches_do_not_count_in_trials():
    machine = Machine({1: 1.5, 2: 1.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 5)  # within the trial of one thread
    machine.seconds = {1: 0.1, 2: 0.1}
    run(step, 3, LAST)
    machine.seconds = {1: 1.5, 2: 1.0}
    run(step, 50)
    assert machine.n_threads[-49:] == [2] * 49


def test_the_number_of_threads_is_restored_after_an_error():
    machine = Machine({1: 1.0, 2: 2.0})
    step = ThreadedStep(machine, machine.clock)
    run(step, 20)
    assert machine.n_threads[-1] == 1
    machine.config = None
    with pytest.raises(AttributeError):
        run(step, 1)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"encoder_dropout": 0.2, "prior": "flow"}], ids=str)
def test_weights_do_not_depend_on_the_choice(precision, options, monkeypatch):
    monkeypatch.setattr(_threads, "_MIN_WORK_FOR_THREADS", 0)
    monkeypatch.setattr("skvae.training._threaded._N_STEPS_BETWEEN_TRIALS", 2)
    X = torch.rand(600, 40, generator=torch.Generator().manual_seed(0)).numpy()
    options = dict(options, hidden_layer_sizes=(64,), precision=precision, random_state=0)
    vae = VAETransformer(2, batch_size=100, max_iter=4, **options)
    adaptive = vae.fit(X).module_.state_dict()
    torch.set_num_threads(1)
    single = vae.fit(X).module_.state_dict()
    for name, weight in single.items():
        assert torch.equal(adaptive[name], weight), name


def test_a_rehearsal_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(_threads, "_MIN_WORK_FOR_THREADS", 0)
    X = torch.rand(300, 10, generator=torch.Generator().manual_seed(0)).numpy()
    vae = VAETransformer(2, batch_size=50, max_iter=2, random_state=0)
    with_rehearsal = vae.fit(X).module_.state_dict()
    monkeypatch.setattr(EagerStep, "rehearse", lambda *_: [torch.zeros(1)])
    without = vae.fit(X).module_.state_dict()
    assert all(torch.equal(with_rehearsal[name], weight) for name, weight in without.items())
