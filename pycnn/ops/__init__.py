"""The functional API: every operation validates its arguments, makes a plan and launches it.

A function's module is loaded when the function is first asked for; ``__init__.pyi`` says which.
"""

from pycnn._lazy import attach

__getattr__, __all__ = attach(__name__, __file__)


def __dir__() -> list[str]:
    return __all__
