"""One definition of every operation; see `pycnn.define.operation` and `pycnn.define.registry`."""
