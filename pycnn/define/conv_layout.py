"""Where the axes of images lie in the arrays of a convolution."""

from dataclasses import dataclass
from typing import Any

from pycnn.define.validate import choice
from pycnn.define.views import View
from pycnn.plan.conv_problem import Ints

#: Channels before or after the spatial axes, however many these are.
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class Layout:
    """How (N, C, spatial axes) are arranged in an array.

    Attributes
    ----------
    spatial : int
        Number of spatial axes.
    batched : bool
        Whether there is an axis of images.
    channels_last : bool
    """

    spatial: int
    batched: bool
    channels_last: bool

    @classmethod
    def of(cls, layout: Any, spatial: int, rank: int) -> "Layout":
        """By the argument `layout` and the rank of x."""
        last = choice("layout", layout, LAYOUTS) == "NHWC"
        return cls(spatial, rank == spatial + 2, last)

    def extents(self, shape: Ints) -> Ints:
        """Shape of an array as (N, C, spatial axes)."""
        whole = shape if self.batched else (1, *shape)
        return (whole[0], whole[-1], *whole[1:-1]) if self.channels_last else whole

    def arranged(self, extents: Ints) -> Ints:
        """The shape of an array of (N, C, spatial axes)."""
        n, c, *spatial = extents
        whole = (n, *spatial, c) if self.channels_last else extents
        return whole if self.batched else whole[1:]

    def view(self, view: View) -> View:
        """An array as plans take it: axes (N, C, H, W) or (N, C, D, H, W), strides as they are."""
        strides = view.strides if self.batched else (0, *view.strides)
        if self.channels_last:
            strides = (strides[0], strides[-1], *strides[1:-1])
        return planar(View(self.extents(view.shape), strides, view.dtype))

    def contiguous(self, extents: Ints, dtype: str) -> View:
        """The same of a contiguous array of (N, C, spatial axes) that is yet to be computed."""
        return planar(View.contiguous(extents, dtype, self.channels_last))

    def channels_first(self, array: Any) -> Any:
        """A view (N, C, spatial axes) of a NumPy array."""
        whole = array if self.batched else array[None]
        if not self.channels_last:
            return whole
        return whole.transpose(0, whole.ndim - 1, *range(1, whole.ndim - 1))

    def images(self, array: Any) -> Any:
        """The same, (N, C, H, W) or (N, C, D, H, W)."""
        return planar_array(self.channels_first(array))

    def from_channels_first(self, array: Any) -> Any:
        """The reverse of `channels_first`; that of `images` but for an axis of extent 1."""
        if self.channels_last:
            array = array.transpose(0, *range(2, array.ndim), 1)
        return array if self.batched else array[0]


def planar(view: View) -> View:
    """(N, C, W) as (N, C, 1, W); more axes as they are."""
    if len(view.shape) > 3:
        return view
    (n, c, w), (image, channel, column) = view.shape, view.strides
    return View((n, c, 1, w), (image, channel, 0, column), view.dtype)


def planar_array(array: Any) -> Any:
    """The same of an array."""
    return array[:, :, None] if array.ndim == 3 else array
