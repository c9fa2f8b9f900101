"""The report protocol between firmware and host, in one place: the C header and the Python codec come from here.

A line is `HN<version> <kind> <key>=<value> ...*<CRC-32>` and CR LF, in printable ASCII. The CRC (that of zlib, eight hexadecimal
digits) covers everything before the `*`. Integers are lower-case hexadecimal, bytes are base64, names are text without blanks.
Every command carries a sequence number `seq` above 0; the reply carries the same. `seq=0` is what the firmware says unasked.

Host to device, each answered by what follows the arrow, and safe to send again with the same `seq`:

    hello seq                                    -> hello
    input seq index offset data                  -> ack          bytes of input `index`
    run seq flags crc                            -> layer*, done one inference; `crc` is the CRC-32 of all inputs in order
    output seq index offset size                 -> data         bytes of output `index`

Device to host:

    hello seq build board clock engine inputs outputs layers exits    unasked after a reset
    ack seq | data seq index offset data
    layer seq index cycles                       one per layer that ran
    done seq layers exit cycles crc stack runs   `layers` were reported; `crc` of all written outputs in order; `stack`: its peak, bytes;
                                                 `runs`: inferences since the last hello, so that no reset goes unseen
    nak seq                                      the last line was damaged: send it again
    error seq reason                             the command cannot be done; `arena-overrun`: the run wrote outside its arenas; before a
                                                 hello, `never-ready register`: start-up waited in vain for this bit, and the clock is
                                                 not the board's
    fault seq kind pc lr sp cfsr hfsr mmfar bfar the processor faulted

A repeated `run` with the `seq` of the last one is answered from memory, not run again. While the model runs, a byte with the high
bit set may come before each layer: its low seven bits are the layer's index modulo 128. It belongs to no line and stands in none.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field

from hilnas.errors import ProtocolError

VERSION = 1
CHUNK_BYTES = 240
"""Bytes of a tensor in one line."""
MAX_LINE = 448
"""Bytes of the longest line, its end included."""

FAULT_KEYS = ("pc", "lr", "sp", "cfsr", "hfsr", "mmfar", "bfar")

_LINE = re.compile(rb"HN([0-9]+) ([a-z]+)((?: [a-z]+=[!-)+-~]*)*)\*([0-9a-f]{8})")
_LINE_START = b"HN"
_TICK = 0x80


@dataclass(frozen=True)
class Line:
    """One line: what kind it is and its values, as text."""

    kind: str
    values: dict[str, str] = field(default_factory=dict)

    def number(self, key: str) -> int:
        """An integer value.

        Raises:
            ProtocolError: there is none.
        """
        text = self.text(key)
        if not re.fullmatch("[0-9a-f]{1,16}", text):
            raise self._lacks(key)
        return int(text, 16)

    def text(self, key: str) -> str:
        """A text value.

        Raises:
            ProtocolError: there is none.
        """
        if key not in self.values:
            raise self._lacks(key)
        return self.values[key]

    def data(self, key: str) -> bytes:
        """A bytes value.

        Raises:
            ProtocolError: there is none.
        """
        try:
            return b64decode(self.text(key), validate=True)
        except ValueError as error:
            raise self._lacks(key) from error

    def _lacks(self, key: str) -> ProtocolError:
        return ProtocolError(f"the target's line {self.kind!r} has no {key!r} that makes sense", "Build and flash the image again.")


def encode(kind: str, **values: int | str | bytes) -> bytes:
    """The bytes of one line, its end included."""
    body = f"HN{VERSION} {kind}{''.join(f' {key}={_text(value)}' for key, value in values.items())}".encode("ascii")
    return body + b"*%08x\r\n" % zlib.crc32(body)


def _text(value: int | str | bytes) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return f"{value:x}" if isinstance(value, int) else value


def decode(line: bytes) -> Line | None:
    """The line that these bytes (without line end) are; None if they are not an undamaged line of this version."""
    match = _LINE.fullmatch(line)
    if match is None or int(match[1]) != VERSION or zlib.crc32(line[: match.end(3)]) != int(match[4], 16):
        return None
    pairs = (item.split("=", 1) for item in match[3].decode().split())
    return Line(match[2].decode(), dict(pairs))


def _line_at_end(content: bytes) -> Line | None:
    lines = (decode(content[start.start() :]) for start in re.finditer(_LINE_START, content))
    return next((line for line in lines if line), None)


@dataclass(frozen=True)
class Damaged:
    """Bytes that ended like a line and were none."""

    content: bytes


@dataclass(frozen=True)
class Tick:
    """A layer begins: its index modulo 128."""

    index: int


class Decoder:
    """Makes lines out of bytes as they come, in pieces of any size."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Line | Damaged | Tick]:
        """What `data` completes. Bytes before the `HN` of an undamaged line are noise, and dropped."""
        for byte in data:
            if byte & _TICK and _LINE_START not in self._pending:
                yield Tick(byte & ~_TICK)
            elif byte == ord("\n"):
                content = bytes(self._pending).rstrip(b"\r")
                self._pending.clear()
                if content:
                    yield _line_at_end(content) or Damaged(content)
            else:
                self._pending.append(byte)
                if len(self._pending) > MAX_LINE:
                    yield Damaged(bytes(self._pending))
                    self._pending.clear()


def c_header() -> str:
    """The protocol's constants for the firmware: the text of `hilnas_protocol.h`."""
    return f"""/* Made by firmware/protocol.py, which says what the lines mean. */
#ifndef HILNAS_PROTOCOL_H
#define HILNAS_PROTOCOL_H

#define HILNAS_LINE_START "HN{VERSION} "
#define HILNAS_CHUNK_BYTES {CHUNK_BYTES}u
#define HILNAS_MAX_LINE {MAX_LINE}u
#define HILNAS_TICK {_TICK:#x}u

#endif
"""
