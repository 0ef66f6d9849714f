"""SUSY: five million simulated particle collisions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import check_choice, import_optional
from ._common import check_unique_names, make_bunch
from ._retrieve import READ_ERRORS, DataFile, find_local_copy, open_file, retrieve

LOW_LEVEL = [
    "lepton 1 pT",
    "lepton 1 eta",
    "lepton 1 phi",
    "lepton 2 pT",
    "lepton 2 eta",
    "lepton 2 phi",
    "missing energy magnitude",
    "missing energy phi",
]
HIGH_LEVEL = [
    "MET_rel",
    "axial MET",
    "M_R",
    "M_TR_2",
    "R",
    "MT2",
    "S_R",
    "M_Delta_R",
    "dPhi_r_b",
    "cos(theta_r1)",
]
FEATURE_NAMES = LOW_LEVEL + HIGH_LEVEL
_GROUPS = {"all": FEATURE_NAMES, "low_level": LOW_LEVEL, "high_level": HIGH_LEVEL}

N_ROWS = 5_000_000
N_TEST = 500_000
N_SAMPLE = 10_000
_CHUNK = 200_000  # rows parsed at a time

# The checksum of the official file is unknown. The loader verifies instead gzip's checksum and
# length, the number of rows and columns, and the labels (0 or 1).
OFFICIAL = DataFile(
    "susy",
    "SUSY.csv",
    urls=("https://archive.ics.uci.edu/ml/machine-learning-databases/00279/SUSY.csv.gz",),
    max_size=N_ROWS * 500,  # 19 numbers of up to 25 characters, with separators
)
# The numbers of the official file, written by this module after parsing. Columns are contiguous,
# so that a memory map reads only the requested columns and rows.
TABLE = DataFile("susy", "susy.npy")
SAMPLE = DataFile(
    "susy", "susy-10k.csv", "fcc3dc538e002d39dc5e795ef92bbe3d300cd562af53a70275af0eb34fb84c06"
)


def fetch_susy(
    *,
    subset: str = "train",
    n_rows: int | None = None,
    features: str | Sequence[str] = "all",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load SUSY, 5,000,000 simulated particle collisions (classification).

    A missing file is downloaded (about 900 MB). Parsing requires pandas (extra ``data``) and 1 GB
    of memory, and takes less than a minute. The parsed numbers are cached in ``susy.npy`` next to
    the file, and later calls read only the requested rows and columns from the cache. In a
    read-only folder, every call parses the file again.

    The SHA-256 checksum of the official file is unknown. The loader verifies instead gzip's own
    checksum, the shape (5,000,000 rows of 19 numbers) and the labels (0 or 1).

    Parameters
    ----------
    subset : {"train", "test", "all", "sample"}, default="train"
        Rows to load: the first 4,500,000 rows, the last 500,000 rows (the official test set), all
        rows, or a sample of 10,000 rows. The sample is ``susy-10k.csv``, drawn from the whole
        official file, if found in a searched folder, and otherwise the first 10,000 rows of the
        official file. The attribute ``filename`` shows the file used.
    n_rows : int, default=None
        Number of rows to load from the start of the subset. By default, all rows of the subset.
    features : {"all", "low_level", "high_level"} or list of str, default="all"
        Features to load: all 18 features, the 8 features measured by detectors, the 10 features
        derived by physicists, or a list of names, in the order of the list.
    data_home : str or path-like, default=None
        Folder to search first, and to download to. Files lie in the subfolder ``susy``, compressed
        with gzip or not. `get_data_home` lists the other folders searched.
    download_if_missing : bool, default=True
        Whether to download a file missing from this machine. If False, a missing file is an error.
    as_frame : bool, default=False
        Whether to return pandas objects instead of arrays.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes:

        data : ndarray or DataFrame of shape (n_samples, n_features)
            Features, float32.
        target : ndarray or Series of shape (n_samples,)
            Classes, int64: 1 for the signal, a process with supersymmetric particles, and 0 for
            the background.
        feature_names : list of str
            Names of the features.
        target_names : list of str
            Names of the classes: ``["background", "signal"]``.
        frame : DataFrame of shape (n_samples, n_features + 1) or None
            Data and target together. None if `as_frame` is False.
        filename : str
            Path of the file read.
        DESCR : str
            Description with source, licence and citation.

    (data, target) : tuple
        Returned instead of `dataset` if `return_X_y` is True.

    Raises
    ------
    ImportError
        If pandas is needed and not installed, or if pooch is needed for a download and not
        installed.
    OSError
        If the file is neither found nor downloaded, or is incomplete. The message explains where
        to put the file.
    ValueError
        If `subset`, `n_rows` or `features` is invalid.

    Examples
    --------
    >>> from skvae.datasets import fetch_susy
    >>> susy = fetch_susy(subset="sample", features="low_level")  # doctest: +SKIP
    >>> susy.data.shape, susy.target_names  # doctest: +SKIP
    ((10000, 8), ['background', 'signal'])
    """
    names = _check_features(features)
    rows = _check_rows(subset, n_rows)
    table, path = _load(subset, rows, data_home, download_if_missing)
    columns = [1 + FEATURE_NAMES.index(name) for name in names]
    return make_bunch(
        np.ascontiguousarray(table[:, columns]),
        table[:, 0].astype(np.int64),
        feature_names=names,
        target_names=["background", "signal"],
        descr="susy.rst",
        paths=[path],
        as_frame=as_frame,
        return_X_y=return_X_y,
    )


