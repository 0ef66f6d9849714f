"""Devices, precision, threads, interrupts, random generators, numerics and optional imports.

Imports no other package of skvae.
"""

from ._device import (
    autocast,
    available_devices,
    chunk_elements,
    deterministic_kernels,
    free_memory,
    resolve_device,
    retain_freed_memory,
    to_device,
    training_dtype,
)
from ._interrupts import hold_interrupts
from ._isolation import between_steps, isolate
from ._numerics import MAX_EXACT_INTEGER, soft_clamp, soft_clamp_inverse, uniform
from ._optional import import_optional, import_tqdm
from ._pandas_metadata import PANDAS_METADATA, index_columns
from ._random_state import (
    draw_seed,
    exclusive_global_rng,
    global_rng_states,
    local_random_state,
    restore_global_rng,
    seeded_generator,
    seeded_global_rng,
)
from ._threads import init_threads, limit_threads, single_thread
from ._validation import check_choice
from ._version import __version__
from ._warnings import find_stack_level

__all__ = [
    "MAX_EXACT_INTEGER",
    "PANDAS_METADATA",
    "__version__",
    "autocast",
    "available_devices",
    "between_steps",
    "check_choice",
    "chunk_elements",
    "deterministic_kernels",
    "draw_seed",
    "exclusive_global_rng",
    "find_stack_level",
    "free_memory",
    "global_rng_states",
    "hold_interrupts",
    "import_optional",
    "import_tqdm",
    "index_columns",
    "init_threads",
    "isolate",
    "limit_threads",
    "local_random_state",
    "resolve_device",
    "restore_global_rng",
    "retain_freed_memory",
    "seeded_generator",
    "seeded_global_rng",
    "single_thread",
    "soft_clamp",
    "soft_clamp_inverse",
    "to_device",
    "training_dtype",
    "uniform",
]
