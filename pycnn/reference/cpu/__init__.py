"""The CPU path: what NumPy arrays get by default, as fast as NumPy and its BLAS allow.

Same functions as the oracle, but the dtype is kept, and `out=` gives the result a place. No
thread of our own: the BLAS uses the cores, and its waiting threads would only be in the way.
"""
