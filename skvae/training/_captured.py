"""Training steps that are recorded once, and replayed with a single launch.

A training step of a small network launches a hundred kernels on a GPU, and the launches take longer
than the kernels. So a step is recorded as a CUDA graph, and later steps replay the graph. Each
replay reads and writes the same memory: the weights, the state of the optimizer, the sums of the
metrics, and copies of the batch, the learning rate and the weight of the KL term.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from ._batches import Batch
from ._rehearsal import CaptureError, check_operations
from ._step import EagerStep, Scalar

# Eager steps before a recording. Libraries allocate their work space in the first steps.
_N_WARMUP_STEPS = 3
# All batches have the same size except the last batch of an epoch. Each recording takes memory.
_MAX_RECORDINGS = 4
# torch records one graph of a process at a time.
_RECORDING_LOCK = threading.Lock()


class Recorder(Protocol):
    """Records functions that run on a device."""

    def epoch(self) -> AbstractContextManager[None]:
        """Return a context for the steps of an epoch."""

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return a function that repeats the operations of `function` on the same tensors.

        The recording itself has no effect on tensors and generators.

        Raises
        ------
        CaptureError
            If the function cannot be recorded.
        """


class _Recording(NamedTuple):
    """A recorded step, and the tensors that the step reads."""

    replay: Callable[[], None]
    x: Tensor  # (n, n_features)
    learning_rate: Tensor  # ()
    kl_weight: Tensor  # ()


class CapturedStep:
    """Steps that are recorded after a few eager steps, for each size of a batch.

    Steps stay eager if a step cannot be recorded: for example, if a custom network chooses its
    operations by the values of a tensor.

    Parameters
    ----------
    step : EagerStep
    recorder : Recorder

    Attributes
    ----------
    failure : CaptureError or None
        The reason why steps stay eager.
    """

    def __init__(self, step: EagerStep, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self.failure: CaptureError | None = None
        self.release()

    def release(self) -> None:
        """Release the memory of the recordings. Later steps make new recordings."""
        self._config = self._step.config  # of the recordings
        self._recordings: dict[object, _Recording] = {}
        self._n_warmup_steps: Counter[object] = Counter()

    def epoch(self) -> AbstractContextManager[None]:
        """Return a context for the steps of an epoch."""
        return self._recorder.epoch()

    def __call__(self, batch: Batch, learning_rate: Scalar, kl_weight: Scalar) -> None:
        recording = self._recording_for(batch)
        if recording is None:
            self._step(batch, learning_rate, kl_weight)
            return
        recording.x.copy_(batch.x)
        recording.learning_rate.fill_(learning_rate)
        recording.kl_weight.fill_(kl_weight)
        recording.replay()

    def _recording_for(self, batch: Batch) -> _Recording | None:
        """Return a recording for a batch of this size, or None for an eager step."""
        if self._step.config != self._config:  # recordings contain the old configuration
            self.release()
        key = (batch.x.shape, batch.x.dtype)
        if key in self._recordings:
            return self._recordings[key]
        if self.failure or len(self._recordings) == _MAX_RECORDINGS:
            return None
        if self._n_warmup_steps[key] < _N_WARMUP_STEPS:
            self._n_warmup_steps[key] += 1
            return None
        try:
            self._recordings[key] = self._record(batch)
        except CaptureError as error:
            self.release()
            self.failure = error
            return None
        return self._recordings[key]

    def _record(self, batch: Batch) -> _Recording:
        step, x = self._step, batch.x.clone()
        learning_rate, kl_weight = x.new_zeros(2, dtype=torch.float32)
        check_operations(step.module, x)
        step.zero_grad()  # recorded gradients have memory of their own
        replay = self._recorder.record(
            lambda: step(Batch(x, batch.n_rows), learning_rate, kl_weight)
        )
        return _Recording(replay, x, learning_rate, kl_weight)


class CudaRecorder:
    """Records CUDA graphs.

    Parameters
    ----------
    device : torch.device
    generator : Generator
        Generator on the device from which recorded functions draw, apart from torch's global
        generator.
    """

    def __init__(self, device: torch.device, generator: Generator) -> None:
        self._device = device
        self._generator = generator
        # A graph cannot be recorded on the default stream. All steps run on one stream, so that
        # warm-up steps allocate the work space of the stream.
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def epoch(self) -> Iterator[None]:
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            caller.wait_stream(self._stream)

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        # Other threads may use the GPU in the meantime.
        capture = torch.cuda.graph(
            graph, self._pool, self._stream, capture_error_mode="thread_local"
        )
        try:
            with _RECORDING_LOCK, torch.cuda.device(self._device), capture:
                function()
        except RuntimeError as error:
            raise CaptureError(f"A step cannot be recorded as a CUDA graph: {error}") from error
        return graph.replay
