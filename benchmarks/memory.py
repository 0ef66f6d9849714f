"""Memory and speed of training from files, compared with training from arrays.

The script writes a file of random rows as wide as SUSY and trains on the file, in turn as a memory
map and as an array, in separate processes. The script prints seconds per epoch and the largest
increase of anonymous memory, which excludes pages of files. Finally, a process trains on a larger
file with less memory than the size of the file. RLIMIT_DATA limits the memory of the process, not
counting pages of files.

Usage::

    python benchmarks/memory.py [--rows 5000000] [--rounds 3] [--folder /tmp] [--gigabytes 4]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from skvae import VAETransformer

N_COLUMNS = 18
# Memory of the limited process, in addition to its memory before training, in bytes.
ALLOWED = 500 * 2**20


def write_rows(path: Path, n_rows: int) -> None:
    """Write rows of a factor model with a drift: neighbouring rows are similar."""
    rng = np.random.RandomState(0)
    loadings = rng.normal(size=(4, N_COLUMNS))
    shape = (n_rows, N_COLUMNS)
    X = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=shape)
    for start in range(0, n_rows, 2**17):
        n = min(2**17, n_rows - start)
        codes = rng.normal(size=(n, 4)) + 3 * start / n_rows
        X[start : start + n] = np.tanh(codes @ loadings) + 0.3 * rng.normal(size=(n, N_COLUMNS))
    X.flush()


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


class Watch:
    """Context that measures the peak of anonymous memory every 10 ms."""

    def __enter__(self) -> Watch:
        self.start = self.peak = anonymous_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, anonymous_bytes())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def fit(path: Path, kind: str, epochs: int) -> dict[str, Any]:
    """Train, transform and score, and return seconds, increase of memory, loss and score."""
    # The first fit of a process allocates memory that does not depend on the data.
    VAETransformer(max_iter=1).fit(np.random.RandomState(0).normal(size=(4000, N_COLUMNS)))
    X = np.load(path, mmap_mode=None if kind == "array" else "r")
    if kind == "limited":
        status = Path("/proc/self/status").read_text()
        used = 1024 * int(status.split("VmData:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_DATA, (used + ALLOWED, used + ALLOWED))
    vae = VAETransformer(2, max_iter=epochs, random_state=0)
    with Watch() as watch:
        start = time.perf_counter()
        vae.fit(X)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        score = vae.score(X[: 2**20])
        vae.transform(X[: 2**20])
        inference_seconds = time.perf_counter() - start
    return {
        "seconds per epoch": seconds / epochs,
        "seconds for 1,048,576 scores and codes": inference_seconds,
        "increase of anonymous memory (MiB)": (watch.peak - watch.start) / 2**20,
        "loss": vae.loss_curve_[-1],
        "score": score,
    }


def fit_in_new_process(path: Path, kind: str, epochs: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(path), kind, str(epochs)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--gigabytes", type=float, default=4, help="size of the larger file in GiB")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        path, kind, epochs = arguments.child
        print(json.dumps(fit(Path(path), kind, int(epochs))))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "X.npy"
        write_rows(path, arguments.rows)
        results: dict[str, list[dict[str, Any]]] = {"memmap": [], "array": []}
        for _ in range(arguments.rounds):
            for kind, runs in results.items():
                runs.append(fit_in_new_process(path, kind, arguments.epochs))
        for kind, runs in results.items():
            medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            print(f"{arguments.rows:,} rows, {kind}:", *_lines(medians), sep="\n    ")
        ratios = [
            array["seconds per epoch"] / mapped["seconds per epoch"]
            for array, mapped in zip(results["array"], results["memmap"], strict=True)
        ]
        print(f"speed of the memory map relative to the array: {statistics.median(ratios):.2f}")
        n_rows = int(arguments.gigabytes * 2**30 / (4 * N_COLUMNS))
        write_rows(path, n_rows)
        run = fit_in_new_process(path, "limited", 1)
        allowed = f"{ALLOWED / 2**20:.0f} MiB allowed"
        print(f"{n_rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB, {allowed}:")
        print("", *_lines(run), sep="\n    ")


def _lines(run: dict[str, Any]) -> list[str]:
    return [f"{name}: {value:.2f}" for name, value in run.items()]


if __name__ == "__main__":
    main()
