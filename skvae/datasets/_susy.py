"""SUSY: five million simulated collisions of particles."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import optional
from ._common import check_choice, pack
from ._retrieve import READ_ERRORS, DataFile, find, open_file, retrieve

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
_CHUNK = 200_000  # rows that are parsed at a time

# No digest of the official file is known to us. What guards it instead: gzip's checksum and
# length, the number of rows and columns, and labels that are 0 or 1.
OFFICIAL = DataFile(
    "susy",
    "SUSY.csv",
    urls=("https://archive.ics.uci.edu/ml/machine-learning-databases/00279/SUSY.csv.gz",),
)
# The official file's numbers, as this module writes them after parsing. Columns are contiguous:
# a memory map then reads little where few of them, or few rows, are wanted.
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
    """Load SUSY, 5,000,000 simulated collisions, and download it if necessary.

    The download has about 900 MB. Parsing needs pandas, 1 GB of memory and less than a minute. Its
    result goes into ``susy.npy`` next to the file, from which later calls read only the rows and
    columns that they need. In a folder that is read-only, every call parses.

    No digest of the official file is known to us, so it is not verified as other files are.
    It must pass gzip's own check, and have 5,000,000 rows of 19 numbers with a label of 0 or 1.

    Parameters
    ----------
    subset : {"train", "test", "all", "sample"}, default="train"
        The first 4,500,000 rows, the last 500,000, which are the official test set, or all.
        ``"sample"`` is ``susy-10k.csv``, 10,000 rows drawn from anywhere in the official file,
        if one of the folders holds it, and else the first 10,000 rows of the official file:
        `filename` tells which.
    n_rows : int, default=None
        Take only so many rows, the first of the subset.
    features : {"all", "low_level", "high_level"} or list of str, default="all"
        All 18 features, the 8 that detectors measure, the 10 that physicists derived from them,
        or those of these names, in this order.
    data_home : str or path-like, default=None
        Folder in which to look first, and to which to download: the files are in its subfolder
        ``susy``, compressed or not. See `get_data_home` for where else they may be.
    download_if_missing : bool, default=True
        Whether to download what is not on this machine. If False, that is an error.
    as_frame : bool, default=False
        Whether to return pandas objects instead of arrays.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : ndarray or DataFrame of shape (n_samples, n_features)
            The features, float32.
        target : ndarray or Series of shape (n_samples,)
            1 for the signal, a process with supersymmetric particles; 0 for the background. int64.
        feature_names : list of str
            Names of the features.
        target_names : list of str
            ``["background", "signal"]``.
        frame : DataFrame of shape (n_samples, n_features + 1) or None
            Data and target, if `as_frame`.
        filename : str
            The file that was read.
        DESCR : str
            Source, licence and citation.

    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    OSError
        If the file can't be had, or is not whole.

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
    return pack(
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
    if not names or len(set(names)) < len(names):
        raise ValueError(f"features must name at least one column, and none twice; got {names}.")
    return names


def _check_rows(subset: str, n_rows: int | None) -> slice:
    """Return where in the official file the rows are."""
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
                f"n_rows must be an integer from 1 to {len(rows)}, the rows of subset={subset!r}, "
                f"or None; got {n_rows!r}."
            )
        rows = rows[:n_rows]
    return slice(rows.start, rows.stop)


def _load(
    subset: str, rows: slice, data_home: str | os.PathLike[str] | None, download_if_missing: bool
) -> tuple[np.ndarray, Path]:
    """Return the rows, with the label in the first column, and the file that they are from."""
    if subset == "sample" and (path := find(SAMPLE, data_home)):
        return _parse(path, N_SAMPLE, n_header_lines=1)[rows], path
    if path := find(TABLE, data_home):
        return _open_table(path)[rows], path
    path = retrieve(OFFICIAL, data_home, download_if_missing)
    table = _parse(path, N_ROWS)
    with suppress(OSError):  # a folder that is read-only or full: the next call parses again
        _save_table(table, path.with_name(TABLE.name))
    return table[rows], path


def _parse(path: Path, n_rows: int, n_header_lines: int = 0) -> np.ndarray:
    """Return the numbers of a file that has `n_rows` rows of one label and all features."""
    pd = optional("pandas")
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
                    raise ValueError(f"rows from {n_read} on are not {n_columns} numbers each")
                if not np.isin(values[:, 0], (0, 1)).all():
                    raise ValueError(f"rows from {n_read} on have labels other than 0 and 1")
                fitting = values[: max(0, n_rows - n_read)]
                table[n_read : n_read + len(fitting)] = fitting
                n_read += len(values)
        if n_read != n_rows:
            raise ValueError(f"it has {n_read} rows instead of {n_rows}")
    except READ_ERRORS as error:
        raise OSError(
            f"{path} is not the whole official file: {error}. Delete it or move it away, and call "
            "again to download it."
        ) from error
    return table


def _save_table(table: np.ndarray, path: Path) -> None:
    # Whoever reads at the same time sees the whole file or none.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        np.save(Path(scratch) / path.name, table)
        os.replace(Path(scratch) / path.name, path)


def _open_table(path: Path) -> np.ndarray:
    with suppress(ValueError, EOFError):
        table = np.load(path, mmap_mode="r")
        if table.shape == (N_ROWS, 1 + len(FEATURE_NAMES)) and table.dtype == np.float32:
            return np.asarray(table)
    raise OSError(f"{path} is not what fetch_susy writes. Delete it or move it away.")
