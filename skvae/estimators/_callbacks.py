"""Who is told of each epoch: the progress bar and scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from ..training import Epoch, ProcessGroup

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks, and then nobody can set one

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin, without `set_callbacks`."""

    def with_callbacks(method: Any) -> Any:
        return method


__all__ = ["CallbackSupportMixin", "run_callbacks", "show_progress", "with_callbacks"]

_SHOWN = {
    "loss": "loss",
    "reconstruction_loss": "reconstruction",
    "kl_loss": "kl",
    "validation_loss": "validation",
}


def show_progress(epochs: Iterator[Epoch], max_iter: int, done: int = 0) -> Iterator[Epoch]:
    """Pass on the epochs and show a bar with the loss, its two terms and the validation loss."""
    from tqdm.auto import tqdm

    with tqdm(total=max_iter, initial=done, unit="epoch") as bar:
        for epoch in epochs:
            figures = {
                label: f"{epoch.record[name]:.2f}"
                for name, label in _SHOWN.items()
                if name in epoch.record
            }
            bar.set_postfix(figures, refresh=False)
            bar.update()
            yield epoch


def run_callbacks(
    epochs: Generator[Epoch],
    estimator: Any,
    X: Any,
    y: Any,
    fitted_attributes: Callable[[], dict[str, Any]],
    team: ProcessGroup,
) -> Iterator[Epoch]:
    """Pass on the epochs and run scikit-learn's callbacks before and after each.

    `fitted_attributes` returns those of the estimator as if training had stopped there. A
    callback whose `on_fit_task_end` returns True ends training. Of several processes, the first
    one runs them.
    """
    if not hasattr(estimator, "_init_callback_context"):
        yield from epochs
        return
    if not team.is_main:
        for epoch in epochs:
            yield epoch
            if team.on_main_process(bool):
                break
        epochs.close()
        return
    root = estimator._init_callback_context(max_subtasks=estimator.max_iter)
    root.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    done = False
    while not done:
        task = root.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        epoch = next(epochs)
        yield epoch
        stop = task.call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=fitted_attributes
        )
        done = team.on_main_process(partial(bool, stop or epoch.is_last))
    epochs.close()  # training is over: the module now has the weights that `fit` returns
    root.call_on_fit_task_end(
        estimator=estimator, X=X, y=y, reconstruction_attributes=fitted_attributes
    )
