"""Clocks of a GPU, from a tool that prints what a script tells it to."""

import os
import stat
import time

import pytest

from pycnn.bench import clocks, environment

#: Reasons, SM clock, memory clock, temperature, power.
LINES = [
    "0x0000000000000001, 345, 1593, 30, 70.00",
    "0x0000000000000000, 1980, 2619, 40, 400.50",
    "0x0000000000000004, 1755, 2619, 60, 700.00",
    "0x0000000000000024, 1700, 2619, 80, 699.50",
    "0x0000000000000000, 1975, 2619, 50, [N/A]",
]


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts an `nvidia-smi` of a few lines of shell first on the path."""

    def make(body):
        path = tmp_path / "nvidia-smi"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "asked"

    return make


def _sampled(bus="0000:19:00.0", samples=5):
    with clocks.sampling(bus) as sampler:
        end = time.monotonic() + 20
        while len(sampler._samples) < samples and time.monotonic() < end:
            time.sleep(0.01)
    return sampler


LOOP = "\n".join(f"echo '{line}'" for line in LINES) + "\nexec sleep 60"


def test_least_median_and_largest_while_busy(tool):
    tool(LOOP.replace("exec sleep", 'case "$*" in *loop*) ;; *) exit 0;; esac; exec sleep'))
    begin = time.monotonic()
    found = _sampled().as_json()
    assert time.monotonic() - begin < 20  # it was stopped, not waited for
    assert (found["samples"], found["idle"]) == (4, 1)
    assert found["clocks.sm"] == {"unit": "MHz", "min": 1700, "median": 1865, "max": 1980}
    assert found["temperature.gpu"] == {"unit": "C", "min": 40, "median": 55, "max": 80}
    assert found["power.draw"] == {"unit": "W", "min": 400.5, "median": 699.5, "max": 700}
    assert found["held_back"] == {"power limit": 0.5, "too hot (driver)": 0.25}
    said = clocks.lines(found)
    assert said[0].startswith("GPU while measured: clocks.sm 1865 MHz (1700 to 1980), clocks.mem")
    assert said[1] == "THROTTLED: power limit in 50%, too hot (driver) in 25% of 4 samples"


def test_the_gpu_is_asked_for_by_its_address_and_old_drivers_by_their_name(tool):
    asked = tool('case "$*" in *event_reasons*) exit 2;; *loop*) exec sleep 60;; esac')
    with clocks.sampling("0000:19:00.0"):
        time.sleep(0.2)
    words = asked.read_text()
    assert all("--id=0000:19:00.0" in line for line in words.splitlines())
    assert "--query-gpu=clocks_throttle_reasons.active,clocks.sm" in words
    assert f"--loop-ms={clocks.INTERVAL}" in words


def test_the_environment_asks_for_the_gpu_by_its_address(tool):
    asked = tool("echo 580.1, 1980 MHz, 2619 MHz, 1980 MHz, 700.00 W")
    assert environment._nvidia_smi("0000:19:00.0")["driver_version"] == "580.1"
    assert "--id=0000:19:00.0" in asked.read_text()


def test_a_gpu_that_was_idle_all_the_time_is_still_described():
    found = clocks.summarised([clocks.parse(LINES[0])] * 2)
    assert (found["samples"], found["clocks.sm"]["max"], found["held_back"]) == (2, 345, {})
    assert len(clocks.lines(found)) == 1


def test_what_a_gpu_does_not_tell_is_left_out():
    assert clocks.parse("[N/A], 1980, [N/A], 40, [Not Supported]")[0] == 0
    found = clocks.summarised([clocks.parse("[N/A], 1980, [N/A], 40, [Not Supported]")])
    assert "power.draw" not in found
    assert found["clocks.sm"]["min"] == 1980
    assert clocks.parse("No devices were found") is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [("exit 9", "does not answer"), ('case "$*" in *loop*) exit 0;; esac', "gave no sample")],
)
def test_without_samples_the_reason_is_said(tool, body, reason):
    tool(body)
    with clocks.sampling("0000:19:00.0") as sampler:
        pass
    found = sampler.as_json()
    assert found["samples"] == 0
    assert reason in found["reason"]
    (line,) = clocks.lines(found)
    assert line.startswith("clocks of the GPU unknown: ")


def test_without_the_tool_or_a_gpu_nothing_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with clocks.sampling("0000:19:00.0") as sampler:
        assert sampler.as_json()["samples"] == 0
    with clocks.sampling(None) as sampler:
        assert sampler is None
    assert clocks.lines(None) == []
