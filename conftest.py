"""What pytest does not look into: modules that need PyTorch, where it is not installed."""

import importlib.util

_NEED_TORCH = ["pycnn/torch", "tests/models/torch_networks.py"]
collect_ignore = [] if importlib.util.find_spec("torch") else _NEED_TORCH


def pytest_report_header() -> list[str]:
    left_out = ", ".join(collect_ignore)
    return [f"not collected, as PyTorch is not installed: {left_out}"] if left_out else []
