"""Loaders of data sets, on small files in the format of the real files."""

import gzip
import hashlib
import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import skvae.datasets
from skvae.datasets import (
    _adult,
    _mnist,
    _susy,
    fetch_adult,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_susy,
)

LOADERS = [fetch_adult, fetch_fashion_mnist, fetch_mnist, fetch_susy]

ADULT_DATA = """\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, \
2174, 0, 40, United-States, <=50K
54, ?, 180211, Some-college, 10, Married-civ-spouse, ?, Husband, Asian-Pac-Islander, Male, \
0, 0, 60, South, >50K
31, Private, 84154, Some-college, 10, Married-civ-spouse, Sales, Husband, White, Male, \
0, 0, 38, ?, >50K

"""
ADULT_TEST = """\
|1x3 Cross validator
25, Private, 226802, 11th, 7, Never-married, Machine-op-inspct, Own-child, Black, Male, \
0, 0, 40, United-States, <=50K.
28, Local-gov, 336951, Assoc-acdm, 12, Married-civ-spouse, Protective-serv, Husband, White, \
Male, 0, 0, 40, United-States, >50K.

"""
ADULT_CSV = ",".join([*_adult.FEATURE_NAMES, "income"]) + "\n" + ADULT_DATA.rstrip("\n") + "\n"


def idx(array):
    """Return bytes in the format of MNIST's files."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


def put(file, folder, content):
    """Write a small file in place of a real file, and return its description."""
    path = folder / file.folder / f"{file.name}.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content))
    return replace(file, sha256=file.sha256 and hashlib.sha256(content).hexdigest())


def susy_rows(n_rows):
    """Return rows of a label and 18 numbers that are exact in text and in float32."""
    rows = np.random.RandomState(0).randint(-999, 999, size=(n_rows, 19)) / 8
    rows[:, 0] = np.arange(n_rows) % 3 == 0
    return rows


def csv(rows):
    return "".join(",".join(f"{x:.18e}" for x in row) + "\n" for row in rows).encode()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Folder with small files in place of the real files, which the loaders accept."""
    monkeypatch.delenv("SKVAE_DATA", raising=False)
    rng = np.random.RandomState(0)
    for name, files in _mnist.FILES.items():
        images = rng.randint(256, size=(10, 28, 28)).astype(np.uint8)
        images[0, 0, :2] = 0, 255
        labels = np.arange(10, dtype=np.uint8)
        parts = [images[:6], labels[:6], images[6:], labels[6:]]
        small = [put(file, tmp_path, idx(part)) for file, part in zip(files, parts, strict=True)]
        monkeypatch.setitem(_mnist.FILES, name, small)
    for part, text in {"train": ADULT_DATA, "test": ADULT_TEST}.items():
        small = put(_adult.FILES[part], tmp_path, text.encode())
        monkeypatch.setitem(_adult.FILES, part, small)
    monkeypatch.setattr(_susy, "N_ROWS", 60)
    monkeypatch.setattr(_susy, "N_TEST", 10)
    monkeypatch.setattr(_susy, "N_SAMPLE", 5)
    monkeypatch.setattr(_susy, "_CHUNK", 25)
    put(_susy.OFFICIAL, tmp_path, csv(susy_rows(60)))
    return tmp_path


# ---- All loaders ---------------------------------------------------------------------


@pytest.mark.parametrize("fetch", LOADERS)
@pytest.mark.parametrize("return_X_y", [False, True])
@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("subset", ["train", "test", "all"])
def test_all_loaders_return_the_same_structure(fetch, subset, as_frame, return_X_y, home):
    bunch = fetch(subset=subset, data_home=home, as_frame=as_frame)
    if return_X_y:
        X, y = fetch(subset=subset, data_home=home, as_frame=as_frame, return_X_y=True)
    else:
        X, y = bunch["data"], bunch["target"]
    names = bunch.feature_names
    assert X.shape == (len(y), len(names))
    assert all(isinstance(name, str) for name in names + bunch.target_names)
    if as_frame:
        assert isinstance(X, pd.DataFrame)
        assert isinstance(y, pd.Series)
        assert X.columns.tolist() == names
        assert bunch.frame.columns.tolist() == [*names, y.name]
        pd.testing.assert_frame_equal(bunch.frame[names], X)
        pd.testing.assert_series_equal(bunch.frame[y.name], y)
    else:
        assert type(X) is type(y) is np.ndarray
        assert X.flags.writeable
        assert bunch.frame is None
    for filename in np.ravel(bunch.filename):
        assert Path(filename).is_file()


