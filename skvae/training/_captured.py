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

from ..utils import exclusive_global_rng
from ._batches import Batch
from ._rehearsal import CaptureError, check_operations
from ._step import EagerStep, Scalar

# Eager steps before a recording. Libraries allocate their work space in the first steps.
_N_WARMUP_STEPS = 3
# All batches have the same size except the last batch of an epoch. Each recording takes memory.
_MAX_RECORDINGS = 4
# Earlier versions of torch refuse to replay a graph while another thread records a graph.
_MIN_TORCH = (2, 7)
# The streams of this thread, by device. torch shares a small number of streams between all who ask
# for a new one, and a recording must not contain the work of another thread.
_THREAD = threading.local()


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
    failure : str or None
        The reason why steps stay eager.
    """

    def __init__(self, step: EagerStep, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self.failure: str | None = None
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
        # Libraries have work space for each thread.
        key = (batch.x.shape, batch.x.dtype, threading.get_ident())
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
            self.failure = str(error)  # the error itself would keep tensors in memory
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
    generator : Generator
        Generator on the GPU from which recorded functions draw, apart from torch's global
        generator.
    """

    def __init__(self, generator: Generator) -> None:
        self._device = generator.device
        self._generator = generator
        self._broken: list[torch.cuda.CUDAGraph] = []

    @contextmanager
    def epoch(self) -> Iterator[None]:
        # A graph cannot be recorded on the default stream. All steps of a thread run on one stream,
        # so that warm-up steps allocate the work space of the stream.
        stream, caller = _thread_stream(self._device), torch.cuda.current_stream(self._device)
        stream.wait_stream(caller)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            caller.wait_stream(stream)

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        # Other threads may use the GPU in the meantime, but not the global generator, which belongs
        # to each recording.
        stream = _thread_stream(self._device)
        capture = torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")
        with exclusive_global_rng(), torch.cuda.device(self._device):
            try:
                with capture:
                    function()
            except RuntimeError as error:
                self._recover(graph)
                reason = error.__context__ or error
                raise CaptureError(f"A step cannot be recorded as a CUDA graph: {reason}") from None
        return graph.replay

    def _recover(self, graph: torch.cuda.CUDAGraph) -> None:
        """Let eager steps follow after a recording that has failed."""
        self._broken.append(graph)  # torch's allocator keeps a pointer to the graph
        for generator in (self._generator, torch.cuda.default_generators[self._device.index or 0]):
            # The generators count as recording still, in some versions of torch.
            generator.graphsafe_set_state(generator.clone_state())


def _thread_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream of this thread alone."""
    streams: dict[torch.device, torch.cuda.Stream] = _THREAD.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    return streams[device]


def can_record(generator: Generator) -> bool:
    """Return whether steps that draw from a generator can be recorded on its device."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return generator.device.type == "cuda" and version >= _MIN_TORCH
