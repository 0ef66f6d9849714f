"""Seeds out of a `random_state`."""

import numpy as np
import pytest

from helpers import unchanged_random_states
from skvae.utils._random_state import draw_seed, local_random_state


def test_seeds_follow_from_the_state_of_the_generator_and_differ():
    first, second = (np.random.RandomState(0) for _ in range(2))
    seeds = [draw_seed(first) for _ in range(3)]
    assert seeds == [draw_seed(second) for _ in range(3)]
    assert len(set(seeds)) == 3
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)


def test_none_is_fresh_entropy_and_not_the_global_generator():
    with unchanged_random_states():
        seeds = {draw_seed(local_random_state(None)) for _ in range(5)}
    assert len(seeds) == 5


def test_an_instance_is_used_as_it_is():
    rng = np.random.RandomState(0)
    assert local_random_state(rng) is rng


def test_a_bad_random_state_is_an_error():
    with pytest.raises(ValueError, match="cannot be used to seed"):
        local_random_state("seed")
