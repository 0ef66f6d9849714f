"""Seeds drawn from `random_state`."""

import numpy as np
import pytest

from helpers import unchanged_random_states
from skvae.utils._random_state import draw_seed, local_random_state


def test_seeds_are_reproducible_and_distinct():
    first, second = (np.random.RandomState(0) for _ in range(2))
    seeds = [draw_seed(first) for _ in range(3)]
    assert seeds == [draw_seed(second) for _ in range(3)]
    assert len(set(seeds)) == 3
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)


def test_none_gives_fresh_seeds_without_the_global_generator():
    with unchanged_random_states():
        seeds = {draw_seed(local_random_state(None)) for _ in range(5)}
    assert len(seeds) == 5


def test_an_instance_is_returned_unchanged():
    rng = np.random.RandomState(0)
    assert local_random_state(rng) is rng


def test_an_invalid_random_state_is_an_error():
    with pytest.raises(ValueError, match="cannot be used to seed"):
        local_random_state("seed")
