"""What tests of plans share."""

import pytest

from pycnn.plan import estimate


@pytest.fixture
def by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel's cost is known, so that rules decide what auto takes."""
    monkeypatch.setattr(estimate, "cost_of", lambda kernel, arch: None)
