"""NumPy implementations of every operation, in two kinds kept apart.

`oracle` is plain float64 arithmetic, obviously right and never fast; everything is checked
against it. `cpu` is what NumPy arrays get by default: as fast as NumPy and its BLAS allow.
"""