def _check_features(features: str | Sequence[str]) -> list[str]:
    if isinstance(features, str):
        check_choice("features", features, _GROUPS)
        return _GROUPS[features]
    names = list(features)
    for name in names:
        check_choice("Each name in features", name, FEATURE_NAMES)
    check_unique_names("features", names)
    return names


def _check_rows(subset: str, n_rows: int | None) -> slice:
    """Return the positions of the requested rows in the official file."""
    subsets = {
        "train": range(N_ROWS - N_TEST),
        "test": range(N_ROWS - N_TEST, N_ROWS),
        "all": range(N_ROWS),
        "sample": range(N_SAMPLE),
    }
    check_choice("subset", subset, subsets)
    rows = subsets[subset]
    if n_rows is not None:
        if not isinstance(n_rows, int | np.integer) or not 1 <= n_rows <= len(rows):
            raise ValueError(
                f"n_rows must be an integer from 1 to {len(rows)} (the number of rows of "
                f"subset={subset!r}) or None; got {n_rows!r}."
            )
        rows = rows[:n_rows]
    return slice(rows.start, rows.stop)


def _load(
    subset: str, rows: slice, data_home: str | os.PathLike[str] | None, download_if_missing: bool
) -> tuple[np.ndarray, Path]:
    """Return the rows, with the label in the first column, and the path of the file read."""
    if subset == "sample" and (path := find_local_copy(SAMPLE, data_home)):
        return _parse(path, N_SAMPLE, n_header_lines=1)[rows], path
    if path := find_local_copy(TABLE, data_home):
        return _open_table(path)[rows], path
    path = retrieve(OFFICIAL, data_home, download_if_missing)
    table = _parse(path, N_ROWS)
    with suppress(OSError):  # if the folder is read-only or full, the next call parses again
        _save_table(table, path.with_name(TABLE.name))
    return table[rows], path


def _parse(path: Path, n_rows: int, n_header_lines: int = 0) -> np.ndarray:
    """Return the label and the features of each row of a file with `n_rows` rows."""
    pd = import_optional("pandas", "fetch_susy")
    n_columns = 1 + len(FEATURE_NAMES)
    table = np.empty((n_rows, n_columns), np.float32, order="F")
    n_read = 0
    try:
        with open_file(path) as stream:
            chunks = pd.read_csv(
                stream, header=None, skiprows=n_header_lines, dtype=np.float32, chunksize=_CHUNK
            )
            for chunk in chunks:
                values = chunk.to_numpy()
                if values.shape[1] != n_columns or not np.isfinite(values).all():
                    raise ValueError(f"a row after row {n_read} is not {n_columns} finite numbers")
                if not np.isin(values[:, 0], (0, 1)).all():
                    raise ValueError(f"a label after row {n_read} is neither 0 nor 1")
                kept = values[: max(0, n_rows - n_read)]
                table[n_read : n_read + len(kept)] = kept
                n_read += len(values)
        if n_read != n_rows:
            raise ValueError(f"it has {n_read} rows instead of {n_rows}")
    except READ_ERRORS as error:
        raise OSError(
            f"{path} is not the complete official file: {error}. Delete or move the file, then "
            "call again to download a new copy."
        ) from error
    return table


def _save_table(table: np.ndarray, path: Path) -> None:
    # Atomic: a concurrent reader sees either the complete file or no file.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        np.save(Path(scratch) / path.name, table)
        os.replace(Path(scratch) / path.name, path)


def _open_table(path: Path) -> np.ndarray:
    with suppress(ValueError, EOFError):
        table = np.load(path, mmap_mode="r")
        if table.shape == (N_ROWS, 1 + len(FEATURE_NAMES)) and table.dtype == np.float32:
            return np.asarray(table)
    raise OSError(f"{path} was not written by fetch_susy, or is damaged. Delete or move the file.")
