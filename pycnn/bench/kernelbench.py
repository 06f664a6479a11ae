"""Suite ``kernelbench``: tasks 19-32, 41-50 and 54-87 of KernelBench's level 1, as published.

Activations, softmax, pooling, reductions and convolutions (Ouyang et al., arXiv 2502.10517;
ScalingIntelligence/KernelBench at 423217d). Every layer bears the number of its task. All methods
compute in the dtype of the run. Left out: the bias of task 50, the only one that has one, as layers
of the bench have none.
"""

from dataclasses import dataclass, replace
from typing import Any

from pycnn.bench import grammar
from pycnn.bench.cases import Case, ConvCase, Shape
from pycnn.bench.suites import Layer
from pycnn.testing import case as defined

NAME = "kernelbench"


@dataclass(frozen=True)
class Task(Case):
    """A task as a case of a definition, by its name.

    Attributes
    ----------
    name, op : str
    x : tuple of int
    weight : tuple of int
        Empty where there is none.
    settings : tuple of (str, object)
    """

    name: str
    op: str
    x: Shape
    weight: Shape = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.x))}"

    @property
    def batch(self) -> int:
        return self.x[0]

    def with_batch(self, batch: int) -> "Task":
        return replace(self, x=(batch, *self.x[1:]))

    def problem(self) -> defined.Case:
        """For the definition of the operation."""
        shapes = {"x": self.x} | ({"weight": self.weight} if self.weight else {})
        return defined.Case(str(self), shapes, dict(self.settings))

    def smaller(self) -> "Task | None":
        """Half the batch, or of one image half of each axis above 16 that is no channel's."""
        if self.batch > 1:
            return self.with_batch(self.batch // 2)
        first = 1 if len(self.x) < 3 or (not self.weight and "pool" not in self.op) else 2
        halved = tuple(-(-e // 2) if e > 16 else e for e in self.x[first:])
        return replace(self, x=(*self.x[:first], *halved)) if halved != self.x[first:] else None


def _rows(number: int, op: str) -> Task:
    return Task(f"{number} {op}", op, (4096, 393216))


def _task(number: int, op: str, x: Shape, weight: Shape = (), **settings: Any) -> Task:
    return Task(f"{number} {op}", op, x, weight, tuple(settings.items()))


TASKS: tuple[Task, ...] = (
    *(
        _rows(number, op)
        for number, op in enumerate(
            ("relu", "leaky_relu", "sigmoid", "tanh", "softmax", "log_softmax", "silu", "gelu",
             "selu", "hardsigmoid", "softplus", "softsign", "elu", "hardtanh"),
            start=19,
        )
    ),
    _task(41, "max_pool1d", (64, 192, 65536), kernel_size=8, stride=1, padding=4, dilation=3),
    _task(42, "max_pool2d", (32, 64, 512, 512), kernel_size=4, stride=1, padding=1),
    _task(43, "max_pool3d", (16, 32, 128, 128, 128), kernel_size=3, stride=2, padding=1,
          dilation=3),
    _task(44, "avg_pool1d", (64, 128, 65536), kernel_size=8, stride=1, padding=4),
    _task(45, "avg_pool2d", (16, 64, 2048, 2048), kernel_size=11),
    _task(46, "avg_pool3d", (16, 32, 128, 128, 256), kernel_size=3, stride=2, padding=1),
    _task(47, "sum", (128, 4096, 4095), axis=1, keepdims=True),
    _task(48, "mean", (128, 4096, 4095), axis=1),
    _task(49, "amax", (128, 4096, 4095), axis=1),
    _task(54, "conv3d", (16, 3, 64, 64, 64), (64, 3, 3, 3, 3)),
    _task(57, "conv_transpose2d", (8, 64, 1024, 1024), (64, 64, 3, 3)),
    _task(58, "conv_transpose3d", (16, 32, 16, 32, 64), (32, 16, 3, 5, 7)),
    _task(59, "conv3d", (16, 3, 256, 256, 10), (64, 3, 3, 3, 1)),
    _task(60, "conv3d", (16, 3, 64, 64, 64), (64, 3, 3, 5, 7)),
    _task(61, "conv_transpose3d", (8, 48, 64, 64, 64), (48, 48, 3, 3, 3)),
    _task(64, "conv_transpose1d", (64, 128, 65536), (128, 128, 3)),
    _task(65, "conv_transpose2d", (8, 64, 512, 512), (64, 64, 3, 7)),
    _task(66, "conv3d", (8, 3, 16, 128, 128), (64, 3, 3, 5, 7)),
    _task(67, "conv1d", (32, 64, 131072), (128, 64, 3)),
    _task(68, "conv_transpose3d", (16, 32, 64, 64, 64), (32, 64, 3, 5, 5)),
    _task(69, "conv_transpose2d", (64, 64, 128, 256), (64, 128, 3, 5)),
    _task(70, "conv_transpose3d", (8, 48, 96, 96, 96), (48, 24, 3, 3, 3)),
    _task(71, "conv_transpose2d", (8, 32, 512, 1024), (32, 32, 3, 3)),
    _task(72, "conv_transpose3d", (8, 32, 12, 24, 48), (32, 8, 3, 5, 7), stride=2,
          padding=(1, 2, 3), output_padding=1, groups=4),
    _task(73, "conv_transpose3d", (4, 32, 32, 64, 128), (32, 8, 3, 3, 3), stride=2, padding=1,
          groups=4),
    _task(74, "conv_transpose1d", (32, 32, 131072), (32, 64, 5), dilation=3),
    _task(75, "conv_transpose2d", (16, 32, 128, 256), (32, 16, 3, 5), stride=(2, 3),
          padding=(1, 2), dilation=(2, 1), groups=4),
    _task(76, "conv1d", (64, 64, 524280), (128, 64, 3), stride=3, dilation=4),
    _task(77, "conv_transpose3d", (16, 32, 16, 32, 32), (32, 64, 3, 3, 3), stride=2, padding=1,
          dilation=2),
    _task(78, "conv_transpose2d", (8, 32, 512, 1024), (32, 32, 3, 7), padding=(1, 3)),
    _task(79, "conv_transpose1d", (16, 32, 131072), (32, 64, 3), stride=2, padding=1, dilation=2),
    _task(81, "conv_transpose2d", (16, 32, 64, 128), (32, 64, 3, 3), stride=5, padding=1,
          dilation=2),
)  # fmt: skip

#: Those of conv2d, as layers of networks are written. Task 86 is two convolutions.
CONV2D = {
    "50": "n256c3h224w224k96r11s11p2u4",
    "55": "n8c64h512w1024k128r3s3",
    "56": "n8c64h512w256k128r5s7",
    "62": "n8c32h512w512k64r5s9",
    "63": "n16c16h1024w1024k128r3s3",
    "80": "n8c32h512w512k64r5s9p2x4d2x3",
    "82": "n16c64h512w512k64r3s3g64",
    "83": "n64c8h512w512k8r3s1g8",
    "84": "n64c128h256w512k128r3s3g128",
    "85": "n32c128h128w256k128r3s7g128",
    "86 depthwise": "n16c64h512w512k64r3s3p1g64",
    "86 pointwise": "n16c64h512w512k128r1s1",
    "87": "n16c64h1024w1024k128r1s1",
}


def layers(op: str, batch: int | None = None) -> list[Layer]:
    """The tasks of an operation.

    Examples
    --------
    >>> [str(layer.case) for layer in layers("relu")]
    ['19 relu 4096x393216']
    """
    cases: dict[str, Case] = {task.name: task for task in TASKS if task.op == op}
    if op == "conv2d":
        cases = {name: grammar.parse(ConvCase, word) for name, word in CONV2D.items()}
    return [Layer(n, c.with_batch(batch) if batch else c) for n, c in cases.items()]


def ops() -> list[str]:
    """Operations that have a task."""
    return list(dict.fromkeys(["conv2d", *(task.op for task in TASKS)]))
