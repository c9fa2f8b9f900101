"""The reader of ELFs says what binutils says, and refuses what is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hilnas.errors import InputError
from hilnas.firmware.elf import Function, Section, read_elf, read_sections
from hilnas.firmware.toolchain import ARM, run_tool

PROGRAM = """
int table[3] = {1, 2, 3};
int zeros[5];
const char word[] = "hello";
int called(int index) { return table[index] + zeros[index] + word[index]; }
void start(void) { zeros[0] = called(1); for (;;) { } }
"""


def readelf(option: str, elf: Path) -> str:
    return run_tool(["arm-none-eabi-readelf", "--wide", option, elf], "binutils-arm-none-eabi")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    (folder / "program.c").write_text(PROGRAM)
    places = ["-Wl,-Ttext=0x08000000,-Tdata=0x20000000,--entry=start"]
    ARM.run(["-mcpu=cortex-m7", "-mthumb", "-nostdlib", *places, folder / "program.c", "-o", folder / "program.elf"])
    return folder / "program.elf"


def test_sections_are_those_that_take_memory(program: Path) -> None:
    lines = re.findall(r"\] (\S+) +(\S+) +(\w+) +\w+ +(\w+) +\w+ +([WXAMSI]+) ", readelf("--sections", program))
    expected = [
        Section(name, int(address, 16), int(size, 16), loaded=kind != "NOBITS", executable="X" in flags)
        for name, kind, address, size, flags in lines
        if "A" in flags and int(size, 16)
    ]
    assert {".text", ".rodata", ".data", ".bss"} <= {section.name for section in expected}
    assert read_sections(program) == tuple(expected)


def test_functions_are_named_where_they_are(program: Path) -> None:
    lines = re.findall(r": (\w+) +(\d+) FUNC .* (\S+)$", readelf("--symbols", program), re.MULTILINE)
    expected = sorted((int(address, 16) & ~1, int(size), name) for address, size, name in lines)
    elf = read_elf(program)
    assert elf.functions == tuple(Function(name, address, size) for address, size, name in expected)
    assert {elf.function_at(function.address + 2) for function in elf.functions} == {"called", "start"}


def test_without_section_headers_it_is_loaded_all_the_same(program: Path, tmp_path: Path) -> None:
    """As objcopy --strip-sections and some vendors' tools leave it."""
    content = bytearray(program.read_bytes())
    content[32:36], content[48:52] = bytes(4), bytes(4)  # e_shoff, then e_shnum and e_shstrndx
    (tmp_path / "bare.elf").write_bytes(content)
    bare, whole = read_elf(tmp_path / "bare.elf"), read_elf(program)
    assert (bare.entry, bare.segments) == (whole.entry, whole.segments)
    assert read_sections(tmp_path / "bare.elf") == bare.functions == ()
    with pytest.raises(InputError, match="stripped of its symbols"):
        bare.address_of("start")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"not an ELF at all" * 10])
def test_what_is_no_elf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.elf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.elf is not an Arm ELF"):
        read_elf(path)


def test_a_truncated_elf_is_refused(program: Path, tmp_path: Path) -> None:
    content = program.read_bytes()
    path = tmp_path / "cut.elf"
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match=r"cut\.elf is not an Arm ELF"):
        read_elf(path)
