"""Arrays from Arrow tables and files, exact or refused with a clear error."""

import os
import signal
import sys
import time
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
from numpy.testing import assert_array_equal

from helpers import full_disk
from skvae import VAEImputer, VAETransformer
from skvae.datasets import _arrow_sources, memmap_from_arrow

N_ROWS, N_FILES = 1000, 3
NAMES = ["x.1", "n (count)", "flag", "x"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=N_ROWS), rng.poisson(5, N_ROWS), rng.random(N_ROWS) < 0.5
    return pd.DataFrame(dict(zip(NAMES, [*columns, rng.normal(size=N_ROWS)], strict=True)))


def write_parquet(table, path):
    pa.parquet.write_table(table, path, row_group_size=70)


WRITERS = {
    "parquet": write_parquet,
    "feather": lambda table, path: pa.feather.write_feather(table, path, chunksize=70),
    "csv": pa.csv.write_csv,
    "csv.gz": lambda table, path: table.to_pandas().to_csv(path, index=False),
}


def write_folder(folder, frame, suffix):
    """Write the rows to several files, one of them in a subfolder."""
    parts = np.array_split(np.arange(len(frame)), N_FILES)
    for name, rows in zip(["a", f"b.{suffix}/a", "c"], parts, strict=True):
        path = folder / f"{name}.{suffix}"
        path.parent.mkdir(exist_ok=True, parents=True)
        WRITERS[suffix](pa.Table.from_pandas(frame.iloc[rows], preserve_index=False), path)
    (folder / "README.txt").write_text("Not data.")
    (folder / "_started.csv").write_text("Nor this.")
    (folder / f".hidden.{suffix}").write_text("Nor this.")
    return folder


@pytest.fixture(scope="module", params=WRITERS)
def folder(request, frame, tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("data"), frame, request.param)


@pytest.fixture(scope="module")
def parquet(frame, tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("parquet"), frame, "parquet")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "X.npy"


# ---- Values --------------------------------------------------------------------------


def test_rows_of_a_folder_are_sorted_by_path(folder, frame, path):
    X = memmap_from_arrow(folder, path)
    assert isinstance(X, np.memmap)
    assert not X.flags.writeable
    assert X.dtype == np.float32
    assert_array_equal(X, frame.to_numpy(dtype=np.float32))
    assert_array_equal(X, np.load(path))


def test_a_list_of_files_is_read_in_the_given_order(folder, frame, path):
    files = sorted((f for f in folder.rglob("[a-c].*") if f.is_file()), reverse=True)
    assert len(files) == N_FILES
    parts = np.array_split(np.arange(N_ROWS), N_FILES)
    X = memmap_from_arrow([str(file) for file in files], path, dtype="float64")
    assert_array_equal(X, frame.iloc[np.concatenate(parts[::-1])].to_numpy(dtype=float))


def test_columns_are_in_the_requested_order(folder, frame, path):
    X = memmap_from_arrow(folder, path, columns=["x", "x.1"], dtype="float64")
    assert_array_equal(X, frame[["x", "x.1"]].to_numpy())


def as_dataset(folder):
    return pa.dataset.dataset(folder, format="parquet", exclude_invalid_files=True)


@pytest.mark.parametrize(
    "convert",
    [as_dataset, lambda f: as_dataset(f).to_table(), lambda f: as_dataset(f).scanner().to_reader()],
    ids=["dataset", "table", "reader"],
)
def test_pyarrow_objects_give_the_same_array_as_a_folder(convert, frame, parquet, path):
    X = memmap_from_arrow(convert(parquet), path, columns=NAMES[::-1], dtype="float64")
    assert_array_equal(X, frame[NAMES[::-1]].to_numpy(dtype=float))


def test_a_filtered_dataset_gives_the_selected_rows(frame, parquet, path):
    X = memmap_from_arrow(as_dataset(parquet).filter(pa.dataset.field("x") > 1), path)
    assert_array_equal(X, frame[frame.x > 1].to_numpy(dtype=np.float32))


def test_the_partition_key_of_a_dataset_is_a_column(tmp_path, path):
    for year in (2020, 2021):
        file = tmp_path / f"year={year}" / "a.parquet"
        file.parent.mkdir()
        pa.parquet.write_table(pa.table({"x": [0.0, 1.0]}), file)
    dataset = pa.dataset.dataset(tmp_path, partitioning="hive")
    assert_array_equal(
        memmap_from_arrow(dataset, path), [[0, 2020], [1, 2020], [0, 2021], [1, 2021]]
    )


