"""The suites of micro-benchmarks: what is known of a core, as an image that measures it with the cycle counter.

The image runs on the emulator, where it checks the timing model, and on a real board, where it checks what is known. Each
benchmark's body stands in a loop twice, once with twice as many copies, so that what the loop itself costs cancels out.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from hilnas.boards.board import AcceleratedFlash, Board
from hilnas.boards.linker import linker_script
from hilnas.errors import ProtocolError, TargetTimeoutError
from hilnas.files import sha256
from hilnas.firmware.board_support import support_header, support_sources
from hilnas.firmware.build import core_flags
from hilnas.firmware.protocol import Decoder, Line, c_header
from hilnas.firmware.toolchain import ARM, RUNTIME_FOLDER
from hilnas.hil.transport import Transport

_HERE = Path(__file__)
SUITES = {"cortex-m7": _HERE.with_suffix(".yaml"), "cortex-m4": _HERE.with_name("microbenchmarks_cortex_m4.yaml")}
"""What is known, by core."""
TURNS = 40
_REPLACED = ("report.c",)
_BUFFERS = {"dtcm": "microbenchmark_buffer", "axi": "microbenchmark_slower", "flash": "microbenchmarks_start"}


@dataclass(frozen=True)
class Microbenchmark:
    """A body of assembly and the cycles that one pass of it takes according to `source`, on `board` or on any."""

    name: str
    group: str
    body: str
    cycles: float
    source: str
    memory: str = "dtcm"
    copies: int = 0
    board: str | None = None
    loop_cycles: int = 100

    @property
    def passes(self) -> int:
        """Copies of the body in the shorter loop: so many that the loop takes at least `loop_cycles`."""
        return self.copies or max(1, -(-self.loop_cycles // max(1, int(self.cycles))))

    @property
    def loop_bytes(self) -> int:
        """Code of the longer loop at most: of wide instructions."""
        return 2 * self.passes * 4 * (self.body.count(";") + 1)


def load_suite(core: str = "cortex-m7") -> tuple[Microbenchmark, ...]:
    """The micro-benchmarks of a core, in order."""
    document = yaml.safe_load(SUITES[core].read_text())
    common = {"loop_cycles": document["loop_cycles"]} if "loop_cycles" in document else {}
    return tuple(Microbenchmark(group=group["title"], **common, **item) for group in document["groups"] for item in group["benchmarks"])


def suite_for(board: Board) -> tuple[Microbenchmark, ...]:
    """The micro-benchmarks that a board can run and whose cycles hold for it: loops that its instruction cache holds."""
    has_doubles = board.fpu == "fpv5-d16"
    cache_bytes = _instruction_cache_bytes(board)
    return tuple(
        item
        for item in load_suite(board.core)
        if item.board in (None, board.name) and item.loop_bytes <= cache_bytes and (has_doubles or ".f64" not in item.body)
    )


def _instruction_cache_bytes(board: Board) -> int:
    if board.caches:
        return board.caches.instruction.bytes
    flash = board.memories[board.placement.text].timing
    return flash.instruction_lines * flash.line_bytes if isinstance(flash, AcceleratedFlash) else 0


def suite_assembly(suite: tuple[Microbenchmark, ...], board: Board) -> str:
    """The suite as GNU assembly: `report_loop`, which the start-up code calls, measures all and reports a table of cycles for ever."""
    loops = "\n".join(_loop(f"{index}_{copies}", item, copies) for index, item in enumerate(suite) for copies in _copies(item))
    table = "\n".join(f"    .word loop_{index}_{copies}" for index, item in enumerate(suite) for copies in _copies(item))
    return _SUITE.substitute(loops=loops, table=table, count=2 * len(suite), turns=TURNS, slower=board.placement.arena[-1])


def build_suite(suite: tuple[Microbenchmark, ...], board: Board, elf: Path) -> str:
    """Builds the suite's image for a board; returns the build id that it reports.

    Raises:
        ToolMissingError: the Arm compiler is not installed.
        BuildError: it failed.
    """
    assembly = suite_assembly(suite, board)
    build_id = sha256((assembly + board.model_dump_json()).encode())[:16]
    with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
        folder = Path(name)
        (folder / "suite.S").write_text(assembly)
        (folder / "linker.ld").write_text(linker_script(board, board.placement.arena))
        (folder / "hilnas_board.h").write_text(support_header(board, build_id, "", 1))
        (folder / "hilnas_protocol.h").write_text(c_header())
        sources = [path for path in support_sources(board) if path.name not in _REPLACED]
        link = ("-nostdlib", "-nostartfiles", "-Wl,--gc-sections", f"-Wl,-T,{folder / 'linker.ld'}")
        flags = (*core_flags(board), "-Os", f"-I{folder}", f"-I{RUNTIME_FOLDER}")
        ARM.run([*flags, folder / "suite.S", _HERE.with_suffix(".c"), *sources, *link, "-lgcc", "-o", elf])
    return build_id


def measured_cycles(suite: tuple[Microbenchmark, ...], results: tuple[int, ...]) -> tuple[float, ...]:
    """Cycles of one pass of each body, from the table that the suite leaves: for each, the shorter and the longer loop."""
    pairs = zip(results[::2], results[1::2], strict=True)
    return tuple((longer - shorter) / (TURNS * item.passes) for item, (shorter, longer) in zip(suite, pairs, strict=True))


def receive_results(suite: tuple[Microbenchmark, ...], build_id: str, transport: Transport, timeout_s: float) -> tuple[int, ...]:
    """The table of cycles that the image says, once all of it has come.

    Raises:
        ProtocolError: it is not that image that speaks.
        TargetTimeoutError: it does not say all in time.
    """
    decoder, cycles, give_up = Decoder(), dict[int, int](), time.monotonic() + timeout_s
    while len(cycles) < 2 * len(suite):
        left = give_up - time.monotonic()
        if left <= 0:
            came = f"{len(cycles)} of {2 * len(suite)} results of the timing suite came within {timeout_s:g} s"
            raise TargetTimeoutError(came, "Check the serial port, and that the board was flashed.")
        for event in decoder.feed(transport.read(left)):
            if not isinstance(event, Line):
                continue
            if event.kind != "benchmark" or event.values.get("build") != build_id:
                raise ProtocolError(
                    f"another firmware speaks: it sent a line {event.kind!r} that is not of build {build_id}", "Flash again."
                )
            cycles[event.number("index")] = event.number("cycles")
    return tuple(cycles[index] for index in range(2 * len(suite)))


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
microbenchmark_buffer:
    .space 256
microbenchmark_results:
    .space 4 * ${count}

    .section .arena.${slower}, "aw", %nobits
    .p2align 6
microbenchmark_slower:
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
    ldr.w r5, =microbenchmark_results
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
    ldr.w r0, =microbenchmark_results
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
