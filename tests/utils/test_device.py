"""Devices, precision, threads and random generators."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from helpers import unchanged_random_states
from skvae.utils import (
    _device,
    autocast,
    available_devices,
    chunk_elements,
    deterministic_kernels,
    limit_threads,
    resolve_device,
    seeded_generator,
    training_dtype,
)
from skvae.utils._device import has_fast_bfloat16

pytestmark = pytest.mark.torch_only

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LARGE, SMALL = nn.Linear(400, 300), nn.Linear(4, 3)


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets the available devices."""

    def set_devices(*, n_cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return set_devices


# ---- Devices -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({}, ["cpu"]),
        ({"mps": True}, ["mps", "cpu"]),
        ({"n_cuda": 2}, ["cuda", "cuda:0", "cuda:1", "cpu"]),
    ],
)
def test_auto_is_the_first_available_device(machine, there, expected):
    machine(**there)
    assert available_devices() == expected
    assert resolve_device("auto") == torch.device(expected[0])


def test_devices_without_a_working_driver_are_unavailable(machine, monkeypatch):
    machine(n_cuda=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert available_devices() == ["cpu"]


@pytest.mark.parametrize("device", ["cpu", "cpu:0", CPU, torch.device("cpu", 0)], ids=repr)
def test_the_cpu_is_always_available(machine, device):
    machine()
    assert resolve_device(device).type == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda", 1)], ids=repr)
def test_a_device_is_resolved_by_name_or_object(machine, device):
    machine(n_cuda=2)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:0", "mps", "gpu", "", "CPU", torch.device("cuda:7"), "meta"], ids=repr
)
def test_the_error_for_an_unavailable_device_lists_available_devices(machine, device):
    machine()
    message = rf"device='{device}' is not available .* available are \['auto', 'cpu'\]"
    with pytest.raises(ValueError, match=message):
        resolve_device(device)


def test_the_error_lists_each_of_several_devices(machine):
    machine(n_cuda=2)
    with pytest.raises(ValueError, match=r"\['auto', 'cuda', 'cuda:0', 'cuda:1', 'cpu'\]"):
        resolve_device("cuda:2")


# ---- Precision -----------------------------------------------------------------------


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("module", [SMALL, LARGE], ids=["small", "large"])
def test_an_explicit_precision_is_used(monkeypatch, fast, module):
    monkeypatch.setattr(_device, "has_fast_bfloat16", lambda device: fast)
    assert training_dtype("float32", CPU, module) == torch.float32
    assert training_dtype("bfloat16", CPU, module) == torch.bfloat16


