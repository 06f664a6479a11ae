"""What a person sees: cells, winners, speed-ups, totals and the picture."""

import sys
from dataclasses import fields, replace

import pytest

from pycnn.bench import plot, summary, table
from pycnn.bench.ceilings import Ceiling
from pycnn.bench.record import Record, Run
from pycnn.emulator import Counters
from pycnn.runtime import terminal

NO_MATPLOTLIB = "matplotlib is not installed; pip install -e '.[viz]'"
CEILINGS = [Ceiling("cpu", "float32", 100.0, 20.0), Ceiling("cuda", "float32", 5e4, 4e3)]


def _record(backend="reference", time_ms=2.0, layer="conv1", status="timed", **other):
    names = ("time_ms", "time_ms_min", "time_ms_max", "time_ms_p25", "time_ms_p75")
    times = dict.fromkeys(names, time_ms)
    speed = {"gflops": 1e-6 * 8e6 / time_ms, "gbytes_per_s": 1.0} if time_ms else {}
    about = {
        "suite": "vgg16", "layer": layer, "count": 2, "op": "conv2d", "direction": "forward",
        "shape": "n1c3h9w9k4r3s3", "dtype": "float32", "layout": "NCHW", "algorithm": "auto",
        "flops": 8_000_000, "bytes": 1_000_000,
    }  # fmt: skip
    return Record(backend=backend, status=status, **{**about, **times, **speed, **other})


def test_the_fastest_of_a_problem_wins_peers_included():
    emulated = _record("emulator", None, status="checked")
    records = [_record(), _record("torch", 1.0), _record(layer="conv2"), emulated]
    best = table.winners(records)
    assert [r.backend for r in best.values()] == ["torch", "reference"]


def test_speedup_is_the_best_cpu_time_over_the_best_gpu_time():
    records = [_record(), _record("torch", 1.0), _record("cuda", 0.1), _record("cudnn", 0.05)]
    assert list(table.speedups(records).values()) == [pytest.approx(20.0)]
    assert table.speedups(records[:2]) == {}


def test_the_speedup_has_a_column_only_where_there_is_a_gpu():
    assert ">GPU over CPU" not in table.results("", [_record()]).columns
    shown = table.results("", [_record(), _record("cuda", 0.1)])
    assert shown.columns[-1] == ">GPU over CPU"
    assert [row.cells[-1] for row in shown.rows] == ["", "20.0x"]


def test_columns_are_there_only_if_something_is_in_them():
    assert ">workspace" not in table.results("", [_record()]).columns
    shown = table.results("", [_record(workspace_bytes=2048)])
    assert dict(zip(shown.columns, shown.rows[0].cells, strict=True))[">workspace"] == "2 KiB"


def test_a_layer_is_named_with_what_tells_it_apart():
    both = [_record(), _record(direction="backward")]
    assert [row.cells[0] for row in table.results("", both).rows] == [
        "conv1 x2 forward float32", "conv1 x2 backward float32",
    ]  # fmt: skip
    assert table.results("", both[:1]).rows[0].cells[0] == "conv1 x2"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0.0123, "12.3 us"), (1.5, "1.5 ms"), (123.4, "123 ms"), (4321.0, "4.32 s"), (None, "")],
)
def test_times_are_readable(milliseconds, text):
    assert table.time_text(milliseconds) == text


def test_spread_is_half_the_interquartile_range():
    record = _record(time_ms=2.0)
    assert table.spread_text(record) == "\u00b10%"
    assert table.spread_text(replace(record, time_ms_p25=1.9, time_ms_p75=2.3)) == "\u00b110%"
    assert table.spread_text(_record("emulator", None, status="checked")) == ""


def test_traffic_is_a_multiple_of_what_is_necessary():
    counters = dict.fromkeys((f.name for f in fields(Counters)), 0)
    counters |= {"global_load_sectors": 30, "global_store_sectors": 10, "global_bytes_read": 640}
    assert table.traffic_text(counters) == "2.0x"
    assert table.traffic_text({}) == ""


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, ""), (512, "512 B"), (1536, "1.5 KiB"), (3 << 20, "3 MiB"), (5 << 30, "5 GiB")],
)
def test_sizes_are_readable(nbytes, text):
    assert terminal.size_text(nbytes) == text


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (_record(), "right"),
        (_record("emulator", None, status="checked", ran_shape="n1"), "right, no finding at n1"),
        (_record(None, None, status="wrong", reason="off by 2"), "WRONG: off by 2"),
        (_record(None, None, status="skipped", reason="no room"), "skipped: no room"),
    ],
)
def test_verdicts_are_words(record, text):
    assert table.verdict_text(record) == text


