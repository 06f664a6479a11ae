"""The main loop: checked before timed, wrong ones never timed, nothing ends the run."""

import json

import numpy as np
import pytest
from bench_fakes import Fake, a_benchmark, right, wrong_in_one_place

from pycnn.bench.cases import MapCase
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.measure import Sample, Timing
from pycnn.bench.run import Budget, run
from pycnn.emulator import RaceError

BUDGET = Budget(seconds=0.01, emulated_flops=40)
CEILINGS = {("cpu", "float32"): Ceiling("cpu", "float32", gflops=1.0, gbytes_per_s=0.1)}


def _records(*runners):
    return [record for record, _ in run([a_benchmark(*runners)], BUDGET, CEILINGS)]


def test_a_right_contestant_is_timed():
    runner = Fake(right)
    (record,) = _records(runner)
    assert (record.status, record.verified, record.max_abs_error) == ("timed", True, 0.0)
    assert record.time_ms == record.time_ms_min == record.time_ms_max == pytest.approx(1.0)
    assert record.repeats == runner.the_clock.asked - 2
    # 210 operations and 2 * 4 * 210 bytes in a millisecond; 0.1 GB/s allow 16.8 microseconds
    assert record.gflops == pytest.approx(210e-6)
    assert record.gbytes_per_s == pytest.approx(1680e-6)
    assert (record.bound, record.ceiling_share) == ("memory", pytest.approx(0.0168))


def test_a_coarse_runner_has_its_own_tolerance_and_ceiling():
    def coarse(x):
        return (x + x) * np.float32(1 + 2**-11)

    peer, ours = Fake(coarse), Fake(coarse)
    peer.precision, peer.coarse = "tf32", lambda dtype: 2.0**-10
    ceilings = {**CEILINGS, ("cpu", "tf32"): Ceiling("cpu", "tf32", gflops=1.0, gbytes_per_s=0.2)}
    (record, _), (strict, _) = run([a_benchmark(peer, ours)], BUDGET, ceilings)
    assert (record.status, record.precision, strict.status) == ("timed", "tf32", "wrong")
    assert record.max_abs_error > strict.tolerance
    assert record.ceiling_share == pytest.approx(0.0084)  # half of what 0.1 GB/s allow


@pytest.mark.parametrize(("warm", "cold"), [(True, True), (False, True), (True, False)])
def test_a_record_says_whether_its_times_are_the_device_s_alone(warm, cold):
    class Clock:
        def sample(self, call, times, before=None):
            return Sample(1e-3 * times, 1e-3 * times, 2e-3 * times, cold if before else warm)

    runner = Fake(right)
    runner.the_clock, runner.flush = Clock(), lambda: lambda: None
    (record,) = _records(runner)
    assert record.queued == (warm and cold)
    assert record.host_ms == pytest.approx(2.0)


def _lacking(x):
    raise NotImplementedError("\"avg_pool3d_out_frame\" not implemented for 'BFloat16'")


def test_what_a_peer_lacks_is_no_failure_and_what_we_lack_is():
    peer, ours = Fake(_lacking, backend="torch"), Fake(_lacking)
    assert [r.status for r in _records(peer, ours)] == ["skipped", "failed"]


def test_a_peer_without_one_of_the_outputs_is_no_rival():
    peer = Fake(right, backend="torch")
    peer.numpy = lambda outputs: {"other": outputs["y"]}
    (record,) = _records(peer)
    assert (record.status, record.reason) == ("skipped", "torch gives no y")


def test_a_ceiling_that_is_not_known_gives_no_share():
    unknown = {("cpu", "float32"): Ceiling("cpu", "float32", None, 0.1, "no limit by a product")}
    ((record, _),) = run([a_benchmark(Fake(right))], BUDGET, unknown)
    assert (record.status, record.ceiling_share, record.bound) == ("timed", None, None)


def test_a_wrong_kernel_is_shown_as_wrong_and_never_timed():
    runner = Fake(wrong_in_one_place, "wrong")
    (record,) = _records(runner)
    assert (record.status, record.verified) == ("wrong", False)
    assert record.max_abs_error == pytest.approx(1e-3, rel=1e-2)
    assert record.max_abs_error > record.tolerance
    assert record.time_ms is None
    assert record.gflops is None
    assert runner.calls == 1
    assert runner.the_clock.asked == 0


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: (x + x)[:1],
        lambda x: (x + x).astype(np.float64),
        lambda x: np.where(x > 1, np.nan, x + x).astype(x.dtype),
    ],
    ids=["shape", "dtype", "nan"],
)
def test_wrong_shape_dtype_and_nan_are_wrong(compute):
    runner = Fake(compute)
    (record,) = _records(runner)
    assert record.status == "wrong"
    assert runner.the_clock.asked == 0


