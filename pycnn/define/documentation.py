"""What a rule gives of the documentation of public functions: the sections that many share."""

import inspect
from collections.abc import Callable
from typing import Any

#: What every operation raises.
RAISES = """\
Raises
------
TypeError
    If an operand is no array of NumPy or CuPy, or of a dtype that is not allowed, or another
    argument has a wrong type.
ValueError
    If shapes do not fit, a setting is out of range, an array holds what it may not, or `out`
    cannot take the result as it is.

"""

#: Sections that may come after it.
LAST = ("See Also", "Notes", "References", "Examples")

#: Words for two spatial axes, and those for one and for three.
AXES = {
    "2d`": ("1d`", "3d`"),
    "H, W": ("W", "D, H, W"),
    "P, Q": ("Q", "Z, P, Q"),
    "R, S": ("S", "T, R, S"),
    "vertical, horizontal": ("horizontal,", "depth, vertical, horizontal"),
    "(top, bottom), (left, right)": (
        "(left, right),",
        "(front, back), (top, bottom), (left, right)",
    ),
    "h * W + w": ("w", "(d * H + h) * W + w"),
}


def documented(function: Callable[..., Any], like: Callable[..., Any] | None) -> str:
    """The documentation of a function, ahead of its last sections with those that it leaves out.

    These are what is raised; and where the function is `like` one of two spatial axes, along one or
    three, what goes in and comes out too.

    Examples
    --------
    >>> def f2d(x): '''Sum.\\n\\nParameters\\n---\\nx : (H, W)\\n\\nExamples\\n---\\n'''
    >>> def f3d(x): '''Sum along three axes.\\n\\nExamples\\n---\\n'''
    >>> print(documented(f3d, f2d))
    Sum along three axes.
    <BLANKLINE>
    Parameters
    ---
    x : (D, H, W)
    <BLANKLINE>
    Examples
    ---
    """
    text, sections = inspect.getdoc(function) or "", RAISES
    at = _first(text, LAST)
    if like is not None:
        whole = inspect.getdoc(like) or ""
        sections = whole[_first(whole, ("Parameters",)) : _first(whole, LAST)]
        for two, others in AXES.items():
            sections = sections.replace(two, others["3d" in function.__name__])
    elif _first(text, ("Raises",)) < at:
        return text
    return text[:at] + sections + text[at:]


def _first(text: str, titles: tuple[str, ...]) -> int:
    """Where the first of these sections begins, or the end."""
    begins = [text.find(f"{title}\n---") for title in titles]
    return min([at for at in begins if at >= 0], default=len(text))
