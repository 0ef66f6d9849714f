"""Adult: who earned more than $50,000, by the US census of 1994."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import optional
from ._common import check_choice, pack
from ._retrieve import DataFile, find, open_file, retrieve

_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
FILES = {
    "train": DataFile(
        "adult",
        "adult.data",
        "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        (f"{_URL}adult.data",),
    ),
    "test": DataFile(
        "adult",
        "adult.test",
        "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
        (f"{_URL}adult.test",),
    ),
}
# The rows of adult.data with a header, as it is often passed on.
WITH_HEADER = DataFile(
    "adult", "adult.csv", "b1ee59153ff6055037ada6074d5cbed507af97f4d4d4b1fffcd7f62133c283a5"
)
_HEADER_LINES = {"adult.data": 0, "adult.test": 1, "adult.csv": 1}
_SUBSETS = {"train": ["train"], "test": ["test"], "all": ["train", "test"]}

# Columns in the order of the files: None for integers, else the categories. They are written
# down so that every subset has the same.
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
    """Load Adult, 48,842 people of the US census of 1994, and download it if necessary.

    Reading it needs pandas.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The 32,561 rows of ``adult.data``, the 16,281 of ``adult.test``, or all, those for
        training first.
    data_home : str or path-like, default=None
        Folder in which to look first, and to which to download: the files are in its subfolder
        ``adult``, compressed or not. ``adult.csv``, the rows of ``adult.data`` with a header,
        does as well. See `get_data_home` for where else they may be. A file counts only if its
        digest is right.
    download_if_missing : bool, default=True
        Whether to download what is not on this machine. If False, that is an error.
    as_frame : bool, default=True
        Whether to return pandas objects instead of arrays of Python objects.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : DataFrame or ndarray of shape (n_samples, 14)
            Six columns of int64 and eight categorical ones. What is unknown is NaN: it occurs in
            workclass, occupation and native-country. The categories are the same in all subsets.
        target : Series or ndarray of shape (n_samples,)
            Yearly income, categorical: ``"<=50K"`` or ``">50K"`` dollars.
        feature_names : list of str
            Names of the columns.
        target_names : list of str
            The two categories of the target.
        frame : DataFrame of shape (n_samples, 15) or None
            Data and target, if `as_frame`.
        filename : str or list of str
            The file that was read, or the files.
        DESCR : str
            Source, licence and citation.

    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    OSError
        If a file can't be had. The message lists what was tried, and which file to put where.

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
    pd = optional("pandas")
    paths = [_locate(part, data_home, download_if_missing) for part in _SUBSETS[subset]]
    frame = pd.concat([_read(path) for path in paths], ignore_index=True)
    data, target = frame[FEATURE_NAMES], frame[TARGET]
    if not as_frame:
        data, target = data.to_numpy(dtype=object), target.to_numpy(dtype=object)
    return pack(
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
    if part == "train" and (path := find(WITH_HEADER, data_home)):
        return path
    return retrieve(FILES[part], data_home, download_if_missing)


def _read(path: Path) -> Any:
    """Return the rows of any of the three files as a frame, the same whichever it was."""
    pd = optional("pandas")
    with open_file(path) as stream:
        frame = pd.read_csv(
            stream,
            names=list(_COLUMNS),
            skiprows=_HEADER_LINES[path.name.removesuffix(".gz")],
            skipinitialspace=True,
            keep_default_na=False,
            na_values="?",
            dtype={name: str if values else np.int64 for name, values in _COLUMNS.items()},
        )
    frame[TARGET] = frame[TARGET].str.removesuffix(".")  # labels of adult.test end in a dot
    for name, categories in CATEGORIES.items():
        frame[name] = pd.Categorical(frame[name], categories)
    return frame
