"""The line codec: what is sent arrives or is refused, whatever noise comes with it."""

import re
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hilnas.errors import ProtocolError
from hilnas.firmware.protocol import CHUNK_BYTES, MAX_LINE, Damaged, Decoder, Line, Tick, c_header, decode, encode

kinds = st.from_regex("[a-z]{1,8}", fullmatch=True)
keys = st.from_regex("[a-z]{1,8}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="*"), max_size=20)
values = st.one_of(st.integers(0, 2**64 - 1), texts, st.binary(max_size=CHUNK_BYTES))
lines = st.builds(lambda kind, items: (kind, items), kinds, st.dictionaries(keys, values, max_size=3)).filter(
    lambda line: len(encode(line[0], **line[1])) <= MAX_LINE
)


def decoded(data: bytes) -> list[Line | Damaged | Tick]:
    return list(Decoder().feed(data))


def only_lines(events: list[Line | Damaged | Tick]) -> list[Line]:
    return [event for event in events if isinstance(event, Line)]


@given(lines)
def test_values_survive(line: tuple[str, dict[str, int | str | bytes]]) -> None:
    kind, items = line
    (got,) = decoded(encode(kind, **items))
    assert isinstance(got, Line)
    assert got.kind == kind
    for key, value in items.items():
        read = got.number(key) if isinstance(value, int) else got.data(key) if isinstance(value, bytes) else got.text(key)
        assert read == value


@given(st.lists(lines, max_size=4), st.data())
def test_pieces_of_any_size_give_the_same_lines(sent: list[tuple[str, dict[str, int | str | bytes]]], data: st.DataObject) -> None:
    stream = b"".join(encode(kind, **items) for kind, items in sent)
    decoder, got, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        got += decoder.feed(stream[at : at + size])
        at += size
    assert got == decoded(stream)
    assert len(only_lines(got)) == len(sent)


@given(lines, st.data())
def test_a_changed_byte_never_gives_another_line(line: tuple[str, dict[str, int | str | bytes]], data: st.DataObject) -> None:
    content = encode(line[0], **line[1])
    at = data.draw(st.integers(0, len(content) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    got = only_lines(decoded(content[:at] + bytes([changed]) + content[at + 1 :] + b"\r\n"))
    assert got in ([], only_lines(decoded(content)))


@given(lines, st.data())
def test_missing_bytes_never_give_another_line(line: tuple[str, dict[str, int | str | bytes]], data: st.DataObject) -> None:
    content = encode(line[0], **line[1])
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start + 1, len(content)))
    got = only_lines(decoded(content[:start] + content[end:] + b"\r\n"))
    assert got in ([], only_lines(decoded(content)))


@given(st.binary(max_size=2 * MAX_LINE))
@example(b"HN1 ack seq=1*00000000\r\n")
@example(b"\r\n\r\n")
def test_noise_gives_no_line(noise: bytes) -> None:
    assert only_lines(decoded(noise + b"\n")) == []


@given(
    st.binary(max_size=MAX_LINE // 4).map(lambda noise: noise.replace(b"\n", b"")),
    lines.filter(lambda line: len(encode(line[0], **line[1])) < MAX_LINE // 2),
)
def test_noise_before_a_line_does_not_hide_it(noise: bytes, line: tuple[str, dict[str, int | str | bytes]]) -> None:
    assert only_lines(decoded(noise + encode(line[0], **line[1]))) == only_lines(decoded(encode(line[0], **line[1])))


def test_another_version_is_no_line() -> None:
    body = b"HN2 ack seq=1"
    assert decode(body + b"*%08x" % zlib.crc32(body)) is None


def test_an_endless_line_is_given_up() -> None:
    events = decoded(b"x" * (3 * MAX_LINE) + b"\n" + encode("ack", seq=1))
    assert [event for event in events if isinstance(event, Damaged)]
    assert only_lines(events) == [Line("ack", {"seq": "1"})]


def test_ticks_come_between_lines_and_a_byte_like_one_within_a_line_is_damage() -> None:
    line = encode("ack", seq=5)
    damaged = line[:4] + b"\x86" + line[4:]
    assert decoded(b"\x85" + line + b"noise\x86") == [Tick(5), Line("ack", {"seq": "5"}), Tick(6)]
    assert decoded(b"\x85" + damaged + line) == [Tick(5), Damaged(damaged.rstrip()), Line("ack", {"seq": "5"})]


def test_every_command_of_full_length_fits_the_firmware() -> None:
    for kind in ("input", "data"):
        content = encode(kind, seq=2**32 - 1, index=2**32 - 1, offset=2**32 - 1, data=bytes(CHUNK_BYTES))
        assert len(content) <= MAX_LINE


def test_header_and_codec_say_the_same() -> None:
    numbers = dict(re.findall(r"#define (HILNAS_\w+) (\w+)u\n", c_header()))
    assert int(numbers["HILNAS_CHUNK_BYTES"]) == CHUNK_BYTES
    assert int(numbers["HILNAS_MAX_LINE"]) == MAX_LINE
    assert decoded(bytes([int(numbers["HILNAS_TICK"], 16) | 3])) == [Tick(3)]


@pytest.mark.parametrize("value", [None, "", "xyz", "1" * 17])
def test_a_line_of_another_version_is_an_error_and_no_crash(value: str | None) -> None:
    line = Line("done", {} if value is None else {"runs": value})
    with pytest.raises(ProtocolError, match="line 'done' has no 'runs'"):
        line.number("runs")
    with pytest.raises(ProtocolError):
        Line("data", {"data": "?"}).data("data")
