"""The CPU path: what NumPy arrays get by default, from NumPy, its BLAS and a few compiled loops.

Same functions as the oracle, but the dtype is kept, and `out=` gives the result a place.
"""
