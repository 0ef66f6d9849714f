"""Devices, precision, threads, random generators, numerical helpers and optional imports.

Imports no other package of skvae.
"""

from ._device import (
    arithmetic,
    available_devices,
    free_memory,
    global_generator_states,
    keep_freed_memory,
    one_thread,
    place,
    resolve_device,
    restore_global_generators,
    seeded_generator,
    seeded_global_generator,
    settle_threads,
    suitable_threads,
    training_dtype,
)
from ._numerics import soft_bound, soft_bound_inverse, uniform
from ._optional import optional
from ._random_state import draw_seed, local_random_state

__all__ = [
    "arithmetic",
    "available_devices",
    "draw_seed",
    "free_memory",
    "global_generator_states",
    "keep_freed_memory",
    "local_random_state",
    "one_thread",
    "optional",
    "place",
    "resolve_device",
    "restore_global_generators",
    "seeded_generator",
    "seeded_global_generator",
    "settle_threads",
    "soft_bound",
    "soft_bound_inverse",
    "suitable_threads",
    "training_dtype",
    "uniform",
]
