"""Training of a torch module on rows: steps, epochs, early stopping, checkpoints and processes.

Training takes a module and rows, and does not depend on scikit-learn. May import models,
likelihoods, serialization and utils.
"""

from ._batches import Rows, chunk_length
from ._checkpoint import Checkpoint, make_checkpointer
from ._config import TrainingConfig
from ._loop import LoopCallback, TrainingLoop, by_metric
from ._metrics import Metrics, objective
from ._new_module import new_module
from ._process_group import ProcessGroup, init_process_group
from ._progress import ProgressBar
from ._run_identity import RunIdentity, identify_run
from ._trainer import DivergenceError, Trainer

__all__ = [
    "Checkpoint",
    "DivergenceError",
    "LoopCallback",
    "Metrics",
    "ProcessGroup",
    "ProgressBar",
    "Rows",
    "RunIdentity",
    "Trainer",
    "TrainingConfig",
    "TrainingLoop",
    "by_metric",
    "chunk_length",
    "identify_run",
    "init_process_group",
    "make_checkpointer",
    "new_module",
    "objective",
]
