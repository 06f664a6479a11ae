"""Regions of interest, and boxes of which the best are kept."""

import math
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import host, integers, scalar
from pycnn.onnx.operators.registry import operator


def _roi_align(
    x: Any,
    rois: Any,
    batch_indices: Any,
    shift: float,
    mode: str,
    extents: tuple[int, int],
    sampling_ratio: int,
    spatial_scale: float,
) -> Any:
    if mode not in ("avg", "max"):
        raise OnnxError(f"mode {mode!r}; allowed: 'avg', 'max'")
    (p, q), (h, w) = extents, x.shape[2:]
    check_size([len(rois), x.shape[1], p, q], x.itemsize)
    y = np.zeros((len(rois), x.shape[1], p, q), x.dtype, like=x)
    for i, (roi, image) in enumerate(zip(rois.tolist(), integers(batch_indices), strict=True)):
        left, top, right, bottom = (v * spatial_scale - shift for v in roi)
        height, width = bottom - top, right - left
        if not shift:  # regions of at least one pixel
            height, width = max(height, 1.0), max(width, 1.0)
        rows = _points(top, height, p, sampling_ratio)
        columns = _points(left, width, q, sampling_ratio)
        check_size([x.shape[1], rows.size, columns.size, 4], 8)
        r0, r1, dr, in_row = _corners(rows.reshape(-1), h)
        c0, c1, dc, in_column = _corners(columns.reshape(-1), w)
        plane = x[image].astype(np.float64)
        inside = in_row[:, None] & in_column
        corners = [
            plane[:, a[:, None], b] * (u[:, None] * v * inside)
            for a, u in ((r0, 1 - dr), (r1, dr))
            for b, v in ((c0, 1 - dc), (c1, dc))
        ]
        # A maximum is one of the weighted corners: so ONNX has it.
        samples = np.maximum.reduce(corners) if mode == "max" else sum(corners)
        cells = samples.reshape(x.shape[1], p, rows.shape[1], q, columns.shape[1])
        y[i] = cells.max((2, 4)) if mode == "max" else cells.mean((2, 4))
    return y


def _points(first: float, length: float, cells: int, ratio: int) -> np.ndarray:
    """(cells, points): in the middle of equal parts of each cell."""
    size = length / cells
    count = ratio if ratio > 0 else max(math.ceil(size), 1)
    check_size([cells, count], 8)
    parts = (np.arange(count) + 0.5) / count
    return first + (np.arange(cells)[:, None] + parts) * size


def _corners(at: np.ndarray, extent: int) -> Any:
    """Indices below and above, how far between, and whether there is something at all."""
    inside = (at >= -1) & (at <= extent)
    at = np.clip(at, 0, extent - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, extent - 1), at - low, inside


@operator("RoiAlign", since=16)
def roi_align(
    x: Any,
    rois: Any,
    batch_indices: Any,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    shift = {"half_pixel": 0.5, "output_half_pixel": 0.0}.get(coordinate_transformation_mode)
    if shift is None:
        raise OnnxError(f"coordinate_transformation_mode {coordinate_transformation_mode!r}")
    extents = output_height, output_width
    return _roi_align(x, rois, batch_indices, shift, mode, extents, sampling_ratio, spatial_scale)


@operator("RoiAlign", since=10)
def roi_align_10(
    x: Any,
    rois: Any,
    batch_indices: Any,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    extents = output_height, output_width
    return _roi_align(x, rois, batch_indices, 0.0, mode, extents, sampling_ratio, spatial_scale)


@operator("NonMaxSuppression")
def non_max_suppression(
    boxes: Any,
    scores: Any,
    most: Any = None,
    iou_threshold: Any = None,
    score_threshold: Any = None,
    *,
    center_point_box: int = 0,
) -> Any:
    """(image, class, box) of the best boxes, none of which covers too much of a better one."""
    count = 0 if most is None else scalar(most)
    overlap = 0.0 if iou_threshold is None else scalar(iou_threshold)
    least = -math.inf if score_threshold is None else scalar(score_threshold)
    corners = _corners_of(host(boxes).astype(np.float64), center_point_box)
    kept = [
        (image, kind, box)
        for image, of_image in enumerate(host(scores))
        for kind, of_class in enumerate(of_image)
        for box in _best(corners[image], of_class, count, overlap, least)
    ]
    return np.array(kept, np.int64).reshape(-1, 3)


def _corners_of(boxes: np.ndarray, centred: int) -> np.ndarray:
    """(low, low, high, high) of boxes, whichever diagonal they are given by."""
    if centred:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        return np.concatenate([middle - half, middle + half], -1)
    a, b = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], -1)


def _best(
    boxes: np.ndarray, scores: np.ndarray, count: int, overlap: float, least: float
) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > least]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    kept: list[int] = []
    while order.size and len(kept) < count:
        first, order = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = np.maximum(high - low, 0).prod(-1)
        union = areas[first] + areas[order] - shared
        order = order[shared <= overlap * union]
    return kept
