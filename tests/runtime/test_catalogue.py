"""Header comments: what is read from them, and what is refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pycnn.dtypes import MOVABLE, QUANTISED, VARIANTS, numpy_dtype
from pycnn.runtime import catalogue, sources
from pycnn.runtime.plan import SCALAR

Write = Callable[[str, str], Path]

GOOD = """// pool/max.cu: maximum of windows.
//
// Computes   y[i] = max x[i]
//
// entry max_forward      maximum of every window
// entry max_backward     its gradient
// variant SCALAR = float, double
// variant TILE = 16, 32
#include <pycnn/kernel.cuh>

// extern "C" __global__ void in_a_comment(int x)
extern "C" __global__ void __launch_bounds__((16 * 16), 2) max_forward(float* y) { *y = 1; }
/* extern "C" __global__ void in_another() */
extern "C" __global__ void
__launch_bounds__(256)
max_backward(float* y) { *y = 1; }
"""


def test_a_header_is_read() -> None:
    kernel = catalogue.parse("pool/max.cu", GOOD)
    assert kernel.purpose == "maximum of windows."
    assert kernel.entries == {
        "max_forward": "maximum of every window",
        "max_backward": "its gradient",
    }
    assert kernel.variants == (
        (("SCALAR", "float"), ("TILE", "16")),
        (("SCALAR", "float"), ("TILE", "32")),
        (("SCALAR", "double"), ("TILE", "16")),
        (("SCALAR", "double"), ("TILE", "32")),
    )
    assert kernel.spill is None


def test_without_variant_lines_there_is_one_variant_without_defines() -> None:
    text = re.sub(r"// variant.*\n", "", GOOD)
    assert catalogue.parse("pool/max.cu", text).variants == ((),)


def test_a_word_of_a_variant_line_stands_for_the_types_of_the_table_of_dtypes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = GOOD.replace("SCALAR = float, double", "SCALAR = floating, int")
    scalars = {dict(variant)["SCALAR"] for variant in catalogue.parse("pool/max.cu", text).variants}
    assert scalars == {"__half", "__nv_bfloat16", "float", "double", "int"}
    monkeypatch.setitem(VARIANTS, "floating", ("float8",))
    scalars = {dict(variant)["SCALAR"] for variant in catalogue.parse("pool/max.cu", text).variants}
    assert scalars == {"float8", "int"}


def test_a_spill_line_gives_the_reason() -> None:
    text = GOOD.replace("// variant TILE", "// spill the accumulators\n// variant TILE")
    assert catalogue.parse("pool/max.cu", text).spill == "the accumulators"


def test_an_only_line_says_in_which_variants_an_entry_is_launched() -> None:
    text = GOOD.replace(
        "// variant TILE = 16, 32\n", "// variant TILE = 16, 32\n// only max_backward TILE = 32\n"
    )
    kernel = catalogue.parse("pool/max.cu", text)
    assert kernel.launched("max_forward") == list(kernel.variants)
    assert [dict(v)["TILE"] for v in kernel.launched("max_backward")] == ["32", "32"]
    for wrong in ("max_sideways TILE", "max_backward TILES"):
        with pytest.raises(ValueError, match=f"// only {wrong}' names no"):
            catalogue.parse("pool/max.cu", text.replace("max_backward TILE", wrong))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("// pool/max.cu:", "// pool/min.cu:", "the first line must be '// pool/max.cu: PURPOSE'"),
        ("// entry max_backward     its gradient\n", "", "no '// entry' line for max_backward"),
        ("max_backward(float", "other(float", "no '// entry' line for other"),
        (
            "// entry max_forward",
            "// entry lost   purpose\n// entry max_forward",
            "an '// entry' line but no definition of lost",
        ),
        ("max_backward(float", "max_forward(float", "more than one definition of max_forward"),
        ("// entry max_forward      maximum of every window", "// entry max_forward", "is not of"),
        ("// variant TILE = 16, 32", "// variant TILE 16, 32", "is not of the form"),
        ('extern "C" __global__ void\n', "__global__ void\n", 'write extern "C" __global__ void'),
        (
            'extern "C" __global__ void\n',
            'extern "C" __global__ int\n',
            'write extern "C" __global__ void',
        ),
    ],
)
def test_a_wrong_header_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        catalogue.parse("pool/max.cu", GOOD.replace(old, new, 1))
    assert str(error.value).startswith("pool/max.cu: ")


def test_a_file_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="no '// entry' line and no definition"):
        catalogue.parse("a/b.cu", "// a/b.cu: nothing\n")


def test_an_entry_of_two_files_is_refused(write_kernel: Write) -> None:
    write_kernel("pool/max.cu", GOOD)
    write_kernel("pool/min.cu", GOOD.replace("pool/max.cu", "pool/min.cu"))
    with pytest.raises(ValueError, match=r"max_forward is defined in pool/max.cu and pool/min.cu"):
        catalogue.load()


def test_a_changed_file_is_read_again(write_kernel: Write) -> None:
    write_kernel("pool/max.cu", GOOD)
    assert catalogue.load()[0].purpose == "maximum of windows."
    write_kernel("pool/max.cu", GOOD.replace("maximum of windows.", "largest of each window."))
    assert catalogue.load()[0].purpose == "largest of each window."


# --- the real catalogue -----------------------------------------------------------------------


def test_every_kernel_file_has_a_sound_header() -> None:
    assert [kernel.file for kernel in catalogue.load()] == list(sources.kernel_files())


def test_no_variant_line_spells_a_type() -> None:
    """A dtype that is added to the table needs no edit of a header."""
    types = {"char", "short", "int", "long", *VARIANTS["floating"]}
    for file in sources.kernel_files():
        for line in re.findall(r"^// variant .*", sources.kernel_path(file).read_text(), re.M):
            assert not types & set(re.findall(r"\w+", line)), f"{file}: {line}"


def test_the_words_of_variant_lines_cover_what_plans_define() -> None:
    assert set(VARIANTS["floating"]) == set(SCALAR.values())
    assert set(VARIANTS["quantised"]) == set(QUANTISED.values())
    assert {int(size) for size in VARIANTS["itemsizes"]} == {
        numpy_dtype(name).itemsize for name in MOVABLE
    }


@pytest.mark.parametrize("file", sources.kernel_files())
def test_every_header_has_the_fixed_sections_in_order(file: str) -> None:
    header = sources.kernel_path(file).read_text().split("\n#", 1)[0]
    sections = re.findall(r"^// ([A-Z][a-z]+)  +\S", header, re.MULTILINE)
    fixed = ["Computes", "Layout", "Launch", "Traffic", "Range", "Siblings", "Source"]
    assert [section for section in sections if section in fixed] == fixed


@pytest.mark.parametrize("file", sources.kernel_files())
def test_no_kernel_uses_what_nvrtc_lacks_or_the_project_forbids(file: str) -> None:
    """Of atomic additions only those that count: integers give one sum in any order."""
    code = catalogue._COMMENT.sub("", sources.kernel_path(file).read_text())
    forbidden = re.findall(
        r"#include <(?!pycnn/)|\bstd::|\bINFINITY\b|\bNAN\b|\basm\b"
        r"|atomicAdd(?!\([^;]*, 1u(?:ll)?\);)"
        r"|\b__(?:exp|log|log2|log10|sin|cos|tan|pow)f\b|__fdividef",
        code,
    )
    assert forbidden == []
    assert re.match(r"\s*(?:#define \w+ \w+\n)*#include <pycnn/", code)
