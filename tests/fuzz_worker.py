"""Process that loads the files of `fuzz_load`, one at a time, and watches what loading does.

Reads lines of "file to load<TAB>data to answer for", and prints a line of JSON for each.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import skvae

# Results that the library must never allocate: far above what small files need.
ADDRESS_SPACE = 2 * 2**30
FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.")
FORBIDDEN += ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.", "ctypes.", "pty.")
# Modules are imported late, and the files of known time zones are no secret.
HARMLESS = (sys.prefix, sys.base_prefix, "/usr/share/zoneinfo", str(Path(skvae.__file__).parent))


class Watch:
    """Audit hook that records events while `allowed` names a file."""

    allowed: str | None = None

    def __init__(self) -> None:
        self.events: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event.startswith(FORBIDDEN):
            self.events.append(f"{event} {arguments!r:.200}")
        elif event == "open" and not isinstance(arguments[0], int):
            path = str(arguments[0])
            if path != self.allowed and not path.startswith(HARMLESS):
                self.events.append(f"open {path}")


def peak_memory() -> int:
    """Return the peak memory of this process since `reset_peak`, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> int:
    """Reset the peak, and return the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def _arguments(X: Any) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of each method that gives answers."""
    methods = ("score_samples", "transform", "predict", "explain", "reconstruct")
    sampling = {"sample": (3,), "sample_imputations": (X, 2), "get_feature_names_out": ()}
    return {**dict.fromkeys(methods, (X,)), **sampling}


def answer(estimator: Any, X: Any) -> dict[str, str]:
    """Return the names of the errors that a loaded estimator raises for its own training data."""
    errors = {}
    calls = {
        "get_params": lambda: estimator.get_params(),
        "repr": lambda: repr(estimator),
        # The number of draws is a parameter that users see and set.
        "set_params": lambda: estimator.set_params(n_importance_samples=2, verbose=0),
        **{
            name: partial(getattr(estimator, name), *arguments)
            for name, arguments in _arguments(X).items()
            if hasattr(estimator, name)
        },
    }
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            errors[name] = type(error).__name__
    return errors


def report(path: str, X: Any, watch: Watch) -> dict[str, Any]:
    """Load a file and return what happened."""
    before, start = reset_peak(), time.perf_counter()
    watch.events, watch.allowed = [], path
    result: dict[str, Any] = {"errors": {}}
    try:
        estimator = skvae.load(path)
        result["outcome"] = "loaded"
        result["load_seconds"] = time.perf_counter() - start
        result["errors"] = answer(estimator, X)
    except Exception as error:
        result["outcome"] = type(error).__name__
        result["message"] = str(error)[:300]
    finally:
        watch.allowed = None
    result["seconds"] = time.perf_counter() - start
    result["megabytes"] = (peak_memory() - before) / 1e6
    result["events"] = watch.events[:5]
    return result


def main() -> None:
    import resource  # only on Unix

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    watch = Watch()
    lines = (line.rstrip("\n").split("\t") for line in sys.stdin)
    is_limited = False
    for path, data in lines:
        if path == "limit":  # after the files that are not mutated, which import what is needed
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE,) * 2)
            is_limited = True
            continue
        result = report(path, pickle.loads(Path(data).read_bytes()), watch)
        print(json.dumps({**result, "limited": is_limited}), flush=True)


if __name__ == "__main__":
    main()
