"""What hilnas needs of an ELF: what to load, what takes memory, and the addresses of functions."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hilnas.errors import InputError
from hilnas.files import read_input

_ARM = 40
_PT_LOAD = 1
_SHT_SYMTAB, _SHT_NOBITS = 2, 8
_SHF_ALLOC, _SHF_EXEC = 0x2, 0x4
_SHT_ARM_ATTRIBUTES = 0x70000003
_STT_FUNC = 2
_SHOWN_NAMES = 5
_PROFILES = {"A": "an application processor (Cortex-A)", "R": "a real-time processor (Cortex-R)"}


@dataclass(frozen=True)
class Segment:
    """Bytes and the address that they are loaded to; the address at which the program has them when it runs, and how many then."""

    address: int
    data: bytes
    run_address: int
    run_size: int


@dataclass(frozen=True)
class Section:
    """A section of an ELF that takes memory: its bytes lie at `address`; `loaded` ones also lie in flash."""

    name: str
    address: int
    size_bytes: int
    loaded: bool
    executable: bool


@dataclass(frozen=True)
class Function:
    """A function's name, address (without the Thumb bit) and size in bytes; the size is 0 where the assembler gave none."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Elf:
    """A 32-bit little-endian Arm ELF: its segments, its functions by address, and the addresses of all symbols by name."""

    path: Path
    entry: int
    segments: tuple[Segment, ...]
    functions: tuple[Function, ...]
    symbols: Mapping[str, int]

    def function_at(self, address: int) -> str:
        """The name of the function that `address` is in, or `?`."""
        index = bisect_right(self.functions, address, key=lambda function: function.address) - 1
        if index < 0:
            return "?"
        function = self.functions[index]
        is_inside = function.size == 0 or address < function.address + function.size
        return function.name if is_inside else "?"

    def address_of(self, name: str) -> int:
        """The address of a function or another symbol; a name that begins with 0x is an address itself.

        Raises:
            InputError: there is none of that name, or there are several functions of it.
        """
        if name.startswith("0x"):
            try:
                return int(name, 16) & ~1
            except ValueError as error:
                raise InputError(f"{name!r} is no address", "Give a symbol, or an address as 0x08000400.") from error
        functions = sorted({function.address for function in self.functions if function.name == name})
        if len(functions) > 1:
            places = ", ".join(f"{address:#010x}" for address in functions)
            raise InputError(f"{self.path} has {len(functions)} functions {name!r}, at {places}", "Give one of these addresses instead.")
        if functions or name in self.symbols:
            return functions[0] if functions else self.symbols[name]
        if not self.symbols:
            raise InputError(f"{self.path} has no function {name!r}: it is stripped of its symbols", "Give an address, or link without -s.")
        similar = sorted({symbol for symbol in self.symbols if name in symbol})[:_SHOWN_NAMES]
        hint = f"It has {', '.join(similar)}." if similar else "List them with arm-none-eabi-nm; an inlined function is not among them."
        raise InputError(f"{self.path} has no function {name!r}", hint)


def read_elf(path: Path) -> Elf:
    """Reads an executable.

    Raises:
        InputError: unreadable, not a 32-bit little-endian Arm ELF, one with nothing to load, or one that is not for a microcontroller's
            core.
    """
    data = read_input(path)
    with _refused_if_malformed(path):
        header = _file_header(data)
        segments = tuple(_segments(data, header))
        symbols = _symbols(data, header)
        profile = _architecture_profile(data, header)
    if profile in _PROFILES:
        raise InputError(f"{path} is for {_PROFILES[profile]}", "Compile for a Cortex-M: -mcpu=cortex-m7 -mthumb.")
    functions = (Function(symbol.name, symbol.value, symbol.size) for symbol in symbols if symbol.is_function)
    addresses = {symbol.name: symbol.value for symbol in symbols}
    return Elf(path, header.entry, segments, tuple(sorted(functions, key=lambda item: item.address)), addresses)


def read_sections(path: Path) -> tuple[Section, ...]:
    """The sections that take memory, of an executable or of an object file.

    Raises:
        InputError: unreadable, or not a 32-bit little-endian Arm ELF.
    """
    data = read_input(path)
    with _refused_if_malformed(path):
        return tuple(_sections(data, _file_header(data)))