def _failing(error):
    def compute(x):
        raise error

    return compute


def test_an_error_is_recorded_and_the_others_still_run():
    records = _records(Fake(_failing(RuntimeError("no such launch\nmore"))), Fake(right))
    assert [r.status for r in records] == ["failed", "timed"]
    assert records[0].reason == "RuntimeError: no such launch"
    assert not records[0].verified


def test_a_finding_of_the_emulator_is_wrong_and_not_merely_failed():
    race = RaceError(
        "write after write", kernel="k", file="k.cu", line=7, block=(0, 0, 0), thread=(1, 0, 0)
    )
    (record,) = _records(Fake(_failing(race), backend="emulator", device=None))
    assert record.status == "wrong"
    assert record.reason == "RaceError: k.cu:7: write after write"


def test_too_little_memory_is_no_failure():
    (record,) = _records(Fake(_failing(MemoryError("8 GiB asked for"))))
    assert (record.status, record.reason) == ("skipped", "MemoryError: 8 GiB asked for")


def test_what_does_not_fit_shows_its_reason_and_is_not_run():
    runner = Fake(right, reason="workspace of 9 GiB is above the limit")
    (record,) = _records(runner)
    assert (record.status, record.reason) == ("skipped", "workspace of 9 GiB is above the limit")
    assert runner.calls == 0


def test_the_emulator_gets_a_smaller_layer_and_no_time():
    runner = Fake(right, backend="emulator", device=None)
    (record,) = _records(runner)
    assert (record.status, record.verified, record.time_ms) == ("checked", True, None)
    assert record.shape == "n2c3h5w7"
    assert record.ran_shape == "n1c2h4w4"
    assert runner.shapes == [(1, 2, 4, 4)]
    assert runner.the_clock.asked == 0


def test_a_layer_that_is_small_enough_is_emulated_whole():
    runner = Fake(right, backend="emulator", device=None)
    ((record, _),) = run([a_benchmark(runner, word=MapCase(1, 1, 2, 3))], BUDGET, CEILINGS)
    assert record.ran_shape is None
    assert runner.shapes == [(1, 1, 2, 3)]


def test_all_contestants_see_the_same_random_inputs():
    seen = []

    def remember(x):
        seen.append(x)
        return x + x

    _records(Fake(remember), Fake(remember))
    _records(Fake(remember))
    assert all(np.array_equal(seen[0], x) for x in seen)
    assert np.unique(seen[0]).size == seen[0].size  # random, not constant


def test_records_can_be_taken_one_at_a_time():
    """An interrupt in the middle of a run leaves what was yielded before it."""
    benchmarks = [a_benchmark(Fake(right)), a_benchmark(Fake(_failing(KeyboardInterrupt())))]
    kept = []

    def consume():
        for record, _ in run(benchmarks, BUDGET, CEILINGS):
            kept.append(record.status)

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert kept == ["timed"]


def test_a_record_is_json_with_the_fields_of_the_schema():
    required = (
        "suite", "layer", "op", "direction", "shape", "dtype", "layout", "backend", "algorithm",
        "time_ms", "time_ms_min", "time_ms_max", "repeats", "gflops", "gbytes_per_s",
        "max_abs_error", "tolerance", "verified", "workspace_bytes",
    )  # fmt: skip
    for runner in (Fake(right), Fake(wrong_in_one_place), Fake(lambda x: x[:1])):
        ((record, case),) = run([a_benchmark(runner)], BUDGET, CEILINGS)
        written = json.loads(json.dumps(record.as_json(case), allow_nan=False))
        assert all(name in written for name in required)
        assert written["extents"] == {"n": 2, "c": 3, "h": 5, "w": 7}
        assert type(record).from_json(written) == record


def test_a_disturbed_time_is_taken_once_more_and_the_steadier_one_counts(monkeypatch):
    disturbed, steady = Timing((1.0, 1.0, 3.0, 5.0, 9.0)), Timing((2.0, 2.0, 2.0))
    for timings, median, marked in (
        ([disturbed, steady], 2.0, False),
        ([disturbed, disturbed], 3.0, True),
        ([steady], 2.0, False),
    ):
        left = list(timings)
        monkeypatch.setattr("pycnn.bench.run.measure", lambda *args, left=left: left.pop(0))
        (record,) = _records(Fake(right))
        assert (record.time_ms, record.disturbed, left) == (median, marked, [])
