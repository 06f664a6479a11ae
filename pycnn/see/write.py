"""Pictures into files: whole or not at all, and the same bytes for the same picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycnn.runtime.extras import import_extra
from pycnn.runtime.files import replacing

#: Of every picture; text stays text in SVG, and nothing says when it was made.
STYLE = {
    "svg.hashsalt": "pycnn",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
}
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "pycnn"},
    "pdf": {"CreationDate": None, "Creator": "pycnn", "Producer": None},
    "png": {"Software": None},
}
#: Photos are JPEG, colours in full resolution: lines on them stay sharp.
PHOTO = {"quality": 80, "subsampling": 0}
DPI = 100


def new_figure(size: tuple[float, float], **settings: Any) -> Any:
    """An empty matplotlib figure of `size` in inches, on white.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    module = import_extra("matplotlib.figure", "viz", "a picture")
    return module.Figure(figsize=size, facecolor="white", **settings)


def figure_bytes(figure: Any, kind: str = "png") -> bytes:
    """The file that a figure makes, of kind "svg", "png", "pdf" or "jpg"."""
    matplotlib = import_extra("matplotlib", "viz", "a picture")
    buffer = io.BytesIO()
    details = {"pil_kwargs": PHOTO} if kind == "jpg" else {"metadata": METADATA[kind]}
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=DPI, **details)
    return buffer.getvalue()


def suffix_of(path: Path | str, allowed: Sequence[str]) -> str:
    """The format that a file name ends with.

    Raises
    ------
    ValueError
        If it is none of `allowed`.
    """
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in allowed:
        raise ValueError(f"file {path}: allowed are names that end with .{', .'.join(allowed)}")
    return suffix


def check_folder(path: Path | str) -> None:
    """Refuse a file whose folder does not exist, before there is anything to write.

    Raises
    ------
    FileNotFoundError
        Names the folder.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist, for {path}")


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write a file beside its place, then put it there; returns the path."""
    with replacing(path) as new:
        new.write_bytes(data)
    return Path(path)
