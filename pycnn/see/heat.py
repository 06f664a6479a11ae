"""Where a classifier looks: occlusion, and the gradient of a score (Grad-CAM)."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

import pycnn
from pycnn.nn.activation import LogSoftmax, Softmax
from pycnn.nn.classifier import in_line, probabilities
from pycnn.nn.errors import LayerError
from pycnn.nn.layer import Layer
from pycnn.nn.observe import evaluating

#: Images that are occluded and classified at a time.
AT_ONCE = 16


def positions(extent: int, patch: int, step: int) -> list[int]:
    """Where patches begin along an axis; the last one ends at the edge.

    Examples
    --------
    >>> positions(10, patch=4, step=4)
    [0, 4, 6]
    """
    return sorted({*range(0, extent - patch + 1, step), extent - patch})


def occlusion(
    model: Layer,
    x: np.ndarray,
    target: int,
    patch: int | None = None,
    step: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """How much the probability of a class falls where a grey patch covers the image.

    Parameters
    ----------
    model : Layer
    x : float array (C, H, W)
    target : int
        The class.
    patch, step : int, optional
        Side of the patch, a quarter of the image's shorter side by default, and how far it moves,
        by default half of that.
    advance : function, optional
        Called after each of the `occlusion_batches`.

    Returns
    -------
    float64 array (H, W)
        For every pixel the mean over the patches that cover it; negative where the class becomes
        more probable.

    Raises
    ------
    ValueError
        If patch or step does not fit the image, or the model gives no scores of classes.

    References
    ----------
    M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014, section 4.2.
    """
    patch, step = _patch(x.shape[1:], patch, step)
    before = float(_probability(model, x[None], target)[0])
    grey = x.mean(axis=(1, 2), keepdims=True)
    corners = _corners(x.shape[1:], patch, step)
    total, covered = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    for first in range(0, len(corners), AT_ONCE):
        some = corners[first : first + AT_ONCE]
        hidden = np.repeat(x[None], len(some), axis=0)
        for image, (top, left) in zip(hidden, some, strict=True):
            image[:, top : top + patch, left : left + patch] = grey
        for after, (top, left) in zip(_probability(model, hidden, target), some, strict=True):
            window = np.s_[top : top + patch, left : left + patch]
            total[window] += before - float(after)
            covered[window] += 1
        advance()
    return total / np.maximum(covered, 1)


def occlusion_batches(
    extents: tuple[int, ...], patch: int | None = None, step: int | None = None
) -> int:
    """Forward passes of `occlusion` with patches in them."""
    return -(-len(_corners(extents, *_patch(extents, patch, step))) // AT_ONCE)


def _patch(extents: tuple[int, ...], patch: int | None, step: int | None) -> tuple[int, int]:
    side = min(extents)
    patch = max(1, side // 4) if patch is None else patch
    step = max(1, patch // 2) if step is None else step
    if not 1 <= patch <= side:
        raise ValueError(f"patch={patch}: allowed are 1 to {side}, the image's shorter side")
    if not 1 <= step <= patch:
        raise ValueError(f"step={step}: allowed are 1 to {patch}, the side of the patch")
    return patch, step


def _corners(extents: tuple[int, ...], patch: int, step: int) -> list[tuple[int, int]]:
    rows, columns = (positions(extent, patch, step) for extent in extents)
    return [(top, left) for top in rows for left in columns]


def _probability(model: Layer, x: np.ndarray, target: int) -> np.ndarray:
    rows = probabilities(model, x)
    if not 0 <= target < rows.shape[1]:
        raise ValueError(f"target={target}: allowed are 0 to {rows.shape[1] - 1}")
    column: np.ndarray = rows[:, target]
    return column


def grad_cam(model: Layer, x: np.ndarray, target: int) -> np.ndarray:
    """Which places of the last feature maps raise the score of a class.

    The maps are summed with weights, the mean gradient of the score for each map, and what is
    negative is dropped. The maps are those of the last layer in line (see `Sequential`) that still
    has places; a softmax at the end is left out.

    Parameters
    ----------
    model : Sequential
    x : float array (C, H, W)
    target : int
        The class.

    Returns
    -------
    float array (H, W)
        Enlarged to the image, from 0 to 1; all 0 where nothing raises the score.

    Raises
    ------
    ValueError
        If there are no such maps, no such class, or the model gives no scores of classes.

    References
    ----------
    R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", 2017, section 3.
    """
    layers = in_line(model)
    if isinstance(layers[-1][1], Softmax | LogSoftmax):
        layers.pop()
    with _unchanged(model):
        maps, rest = _last_maps(layers, x)
        scores = maps
        for path, layer in rest:
            scores = _at(path, layer, layer.forward, scores)
        if scores.ndim != 2 or not 0 <= target < scores.shape[1]:
            raise ValueError(
                f"target={target} of scores of shape {scores.shape[1:]}; allowed: a class"
            )
        slope = np.zeros_like(scores)
        slope[:, target] = 1
        for path, layer in reversed(rest):
            slope = _at(path, layer, layer.backward, slope)
    weights = slope[0].mean(axis=(1, 2))
    summed = np.maximum(np.tensordot(weights, maps[0], 1), 0)
    large = pycnn.interpolate(summed[None, None], size=x.shape[1:], mode="bilinear")[0, 0]
    most = large.max()
    heat: np.ndarray = large / most if most > 0 else large
    return heat


def _last_maps(
    layers: list[tuple[str, Layer]], x: np.ndarray
) -> tuple[np.ndarray, list[tuple[str, Layer]]]:
    """The last result with more than one place, and the layers after it."""
    maps, after = None, 0
    y = x[None]
    for number, (path, layer) in enumerate(layers, start=1):
        y = _at(path, layer, layer, y)
        if y.ndim == 4 and max(y.shape[2:]) > 1:
            maps, after = y, number
    if maps is None or after == len(layers):
        raise ValueError("Grad-CAM needs feature maps, and layers that make scores of them")
    return maps, layers[after:]


def _at(
    path: str, layer: Layer, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray
) -> np.ndarray:
    try:
        return function(x)
    except LayerError as error:
        raise error.inside(path) from error.__cause__


@contextlib.contextmanager
def _unchanged(model: Layer) -> Iterator[None]:
    """Evaluation mode inside; afterwards modes and gradients are as before."""
    kept = [(layer, layer.grads) for _, layer in model.named_layers()]
    for layer, _ in kept:
        layer.grads = {}
    try:
        with evaluating(model):
            yield
    finally:
        for layer, grads in kept:
            layer.grads = grads
