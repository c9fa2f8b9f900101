"""The suite of micro-benchmarks: what is known of the Cortex-M7, as an image that measures it with the cycle counter.

The image runs on the emulator, where it checks the timing model, and on a real board, where it checks what is known. Each
benchmark's body stands in a loop twice, once with twice as many copies, so that what the loop itself costs cancels out.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from hilnas.boards.board import Board
from hilnas.boards.linker import linker_script
from hilnas.errors import CheckFailedError
from hilnas.firmware.board_support import RUNTIME_FOLDER, support_header, support_sources
from hilnas.firmware.build import core_flags
from hilnas.firmware.protocol import Decoder, Line, c_header
from hilnas.firmware.toolchain import ARM
from hilnas.hil.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.timing import TimingModel

SUITE = Path(__file__).with_suffix(".yaml")
RESULTS_SYMBOL = "microbenchmark_results"
DONE_SYMBOL = "microbenchmarks_done"
TURNS = 40
_LOOP_CYCLES = 100
_LIMIT = 100_000_000
_REPLACED = ("report.c",)
_BUFFERS = {"dtcm": "microbenchmark_buffer", "axi": "microbenchmark_axi", "flash": "microbenchmarks_start"}


@dataclass(frozen=True)
class Microbenchmark:
    """A body of assembly and the cycles that one pass of it takes according to `source`."""

    name: str
    group: str
    body: str
    cycles: float
    source: str
    memory: str = "dtcm"
    copies: int = 0

    @property
    def passes(self) -> int:
        """Copies of the body in the shorter loop: so many that the loop takes at least 100 cycles."""
        return self.copies or max(1, -(-_LOOP_CYCLES // max(1, int(self.cycles))))


def load_suite(path: Path = SUITE) -> tuple[Microbenchmark, ...]:
    """The micro-benchmarks of a suite, in order."""
    document = yaml.safe_load(path.read_text())
    return tuple(Microbenchmark(group=group["title"], **item) for group in document["groups"] for item in group["benchmarks"])


def suite_assembly(suite: tuple[Microbenchmark, ...]) -> str:
    """The suite as GNU assembly: `report_loop`, which the start-up code calls, measures all and leaves cycles in a table."""
    loops = "\n".join(_loop(f"{index}_{copies}", item, copies) for index, item in enumerate(suite) for copies in _copies(item))
    table = "\n".join(f"    .word loop_{index}_{copies}" for index, item in enumerate(suite) for copies in _copies(item))
    return _SUITE.substitute(
        loops=loops, table=table, count=2 * len(suite), turns=TURNS, results=RESULTS_SYMBOL, done=DONE_SYMBOL, buffer=_BUFFERS["dtcm"]
    )


def build_suite(suite: tuple[Microbenchmark, ...], board: Board, elf: Path) -> None:
    """Builds the suite's image for a board.

    Raises:
        ToolMissingError: the Arm compiler is not installed.
        BuildError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
        folder = Path(name)
        (folder / "suite.S").write_text(suite_assembly(suite))
        (folder / "linker.ld").write_text(linker_script(board))
        (folder / "hilnas_board.h").write_text(support_header(board, "", "", 1))
        (folder / "hilnas_protocol.h").write_text(c_header())
        sources = [path for path in support_sources(board) if path.name not in _REPLACED]
        link = ("-nostdlib", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,-T,{folder / 'linker.ld'}")
        flags = (*core_flags(board), "-Os", f"-I{folder}", f"-I{RUNTIME_FOLDER}")
        ARM.run([*flags, folder / "suite.S", SUITE.with_suffix(".c"), *sources, *link, "-lgcc", "-o", elf])


def measured_cycles(suite: tuple[Microbenchmark, ...], results: tuple[int, ...]) -> tuple[float, ...]:
    """Cycles of one pass of each body, from the table that the suite leaves: for each, the shorter and the longer loop."""
    pairs = zip(results[::2], results[1::2], strict=True)
    return tuple((longer - shorter) / (TURNS * item.passes) for item, (shorter, longer) in zip(suite, pairs, strict=True))


def reported_results(suite: tuple[Microbenchmark, ...], data: bytes) -> tuple[int, ...] | None:
    """The table of cycles from what the image says over its UART; None while some of it has not come."""
    cycles = {
        int(line.values["index"], 16): int(line.values["cycles"], 16)
        for line in Decoder().feed(data)
        if isinstance(line, Line) and line.kind == "benchmark"
    }
    return tuple(cycles[index] for index in range(2 * len(suite))) if len(cycles) == 2 * len(suite) else None


def model_cycles(suite: tuple[Microbenchmark, ...], board: Board, folder: Path) -> tuple[float, ...]:
    """Cycles of one pass of each body on the emulator; the image is built in `folder`.

    Raises:
        BuildError: the image cannot be built.
        CheckFailedError: the timing model met an instruction that it does not know.
    """
    elf = folder / "microbenchmarks.elf"
    build_suite(suite, board, elf)
    with Machine(board, read_elf(elf)) as machine, TimingModel(board) as model:
        machine.set_timing(model.machine_timing())
        machine.stop_at(DONE_SYMBOL)
        machine.run(_LIMIT)
        if warnings := model.warnings():
            raise CheckFailedError(f"the timing model does not know what it runs: {warnings}", "See docs/timing.md.")
        return measured_cycles(suite, read_results(machine, suite))


def markdown_table(suite: tuple[Microbenchmark, ...], cycles: tuple[float, ...]) -> str:
    """Expected and modelled cycles with their sources, one table a group."""
    lines = []
    for group in dict.fromkeys(item.group for item in suite):
        lines += [f"### {group}", "", "| body | expected | modelled | source |", "|---|---:|---:|---|"]
        for item, modelled in zip(suite, cycles, strict=True):
            if item.group == group:
                lines.append(f"| `{item.body}` | {item.cycles:g} | {modelled:.2f} | {item.source} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def read_results(machine: Machine, suite: tuple[Microbenchmark, ...]) -> tuple[int, ...]:
    """The table of cycles of a machine that has run the suite."""
    count = 2 * len(suite)
    return struct.unpack(f"<{count}I", machine.read_memory(machine.elf.address_of(RESULTS_SYMBOL), 4 * count))


def _copies(item: Microbenchmark) -> tuple[int, int]:
    return item.passes, 2 * item.passes


def _loop(label: str, item: Microbenchmark, copies: int) -> str:
    body = "\n".join(f"    {line.strip()}" for line in item.body.split(";"))
    return _LOOP.substitute(label=label, copies=copies, body=body, buffer=_BUFFERS[item.memory])


_LOOP = Template("""
    .p2align 5
loop_${label}:
    push.w {r9, lr}
    mov.w r9, r0
    movw r0, #:lower16:microbenchmark_buffer
    movt r0, #:upper16:microbenchmark_buffer
    mov.w r1, #0
    mov.w r2, #0
    mov.w r3, #0
    mov.w r5, #1
    mov.w r6, #1
    add.w r7, r0, #128
    mov.w r8, #0
    mov.w r12, #2
    bl set_singles
    .p2align 5
1:  movw r4, #:lower16:${buffer}
    movt r4, #:upper16:${buffer}
    sub.w r9, r9, #1
    cmp.w r5, r3
    nop.w
    isb
    .rept ${copies}
${body}
    .endr
    .p2alignw 3, 0xbf00
    isb
    cmp.w r9, #0
    nop.w
    nop.w
    nop.w
    nop.w
    nop.w
    nop.w
    nop.w
    bne.w 1b
    pop.w {r9, pc}
""")

_SUITE = Template("""
    .syntax unified
    .thumb
    .section .bss.microbenchmarks, "aw", %nobits
    .p2align 6
    .global microbenchmark_buffer, ${results}
microbenchmark_buffer:
    .space 256
${results}:
    .space 4 * ${count}

    .section .arena.axi, "aw", %nobits
    .p2align 6
microbenchmark_axi:
    .space 131072

    .section .text.microbenchmarks, "ax", %progbits
    .p2align 6
microbenchmarks_start:

    .global report_loop
    .thumb_func
    .type report_loop, %function
report_loop:
    ldr.w r0, =microbenchmark_buffer
    str.w r0, [r0]
    ldr.w r4, =loops
    ldr.w r5, =${results}
    ldr.w r6, =${count}
    ldr.w r7, =0xe0001004
1:  ldr.w r8, [r4], #4
    mov.w r0, #3
    bl call
    mov.w r0, #${turns}
    ldr.w r10, [r7]
    bl call
    ldr.w r11, [r7]
    sub.w r11, r11, r10
    str.w r11, [r5], #4
    subs.w r6, r6, #1
    bne.w 1b
    .global ${done}
    .thumb_func
    .type ${done}, %function
${done}:
    ldr.w r0, =${results}
    ldr.w r1, =${count}
    b.w microbenchmarks_report

    .global report_fault
    .thumb_func
report_fault:
    b.w report_fault

    .thumb_func
call:
    push.w {r4-r8, lr}
    orr.w r8, r8, #1
    blx r8
    pop.w {r4-r8, pc}

    .thumb_func
set_singles:
    vmov.f32 s0, #1.0
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmov.f32 s\\n, s0
    .endr
    bx lr
    .ltorg

    .p2align 2
loops:
${table}
${loops}
""")
