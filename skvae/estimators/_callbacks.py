"""Callbacks of scikit-learn in the training loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..training import LoopCallback, TrainingLoop

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replaces the mixin of scikit-learn, without `set_callbacks`."""

    def with_callbacks(method: Any) -> Any:
        return method


__all__ = ["CallbackSupportMixin", "SklearnCallbacks", "with_callbacks"]


class SklearnCallbacks(LoopCallback):
    """Runs the callbacks of `set_callbacks`, before and after each epoch.

    Training ends if `on_fit_task_end` of a callback returns True.

    Parameters
    ----------
    estimator : BaseVAE
    X, y : object
        The arguments of `fit`.
    fitted_attributes : callable
        Returns the attributes of an estimator as if the training loop had ended now.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fitted_attributes: Callable[[TrainingLoop], dict[str, Any]],
    ) -> None:
        self.estimator = estimator
        self.data = {"X": X, "y": y}
        self.fitted_attributes = fitted_attributes

    def on_train_begin(self, loop: TrainingLoop) -> None:
        max_iter = loop.trainer.config.max_iter
        self._root = self.estimator._init_callback_context(max_subtasks=max_iter)
        self._root.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_begin(self, loop: TrainingLoop) -> None:
        self._task = self._root.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, loop: TrainingLoop) -> bool:
        return bool(self._end_task(self._task, loop))

    def on_train_end(self, loop: TrainingLoop) -> None:
        self._end_task(self._root, loop)

    def _end_task(self, task: Any, loop: TrainingLoop) -> Any:
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=partial(self.fitted_attributes, loop),
        )
