"""Fuzzer of `skvae.load`: mutated files must be refused or load, quickly and in little memory.

    python tests/fuzz_load.py --n 5000 --seed 0

Each mutated file has a right digest, so the mutations reach the decoder and the module. A worker
process loads the file, and answers for the training data if the file loads. The file fails if

- loading raises another exception than ValueError or OSError, or runs out of memory;
- loading or answering takes more than 10 seconds or 300 MB, or ends the process;
- another file is opened, or a process or a connection is started.
"""

from __future__ import annotations

import argparse
import collections
import decimal
import json
import os
import pickle
import random
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import skvae
from fuzz_mutations import mutate
from skvae.serialization import read_file

MAX_SECONDS = 10
MAX_MEGABYTES = 300
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "batch_size": 20, "random_state": 0}


def estimators() -> list[tuple[Any, Any]]:
    """Return small fitted estimators of each kind, with their data."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(40, 4))
    holes = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
    frame = (
        pd.DataFrame(X[:, :2], columns=["a", "b"])
        .round(1)
        .assign(
            integer=pd.array(rng.randint(0, 5, 40), dtype="Int64"),
            string=rng.choice(["u", "v"], 40),
            category=pd.Categorical(rng.choice(list("xyz"), 40), ordered=True),
            time=pd.date_range("2020-01-01", periods=40, freq="D", tz="Europe/Berlin"),
            duration=pd.to_timedelta(rng.randint(0, 9, 40), unit="s"),
        )
    )
    frame.loc[::5, ["string", "a"]] = None
    conv = {"architecture": "conv", "image_shape": (2, 2)}
    table = pd.DataFrame(X, columns=list("abcd"))
    pairs = [
        (skvae.VAETransformer(**SMALL), X),
        (skvae.VAETransformer(**{**SMALL, "architecture": "fourier_mlp"}), X),
        (skvae.VAETransformer(**{**SMALL, **conv, "hidden_layer_sizes": (3, 4)}), X),
        (
            skvae.VAETransformer(likelihood=skvae.StudentT(df=3), **SMALL),
            table,
        ),
        (skvae.VAETransformer(likelihood="poisson", **SMALL), rng.poisson(3, (40, 3))),
        (skvae.VAEOutlierDetector(**SMALL), table),
        (skvae.VAEImputer(add_indicator=True, **SMALL), holes),
        (skvae.VAEImputer(likelihood="mixed", **SMALL), frame),
        (skvae.TabularVAE(2, **SMALL), frame),
        (skvae.TabularVAE(2, autoregressive=False, **SMALL), frame[["category", "time"]]),
    ]
    pairs.append((skvae.TabularVAE(2, **SMALL), unusual_table()))
    fitted = [(estimator.fit(data), data) for estimator, data in pairs]
    return [*fitted, (skvae.VAETransformer(random_state=np.random.RandomState(0)), X)]


def unusual_table() -> pd.DataFrame:
    """Return a table of 40 rows with unusual dtypes and names."""
    whole = np.random.RandomState(1).randint(0, 4, 40)
    stamps = pa.array(whole * 10**9, pa.timestamp("us", "Europe/Berlin"))
    columns = {
        "arrow": pd.Series(stamps.to_pandas(), dtype=pd.ArrowDtype(stamps.type)),
        "text": pd.Series(whole.astype(str), dtype=pd.ArrowDtype(pa.large_string())),
        "decimal": pd.Series([decimal.Decimal(int(k)) / 4 for k in whole], dtype=object),
        "period": pd.Series(pd.period_range("2020-01", periods=4, freq="M")[whole]),
        "tuple": pd.Series([(int(k), "a") for k in whole], dtype=object),
        "sparse": pd.Series(whole).astype("Sparse[int64]"),
        "interval": pd.Series(pd.cut(whole, 3)),
        "dates": pd.Categorical(pd.to_datetime(whole, unit="D")),
    }
    names = pd.MultiIndex.from_tuples([(name, k) for k, name in enumerate(columns)])
    return pd.DataFrame(columns).set_axis(names, axis=1)


class Worker:
    """The process that loads files. It is started again if a file ends it, or takes too long."""

    def __init__(self, warm_up: list[tuple[Path, Path]]) -> None:
        self._warm_up = warm_up
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fuzz_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for path, data in self._warm_up:
            result = self.load(path, data, seconds=120)
            if result["outcome"] != "loaded" or result["errors"]:
                raise RuntimeError(f"A file without mutations fails: {result}")
        self._send("limit", "")

    def _send(self, path: Any, data: Any) -> None:
        self._process.stdin.write(f"{path}\t{data}\n")
        self._process.stdin.flush()

    def load(self, path: Path, data: Path, seconds: float = MAX_SECONDS) -> dict[str, Any]:
        """Return what happens when a file is loaded."""
        self._send(path, data)
        stdout = self._process.stdout
        # Twice the time limit: the report, which contains the time, is wanted for slow files, too.
        if not select.select([stdout], [], [], 2 * seconds)[0]:
            return self._restart("too slow")
        line = stdout.readline()
        return json.loads(line) if line else self._restart("crashed")

    def _restart(self, outcome: str) -> dict[str, Any]:
        self.close()
        self._start()
        return {"outcome": outcome, "errors": {}, "events": [], "seconds": 0, "megabytes": 0}

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def fault(result: dict[str, Any]) -> str | None:
    """Return what is wrong with the result of loading a file, or None."""
    message = result.get("message", "")
    if result["outcome"] not in ("loaded", "ValueError", "OSError"):
        return f"{result['outcome']}: {message}"
    if any(word in message for word in ("allocate", "out of memory", "MemoryError")):
        return f"asks for memory: {message}"
    if "MemoryError" in result["errors"].values():
        return f"an answer asks for memory: {result['errors']}"
    if result["events"]:
        return f"does more than load: {result['events']}"
    if result["seconds"] > MAX_SECONDS or result["megabytes"] > MAX_MEGABYTES:
        return f"takes {result['seconds']:.1f} s and {result['megabytes']:.0f} MB"
    return None


def run(n: int, seed: int, folder: Path, keep: Path | None = None) -> dict[str, Any]:
    """Load n mutated files and return a summary, with a list of faults."""
    originals = []
    for i, (estimator, data) in enumerate(estimators()):
        path, data_path = folder / f"original-{i}", folder / f"data-{i}"
        estimator.save(path)
        data_path.write_bytes(pickle.dumps(data))
        originals.append((path, data_path, *read_file(path)))
    worker = Worker([(path, data) for path, data, *_ in originals[:-1]])
    rng, counts, errors = random.Random(seed), collections.Counter(), collections.Counter()
    faults, slowest, largest = [], 0.0, 0.0
    try:
        for i in range(n):
            _, data, document, arrays = originals[i % len(originals)]
            path = folder / "mutated"
            kind = mutate(path, document, arrays, rng)
            result = worker.load(path, data)
            counts[kind, result["outcome"]] += 1
            errors.update(result["errors"].values())
            slowest = max(slowest, result["seconds"])
            largest = max(largest, result["megabytes"])
            if (problem := fault(result)) is not None:
                faults.append(f"{i} ({kind}): {problem}")
                if keep is not None:
                    path.rename(keep / f"{seed}-{i}")
    finally:
        worker.close()
    summary = {f"{kind}, {outcome}": count for (kind, outcome), count in sorted(counts.items())}
    answers = dict(errors)
    return {
        "counts": summary,
        "errors of answers": answers,
        "seconds": slowest,
        "megabytes": largest,
        "faults": faults,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.n, options.seed, Path(folder), options.keep)
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
