"""Batches of rows from arrays, memory maps and sparse matrices."""

import numpy as np
import pytest
import torch
from scipy import sparse

from helpers import seeded, unchanged_random_states
from skvae.training._batches import Rows, column_moments, shuffled_windows

pytestmark = pytest.mark.torch_only

CPU = torch.device("cpu")


def table(dtype=np.float64) -> np.ndarray:
    """Return 10 rows of 3 columns with distinct values, where the dtype has enough."""
    return (np.arange(30).reshape(10, 3) % 128).astype(dtype)


def memory_map(tmp_path, mode):
    path = tmp_path / "X.npy"
    np.save(path, table())
    return np.load(path, mmap_mode=mode)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def sequential_batches(rows, batch_size):
    return [batch.x for batch in rows.batches(batch_size)]


def shuffled_batches(rows, batch_size, generator=None):
    return [batch.x for batch in rows.shuffled(batch_size, generator or seeded())]


LAYOUTS = {
    "C": lambda X: X,
    "Fortran": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": read_only,
    "broadcast": lambda X: np.broadcast_to(X[0], X.shape),
}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", torch.float32),
        ("float64", torch.float64),
        ("uint8", torch.uint8),
        ("int8", torch.int8),
        ("int16", torch.int16),
        ("int32", torch.int32),
        ("int64", torch.int64),
        ("bool", torch.bool),
        ("float16", torch.float64),
        ("uint16", torch.float64),
        ("uint32", torch.float64),
        ("longdouble", torch.float64),
        (">f4", torch.float64),
        (">f8", torch.float64),
        (">i4", torch.float64),
    ],
)
def test_rows_have_a_dtype_of_torch_or_are_in_double_precision(dtype, expected):
    X = table(dtype)
    batch = Rows(X, CPU).take(slice(2, 5))
    assert batch.dtype == expected
    assert batch.tolist() == X[2:5].astype(np.float64).tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", ">f4"])
def test_rows_are_read_from_arrays_of_any_layout(layout, dtype):
    X = LAYOUTS[layout](table(dtype))
    rows = Rows(X, CPU)
    assert rows.take(np.array([7, 0, 7])).tolist() == X[[7, 0, 7]].tolist()
    assert torch.cat(sequential_batches(rows, 4)).tolist() == X.tolist()


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_rows_are_read_from_memory_maps(tmp_path, mode):
    X = memory_map(tmp_path, mode)
    rows = Rows(X, CPU)
    assert rows.X is X
    assert rows.take(slice(3, 6)).tolist() == table()[3:6].tolist()
    assert torch.cat(shuffled_batches(rows, 4)).sum() == table().sum()


def test_memory_maps_and_their_views_are_recognised(tmp_path):
    X = memory_map(tmp_path, "r")
    for mapped in (X, np.asarray(X), X[::2]):
        assert Rows(mapped, CPU)._is_mapped
    assert not Rows(table(), CPU)._is_mapped


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_writing_to_a_batch_does_not_change_the_data(dtype):
    X = table(dtype)
    for batch in sequential_batches(Rows(X, CPU), 4):
        batch.zero_()
    np.testing.assert_array_equal(X, table(dtype))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 99])
def test_batches_contain_all_rows_in_order(batch_size):
    batches = sequential_batches(Rows(table(), CPU), batch_size)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size
    np.testing.assert_array_equal(torch.cat(batches), table())


@pytest.mark.parametrize("batch_size", [1, 3, 10, 99])
def test_shuffled_batches_contain_each_row_once(batch_size):
    batches = shuffled_batches(Rows(table(), CPU), batch_size)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    together = torch.cat(batches).numpy()
    assert (together != table()).any()
    np.testing.assert_array_equal(together[np.argsort(together[:, 0])], table())


def test_the_generator_alone_determines_the_shuffling():
    rows = Rows(table(), CPU)

    def order(generator):
        return torch.cat(shuffled_batches(rows, 4, generator))[:, 0].tolist()

    with unchanged_random_states():
        generator = seeded()
        first, second = order(generator), order(generator)
        assert first != second
        assert order(seeded()) == first


def windows(n_rows, row_bytes, batch_size=7, seed=0):
    return list(shuffled_windows(n_rows, row_bytes, batch_size, seeded(seed)))


@pytest.fixture
def small_windows(monkeypatch):
    """Let windows hold 200 rows of 10 bytes in blocks of 20."""
    monkeypatch.setattr("skvae.training._batches._WINDOW_BYTES", 2000)
    monkeypatch.setattr("skvae.training._batches._BLOCK_BYTES", 200)


