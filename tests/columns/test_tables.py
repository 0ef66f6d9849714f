"""Tables of any library as data frames in plain dtypes, and back."""

import numpy as np
import pandas as pd
import pytest

from skvae.columns import read_table


def test_data_frames_in_plain_dtypes_are_not_copied():
    frame = pd.DataFrame({"a": [1, 2]})
    assert read_table(frame).frame is frame


def test_arrays_have_column_numbers_as_names():
    frame = read_table(np.array([[1.5, np.nan], [2, 3]])).frame
    assert list(frame.columns) == [0, 1]
    assert frame.isna().to_numpy().tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_empty_data_frames_are_an_error(shape):
    with pytest.raises(ValueError, match="at least one row and one column"):
        read_table(pd.DataFrame(np.zeros(shape)))


def test_duplicate_column_names_are_an_error():
    with pytest.raises(ValueError, match=r"Names of columns must differ; got \['a', 'a'\]"):
        read_table(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))
