"""What only the scripts that make the data import needs Triton or Numba."""

collect_ignore_glob = ["make_*.py", "*_kernels.py"]