class _SectionHeader(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


@dataclass(frozen=True)
class _FileHeader:
    """Where the program starts, where its program headers are, and its section headers with the index of that of their names."""

    entry: int
    program_offset: int
    program_size: int
    program_count: int
    sections: tuple[_SectionHeader, ...]
    names_index: int


@contextmanager
def _refused_if_malformed(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{path} is not an Arm ELF: {error}", "Give the .elf that the linker wrote.") from error


def _file_header(data: bytes) -> _FileHeader:
    if data[:6] != b"\x7fELF\x01\x01":
        raise ValueError("no 32-bit little-endian ELF header")
    machine, entry, program_offset, section_offset = struct.unpack_from("<18xH4xIII", data)
    program_size, program_count, section_size, section_count, names_index = struct.unpack_from("<42xHHHHH", data)
    if machine != _ARM:
        raise ValueError(f"machine {machine} is not Arm")
    places = range(section_offset, section_offset + section_count * section_size, section_size) if section_count else ()
    sections = tuple(_SectionHeader(*struct.unpack_from("<10I", data, at)) for at in places)
    return _FileHeader(entry, program_offset, program_size, program_count, sections, names_index)


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("ascii", "replace")


def _segments(data: bytes, header: _FileHeader) -> list[Segment]:
    segments = []
    for index in range(header.program_count):
        at = header.program_offset + index * header.program_size
        kind, start, run_address, address, length, run_size = struct.unpack_from("<6I", data, at)
        if kind == _PT_LOAD and run_size > 0:
            if start + length > len(data):
                raise ValueError("it is truncated")
            segments.append(Segment(address, data[start : start + length], run_address, run_size))
    if all(segment.address == 0 for segment in segments):  # a linker that leaves the physical addresses out
        segments = [replace(segment, address=segment.run_address) for segment in segments]
    if not any(segment.data for segment in segments):
        raise ValueError("it has nothing to load")
    return segments


def _sections(data: bytes, header: _FileHeader) -> Iterator[Section]:
    for one in header.sections:
        if one.flags & _SHF_ALLOC and one.size:
            name = _text(data, header.sections[header.names_index].offset + one.name)
            yield Section(name, one.address, one.size, one.kind != _SHT_NOBITS, bool(one.flags & _SHF_EXEC))


def _architecture_profile(data: bytes, header: _FileHeader) -> str:
    """The letter of Tag_CPU_arch_profile, empty if the build attributes do not say (Addenda to the Arm ABI, IHI 0045, 2.2 and 2.5)."""
    found = (data[one.offset : one.offset + one.size] for one in header.sections if one.kind == _SHT_ARM_ATTRIBUTES)
    attributes = next(found, b"")
    if attributes[:1] != b"A" or attributes[5:11] != b"aeabi\0":
        return ""
    at = 16  # behind the vendor's name and the tag and size of the attributes of the whole file
    while at < len(attributes):
        tag, at = _uleb128(attributes, at)
        if tag in (4, 5) or (tag > 32 and tag % 2):  # a string
            at = attributes.index(b"\0", at) + 1
            continue
        value, at = _uleb128(attributes, at)
        if tag == 7:
            return chr(value)
        if tag == 32:  # a number and a string
            at = attributes.index(b"\0", at) + 1
    return ""


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of seven bits a byte, and where it ends."""
    value, shift = 0, 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


@dataclass(frozen=True)
class _Symbol:
    name: str
    value: int
    size: int
    is_function: bool


def _symbols(data: bytes, header: _FileHeader) -> list[_Symbol]:
    symbols = []
    for table in (one for one in header.sections if one.kind == _SHT_SYMTAB):
        names = header.sections[table.link].offset
        for at in range(table.offset, table.offset + table.size, table.entry_size):
            name, value, size, info, _, section = struct.unpack_from("<IIIBBH", data, at)
            text = _text(data, names + name)
            is_function = info & 15 == _STT_FUNC
            if section and text and not text.startswith("$"):  # defined, and no mapping symbol
                symbols.append(_Symbol(text, value & ~1 if is_function else value, size, is_function))
    return symbols
