"""How fast skvae is, beside other libraries that train the same networks on the same rows.

Every measurement runs in a process of its own; those of one task take turns, over several
rounds, so that a machine's moods fall on all alike. Printed are medians over the rounds:

- seconds: within the library's own `fit`, or its equivalent, building and compiling included,
  imports and data not;
- ratio: the median of the ratios of each round, to skvae in the same round;
- an epoch, ratio of epochs: the same, divided by the number of epochs;
- negative bound: of the test rows at the end, at one draw per row, in nats (where defined);
- memory: by how many MB the first epoch raised resident memory above what it was before, at
  its peak;
- of the limit: floating point operations of the network's matrix products per second, where
  they can be counted, as a share of what a product of large float32 matrices reached in the
  same run.

A second table has the seconds until the negative bound on MNIST's test images passed those of
the tutorials. The fits of the task "curve", of different lengths, count as one contestant there
and in the figure.

Usage::

    python benchmarks/speed.py [--tasks mlp conv ...] [--rounds 3] [--output FOLDER]

The folder gets `speed.json`, with every measurement, and `speed.png`: test bound against
seconds. Tasks that are not run keep the measurements they have there from earlier runs. Libraries
that are not installed are left out, and named; `tox -e speed` installs all.
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

import pandas as pd
import torch
from contestants import CURVE, LIMIT, TASKS

CONTESTANTS = Path(__file__).with_name("contestants.py")
# Contestant -> the module it needs.
REQUIRES = {"Keras": "tensorflow", "pythae": "pythae", "PyOD": "pyod", "UMAP": "umap"}
# Negative bounds of the tutorials' perceptron and convolutions, and one to aim at.
MILESTONES = (165.8, 151.7, 133.0)


def measure(task: str, contestant: str, seed: int) -> list[dict[str, float]]:
    """Return the laps of one contestant, run in a process of its own."""
    command = [sys.executable, str(CONTESTANTS), task, contestant, str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{task}, {contestant} failed:\n{run.stderr}")
    laps: list[dict[str, float]] = json.loads(run.stdout.splitlines()[-1])
    return laps


def is_there(contestant: str) -> bool:
    module = REQUIRES.get(contestant)
    return module is None or importlib.util.find_spec(module) is not None


def compete(task: str, rounds: int) -> list[dict[str, Any]]:
    """Return every lap of a task, a row each."""
    contestants = [name for name in TASKS[task].contestants if is_there(name)]
    left_out = set(TASKS[task].contestants) - set(contestants)
    if left_out:
        print(f"{task}: not installed, so left out: {', '.join(sorted(left_out))}")
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
    last["an epoch"] = last["seconds"] / [TASKS[t].epochs(name) for t, name, _ in last.index]
    for name, seconds in (("ratio", "seconds"), ("ratio of epochs", "an epoch")):
        ours = last[seconds].groupby(["task", "round"], sort=False).transform("first")
        last[name] = last[seconds] / ours
    if "flops per second" in last:
        limits = last.xs(LIMIT, level="task")["flops per second"].droplevel("contestant")
        reached = [TASKS[task].flops for task, _, _ in last.index] / last["an epoch"]
        last["of the limit"] = reached / limits.reindex(last.index, level="round")
        last = last.drop(LIMIT, level="task").drop(columns="flops per second")
    return last.groupby(keys, sort=False).median().drop(columns="lap")


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seconds and loss of each curve on MNIST, point and round."""
    rows = rows[rows["task"].isin(["mlp", "conv", CURVE])].copy()
    fits = rows["task"] == CURVE
    rows["curve"] = rows["contestant"] + ", " + rows["task"]
    rows.loc[fits, "curve"] = "skvae, networks of our choice"
    rows["point"] = rows["lap"].where(~fits, rows["contestant"])
    keys = ["curve", "point", "round"]
    return rows[[*keys, "seconds", "loss"]].set_index(keys)


def milestones(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the seconds until each curve was below each milestone, medians over the rounds."""
    columns = {}
    for milestone in MILESTONES:
        passed = curves["seconds"].where(curves["loss"] < milestone)
        fastest = passed.groupby(["curve", "round"], sort=False).min()
        columns[milestone] = fastest.groupby("curve", sort=False).median()
    return pd.DataFrame(columns)


def draw(curves: pd.DataFrame, path: Path) -> None:
    """Draw the test bound against seconds, medians of rounds."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    medians = curves.groupby(["curve", "point"], sort=False).median()
    for name, points in medians.groupby("curve", sort=False):
        axes.plot(
            "seconds",
            "loss",
            data=points.sort_values("seconds"),
            marker="o",
            markersize=4,
            linewidth=2.5 if name.startswith("skvae") else 1.2,
            label=name,
        )
    axes.set(xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="Seconds", ylabel="Negative bound on test images (nats)")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=150)


def machine() -> dict[str, Any]:
    """Return what the measurements were made on."""
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
    earlier = json.loads(path.read_text())["laps"] if path.exists() else []
    laps = [lap for lap in earlier if lap["task"] not in arguments.tasks]
    for task in arguments.tasks:
        laps += compete(task, arguments.rounds)
    rows = pd.DataFrame(laps)
    table = summary(rows)
    print(table.round(2).to_string())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "laps": laps}, indent=1))
    on_mnist = curves(rows)
    if len(on_mnist):
        print("Seconds until the negative bound on MNIST's test images was below")
        print(milestones(on_mnist).round(1).to_string())
        draw(on_mnist, arguments.output / "speed.png")


if __name__ == "__main__":
    main()