@pytest.mark.parametrize(
    ("fast", "module", "expected"),
    [
        (True, LARGE, torch.bfloat16),
        (True, SMALL, torch.float32),
        (False, LARGE, torch.float32),
        (False, SMALL, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_for_fast_hardware_and_large_layers(
    monkeypatch, fast, module, expected
):
    monkeypatch.setattr(_device, "has_fast_bfloat16", lambda device: fast)
    assert training_dtype("auto", CPU, module) == expected


def test_auto_is_bfloat16_for_convolutions_of_any_size(monkeypatch):
    monkeypatch.setattr(_device, "has_fast_bfloat16", lambda device: True)
    assert training_dtype("auto", CPU, nn.Conv2d(1, 2, 3)) == torch.bfloat16


def test_auto_is_float32_for_a_module_without_weights(monkeypatch):
    monkeypatch.setattr(_device, "has_fast_bfloat16", lambda device: True)
    assert training_dtype("auto", CPU, nn.Identity()) == torch.float32


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, False),
        ({"avx512_f": True}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
    ],
)
def test_a_cpu_with_bfloat16_instructions_is_fast(monkeypatch, features, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert has_fast_bfloat16(CPU) is expected


def test_a_cpu_of_unknown_capabilities_is_not_fast(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert has_fast_bfloat16(CPU) is False


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_cuda_is_fast_from_compute_capability_8(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_fast_bfloat16(torch.device("cuda")) is expected


def test_metal_is_not_fast():
    assert has_fast_bfloat16(torch.device("mps")) is False


# ---- Threads -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "n_rows", "expected"),
    [
        (SMALL, 1000, 1),
        (LARGE, 100, 1),
        (LARGE, 600, 2),
        (nn.Conv2d(1, 2, 3), 1, 2),
        (nn.Identity(), 10**9, 1),
    ],
    ids=["small", "few rows", "large", "convolution", "no weights"],
)
def test_small_steps_use_one_thread(two_threads, module, n_rows, expected):
    with limit_threads(module, n_rows):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


def test_the_number_of_threads_is_restored_after_an_error(two_threads):
    with pytest.raises(ZeroDivisionError), limit_threads(SMALL, 1):
        _ = 1 / 0
    assert torch.get_num_threads() == 2


def test_other_threads_of_the_program_keep_their_number_of_threads(two_threads):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
        with limit_threads(SMALL, 1):
            assert torch.get_num_threads() == 1
            assert pool.submit(torch.get_num_threads).result() == 2


# ---- The arithmetic context ----------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_networks_compute_in_the_dtype_of_the_context(dtype):
    with autocast(CPU, dtype):
        assert SMALL(torch.zeros(2, 4)).dtype == dtype
    assert SMALL(torch.zeros(2, 4)).dtype == torch.float32


def test_a_float32_context_overrides_an_outer_autocast():
    with torch.autocast("cpu", torch.bfloat16), autocast(CPU, torch.float32):
        assert SMALL(torch.zeros(2, 4)).dtype == torch.float32


def global_flags():
    cudnn = torch.backends.cudnn
    return (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_context_restores_global_flags_even_after_an_error(dtype):
    before = global_flags()
    with autocast(CPU, dtype):
        pass
    assert global_flags() == before
    with pytest.raises(ZeroDivisionError), autocast(CPU, dtype):
        _ = 1 / 0
    assert global_flags() == before


def test_the_context_changes_no_flag_before_it_is_entered():
    before = global_flags()
    context = autocast(CPU, torch.bfloat16)
    made = global_flags()
    with context:
        pass  # restores the flags for later tests
    assert made == before


def test_deterministic_kernels_change_cudnn_only_in_the_context(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = global_flags()
    with deterministic_kernels(CPU):
        assert global_flags() == before
    with deterministic_kernels(CUDA):
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert global_flags() == before
    with pytest.raises(ZeroDivisionError), deterministic_kernels(CUDA):
        _ = 1 / 0
    assert global_flags() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_cuda_contexts_are_deterministic_and_restore_global_flags(dtype):
    before = global_flags(), torch.is_autocast_enabled("cuda")
    with deterministic_kernels(CUDA), autocast(CUDA, dtype):
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        layer = nn.Linear(4, 3, device="cuda")
        assert layer(torch.zeros(2, 4, device="cuda")).dtype == dtype
    assert (global_flags(), torch.is_autocast_enabled("cuda")) == before


@pytest.mark.parametrize(
    ("name", "free", "expected"),
    [
        ("cpu", 0, 2**21),
        ("mps", 0, 2**25),
        ("cuda", 2**36, 2**25),
        ("cuda", 2**33, 2**24),
        ("cuda", 2**20, 2**21),
    ],
)
def test_chunks_suit_the_memory_of_the_device(name, free, expected, monkeypatch):
    monkeypatch.setattr("skvae.utils._device.free_memory", lambda device: free)
    assert chunk_elements(torch.device(name)) == expected


# ---- Seeds ---------------------------------------------------------------------------


def test_seeded_generators_are_reproducible():
    with unchanged_random_states():
        draws = [torch.rand(5, generator=seeded_generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_seeded_generator_is_on_the_requested_device():
    generator = seeded_generator(0, "cuda")
    before = torch.cuda.get_rng_state()
    assert torch.rand(3, generator=generator, device="cuda").device.type == "cuda"
    assert torch.equal(torch.cuda.get_rng_state(), before)