@pytest.mark.parametrize("n_rows", [1, 9, 10, 12345])
@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "uint16", "bool"])
def test_the_file_is_valid_for_any_size_and_type(n_rows, dtype, path):
    values = np.arange(n_rows) % 2
    X = memmap_from_arrow(pa.table({"a": values, "b": 1 - values}), path, dtype=dtype)
    assert X.dtype == np.dtype(dtype)
    assert_array_equal(np.load(path), np.column_stack([values, 1 - values]))


def test_decimals_booleans_and_dictionary_encoded_numbers_are_read(path):
    table = pa.table(
        {
            "decimal": [Decimal("1.25"), Decimal("-3.50")],
            "flag": [True, False],
            "encoded": pa.array([7, 9]).dictionary_encode(),
        }
    )
    pa.parquet.write_table(table, path.with_suffix(".parquet"))
    X = memmap_from_arrow(path.with_suffix(".parquet"), path)
    assert_array_equal(X, [[1.25, 1, 7], [-3.5, 0, 9]])


def test_integers_in_one_file_and_floats_in_another_are_read(tmp_path, path):
    for name, values in {"a": [1, 2], "b": [0.5, 4.0]}.items():
        pa.csv.write_csv(pa.table({"v": values}), tmp_path / f"{name}.csv")
        pa.parquet.write_table(pa.table({"v": values}), tmp_path / f"{name}.parquet")
    for suffix in ("csv", "parquet"):
        files = [tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"]
        assert_array_equal(memmap_from_arrow(files, path, overwrite=True).T, [[1, 2, 0.5, 4]])


def test_integers_of_different_widths_stay_exact(tmp_path, path):
    for name, width in {"a": pa.int8(), "b": pa.int64()}.items():
        value = 2 ** (width.bit_width - 1) - 1
        table = pa.table({"v": pa.array([value], width)})
        pa.parquet.write_table(table, tmp_path / f"{name}.parquet")
    assert memmap_from_arrow(tmp_path, path, dtype="int64").tolist() == [[127], [2**63 - 1]]


def test_late_floats_and_late_values_of_a_csv_file_are_read(tmp_path, path):
    n_rows = 400_000  # more rows than pyarrow reads to infer a type
    (tmp_path / "a.csv").write_text("v,w\n" + "1,\n" * n_rows + "0.5,3\n")
    X = memmap_from_arrow(tmp_path, path, allow_missing=True)
    assert X[-1].tolist() == [0.5, 3]
    assert np.isnan(X[:-1, 1]).all()


def test_files_without_values_do_not_set_the_type_of_a_column(tmp_path, path):
    (tmp_path / "a.csv").write_text("v,w\n,\n")
    (tmp_path / "b.csv").write_text(f"v,w\ntrue,{2**60}\n")
    X = memmap_from_arrow(tmp_path, path, allow_missing=True)
    assert_array_equal(X, [[np.nan, np.nan], [1, 2**60]])


def test_a_csv_format_object_sets_delimiter_and_missing_values(tmp_path, path):
    (tmp_path / "data.txt").write_text("a;b\n1;?\n3;4\n")
    format = pa.dataset.CsvFileFormat(
        parse_options=pa.csv.ParseOptions(delimiter=";"),
        convert_options=pa.csv.ConvertOptions(null_values=["?"]),
    )
    X = memmap_from_arrow(tmp_path, path, format=format, allow_missing=True)
    assert_array_equal(X, [[1, np.nan], [3, 4]])


# ---- Errors and warnings -------------------------------------------------------------


def test_a_missing_value_is_an_error_with_column_row_and_file(frame, path, tmp_path):
    frame = frame.copy()
    frame.loc[777, "x"] = np.nan
    folder = write_folder(tmp_path / "data", frame, "parquet")
    with pytest.raises(ValueError, match=r"'x' has a missing value in row 777, from .*c\.parquet"):
        memmap_from_arrow(folder, path)
    dataset = as_dataset(folder).filter(pa.dataset.field("n (count)") > 0)
    row = int((frame["n (count)"][:777] > 0).sum())
    with pytest.raises(ValueError, match=rf"'x' has a missing value in row {row}, .*c\.parquet"):
        memmap_from_arrow(dataset, path)


@pytest.mark.parametrize("type", [pa.int32(), pa.float64(), pa.bool_(), pa.decimal128(19)])
def test_allowed_missing_values_become_nan(type, path):
    table = pa.table({"v": pa.array([1, None, 0]).cast(type)})
    X = memmap_from_arrow(table, path, allow_missing=True)
    assert_array_equal(X, [[1], [np.nan], [0]])


def test_a_column_absent_from_a_file_is_missing_in_the_rows_of_the_file(tmp_path, path):
    for suffix in ("parquet", "csv"):
        folder = tmp_path / suffix
        folder.mkdir()
        write = WRITERS[suffix]
        write(pa.table({"a": [1]}), folder / f"1.{suffix}")
        write(pa.table({"b": [3.5], "a": [2]}), folder / f"2.{suffix}")
        with pytest.raises(ValueError, match=rf"'b' has a missing value in row 0, .*1\.{suffix}"):
            memmap_from_arrow(folder, path, overwrite=True)
        X = memmap_from_arrow(folder, path, allow_missing=True, overwrite=True)
        assert_array_equal(X, [[1, np.nan], [2, 3.5]])


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([0.0, 1e39], "float32", r"'v' has the value 1e\+39 in row 1.*float32 cannot represent"),
        ([0.0, -np.inf], "float64", r"'v' has the value -inf in row 1.*finite values only"),
        ([0, 256], "uint8", r"'v' has the value 256 in row 1.*uint8 cannot represent"),
        ([0, -1], "uint64", r"'v' has the value -1 in row 1.*uint64 cannot represent"),
        ([0.0, 2.0**63], "int64", r"'v' has the value 9.2.*e\+18 in row 1.*int64 cannot represent"),
        ([1.0, 0.5], "int64", r"'v' has the value 0.5 in row 1.*int64 cannot represent"),
        ([1, 2], "bool", r"'v' has the value 2 in row 1.*bool cannot represent"),
    ],
)
def test_values_that_do_not_fit_the_dtype_are_errors(values, dtype, message, path):
    with pytest.raises(ValueError, match=message):
        memmap_from_arrow(pa.table({"v": values}), path, dtype=dtype)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(["a", "b"]), "string"),
        (pa.array(["a", "b"]).dictionary_encode(), "dictionary"),
        (pa.array([0, 1]).cast(pa.timestamp("s")), "timestamp"),
        (pa.array([[0.0], [1.0]]), "list"),
    ],
)
def test_non_numeric_columns_are_errors_unless_excluded(column, kind, tmp_path, path):
    pa.parquet.write_table(pa.table({"v": [1, 2], "w": column}), tmp_path / "a.parquet")
    with pytest.raises(TypeError, match=rf"'w' of .*a\.parquet holds {kind}.*columns"):
        memmap_from_arrow(tmp_path, path)
    assert_array_equal(memmap_from_arrow(tmp_path, path, columns=["v"]), [[1], [2]])