@pytest.mark.parametrize("n_rows", [1, 200, 201, 219, 1999])
@pytest.mark.parametrize("row_bytes", [1, 10, 150, 300, 5000])
def test_windows_contain_each_row_once_in_whole_batches(small_windows, n_rows, row_bytes):
    parts = windows(n_rows, row_bytes)
    assert sorted(torch.cat(parts).tolist()) == list(range(n_rows))
    assert all(len(part) > 0 for part in parts)
    assert all(len(part) % 7 == 0 for part in parts[:-1])


def test_one_window_is_a_uniform_permutation():
    (order,) = windows(1000, 100, batch_size=10)
    assert torch.equal(order, torch.randperm(1000, generator=seeded()))


def test_a_window_contains_random_blocks_in_random_order(small_windows):
    first = windows(20_000, 10)[0]
    blocks = first // 20
    assert len(set(blocks.tolist())) == 10
    assert len(first) == 200 // 7 * 7
    assert blocks.max() - blocks.min() > 300
    assert len(set(first[:14].div(20, rounding_mode="floor").tolist())) > 4
    again, other = windows(20_000, 10)[0], windows(20_000, 10, seed=1)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first.sort().values, other.sort().values)


@pytest.mark.parametrize("partition", [None, range(100, 350)], ids=["all", "partition"])
@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("n_skipped", [0, 1, 28, 29, 70, 71])
def test_skipping_batches_does_not_change_the_other_batches(
    small_windows, n_skipped, is_mapped, partition, tmp_path
):
    X = np.arange(5000, dtype=np.float64).reshape(500, 10)  # 25 rows fill a window
    if is_mapped:
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    rows = Rows(X, CPU, None, partition)
    whole, rest = (list(rows.shuffled(7, seeded(), n)) for n in (0, n_skipped))
    assert len(whole) == 72
    for batch, expected in zip(rest, whole[n_skipped:], strict=True):
        assert torch.equal(batch.x, expected.x)
        assert batch.n_rows == expected.n_rows


def test_each_row_has_a_uniform_position(small_windows):
    # Mean position of each of 600 rows over 400 epochs, with three windows.
    places = torch.zeros(600)
    for seed in range(400):
        places[torch.cat(windows(600, 10, seed=seed))] += torch.arange(600.0)
    standard_error = 600 / 12**0.5 / 400**0.5
    assert (places / 400 - 299.5).abs().max() < 5 * standard_error


def test_a_memory_map_gives_the_batches_of_an_array_and_is_read_once(
    small_windows, monkeypatch, tmp_path
):
    array = np.arange(2997).reshape(999, 3).astype(np.float32)
    np.save(tmp_path / "X.npy", array)
    index = np.arange(0, 999, 2)
    read = []
    plain_read = Rows._read

    def recording(self, positions):
        read.append(np.asarray(positions))
        return plain_read(self, positions)

    for some in (None, index):
        expected = shuffled_batches(Rows(array, CPU, some), 7)
        # scikit-learn passes a view of the map that is not a memmap.
        X = np.asarray(np.load(tmp_path / "X.npy", mmap_mode="r"))
        rows = Rows(X, CPU, some)
        assert rows._resident is None
        with monkeypatch.context() as patch:
            patch.setattr(Rows, "_read", recording)
            actual = shuffled_batches(rows, 7)
        assert len(actual) == len(expected)
        for batch, reference in zip(actual, expected, strict=True):
            assert torch.equal(batch, reference)
        assert all((np.diff(positions) > 0).all() for positions in read)
        assert sorted(np.concatenate(read).tolist()) == list(range(len(rows)))
        assert max(len(positions) for positions in read) <= 2000 // 12 + 7
        read.clear()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("index", [None, np.array([8, 1, 1, 5])])
def test_sparse_rows_give_the_batches_of_dense_rows(dtype, index):
    dense = np.where(table() % 3 == 0, table(), 0).astype(dtype)
    for kind in (sparse.csr_matrix, sparse.csr_array):
        rows, reference = Rows(kind(dense), CPU, index), Rows(dense, CPU, index)
        assert len(rows) == len(reference)
        for actual, expected in [
            (rows.take(slice(1, 3)), reference.take(slice(1, 3))),
            (torch.cat(sequential_batches(rows, 3)), torch.cat(sequential_batches(reference, 3))),
            *zip(shuffled_batches(rows, 3), shuffled_batches(reference, 3), strict=True),
            *zip(column_moments(rows), column_moments(reference), strict=True),
        ]:
            assert actual.dtype == expected.dtype
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("index", [None, np.array([8, 1, 1, 5])])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_rows_moved_to_the_device_give_the_same_batches(monkeypatch, index, dtype):
    def batches():
        rows = Rows(table(dtype), CPU, index)
        generator = seeded()
        return [b for _ in range(2) for b in shuffled_batches(rows, 3, generator)]

    expected = batches()
    # The CPU stands in for a device with separate memory.
    monkeypatch.setattr("skvae.training._batches.free_memory", lambda device: 10**6)
    monkeypatch.setattr("skvae.training._batches._ROWS_PER_TRANSFER", 3)
    for actual, batch in zip(batches(), expected, strict=True):
        assert actual.dtype == batch.dtype
        assert torch.equal(actual, batch)