def test_the_table_needs_no_rich(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.table", None)
    terminal.show(table.results("conv2d on vgg16", [_record(), _record("torch", 1.0)]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conv2d on vgg16"
    assert lines[1].startswith("layer")
    assert lines[-1].startswith(" ")  # the same layer: its name is not repeated
    assert "auto *" in lines[-1]


def test_the_table_with_rich_holds_the_same_cells(capsys):
    pytest.importorskip("rich", reason="rich is not installed; pip install -e '.[bench]'")
    records = [_record(reason="[red]"), _record("torch", None, status="failed", reason="[/red]")]
    terminal.show(table.results("conv2d on vgg16", records))
    shown = capsys.readouterr().out
    assert "conv2d on vgg16" in shown
    assert "failed: [/red]" in shown  # text of an error is no markup


def test_progress_without_a_terminal_is_lines(capsys):
    with terminal.progress(3) as (announce, advance):
        for layer in ("a", "b", "c"):
            announce(layer)
            advance()
    assert capsys.readouterr().err.splitlines() == ["1/3 a", "2/3 b", "3/3 c"]


def test_totals_count_each_layer_as_often_as_it_occurs():
    ours = [_record(), _record(layer="conv2")]
    theirs = [_record("torch", 1.0), _record("torch", None, "conv2", status="failed")]
    lines = summary.summarise(ours + theirs, [])
    assert "all layers forward float32, the best of each: reference 8 ms" in lines
    assert not any("all layers" in line for line in summary.summarise(ours, [], "interrupted"))
    assert any(x.startswith("reference forward runs at 0.50x the speed of torch") for x in lines)


def test_geometric_mean_against_a_peer():
    records = [
        _record("cuda", 1.0), _record("cudnn", 4.0),
        _record("cuda", 1.0, "conv2"), _record("cudnn", 1.0, "conv2"),
    ]  # fmt: skip
    (line,) = [x for x in summary.summarise(records, []) if "cudnn" in x and "runs at" in x]
    assert line.startswith("cuda forward runs at 2.00x the speed of cudnn (geometric mean of 2")


def test_what_is_rounded_to_tf32_is_compared_but_never_the_fastest():
    fast = _record("cudnn-tf32", 0.1, precision="tf32")
    records = [_record("cuda", 1.0), _record("cudnn", 0.5), fast, _record("torch", 4.0)]
    shown = table.results("", records)
    starred = [row.cells[2] for row in shown.rows if any(c.endswith(" *") for c in row.cells)]
    assert starred == ["cudnn"]
    assert table.verdict_text(fast) == "right within TF32"
    assert list(table.speedups(records).values()) == [pytest.approx(8.0)]
    lines = summary.summarise(records, [])
    assert any(x.startswith("cuda forward runs at 0.50x the speed of cudnn (") for x in lines)
    assert any(x.startswith("cuda forward runs at 0.10x the speed of cudnn-tf32 (") for x in lines)


def test_the_host_is_shown_only_where_it_is_slower_than_the_gpu():
    slow, quick = _record("cuda", 0.01, host_ms=0.03), _record("cuda", 1.0, "b", host_ms=0.03)
    shown = table.results("", [slow, quick])
    place = shown.columns.index(">host")
    assert [row.cells[place] for row in shown.rows] == ["30 us", ""]
    assert ">host" not in table.results("", [quick, _record()]).columns
    (line,) = [x for x in summary.summarise([slow, quick], []) if "host" in x]
    assert line == "1 take the host longer to queue than the GPU to compute"


def test_a_time_that_includes_the_host_says_so():
    waiting = _record("cuda", 1.0, queued=False)
    assert "waits for the GPU" in table.verdict_text(waiting)
    assert any("1 wait for the GPU" in line for line in summary.summarise([waiting], []))


def test_a_ceiling_that_is_not_known_says_why():
    lame = Ceiling("cuda", "float32", None, 4e3, "no limit by a product (ImportError: libcublas)")
    (line,) = [x for x in summary.summarise([_record()], [lame]) if "ceilings" in x]
    assert line == (
        "ceilings of cuda, float32: unknown GFLOP/s, 4000 GB/s "
        "(no limit by a product (ImportError: libcublas))"
    )


def test_a_part_of_a_run_is_marked_and_has_no_totals():
    records = [_record(), _record(layer="conv2")]
    assert any("all layers" in line for line in summary.summarise(records, []))
    lines = summary.of_run(Run({}, [], records, "interrupted: 2 of 9 done"))
    assert lines[0] == "PARTIAL: interrupted: 2 of 9 done; no totals"
    assert not any("all layers" in line for line in lines)


def test_wrong_ones_stand_in_the_summary():
    lines = summary.summarise([_record("cuda", None, status="wrong")], CEILINGS)
    assert "WRONG: conv1 forward cuda auto" in lines
    assert "ceilings of cpu, float32: 100 GFLOP/s, 20 GB/s" in lines


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason=NO_MATPLOTLIB)
    emulated = _record("emulator", None, status="checked")
    records = [_record(), _record("torch", 1.0), _record("cuda", 0.1), emulated]
    path = tmp_path / "run.png"
    assert plot.draw(Run({}, CEILINGS, records), "conv2d on vgg16", path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_a_part_says_so(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure", reason=NO_MATPLOTLIB)
    titles = []
    monkeypatch.setattr(figure.Figure, "suptitle", lambda self, text, **looks: titles.append(text))
    ceilings = [*CEILINGS, Ceiling("cuda", "tf32", None, None, "no cuBLAS")]
    records = [_record("cuda", 0.1), _record("cudnn-tf32", 0.1, precision="tf32")]
    for unfinished in ("", "interrupted: 1 of 2 done"):
        assert plot.draw(Run({}, ceilings, records, unfinished), "vgg16", tmp_path / "run.png")
    assert titles == ["vgg16", "vgg16 (PARTIAL: interrupted: 1 of 2 done)"]


def test_a_roofline_has_the_points_of_its_own_precision():
    tf32 = Ceiling("cuda", "tf32", 4e5, 4e3)
    records = [_record("cuda", 0.1), _record("cudnn-tf32", 0.1, precision="tf32"), _record()]
    on = [[r.backend for r in records if plot._on(r, c)] for c in (*CEILINGS, tf32)]
    assert on == [["reference"], ["cuda"], ["cudnn-tf32"]]


def test_without_times_there_is_no_picture(tmp_path):
    pytest.importorskip("matplotlib", reason=NO_MATPLOTLIB)
    path = tmp_path / "run.png"
    records = [_record("emulator", None, status="checked")]
    assert not plot.draw(Run({}, CEILINGS, records), "", path)
    assert not path.exists()