def test_numbers_in_one_file_and_text_in_another_are_an_error(tmp_path, path):
    (tmp_path / "a.csv").write_text("v\n1\n")
    (tmp_path / "b.csv").write_text("v\none\n")
    with pytest.raises(TypeError, match=r"'v' of .*b\.csv holds string"):
        memmap_from_arrow(tmp_path, path)


def test_late_text_in_a_numeric_column_of_a_csv_file_is_an_error(tmp_path, path):
    (tmp_path / "a.csv").write_text("v\n" + "1\n" * 600_000 + "one\n")
    with pytest.raises(ValueError, match=r"Cannot read .*a\.csv: .*'one'"):
        memmap_from_arrow(tmp_path, path)


def test_rounding_that_loses_the_differences_within_a_column_gives_a_warning(path):
    table = pa.table({"time": 1.7e9 + np.arange(60), "x": np.linspace(0, 1, 60)})
    with pytest.warns(UserWarning, match=r"float32 loses .* 0\.1% .* column 'time'\.") as warned:
        memmap_from_arrow(table, path)
    assert warned[0].filename == __file__
    X = memmap_from_arrow(table, path, dtype="float64", overwrite=True)
    assert_array_equal(np.diff(X[:, 0]), 1)


def test_rounding_is_compared_with_the_range_of_all_rows(path, monkeypatch):
    monkeypatch.setattr(_arrow_sources, "_BATCH_ELEMENTS", 1)
    with pytest.warns(UserWarning, match="column 'v'"):
        memmap_from_arrow(pa.table({"v": [2**24 + 1, 2**24, 2**24 + 2]}), path)
    memmap_from_arrow(pa.table({"v": [2**24 + 1, 2**24, 0]}), path, overwrite=True)


