"""Have batch normalisations take in the sum and the ReLU behind them, for training."""

from typing import Any

from pycnn.nn.activation import ReLU
from pycnn.nn.combine import Sequential, Sum
from pycnn.nn.fuse import Fused, computes_as, last, standing_twice
from pycnn.nn.layer import Layer
from pycnn.nn.module import join
from pycnn.nn.normalisation import _BatchNorm


def fuse_norms(model: Layer) -> list[Fused]:
    """Have batch normalisations take in what follows them, in place, and say what was taken.

    In every `Sequential`: the ReLU behind a batch normalisation; and behind a `Sum`, of which a
    branch ends with one, sum and ReLU. In training what was taken costs no pass over the memory
    then, and one less going back (`pycnn.batch_norm_relu_train`); in evaluation nothing is faster,
    and `fuse` may follow. Parameters keep their names. What stands at several places, or has a
    `compute` of its own, is left as it is.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    list of Fused

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", 2015; K. He et al., "Deep residual learning for
    image recognition", 2016, figure 2.

    Examples
    --------
    >>> from pycnn import nn
    >>> block = nn.Sequential(
    ...     sum=nn.Sum(
    ...         branch=nn.Sequential(conv=nn.Conv2d(3, 3, 1), norm=nn.BatchNorm2d(3)),
    ...         short=nn.Identity(),
    ...     ),
    ...     act=nn.ReLU(),
    ... )
    >>> print(*nn.fuse_norms(block))
    sum.branch.norm + sum + act
    >>> block.at("sum.branch.norm")
    BatchNorm2d(3, activation='relu')
    """
    layers = list(model.named_layers())
    shared = standing_twice(layers)
    took = []
    for path, sequence in layers:
        if not computes_as(sequence, Sequential) or id(sequence) in shared:
            continue
        children = sequence.children
        for name, after in zip(list(children), list(children)[1:], strict=False):
            child = children.get(name)  # none, where it was a ReLU that is taken
            if type(children[after]) is not ReLU or child is None or id(child) in shared:
                continue
            where, norm, names = _taker(join(path, name), child, shared)
            if norm is not None:
                norm.activation = "relu"
                del children[after]
                took.append(Fused((where, *names, join(path, after))))
    return took


def _taker(path: str, layer: Any, shared: set[int]) -> tuple[str, Any, list[str]]:
    """The normalisation that takes the ReLU behind a layer, its path, and the sum it takes too."""
    if _is_free(layer, shared):
        return path, layer, []
    sums = computes_as(layer, Sum) and len(layer) > 1 and layer.adds is None and layer.scale == 1.0
    for name in layer.children if sums else ():
        where, norm = last(join(path, name), layer.children[name], shared)
        if _is_free(norm, shared):
            layer.adds = name
            return where, norm, [path]
    return path, None, []


def _is_free(norm: Any, shared: set[int]) -> bool:
    return computes_as(norm, _BatchNorm) and norm.activation is None and id(norm) not in shared
