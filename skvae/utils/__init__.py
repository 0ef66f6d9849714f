"""Devices, precision, threads, random generators, numerical helpers and optional imports.

Imports no other package of skvae.
"""

from ._device import (
    arithmetic,
    available_devices,
    free_memory,
    global_generator_states,
    init_threads,
    limit_threads,
    place,
    resolve_device,
    restore_global_generators,
    retain_freed_memory,
    seeded_generator,
    seeded_global_generator,
    single_thread,
    training_dtype,
)
from ._numerics import soft_clamp, soft_clamp_inverse, uniform
from ._optional import optional
from ._random_state import draw_seed, local_random_state

__all__ = [
    "arithmetic",
    "available_devices",
    "draw_seed",
    "free_memory",
    "global_generator_states",
    "init_threads",
    "limit_threads",
    "local_random_state",
    "optional",
    "place",
    "resolve_device",
    "restore_global_generators",
    "retain_freed_memory",
    "seeded_generator",
    "seeded_global_generator",
    "single_thread",
    "soft_clamp",
    "soft_clamp_inverse",
    "training_dtype",
    "uniform",
]