def test_constants_and_exact_integers_give_no_rounding_warning(path):
    table = pa.table({"constant": [0.5, 0.5], "exact": [2**23, 2**23 + 1], "n": [None, None]})
    X = memmap_from_arrow(table, path, allow_missing=True)
    np.testing.assert_array_equal(X, [[0.5, 2**23, np.nan], [0.5, 2**23 + 1, np.nan]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"columns": ["x", "y", "z"]}, ValueError, "contains 'y', 'z', but .* only 'x.1"),
        ({"columns": ["x", "x"]}, ValueError, "without duplicates"),
        ({"columns": []}, ValueError, "at least one"),
        ({"columns": "x"}, TypeError, "list of names; got 'x'"),
        ({"dtype": "complex64"}, ValueError, "real numbers; got complex64"),
        ({"dtype": "int32", "allow_missing": True}, ValueError, "int32 cannot represent missing"),
        ({"format": "orc"}, ValueError, "format must be one of 'csv', 'feather', 'parquet'"),
        ({"source": 3}, TypeError, "source must be a path.*got int"),
        ({"source": []}, ValueError, "no files to read"),
        ({"source": "nowhere.csv"}, FileNotFoundError, r"nowhere\.csv"),
        ({"source": pa.table({"x": pa.array([], pa.int8())})}, ValueError, "no rows"),
    ],
)
def test_an_error_names_the_invalid_argument(arguments, error, message, parquet, path):
    with pytest.raises(error, match=message):
        memmap_from_arrow(**{"source": parquet, "path": path, **arguments})
    assert not os.listdir(path.parent)


def test_duplicate_column_names_are_an_error(path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match="More than one column is named 'a'"):
        memmap_from_arrow(table, path)


def test_a_folder_with_several_formats_is_an_error(tmp_path, path):
    table = pa.table({"v": [1.0]})
    pa.csv.write_csv(table, tmp_path / "data.csv")
    pa.parquet.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"same format; got .*data\.csv, .*data\.parquet"):
        memmap_from_arrow(tmp_path, path)
    (tmp_path / "data.txt").write_text("v\n1\n")
    with pytest.raises(ValueError, match=r"Cannot infer the format of .*data\.txt"):
        memmap_from_arrow(tmp_path / "data.txt", path)


def test_an_error_names_pyarrow_and_its_extra(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"needs pyarrow, .* with the extra 'arrow'"):
        memmap_from_arrow("data.csv", path)


# ---- Complete files ------------------------------------------------------------------


def test_an_existing_file_is_replaced_only_on_request(parquet, path):
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        memmap_from_arrow(parquet, path)
    assert path.read_bytes() == b"precious"
    memmap_from_arrow(parquet, path, overwrite=True)
    assert np.load(path).shape == (N_ROWS, len(NAMES))


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("happen", "error"), [(interrupt, KeyboardInterrupt), (full_disk, OSError)]
)
@pytest.mark.parametrize("before", [None, b"precious"])
def test_a_failure_while_writing_keeps_the_old_file(
    happen, error, before, parquet, path, monkeypatch
):
    batches = _arrow_sources.Table.batches

    def fail_half_way(table):
        for n_batches, batch in enumerate(batches(table)):
            yield batch
            if n_batches == 1:
                assert os.listdir(path.parent) != ["X.npy"]  # a temporary file exists
                happen()

    if before:
        path.write_bytes(before)
    monkeypatch.setattr(_arrow_sources.Table, "batches", fail_half_way)
    with pytest.raises(error):
        memmap_from_arrow(parquet, path, overwrite=True)
    assert [file.read_bytes() for file in path.parent.iterdir()] == ([before] if before else [])


def test_a_header_too_long_for_its_place_is_an_error(parquet, path, monkeypatch):
    def write_unpadded(file, header):
        file.write(repr(header).encode())

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", write_unpadded)
    with pytest.raises(RuntimeError, match="header"):
        memmap_from_arrow(parquet, path)
    assert not os.listdir(path.parent)


