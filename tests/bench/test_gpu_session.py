"""What `make gpu` keeps between two runs, and what it must not."""

import multiprocessing

from benchmarks.gpu import kernels, session
from benchmarks.gpu.result import FAILED, PARTIAL, PASSED, Result, verdict
from benchmarks.gpu.session import Session
from pycnn.runtime import catalogue, nvrtc


def test_another_machine_or_source_is_another_session(tmp_path, monkeypatch):
    (tmp_path / "pycnn").mkdir()
    source = tmp_path / "pycnn" / "a.py"
    source.write_text("one")
    monkeypatch.setattr(session, "ROOT", tmp_path)
    first = Session("H200, driver 1", tmp_path / "s")
    first.end("bench", Result(PASSED))
    assert Session("H200, driver 1", tmp_path / "s").result("bench") == Result(PASSED)
    assert Session("H200, driver 2", tmp_path / "s").result("bench") is None
    source.write_text("two")
    assert Session("H200, driver 1", tmp_path / "s").result("bench") is None
    source.write_text("one")
    source.rename(source.with_name("b.py"))
    assert Session("H200, driver 1", tmp_path / "s").result("bench") is None


def test_only_what_was_stopped_keeps_its_folder(tmp_path):
    of = Session("machine", tmp_path)
    (of.start("bench") / "kept").write_text("")
    of.end("bench", Result(FAILED, finished=False))  # something is wrong, and there was more to do
    assert [f.name for f in of.start("bench").iterdir()] == ["kept"]
    assert of.result("bench") is None  # it runs
    of.end("bench", Result(PASSED))
    assert list(of.start("bench").iterdir()) == []


def test_a_stage_that_was_killed_keeps_its_folder(tmp_path):
    of = Session("machine", tmp_path)
    (of.start("test") / "tests.jsonl").write_text("")
    assert [f.name for f in Session("machine", tmp_path).start("test").iterdir()] == ["tests.jsonl"]


def test_kernels_are_compiled_into_the_cache_by_several_processes(
    cache_dir, monkeypatch, needs_nvrtc
):
    relu = next(kernel for kernel in catalogue.load() if kernel.file == "activation/relu.cu")
    result = kernels.compile_for("sm_90a", [relu])
    count = len(relu.variants)
    assert (result.outcome, result.finished) == (PASSED, True)
    assert result.what == f"{count} of {count} variants of kernels for sm_90a in the cache"
    assert len(list(cache_dir.glob("*/kernel.cubin"))) == count
    # The cache holds what an executor asks for: nothing is compiled again.
    monkeypatch.setattr(nvrtc, "compile_text", None)
    for variant in relu.variants:
        nvrtc.compile_kernel(relu.file, "sm_90a", tuple(reversed(variant)))


def test_a_kernel_that_does_not_compile_is_named(cache_dir, needs_nvrtc):
    wrong = catalogue.KernelFile("activation/relu.cu", "", {}, ((("SCALAR", "nonsense"),),), None)
    result = kernels.compile_for("sm_90a", [wrong])
    assert result.outcome == FAILED
    assert "1 DO NOT COMPILE" in result.what
    assert result.details[0].startswith("activation/relu.cu[SCALAR=nonsense]: ")


def test_no_time_is_partial(cache_dir, needs_nvrtc):
    relu = next(kernel for kernel in catalogue.load() if kernel.file == "activation/relu.cu")
    result = kernels.compile_for("sm_90a", [relu], limit=0)
    assert (result.outcome, result.finished) == (PARTIAL, False)
    assert not multiprocessing.active_children()  # nothing that the end would wait for


def test_a_verdict_of_nothing_is_a_failure():
    assert verdict(wrong=0, left=0, done=0) == FAILED
