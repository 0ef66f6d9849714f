"""Columns of Arrow tables: the index of pandas is no feature."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.feather
import pytest
from numpy.testing import assert_array_equal

from skvae.datasets import memmap_from_arrow


@pytest.fixture
def path(tmp_path):
    return tmp_path / "X.npy"


def indexed(name=None):
    frame = pd.DataFrame({"a": range(100), "b": range(100, 200)})
    return frame.sample(frac=1, random_state=0).rename_axis(name)


def feather_with_index(frame, path):
    pa.feather.write_feather(pa.Table.from_pandas(frame), path)


INDEX_WRITERS = {
    "parquet": lambda frame, path: frame.to_parquet(path),
    "feather": feather_with_index,
    "frame": lambda frame, path: None,
}


@pytest.mark.parametrize("kind", INDEX_WRITERS)
@pytest.mark.parametrize("name", [None, "id", ["level", "id"], "range"])
def test_the_index_of_a_data_frame_is_no_feature(kind, name, tmp_path, path):
    frame = indexed()
    if name == "range":
        frame.index = pd.RangeIndex(5, 105, name="id")
    elif isinstance(name, list):
        frame.index = pd.MultiIndex.from_product([range(10), range(10)], names=name)
    else:
        frame = frame.rename_axis(name)
    source = tmp_path / f"data.{kind}"
    INDEX_WRITERS[kind](frame, source)
    sources = [frame] if kind == "frame" else [source, [source, source]]
    if kind != "frame":
        dataset = pa.dataset.dataset(source, format=kind)
        bare = dataset.schema.remove_metadata()
        sources += [dataset, pa.dataset.dataset(source, schema=bare, format=kind)]
        sources += [dataset.filter(pa.dataset.field("a") >= 0), dataset.to_table()]
    for each in sources:
        X = memmap_from_arrow(each, path, overwrite=True)
        expected = frame.to_numpy(np.float32)
        assert_array_equal(X, np.concatenate([expected] * (2 if isinstance(each, list) else 1)))


def test_the_index_is_read_if_named(tmp_path, path):
    indexed("id").to_parquet(tmp_path / "data.parquet")
    X = memmap_from_arrow(tmp_path / "data.parquet", path, columns=["id", "a"])
    assert_array_equal(X, indexed("id").reset_index()[["id", "a"]])
    with pytest.raises(ValueError, match=r"no columns except the index of a data frame, \['id'\]"):
        memmap_from_arrow(indexed("id")[[]], path, overwrite=True)


def test_an_index_of_one_file_and_a_column_of_another_is_an_error(tmp_path, path):
    indexed("id").to_parquet(tmp_path / "a.parquet")
    indexed("id").reset_index().to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"'id' is the index .* in .*a\.parquet, but a column in"):
        memmap_from_arrow(tmp_path, path)
    assert memmap_from_arrow(tmp_path, path, columns=["a", "id"]).shape == (200, 2)


def test_an_index_in_a_csv_file_is_an_error_unless_excluded(tmp_path, path):
    indexed().to_csv(tmp_path / "data.csv")
    with pytest.raises(ValueError, match=r"column of .*data\.csv has no name.*index=False"):
        memmap_from_arrow(tmp_path, path)
    assert_array_equal(memmap_from_arrow(tmp_path, path, columns=["a", "b"]), indexed())


@pytest.mark.parametrize("metadata", [b"", b"[]", b'{"index_columns": 3}', b"\xff"])
def test_strange_metadata_are_no_index(metadata, path):
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"pandas": metadata})
    assert memmap_from_arrow(table, path).shape == (2, 1)
