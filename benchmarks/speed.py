"""Speed of skvae and of other libraries that train the same networks on the same rows.

Each measurement runs in a separate process. The contestants of a task take turns over several
rounds, so that variations of the machine's speed affect all contestants. The script prints medians
over the rounds:

- seconds: duration of the library's `fit` or its equivalent, including building and compiling, but
  without imports and loading of data.
- ratio: median over the rounds of the ratio to skvae in the same round.
- seconds per epoch, epoch ratio: seconds and ratio, divided by the number of epochs.
- loss: negative bound of the test rows after training, with one draw per row, in nats, where
  defined.
- memory (MiB): increase of the peak resident memory during the first epoch.
- fraction of limit: floating point operations per second of the network's matrix products, where
  known, as a fraction of the rate of a product of large float32 matrices in the same round.

A second table contains the seconds until the negative bound on MNIST's test images fell below the
bounds of the tutorials. In this table and in the plot, the fits of the task "curve", which differ
in length, count as one contestant.

Usage::

    python benchmarks/speed.py [--tasks mlp conv ...] [--rounds 3] [--output FOLDER]

The script writes all measurements to `speed.json`, and a plot of test bound against seconds to
`speed.png`. Measurements of earlier runs remain in the file for tasks that are not run: `--tasks`
without a task draws the plot again. The script skips libraries that are not installed, and prints
their names. `tox -e speed` installs all libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from contestants import CURVE, LIMIT, TASKS

CONTESTANTS = Path(__file__).with_name("contestants.py")
# Contestants, and the modules that they require.
REQUIRES = {"Keras": "tensorflow", "pythae": "pythae", "PyOD": "pyod", "UMAP": "umap"}
# Negative bounds of the tutorials' perceptron and convolutional network, and a lower target.
MILESTONES = (165.8, 151.7, 133.0)
# Colours that remain distinguishable with every kind of colour blindness, as in skvae.displays.
COLORS = ("#3f90da", "#e76300", "#717581", "#832db6")


def measure(task: str, contestant: str, seed: int) -> list[dict[str, float]]:
    """Return the laps of one contestant, measured in a separate process."""
    command = [sys.executable, str(CONTESTANTS), task, contestant, str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{task}, {contestant} failed:\n{run.stderr}")
    laps: list[dict[str, float]] = json.loads(run.stdout.splitlines()[-1])
    return laps


def is_installed(contestant: str) -> bool:
    module = REQUIRES.get(contestant)
    return module is None or importlib.util.find_spec(module) is not None


def compete(task: str, rounds: int) -> list[dict[str, Any]]:
    """Return all laps of a task, one dict per lap."""
    contestants = [name for name in TASKS[task].contestants if is_installed(name)]
    skipped = set(TASKS[task].contestants) - set(contestants)
    if skipped:
        print(f"{task}: skipped, because not installed: {', '.join(sorted(skipped))}")
    rows = []
    for turn in range(rounds):
        for contestant in contestants:
            laps = measure(task, contestant, seed=turn)
            labels = {"task": task, "contestant": contestant, "round": turn}
            rows += [labels | {"lap": number} | lap for number, lap in enumerate(laps, 1)]
            print(f"{task}, round {turn + 1}, {contestant}: {laps[-1]}", flush=True)
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of each task and contestant over the rounds."""
    keys = ["task", "contestant"]
    last = rows.groupby([*keys, "round"], sort=False).last()
    last["seconds per epoch"] = last["seconds"] / [
        TASKS[t].epochs(name) for t, name, _ in last.index
    ]
    for name, seconds in (("ratio", "seconds"), ("epoch ratio", "seconds per epoch")):
        ours = last[seconds].groupby(["task", "round"], sort=False).transform("first")
        last[name] = last[seconds] / ours
    if "flops per second" in last:
        limits = last.xs(LIMIT, level="task")["flops per second"].droplevel("contestant")
        reached = [TASKS[task].flops for task, _, _ in last.index] / last["seconds per epoch"]
        last["fraction of limit"] = reached / limits.reindex(last.index, level="round")
        last = last.drop(LIMIT, level="task").drop(columns="flops per second")
    last = last.rename(columns={"memory": "memory (MiB)"})
    return last.groupby(keys, sort=False).median().drop(columns="lap")


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seconds and loss by curve on MNIST, point and round."""
    rows = rows[rows["task"].isin(["mlp", "conv", CURVE])].copy()
    fits = rows["task"] == CURVE
    rows["curve"] = rows["contestant"] + ", " + rows["task"]
    rows.loc[fits, "curve"] = "skvae, chosen networks"
    rows["point"] = rows["lap"].where(~fits, rows["contestant"])
    keys = ["curve", "point", "round"]
    return rows.reindex(columns=[*keys, "seconds", "loss"]).set_index(keys)


def milestones(curves: pd.DataFrame) -> pd.DataFrame:
    """Return median seconds over the rounds until each curve fell below each milestone.

    Infinity stands for curves that stayed above in half of the rounds.
    """
    columns = {}
    for milestone in MILESTONES:
        passed = curves["seconds"].where(curves["loss"] < milestone, np.inf)
        fastest = passed.groupby(["curve", "round"], sort=False).min()
        columns[milestone] = fastest.groupby("curve", sort=False).median()
    return pd.DataFrame(columns)


def draw(curves: pd.DataFrame, place: str, path: Path) -> None:
    """Draw test bound against seconds on the machine `place`, medians over the rounds."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    colors = dict(zip(("skvae", "Keras", "PyTorch loop", "pythae"), COLORS, strict=True))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    medians = curves.groupby(["curve", "point"], sort=False).median()
    for name, points in medians.groupby("curve", sort=False):
        axes.plot(
            "seconds",
            "loss",
            data=points.sort_values("seconds"),
            color=colors[name.partition(",")[0]],
            marker="o" if name.endswith("mlp") else "s",
            fillstyle="none" if "float32" in name else "full",
            markersize=5,
            linewidth=2.5 if name.startswith("skvae") else 1.2,
            label=name,
        )
    axes.set(xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=f"seconds of training on {place}")
    axes.set(ylabel="negative bound of test images\nin nats per image, lower is better")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=150)


def machine() -> dict[str, Any]:
    """Return the hardware and the versions of the packages."""
    packages = ("torch", "keras", "tensorflow-cpu", "pythae", "pyod", "scikit-learn", "umap-learn")
    versions = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path())
    arguments = parser.parse_args()
    path = arguments.output / "speed.json"
    results = json.loads(path.read_text()) if path.exists() else {"laps": []}
    laps = [lap for lap in results["laps"] if lap["task"] not in arguments.tasks]
    for task in arguments.tasks:
        laps += compete(task, arguments.rounds)
    rows = pd.DataFrame(laps)
    table = summary(rows)
    print(table.round(2).to_string())
    if arguments.tasks:
        results = {"machine": machine(), "laps": laps}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1))
    on_mnist = curves(rows)
    if len(on_mnist):
        print("Seconds until the negative bound on MNIST's test images fell below")
        print(milestones(on_mnist).round(1).to_string())
        place = f"{results['machine']['cores']} cores with {results['machine']['instructions']}"
        draw(on_mnist, place, arguments.output / "speed.png")


if __name__ == "__main__":
    main()
