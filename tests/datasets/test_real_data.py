"""Loaders of data sets, on the real data."""

import doctest
import hashlib
import inspect

import numpy as np
import pandas as pd
import pytest

from skvae.datasets import (
    _adult,
    _retrieve,
    fetch_adult,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_susy,
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def skip(file, destination):
        pytest.skip(f"{file.name} is not in the folder that SKVAE_DATA names")

    monkeypatch.setattr(_retrieve, "_download", skip)


@pytest.mark.parametrize("fetch", [fetch_adult, fetch_fashion_mnist, fetch_mnist, fetch_susy])
def test_the_examples_of_the_docstrings_hold(fetch, data_folder):
    examples = inspect.getdoc(fetch).replace("  # doctest: +SKIP", "")
    test = doctest.DocTestParser().get_doctest(examples, {}, fetch.__name__, None, None)
    assert test.examples
    try:
        doctest.DebugRunner().run(test)
    except doctest.DocTestFailure as failure:
        pytest.fail(f"{failure.example.source}gives\n{failure.got}")
    except doctest.UnexpectedException as error:
        raise error.exc_info[1] from None


@pytest.mark.parametrize(
    ("fetch", "counts"),
    [
        (fetch_mnist, [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]),
        (fetch_fashion_mnist, [7000] * 10),
    ],
)
def test_the_real_images(fetch, counts, data_folder):
    bunch = fetch(subset="all")
    assert bunch.data.shape == (70_000, 784)
    assert (bunch.data.min(), bunch.data.max()) == (0, 1)
    assert np.bincount(bunch.target).tolist() == counts
    test = fetch(subset="test", raw=True)
    np.testing.assert_array_equal(bunch.target[60_000:], test.target)
    assert test.data.max() == 255
    assert len(bunch.filename) == 4
    assert all(str(data_folder) in filename for filename in bunch.filename)


def test_the_real_sample_of_susy(data_folder):
    bunch = fetch_susy(subset="sample", as_frame=True)
    assert bunch.data.shape == (10_000, 18)
    assert np.bincount(bunch.target).tolist() == [5447, 4553]
    assert "susy-10k.csv" in bunch.filename
    (path,) = (data_folder / "susy").glob("susy-10k.csv*")
    header = pd.read_csv(path, nrows=0).columns.tolist()
    assert bunch.feature_names == header[1:]


def test_the_real_training_set_of_adult(data_folder):
    bunch = fetch_adult()
    assert bunch.data.shape == (32_561, 14)
    assert bunch.target.value_counts().to_dict() == {"<=50K": 24_720, ">50K": 7_841}
    missing = bunch.data.isna().sum()
    assert missing[missing > 0].to_dict() == {
        "workclass": 1836,
        "occupation": 1843,
        "native-country": 583,
    }
    for name, categories in _adult.CATEGORIES.items():
        assert sorted(bunch.frame[name].dropna().unique()) == categories


def test_both_files_of_the_training_set_of_adult_give_the_same_frame(
    data_folder, tmp_path, monkeypatch
):
    # Only spaces, the header and the last line differ.
    with_header = fetch_adult()
    (path,) = (data_folder / "adult").glob("adult.csv*")
    with _retrieve.open_file(path) as stream:
        rows = stream.read().split(b"\n", 1)[1]
    official = rows.replace(b", ", b",").replace(b",", b", ").rstrip(b"\n") + b"\n\n"
    assert len(official) == 3_974_305
    assert hashlib.sha256(official).hexdigest() == _adult.FILES["train"].sha256
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "adult.data").write_bytes(official)
    monkeypatch.setenv("SKVAE_DATA", str(tmp_path))
    frame = fetch_adult().frame
    pd.testing.assert_frame_equal(frame, with_header.frame)
