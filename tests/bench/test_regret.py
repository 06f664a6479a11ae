"""What `auto` loses: which algorithms are predicted beside its own, and the sum over a network."""

from types import SimpleNamespace

import pytest

from benchmarks import regret
from pycnn.predict import plans

LAYER = regret.Problem("h200", "float32", "n32c64h56w56k64r3s3p1")


@pytest.mark.parametrize(("auto_us", "others"), [(1e9, True), (1e-3, False)])
def test_what_is_thought_to_take_much_longer_is_not_predicted(monkeypatch, auto_us, others):
    asked = []

    def of_call(call, gpu, runs):
        asked.append(runs)
        return SimpleNamespace(skipped=[], time_us=auto_us)

    monkeypatch.setattr(plans, "of_call", of_call)
    runs = {}
    row = regret.solve(LAYER, runs=runs)
    assert row["auto"] in row["times"]
    assert (len(row["times"]) > 1) is others
    assert all(given is runs for given in asked)


def test_the_loss_of_a_network_counts_each_layer_as_often_as_it_occurs():
    cases = regret.layers("vgg16", 1)
    assert max(cases.values()) > 1
    rows = [
        {"gpu": "h200", "dtype": "float32", "case": case, "auto": "a",
         "times": {"a": 2.0, "b": 1.0 if count > 1 else 3.0}}
        for case, count in cases.items()
    ]  # fmt: skip
    (found,) = regret.regrets(rows)
    total, repeated = sum(cases.values()), sum(n for n in cases.values() if n > 1)
    assert found["auto_us"] == 2 * total
    assert found["best_us"] == 2 * total - repeated
    assert not regret.regrets(rows[1:])