@pytest.mark.parametrize("fetch", LOADERS)
def test_the_subset_all_is_train_followed_by_test(fetch, home):
    train, test, both = (
        fetch(subset=subset, data_home=home, as_frame=True).frame
        for subset in ("train", "test", "all")
    )
    pd.testing.assert_frame_equal(pd.concat([train, test], ignore_index=True), both)


@pytest.mark.parametrize("fetch", LOADERS)
def test_frames_and_arrays_hold_the_same_values(fetch, home):
    X, y = fetch(data_home=home, as_frame=False, return_X_y=True)
    X_frame, y_frame = fetch(data_home=home, as_frame=True, return_X_y=True)
    # Missing values are equal in a comparison by pandas.
    pd.testing.assert_frame_equal(pd.DataFrame(X_frame.to_numpy(X.dtype)), pd.DataFrame(X))
    np.testing.assert_array_equal(y_frame.to_numpy(y.dtype), y)


@pytest.mark.parametrize("fetch", LOADERS)
def test_the_description_names_source_licence_and_citation(fetch, home):
    description = fetch(data_home=home).DESCR
    for section in ("Contents", "Source", "Licence", "Citation"):
        assert re.search(rf"\*\*{section}\*\*\n\n\S", description)
    licence = description.split("**Licence**\n\n")[1].splitlines()[0]
    expected = {
        fetch_adult: "CC BY 4.0",
        fetch_fashion_mnist: "MIT",
        fetch_mnist: "CC BY-SA 3.0",
        fetch_susy: "CC BY 4.0",
    }
    assert expected[fetch] in licence
    assert re.search(r"https?://", description)


@pytest.mark.parametrize("fetch", LOADERS)
@pytest.mark.parametrize("subset", ["validation", None, 1, []])
def test_an_unknown_subset_is_an_error(fetch, subset, home):
    with pytest.raises(ValueError, match=r"subset must be one of 'train', 'test', 'all'.*; got"):
        fetch(subset=subset, data_home=home)