@pytest.mark.parametrize(("free", "moved"), [(479, False), (480, True)])
def test_rows_move_to_the_device_if_they_fill_at_most_half_of_free_memory(monkeypatch, free, moved):
    monkeypatch.setattr("skvae.training._batches.free_memory", lambda device: free)
    X = table()  # 240 bytes
    rows = Rows(X, CPU)
    first = shuffled_batches(rows, 10)
    X[:] = 0
    second = shuffled_batches(rows, 10)
    assert torch.equal(first[0], second[0]) is moved


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rows_on_a_gpu_give_the_batches_of_the_cpu():
    on = {name: shuffled_batches(Rows(table(), torch.device(name)), 3) for name in ("cpu", "cuda")}
    for there, here in zip(on["cuda"], on["cpu"], strict=True):
        assert there.is_cuda
        assert torch.equal(there.cpu(), here)


@pytest.mark.parametrize("index", [[8, 1, 1, 5], [0], list(range(9, -1, -1))])
def test_an_index_selects_rows_without_a_copy(index):
    X = table()
    rows = Rows(X, CPU, np.array(index))
    assert len(rows) == len(index)
    assert rows.X is X
    assert torch.cat(sequential_batches(rows, 3)).tolist() == X[index].tolist()
    assert rows.take(slice(0, 1)).tolist() == X[index[:1]].tolist()
    together = torch.cat(shuffled_batches(rows, 3))
    assert sorted(together[:, 0].tolist()) == sorted(X[index, 0].tolist())


def test_without_an_index_all_rows_are_used():
    assert len(Rows(table(), CPU)) == 10


# ---- Moments -------------------------------------------------------------------------


@pytest.mark.parametrize("elements", [1, 7, 12, 10**6])
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "float16", ">i4"])
def test_moments_equal_those_of_numpy_for_any_chunk_size(monkeypatch, elements, dtype):
    monkeypatch.setattr("skvae.training._batches._CHUNK_ELEMENTS", elements)
    X = table(dtype)
    mean, var = column_moments(Rows(X, CPU))
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-15)
    np.testing.assert_allclose(var, X.astype(np.float64).var(axis=0), rtol=1e-14)


def test_moments_cover_the_rows_of_the_index():
    X, index = table(), np.array([1, 4, 5])
    mean, var = column_moments(Rows(X, CPU, index))
    np.testing.assert_allclose(mean, X[index].mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(var, X[index].var(axis=0), rtol=1e-14)


@pytest.mark.parametrize("elements", [1, 20, 10**6])
def test_moments_ignore_missing_entries(monkeypatch, elements):
    monkeypatch.setattr("skvae.training._batches._CHUNK_ELEMENTS", elements)
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(40, 3)) < 0.4, np.nan, rng.standard_normal((40, 3)) + 100)
    X[:12, 1] = np.nan  # whole chunks
    X[:, 2] = np.nan
    mean, var = column_moments(Rows(X, CPU))
    np.testing.assert_allclose(mean[:2], np.nanmean(X[:, :2], axis=0), rtol=1e-14)
    np.testing.assert_allclose(var[:2], np.nanvar(X[:, :2], axis=0), rtol=1e-9)
    assert mean[2] == var[2] == 0


def test_the_variance_is_accurate_far_from_zero():
    noise = np.random.default_rng(0).standard_normal((5000, 2))
    _, var = column_moments(Rows(noise + 1e8, CPU))
    np.testing.assert_allclose(var, noise.var(axis=0), rtol=1e-7)


def test_a_constant_column_has_variance_0(monkeypatch):
    monkeypatch.setattr("skvae.training._batches._CHUNK_ELEMENTS", 14)
    X = np.full((1000, 2), 0.1)
    X[:, 1] += np.linspace(0, 1e-9, 1000)
    _, var = column_moments(Rows(X, CPU))
    assert var[0] == 0
    np.testing.assert_allclose(var[1], X[:, 1].var(), rtol=1e-6)


def test_the_error_for_an_overflowing_variance_names_the_column():
    X = table()
    X[0, 1] = 1e200
    with pytest.raises(ValueError, match="column 1 are too large"):
        column_moments(Rows(X, CPU))
