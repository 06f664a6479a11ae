"""Measuring: the layers of real networks, checked against the oracle and then timed.

``pycnn bench`` and ``pycnn compare`` are its command line; :mod:`pycnn.bench.suites` the layers,
:mod:`pycnn.bench.run` the main loop, :mod:`pycnn.bench.record` the schema of its files.
"""