@pytest.mark.parametrize("fetch", LOADERS)
def test_all_parameters_are_keyword_only(fetch):
    kinds = {parameter.kind for parameter in inspect.signature(fetch).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("fetch", LOADERS)
def test_an_error_names_the_missing_file(fetch, tmp_path, monkeypatch):
    monkeypatch.delenv("SKVAE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(OSError, match=rf"put \S+\.gz \(or \S+\) into {tmp_path}"):
        fetch(data_home=tmp_path, download_if_missing=False)


@pytest.mark.parametrize(
    ("fetch", "arguments"),
    [(fetch_mnist, {"as_frame": True}), (fetch_susy, {}), (fetch_adult, {"as_frame": False})],
)
def test_an_error_names_pandas_and_its_extra(fetch, arguments, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert fetch_mnist(data_home=home).data.shape == (6, 784)
    with pytest.raises(ImportError, match=r"needs pandas, .* with the extra 'data'"):
        fetch(data_home=home, **arguments)


def test_the_module_exports_the_loaders():
    assert skvae.datasets.__all__ == sorted(skvae.datasets.__all__)
    assert {fetch.__name__ for fetch in LOADERS} <= set(skvae.datasets.__all__)


# ---- MNIST ---------------------------------------------------------------------------


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_fashion_mnist])
def test_pixels_are_numbers_from_0_to_1_or_raw_bytes(fetch, home):
    scaled, raw = fetch(data_home=home), fetch(data_home=home, raw=True)
    assert scaled.data.dtype == np.float32
    assert raw.data.dtype == np.uint8
    assert raw.target.dtype == np.int64
    assert scaled.data[0, :2].tolist() == [0, 1]
    np.testing.assert_array_equal(scaled.data, raw.data.astype(np.float32) / 255)
    assert raw.images.shape == (6, 28, 28)
    assert np.shares_memory(raw.images, raw.data)
    column = raw.feature_names.index("pixel_2_7")
    np.testing.assert_array_equal(raw.data[:, column], raw.images[:, 2, 7])


# ---- SUSY ----------------------------------------------------------------------------


def test_susy_is_parsed_once_and_then_read_from_the_cache(home, monkeypatch):
    first = fetch_susy(subset="all", data_home=home)
    assert first.filename == str(home / "susy" / "SUSY.csv.gz")
    np.testing.assert_array_equal(first.data, susy_rows(60)[:, 1:])
    np.testing.assert_array_equal(first.target, susy_rows(60)[:, 0])
    assert (first.data.dtype, first.target.dtype) == (np.float32, np.int64)
    monkeypatch.setitem(sys.modules, "pandas", None)
    second = fetch_susy(subset="all", data_home=home)
    assert second.filename == str(home / "susy" / "susy.npy")
    np.testing.assert_array_equal(second.data, first.data)
    np.testing.assert_array_equal(second.target, first.target)
    assert sorted(path.name for path in (home / "susy").iterdir()) == ["SUSY.csv.gz", "susy.npy"]


@pytest.mark.parametrize("is_parsed", [False, True])
@pytest.mark.parametrize(
    ("subset", "start", "stop"), [("train", 0, 50), ("test", 50, 60), ("sample", 0, 5)]
)
def test_susy_reads_the_requested_rows_and_columns(subset, start, stop, is_parsed, home):
    if is_parsed:
        fetch_susy(data_home=home)
    bunch = fetch_susy(subset=subset, n_rows=4, features=["R", "lepton 1 pT"], data_home=home)
    names = _susy.FEATURE_NAMES
    columns = [1 + names.index("R"), 1 + names.index("lepton 1 pT")]
    np.testing.assert_array_equal(bunch.data, susy_rows(60)[start : start + 4, columns])
    assert bunch.feature_names == ["R", "lepton 1 pT"]
    assert len(fetch_susy(subset=subset, data_home=home).data) == stop - start


@pytest.mark.parametrize(("features", "n"), [("all", 18), ("low_level", 8), ("high_level", 10)])
def test_susy_has_groups_of_features(features, n, home):
    assert fetch_susy(features=features, data_home=home).data.shape == (50, n)


@pytest.mark.parametrize("features", ["low", ["no such"], ["R", "R"], []])
def test_susy_refuses_unknown_features(features, home):
    with pytest.raises(ValueError, match="features must"):
        fetch_susy(features=features, data_home=home)


@pytest.mark.parametrize("n_rows", [0, -1, 51, 2.0, "10"])
def test_susy_refuses_an_impossible_number_of_rows(n_rows, home):
    with pytest.raises(ValueError, match=r"n_rows must be an integer from 1 to 50.* got"):
        fetch_susy(n_rows=n_rows, data_home=home)


def test_susy_takes_its_sample_from_the_file_of_that_name(home, monkeypatch):
    rows = susy_rows(7)[:5][::-1]
    header = ",".join(["SUSY", *_susy.FEATURE_NAMES]).encode() + b"\n"
    monkeypatch.setattr(_susy, "SAMPLE", put(_susy.SAMPLE, home, header + csv(rows)))
    sample = fetch_susy(subset="sample", data_home=home)
    assert sample.filename == str(home / "susy" / "susy-10k.csv.gz")
    np.testing.assert_array_equal(sample.data, rows[:, 1:])


def not_labels(rows):
    rows[30, 0] = 2
    return csv(rows)


WRONG_FILES = {
    "too few rows": (lambda rows: csv(rows[:-1]), "59 rows instead of 60"),
    "too many rows": (lambda rows: csv(np.vstack([rows, rows])), "120 rows instead of 60"),
    "one row too many": (lambda rows: csv(np.vstack([rows, rows[:1]])), "61 rows instead of 60"),
    "too few columns": (lambda rows: csv(rows[:, :-1]), "not 19 finite numbers"),
    "one column": (lambda rows: csv(rows[:, :1]), "not 19 finite numbers"),
    "a short row": (lambda rows: csv(rows).rsplit(b",", 1)[0], "not 19 finite numbers"),
    "a long row": (lambda rows: csv(rows) + b"1," * 19 + b"1\n", "Expected 19 fields"),
    "other labels": (not_labels, "label .* neither 0 nor 1"),
    "words": (lambda rows: csv(rows).replace(b"e+", b"d+"), "could not convert"),
    "nothing": (lambda rows: b"", "No columns"),
}


@pytest.mark.parametrize(("make", "reason"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_susy_refuses_an_incomplete_file(make, reason, home):
    put(_susy.OFFICIAL, home, make(susy_rows(60)))
    with pytest.raises(OSError, match=rf"SUSY\.csv\.gz is not the complete .*{reason}"):
        fetch_susy(data_home=home)
    assert not (home / "susy" / "susy.npy").exists()


@pytest.mark.parametrize("n_bytes", [200, -4])
def test_susy_refuses_a_truncated_archive(n_bytes, home):
    path = home / "susy" / "SUSY.csv.gz"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(OSError, match="is not the complete official file"):
        fetch_susy(data_home=home)


def test_susy_is_parsed_in_each_call_in_a_read_only_folder(home, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_susy.tempfile, "TemporaryDirectory", refuse)
    for _ in range(2):
        assert fetch_susy(data_home=home).filename.endswith("SUSY.csv.gz")


@pytest.mark.parametrize("n_bytes", [0, 10, -4])
def test_susy_refuses_a_damaged_table(n_bytes, home):
    fetch_susy(data_home=home)
    path = home / "susy" / "susy.npy"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(OSError, match=r"susy\.npy was not written .* Delete or move"):
        fetch_susy(data_home=home)


def test_susy_refuses_a_table_of_another_shape(home):
    np.save(home / "susy" / "susy.npy", np.zeros((3, 19), np.float32))
    with pytest.raises(OSError, match=r"susy\.npy was not written by fetch_susy"):
        fetch_susy(data_home=home)


# ---- Adult ---------------------------------------------------------------------------


def test_adult_has_numbers_categories_and_missing_values(home):
    X, y = fetch_adult(data_home=home, return_X_y=True)
    assert X["age"].tolist() == [39, 54, 31]
    assert X.dtypes[X.dtypes == np.int64].index.tolist() == [
        "age",
        "fnlwgt",
        "education-num",
        "capital-gain",
        "capital-loss",
        "hours-per-week",
    ]
    assert (X.dtypes == "category").sum() == 8
    assert X["workclass"].iloc[0] == "State-gov"
    assert X.isna().to_numpy().nonzero()[0].tolist() == [1, 1, 2]
    assert y.tolist() == ["<=50K", ">50K", ">50K"]
    assert y.cat.categories.tolist() == ["<=50K", ">50K"]


def test_adult_without_a_frame_is_an_array_of_objects(home):
    X, y = fetch_adult(data_home=home, as_frame=False, return_X_y=True)
    assert X.dtype == y.dtype == object
    assert X[0, :2].tolist() == [39, "State-gov"]
    assert np.isnan(X[1, 1])


def test_adult_has_the_same_categories_in_every_subset(home):
    train, test = (fetch_adult(subset=s, data_home=home).frame for s in ("train", "test"))
    pd.testing.assert_series_equal(train.dtypes, test.dtypes)
    assert test["income"].tolist() == ["<=50K", ">50K"]


def test_a_file_of_adult_with_a_header_gives_the_same_frame(home, monkeypatch):
    official = fetch_adult(data_home=home)
    small = put(_adult.WITH_HEADER, home, ADULT_CSV.replace(", ", ",").encode())
    monkeypatch.setattr(_adult, "WITH_HEADER", small)
    with_header = fetch_adult(data_home=home)
    assert with_header.filename != official.filename
    pd.testing.assert_frame_equal(with_header.frame, official.frame)
