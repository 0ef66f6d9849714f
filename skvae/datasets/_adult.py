"""Adult: yearly income above or below $50,000, from the US census of 1994."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import check_choice, import_optional
from ._common import make_bunch
from ._retrieve import DataFile, find_local_copy, open_file, retrieve

_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
FILES = {
    "train": DataFile(
        "adult",
        "adult.data",
        "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        (f"{_URL}adult.data",),
        max_size=2**22,
    ),
    "test": DataFile(
        "adult",
        "adult.test",
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
        (f"{_URL}adult.test",),
        max_size=2**21,
    ),
}
# The rows of adult.data with a header: a common redistribution of the file.
WITH_HEADER = DataFile(
    "adult", "adult.csv", "b1ee59153ff6055037ada6074d5cbed507af97f4d4d4b1fffcd7f62133c283a5"
)
_N_HEADER_LINES = {"adult.data": 0, "adult.test": 1, "adult.csv": 1}
_SUBSETS = {"train": ["train"], "test": ["test"], "all": ["train", "test"]}

# Columns in the order of the files: None for integers, otherwise the categories. Fixed categories
# give every subset the same dtypes.
_COLUMNS: dict[str, str | None] = {
    "age": None,
    "workclass": """
        Federal-gov Local-gov Never-worked Private Self-emp-inc Self-emp-not-inc State-gov
        Without-pay""",
    "fnlwgt": None,
    "education": """
        10th 11th 12th 1st-4th 5th-6th 7th-8th 9th Assoc-acdm Assoc-voc Bachelors Doctorate
        HS-grad Masters Preschool Prof-school Some-college""",
    "education-num": None,
    "marital-status": """
        Divorced Married-AF-spouse Married-civ-spouse Married-spouse-absent Never-married
        Separated Widowed""",
    "occupation": """
        Adm-clerical Armed-Forces Craft-repair Exec-managerial Farming-fishing
        Handlers-cleaners Machine-op-inspct Other-service Priv-house-serv Prof-specialty
        Protective-serv Sales Tech-support Transport-moving""",
    "relationship": "Husband Not-in-family Other-relative Own-child Unmarried Wife",
    "race": "Amer-Indian-Eskimo Asian-Pac-Islander Black Other White",
    "sex": "Female Male",
    "capital-gain": None,
    "capital-loss": None,
    "hours-per-week": None,
    "native-country": """
        Cambodia Canada China Columbia Cuba Dominican-Republic Ecuador El-Salvador England
        France Germany Greece Guatemala Haiti Holand-Netherlands Honduras Hong Hungary India
        Iran Ireland Italy Jamaica Japan Laos Mexico Nicaragua Outlying-US(Guam-USVI-etc) Peru
        Philippines Poland Portugal Puerto-Rico Scotland South Taiwan Thailand Trinadad&Tobago
        United-States Vietnam Yugoslavia""",
    "income": "<=50K >50K",
}
CATEGORIES = {name: values.split() for name, values in _COLUMNS.items() if values}
TARGET = "income"
FEATURE_NAMES = [name for name in _COLUMNS if name != TARGET]


def fetch_adult(
    *,
    subset: str = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load the Adult data set, 48,842 people of the US census of 1994 (classification).

    Missing files are downloaded. Requires pandas (extra ``data``).

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Rows to load: the 32,561 training rows (``adult.data``), the 16,281 test rows
        (``adult.test``), or the training rows followed by the test rows.
    data_home : str or path-like, default=None
        Folder to search first, and to download to. Files lie in the subfolder ``adult``, compressed
        with gzip or not. Instead of ``adult.data``, the loader also reads ``adult.csv``, the same
        rows with a header. `get_data_home` lists the other folders searched. A file with a wrong
        SHA-256 checksum is ignored, with a warning.
    download_if_missing : bool, default=True
        Whether to download files missing from this machine. If False, a missing file is an error.
    as_frame : bool, default=True
        Whether to return pandas objects instead of arrays of Python objects.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes:

        data : DataFrame or ndarray of shape (n_samples, 14)
            Six int64 columns and eight categorical columns. Unknown values, in the columns
            workclass, occupation and native-country, are NaN. All subsets have the same
            categories.
        target : Series or ndarray of shape (n_samples,)
            Yearly income in dollars: ``"<=50K"`` or ``">50K"``, categorical in a Series.
        feature_names : list of str
            Names of the columns of `data`.
        target_names : list of str
            The two categories of the target.
        frame : DataFrame of shape (n_samples, 15) or None
            Data and target together. None if `as_frame` is False.
        filename : str or list of str
            Path of the file read, or list of paths if ``subset="all"``.
        DESCR : str
            Description with source, licence and citation.

    (data, target) : tuple
        Returned instead of `dataset` if `return_X_y` is True.

    Raises
    ------
    ImportError
        If pandas is not installed.
    OSError
        If a file is neither found nor downloaded. The message lists all attempts, and explains
        where to put the file.
    ValueError
        If `subset` is unknown.

    Examples
    --------
    >>> from skvae.datasets import fetch_adult
    >>> X, y = fetch_adult(return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (32561, 14)
    >>> print(y.value_counts().to_string())  # doctest: +SKIP
    income
    <=50K    24720
    >50K      7841
    """
    check_choice("subset", subset, _SUBSETS)
    pd = import_optional("pandas", "fetch_adult")
    paths = [_locate(part, data_home, download_if_missing) for part in _SUBSETS[subset]]
    frame = pd.concat([_read(path) for path in paths], ignore_index=True)
    data, target = frame[FEATURE_NAMES], frame[TARGET]
    if not as_frame:
        data, target = data.to_numpy(dtype=object), target.to_numpy(dtype=object)
    return make_bunch(
        data,
        target,
        feature_names=FEATURE_NAMES,
        target_names=CATEGORIES[TARGET],
        target_name=TARGET,
        descr="adult.rst",
        paths=paths,
        as_frame=as_frame,
        return_X_y=return_X_y,
    )


def _locate(part: str, data_home: str | os.PathLike[str] | None, download_if_missing: bool) -> Path:
    if part == "train" and (path := find_local_copy(WITH_HEADER, data_home)):
        return path
    return retrieve(FILES[part], data_home, download_if_missing)


def _read(path: Path) -> Any:
    """Return the rows of ``adult.data``, ``adult.test`` or ``adult.csv`` as a frame."""
    pd = import_optional("pandas", "fetch_adult")
    with open_file(path) as stream:
        frame = pd.read_csv(
            stream,
            names=list(_COLUMNS),
            skiprows=_N_HEADER_LINES[path.name.removesuffix(".gz")],
            skipinitialspace=True,
            keep_default_na=False,
            na_values="?",
            dtype={name: str if values else np.int64 for name, values in _COLUMNS.items()},
        )
    frame[TARGET] = frame[TARGET].str.removesuffix(".")  # the labels in adult.test end with a dot
    for name, categories in CATEGORIES.items():
        frame[name] = pd.Categorical(frame[name], categories)
    return frame
