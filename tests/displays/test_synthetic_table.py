"""Real and synthetic tables compared column by column."""

import io
from datetime import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers_dtypes import to_polars
from matplotlib import pyplot as plt

from skvae.displays import SyntheticTableDisplay


def test_each_column_and_three_matrices_of_associations_are_drawn():
    real = pd.DataFrame(
        {
            "size": [1.0, 2.0, 3.0, np.nan],
            "kind": list("aabc"),
            "many": [f"{i}" for i in range(4)],
            "flag": [True, False, True, True],
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2021-06-01"]),
        }
    )
    synthetic = real.iloc[[0, 0, 2, 3]]
    display = SyntheticTableDisplay.from_tables(real, synthetic[real.columns[::-1]])
    assert list(display.marginals) == list(real.columns)
    assert len(display.axes_) == len(real.columns) + 3
    kind = display.marginals["kind"]
    assert kind.labels == ["a", "b", "c"]
    assert kind.real.tolist() == [0.5, 0.25, 0.25]
    assert kind.synthetic.tolist() == [0.5, 0.25, 0.25]
    assert display.marginals["size"].real.sum() == 0.75
    assert display.marginals["size"].synthetic.sum() == 0.75
    when = display.marginals["when"]
    np.testing.assert_allclose(when.edges[[0, -1]], [2020, 2021.41], atol=0.01)
    assert display.axes_[-1].get_title() == "difference"
    difference = display.axes_[-1].images[0].get_array()
    expected = display.synthetic_associations - display.real_associations
    np.testing.assert_allclose(difference, expected)


def test_rare_categories_are_counted_as_others():
    real = pd.DataFrame({"x": [f"c{i}" for i in range(12)]})
    display = SyntheticTableDisplay.from_tables(real, pd.DataFrame({"x": ["c0", "new"]}))
    marginal = display.marginals["x"]
    assert marginal.labels[-1] == "others"
    assert marginal.real.sum() == pytest.approx(1)
    assert marginal.synthetic.tolist()[-1] == pytest.approx(0.5)


@pytest.mark.parametrize("convert", [pd.DataFrame.convert_dtypes, to_polars, pa.Table.from_pandas])
def test_tables_of_any_dtypes_are_drawn_as_the_real_table(convert):
    real = pd.DataFrame(
        {
            "flag": [True, False, True, True],
            "code": pd.Categorical([1, 2, 2, 3]),
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2021-06-01"]),
            "took": pd.to_timedelta([1, 2, None, 3], unit="D"),
            "price": [Decimal("1.5"), Decimal("2"), None, Decimal("0.1")],
            "constant": 7,
            "none": None,
            1: list("abca"),
        }
    ).rename(columns=str)
    text = pd.read_csv(io.StringIO(real.to_csv(index=False)), dtype=str)
    expected = SyntheticTableDisplay.from_tables(real, real)
    for synthetic in (text, convert(real)):
        plt.close("all")  # the last figure shows the same
        display = SyntheticTableDisplay.from_tables(real, synthetic)
        for name, marginal in display.marginals.items():
            assert marginal.distance == 0
            np.testing.assert_array_equal(marginal.synthetic, expected.marginals[name].real)
        pd.testing.assert_frame_equal(display.synthetic_associations, expected.real_associations)
    assert expected.marginals["took"].edges[[0, -1]].tolist() == [1, 3]
    assert expected.marginals["none"].labels == ["missing"]


def test_short_ranges_of_times_have_readable_axes():
    days = pd.date_range("2020-01-01", periods=4)
    table = pd.DataFrame({"day": days, "clock": [time(hour) for hour in (0, 6, 12, 18)]})
    display = SyntheticTableDisplay.from_tables(table, table)
    display.figure_.canvas.draw()
    assert display.marginals["clock"].edges[[0, -1]].tolist() == [0, 18]
    labels = [label.get_text() for label in display.axes_[0].get_xticklabels()]
    assert all(2019 < float(label) < 2021 for label in labels if label)


def test_categories_with_dollar_signs_are_no_formulas():
    table = pd.DataFrame({"x": ["$\\frac$", "a$", "$b$"]})
    display = SyntheticTableDisplay.from_tables(table, table)
    display.figure_.canvas.draw()
    assert [label.get_text() for label in display.axes_[0].get_xticklabels()] == list(table["x"])


def test_names_that_look_alike_have_separate_panels():
    table = pd.DataFrame({1: [1, 2], "1": [3, 4]})
    assert list(SyntheticTableDisplay.from_tables(table, table).marginals) == ["1", "'1'"]


def test_an_invalid_table_is_an_error_that_names_the_table(table):
    with pytest.raises(TypeError, match="synthetic must be a data frame"):
        SyntheticTableDisplay.from_tables(table, table.to_numpy())
    with pytest.raises(ValueError, match="Column 'ash' of synthetic has the value inf in row 2"):
        SyntheticTableDisplay.from_tables(table, table.assign(ash=[0, 0, np.inf, *[0] * 175]))
    with pytest.raises(ValueError, match="synthetic must have at least one row"):
        SyntheticTableDisplay.from_tables(table, table[:0])


def test_different_columns_and_more_than_20_columns_are_errors(table):
    with pytest.raises(ValueError, match=r"same columns as real; synthetic lacks \['alco.*'\]"):
        SyntheticTableDisplay.from_tables(table, table.iloc[:, 1:])
    wide = pd.DataFrame(np.zeros((3, 21)))
    with pytest.raises(ValueError, match="at most 20 columns"):
        SyntheticTableDisplay.from_tables(wide, wide)


def test_names_are_no_formulas_and_are_short():
    table = pd.DataFrame({"$x_{$": [1, 2], "long" * 30: [3, 4]})
    display = SyntheticTableDisplay.from_tables(table, table)
    display.figure_.canvas.draw()
    titles = [panel.get_title() for panel in display.axes_[:2]]
    assert titles == ["$x_{$  (0.000)", f"{'long' * 5}l...  (0.000)"]
    assert list(display.marginals) == list(table)
