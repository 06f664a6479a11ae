"""The word that names a problem: parsed, printed, and refused with a message that helps."""

import pytest

from pycnn.bench.cases import ConvCase, GemmCase, MapCase, PoolCase, RowsCase
from pycnn.bench.grammar import parse, render


def test_the_documented_example_is_read():
    case = parse(ConvCase, "n1c64h56w56k64r3s3p1")
    assert case == ConvCase(1, 64, 56, 56, 64, 3, 3, padding=((1, 1), (1, 1)))
    assert (case.stride, case.dilation, case.groups) == ((1, 1), (1, 1), 1)


def test_every_option_is_read():
    case = parse(ConvCase, "n2c6h17w23k9r3s5p0x1x2x3u3x2d2x1g3")
    assert case.padding == ((0, 1), (2, 3))
    assert case.stride == (3, 2)
    assert case.dilation == (2, 1)
    assert case.groups == 3


def test_two_paddings_are_vertical_and_horizontal():
    assert parse(ConvCase, "n1c1h9w9k1r3s3p1x2").padding == ((1, 1), (2, 2))


@pytest.mark.parametrize(
    ("cls", "word"),
    [
        (ConvCase, "n1c64h56w56k64r3s3p1"),
        (ConvCase, "n1c3h224w224k64r7s7p3u2"),
        (ConvCase, "n2c6h17w23k9r3s5p0x1x2x3u3x2d2x1g3"),
        (ConvCase, "n1c1h5w7k1r1s1"),
        (PoolCase, "n1c64h112w113r3s2p1x0u2"),
        (PoolCase, "n1c64h112w112r3s3u2e1"),
        (MapCase, "n3c5h7w11"),
        (RowsCase, "n128c1000"),
        (GemmCase, "m3n5k7"),
    ],
)
def test_a_word_survives_the_round_trip(cls, word):
    assert render(parse(cls, word)) == word


def test_order_and_case_of_letters_do_not_matter():
    assert str(parse(ConvCase, "P1S3R3K8W9H9C4N2")) == "n2c4h9w9k8r3s3p1"


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("", "not letters"),
        ("64x64", "not letters"),
        ("n1c64h56w56", "without k, r, s"),
        ("n1c64h56w56k64r3s3s2", "'s' (filter width) is given twice"),
        ("n1c64h56w56k64r3s3z2", "'z' is not a letter"),
        ("n0c64h56w56k64r3s3", "'n' (batch) is less than 1"),
        ("n1c64h56w56k64r3s3u0", "'u' (stride (u2 or u2x1)) is less than 1"),
        ("n1c64h56w56k64r3s3p1x1x1", "3 values, not 1 or 2 or 4"),
        ("n1x2c64h56w56k64r3s3", "2 values, not 1"),
        ("n1c3h9w9k4r3s3g2", "g2 does not divide"),
        ("n1c3h4w4k4r5s5", "does not fit"),
    ],
)
def test_a_bad_word_is_refused_with_what_is_allowed(word, complaint):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the message is checked below
        parse(ConvCase, word)
    message = str(caught.value)
    assert complaint in message
    assert repr(word) in message
    assert "n1c64h56w56k64r3s3p1" in message
    assert "[u] stride" in message
