"""A model planned once, for inputs of one shape: static memory, and on a GPU one CUDA graph."""

import threading
from typing import Any, NamedTuple

from pycnn.define.record import Place, Recorder, Static
from pycnn.define.trace import RECORDER
from pycnn.define.validate import check_like
from pycnn.nn.arrays import device_of, library, to_numpy
from pycnn.nn.layer import Layer
from pycnn.nn.observe import check_evaluating
from pycnn.runtime.active import active_backend
from pycnn.runtime.backends import SHAPES
from pycnn.runtime.context import held
from pycnn.runtime.replay import memory


class _Held(NamedTuple):
    """A parameter or buffer: where a layer holds it, as it was, and the compiled model's copy."""

    layer: Layer
    group: str
    key: str
    place: Place

    @property
    def now(self) -> Any:
        """What the layer holds."""
        return getattr(self.layer, self.group).get(self.key)


class Compiled:
    """What `compile` makes of a model: called as the model.

    Attributes
    ----------
    shape, dtype, backend
        What it takes, and where it runs.
    launches : int
        Kernels that a call launches; on the backend ``reference``, operations.
    nbytes : int
        Memory for the input, all that is in between and the workspace, beside the weights.
    """

    def __init__(self, model: Layer, example: Any) -> None:
        self.shape, self.dtype = tuple(example.shape), example.dtype
        self.backend = "cuda" if device_of(example) == "cuda" else active_backend()
        self._library = library(example)
        self._graph: Any = None
        self._lock = threading.Lock()
        x = example.copy(order="C")
        recorder = Recorder()
        own = recorder.add(x).place(x)
        holders = [
            _Held(layer, group, key, recorder.add(array, constant=True).place(array))
            for _, layer in model.named_layers()
            for group in ("params", "buffers")
            for key, array in getattr(layer, group).items()
        ]
        with held(RECORDER, recorder.note):
            y = model(x)
        last = recorder.place("the result", y)
        self._constants = [one for one in holders if one.place.root.used]
        for one in self._constants:
            one.place.root.where = memory(self._library, one.place.root.piece.size)
            one.place.array(self._library)[...] = one.place.given
        self._static = Static(recorder, self._library, self.backend)
        self.nbytes, self.launches = self._static.nbytes, self._static.launches
        self._input, self._result = own.array(self._library), last.array(self._library)
        self._static.run_once()
        for _ in range(2):  # again, with what the first time has left in memory
            self._fill(x)
            self._static.run()
            if to_numpy(self._result).tobytes() != to_numpy(y).tobytes():
                raise ValueError(
                    f"a second pass of {model!r} has another result; allowed in a compiled model: "
                    "layers that compute by operations of pycnn alone, and never in place"
                )
        if self.backend == "cuda" and not self._static.transforms:
            self._graph = self._static.captured()

    def __call__(self, x: Any) -> Any:
        """The result, in memory that the next call overwrites.

        Parameters
        ----------
        x : array
            Of the shape and dtype of the example, in any strides.

        Raises
        ------
        TypeError
            If it is no array of the example's library.
        ValueError
            If it has another shape, dtype or device, or NumPy arrays go to another backend than
            when the model was compiled.
        """
        self._check(x)
        with self._lock:
            self._fill(x)
            if self._graph is None:
                self._static.run()
            else:
                self._graph.launch()
        return self._result

    def update(self) -> None:
        """Take over the weights and statistics that the model has now.

        Raises
        ------
        ValueError
            If one has another shape or dtype than when the model was compiled; nothing is changed.
        """
        new = [one.now for one in self._constants]
        for one, array in zip(self._constants, new, strict=True):
            own = one.place
            if array is None or (array.shape, array.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"{one.key} of {one.layer!r} was {own.dtype} of shape {own.shape} and is not "
                    "any more; compile the model again"
                )
        with self._lock:
            for one, array in zip(self._constants, new, strict=True):
                one.place.array(self._library)[...] = array
            self._static.run_once()

    @property
    def graph(self) -> bool:
        """Whether a call is one CUDA graph."""
        return self._graph is not None

    def __repr__(self) -> str:
        unit = "operations" if self.backend == "reference" else "launches"
        how = f"one graph of {self.launches}" if self.graph else self.launches
        return f"Compiled({self.dtype} {self.shape}, {self.backend}: {how} {unit})"

    def _check(self, x: Any) -> None:
        check_like("x", x, self._input, "the model was compiled")
        if self.backend != "cuda":
            now = active_backend()
            if now != self.backend:
                raise ValueError(f"backend {now}; allowed: {self.backend}, as it was compiled")
        elif x.data.device_id != self._input.data.device_id:
            raise ValueError(
                f"x is on device {x.data.device_id}; allowed: {self._input.data.device_id}, for "
                "which the model was compiled"
            )

    def _fill(self, x: Any) -> None:
        if self.backend == "cuda" and x.flags.c_contiguous:
            self._input.data.copy_from_device_async(x.data, x.nbytes)
        else:
            self._input[...] = x


def compile(model: Layer, example: Any) -> Compiled:
    """Plan a model once, for inputs of one shape and dtype.

    What is called then does no validation, no planning and no allocation: everything lies in memory
    of its own, which arrays share that are not needed at a time. What depends on weights alone,
    such as filters in the form that an algorithm wants, is computed once. On a GPU a call is one
    CUDA graph (without Fourier transforms of the library, whose memory is not static); on the
    emulator and the CPU the same operations run one by one.

    Parameters
    ----------
    model : Layer
        In evaluation mode. Its layers compute by operations of pycnn, and decide nothing by values.
    example : array
        An input: its values do not matter, its library, device, shape and dtype do. The model runs
        it, with the memory that this takes without `compile`.

    Returns
    -------
    Compiled
        To be called as the model. The weights are copies: what happens to those of the model later
        shows after ``update()``.

    Raises
    ------
    TypeError
        If `example` or the result of the model is no array.
    ValueError
        If a layer is in training mode, or computes something that could not be repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from pycnn import nn
    >>> model = nn.Sequential(conv=nn.Conv2d(1, 2, 3), act=nn.ReLU()).eval()
    >>> x = np.ones((4, 1, 8, 8), np.float32)
    >>> compiled = nn.compile(model, x)
    >>> compiled
    Compiled(float32 (4, 1, 8, 8), reference: 2 operations)
    >>> bool((compiled(x) == model(x)).all())
    True
    """
    check_evaluating(model, "compile")
    if not hasattr(example, "dtype") or not hasattr(example, "shape"):
        raise TypeError(f"example is of type {type(example).__name__}; allowed: an array")
    if active_backend() == SHAPES:
        raise ValueError("compile inside tracing, where nothing is computed; allowed: outside")
    return Compiled(model, example)
