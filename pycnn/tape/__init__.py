"""Gradients of what was computed, by a tape that operations record themselves on.

Arrays that a gradient goes through are wrapped while a tape records, in a `Variable`. A plain array
would do for the operations of pycnn alone: what NumPy makes of it (``y + 1``, ``y[0]``) would be
lost to the tape, and its gradient wrong, with no word said. A `Variable` has the arithmetic that
the tape knows, and refuses the rest.
"""

from pycnn.tape.custom import custom_gradient
from pycnn.tape.tape import Tape, recording
from pycnn.tape.variable import Variable, plain

grad = Tape  # as `pycnn` calls it

__all__ = ["Tape", "Variable", "custom_gradient", "grad", "plain", "recording"]
