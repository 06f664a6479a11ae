"""How long a kernel would take on a GPU that is not here, and what bounds it.

Everything this package says is predicted, and marked so. ``docs/model.md`` has the method, the
sources, and how near it comes to published measurements.
"""
