"""Scores of rows in which no value of a column is known."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from helpers import FAST, FAST_TABULAR
from skvae import TabularVAE, VAEImputer

FRAME = pd.DataFrame({"a": [1.0, 2.5, 4.0] * 10, "b": list("xyz") * 10, "c": [0.5, 0.1, 0.2] * 10})
ARRAY = FRAME[["a", "c"]].to_numpy()
MODELS = [
    (TabularVAE(**FAST_TABULAR), FRAME),
    (VAEImputer(likelihood="mixed", **FAST), FRAME),
    (VAEImputer(**FAST), FRAME[["a", "c"]]),
]


@pytest.mark.parametrize(("estimator", "X"), MODELS)
@pytest.mark.parametrize("method", ["score", "score_samples"])
def test_scores_of_rows_without_a_value_in_a_column_warn_once_with_the_name(estimator, X, method):
    model = estimator.fit(X)
    unknown = X.assign(a=np.nan)
    with pytest.warns(UserWarning, match="No value of column 'a' of X is known") as warned:
        getattr(model, method)(unknown)
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_the_warning_names_all_columns_and_numbers_of_columns_without_names():
    model = TabularVAE(**FAST_TABULAR).fit(FRAME)
    with pytest.warns(UserWarning, match=r"columns \['a', 'b'\]"):
        model.score(FRAME.assign(a=np.nan, b=None))
    model = VAEImputer(**FAST).fit(ARRAY)
    with pytest.warns(UserWarning, match=r"No value of column 1 of X"):
        model.score(ARRAY * [1, np.nan])
    model = TabularVAE(**FAST_TABULAR).fit(FRAME.set_axis([5, 6, 7], axis=1))
    with pytest.warns(UserWarning, match=r"No value of column 7 of X"):
        model.score(FRAME.assign(c=np.nan).set_axis([5, 6, 7], axis=1))


def test_features_that_were_empty_in_fit_are_not_counted():
    X = np.column_stack([ARRAY[:, 0], np.full(30, np.nan), ARRAY[:, 1]])
    model = VAEImputer(**FAST).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(X)
    with pytest.warns(UserWarning, match=r"No value of column 2 of X"):
        model.score(X * [1, 1, np.nan])


def test_known_values_missing_levels_and_single_rows_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs
        model = TabularVAE(**FAST_TABULAR).fit(FRAME)
        some = FRAME.assign(a=FRAME["a"].where(np.arange(30) == 29))
        model.score(some)
        model.score_samples(some[:1])
        # A column with missing values in fit has a level for missing values.
        TabularVAE(**FAST_TABULAR).fit(some).score(some[:20])