# ---- Memory --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files of 10 MiB in each format and layout."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    table = pa.table({f"x{column}": rng.normal(size=80_000) for column in range(16)})
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 2**14}
    pa.parquet.write_table(table, folder / "one.parquet", row_group_size=80_000, **options)
    pa.parquet.write_table(table, folder / "many.parquet", row_group_size=4_000, **options)
    pa.feather.write_feather(table, folder / "a.feather", chunksize=4_000)
    return folder


def measure_memory(source, path, monkeypatch, **arguments):
    """Return the array and the peak memory of Arrow and of NumPy, without the memory of the source.

    Each batch takes a while, as on a slow disk.
    """
    held = []
    batches = _arrow_sources.Table.batches

    def watch(table):
        before = pa.total_allocated_bytes()
        for batch in batches(table):
            time.sleep(0.003)
            held.append(pa.total_allocated_bytes() - before)
            yield batch

    monkeypatch.setattr(_arrow_sources, "_BATCH_ELEMENTS", 16_000)
    monkeypatch.setattr(_arrow_sources.Table, "batches", watch)
    tracemalloc.start()
    try:
        X = memmap_from_arrow(source, path, dtype="float64", **arguments)
        return X, max(held), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["one.parquet", "many.parquet", "a.feather", "dataset", "table"])
def test_memory_stays_small_when_the_disk_is_slow(name, large, path, monkeypatch):
    objects = {
        "dataset": lambda: as_dataset(large / "many.parquet"),
        "table": lambda: as_dataset(large / "one.parquet").to_table().combine_chunks(),
    }
    source = objects[name]() if name in objects else large / name
    X, *held = measure_memory(source, path, monkeypatch)
    assert X.nbytes == 80_000 * 16 * 8
    assert max(held) < X.nbytes / 4


@pytest.mark.parametrize("name", ["many.parquet", "a.feather"])
def test_excluded_columns_are_not_read(name, large, path, monkeypatch):
    _, held, _ = measure_memory(large / name, path, monkeypatch, columns=["x3"])
    assert held < 400_000  # all columns of the same rows take more


# ---- Use by estimators ---------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_from_files_gives_the_model_of_the_array(early_stopping, folder, frame, path):
    vae = VAETransformer(
        2, hidden_layer_sizes=(8,), max_iter=3, early_stopping=early_stopping, random_state=0
    )
    X = frame.to_numpy(dtype=np.float32)
    expected = vae.fit(X).transform(X), vae.score(X), vae.loss_curve_
    X = memmap_from_arrow(folder, path)
    found = vae.fit(X).transform(X), vae.score(X), vae.loss_curve_
    assert_array_equal(found[0], expected[0])
    assert found[1:] == expected[1:]
    assert len(vae.loss_curve_) == 3


def test_the_imputer_fills_missing_values_of_files(path):
    x = np.random.default_rng(0).normal(size=200)
    table = pa.table({"a": x, "b": [None, *x[1:]]})
    X = memmap_from_arrow(table, path, allow_missing=True)
    imputer = VAEImputer(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    assert np.isfinite(imputer.fit_transform(X)).all()
    assert np.isnan(X[0, 1])


def test_a_data_frame_adds_column_names_without_a_copy(parquet, path):
    X = memmap_from_arrow(parquet, path)
    frame = pd.DataFrame(X, columns=NAMES, copy=False)
    assert np.shares_memory(frame.to_numpy(), X)
    vae = VAETransformer(2, hidden_layer_sizes=(8,), max_iter=1).fit(frame)
    assert vae.feature_names_in_.tolist() == NAMES


def test_progress_is_shown_only_on_request(folder, path, capsys):
    X = memmap_from_arrow(folder, path)
    assert not capsys.readouterr().err
    memmap_from_arrow(folder, path, overwrite=True, verbose=True)
    assert "1.00k/1.00k" in capsys.readouterr().err
    memmap_from_arrow(pa.table({"x": np.zeros(1000)}), path, overwrite=True, verbose=1)
    assert "1.00k" in capsys.readouterr().err
    VAETransformer(2, hidden_layer_sizes=(8,), max_iter=2, verbose=1).fit(X)
    assert "2/2" in capsys.readouterr().err
