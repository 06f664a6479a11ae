"""Modules that other packages had, computed by pycnn."""
