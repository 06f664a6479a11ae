"""A differential fuzzer of every operation: random calls, held to the oracle and to PyTorch.

``make fuzz SECONDS=60``, or ``python -m pycnn.testing.fuzz``, which see.

Operations, their settings and defaults are read from the definitions. A call begins as a case of
`pycnn.testing`, whose extents and settings are then changed at random; its arrays get strides,
dtypes and special values. What validation refuses must be refused alike on every backend, and by
ValueError or TypeError; all else must give the right shapes, dtypes and numbers, without a warning
and without an error of NumPy's, which all are turned on. Every call is a function of one number,
which is printed with a failure and runs it again.
"""
