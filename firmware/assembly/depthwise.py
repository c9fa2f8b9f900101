"""Depthwise convolution of four channels on planes of int16: the routine made for a layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hilnas.firmware.assembly.depthwise_finish import EXACT_FORM, SHIFT, ExactFinish, Finish
from hilnas.firmware.assembly.depthwise_layout import HEADER_BYTES, WORD_STEP, DepthwiseLayout
from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule
from hilnas.firmware.assembly.taps import Addresses, RowOfOutputs, block

# The frame: first the call's arguments (struct hilnas_depthwise_group), then the channel's numbers in the order in which a segment's end
# takes them, then counters.
_PLANES, _OUTPUT, _CHANNELS, _STREAM, _ROWS, _ROW_TABLE, _PIXEL = range(0, 28, 4)
_MULTIPLIER, _ADDEND, _OUTPUT_NOW, _MINUS_PIXEL, _MINUS_THREE_PIXELS = range(32, SHIFT, 4)
_ROW_NOW, _ROWS_LEFT, _TABLE_NOW, _ENTRIES = 56, 60, 64, 68
_ROWS_END = _ROWS_LEFT  # where all filter rows are done in a piece
_FRAME = 88


@dataclass(frozen=True)
class Depthwise(DepthwiseLayout):
    """The routine. Where the image's height does not matter, routines for different heights are the same."""

    @property
    def symbol(self) -> str:
        """The routine's name."""
        height, width = self.filter
        shape = f"{height}x{width}_stride_{self.stride}_left_{self.padding[1]}"
        image = f"from_{self.input[1]}_to_{self.output[1]}"
        if self.whole:
            return f"hilnas_depthwise_{shape}_{image}_top_{self.padding[0]}_{self.input[0]}_to_{self.output[0]}"
        return f"hilnas_depthwise_{shape}_{image}" + ("_repeated" if self.few_segments and self.padded else "")

    @property
    def finishes(self) -> tuple[Finish | ExactFinish, ...]:
        """The routines that end its segments."""
        return (*dict.fromkeys(self._sites), ExactFinish())

    @property
    def _sites(self) -> tuple[Finish, ...]:
        """For each place in the code where a segment ends, what ends it: a copy of its own, so that the way back is predicted."""
        return tuple(Finish(outputs, site) for site, outputs in enumerate(self.ends))

    @property
    def loop_bytes(self) -> tuple[int, ...]:
        """The pieces of code that each row takes, or each channel where the code covers the image: products, and the ends of segments."""
        return _loop_bytes(self)

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        return self.routine().text(
            f"Depthwise {self.filter[0]}x{self.filter[1]}, stride {self.stride}, rows of {self.input[1]} to rows of {self.output[1]}; "
            "struct hilnas_depthwise_group in r0.",
            schedule,
        )

    def routine(self) -> Routine:
        """Its instructions."""
        routine = Routine(self.symbol)
        _enter(routine)
        routine.label("channel")
        _start_channel(routine, self)
        if self.whole:
            for row in range(self.output[0]):
                _whole_row(routine, self, row)
        else:
            routine.label("row")
            _start_row(routine, self)
            _row(routine, self)
            _end_row(routine, self)
        _end_channel(routine)
        routine.directive(".balign 4")
        routine.label("entries")
        for form in range(EXACT_FORM + 1):
            for finish in self._sites:
                routine.directive(f".word {finish.entry(form)} + 1")
        return routine


@lru_cache(maxsize=1024)
def _loop_bytes(kernel: Depthwise) -> tuple[int, ...]:
    products = kernel.routine().code_bytes("channel" if kernel.whole else "row", "entries")
    return products, *(Finish(outputs, site).form_bytes for site, outputs in enumerate(kernel.ends))


def _enter(routine: Routine) -> None:
    routine("push", "{r4-r11, lr}")
    routine("sub", "sp", "sp", f"#{_FRAME}")
    routine("ldm", "r0", "{r1-r7}")
    routine("stm", "sp", "{r1-r7}")
    routine("mov", "r9", "#0")
    routine("sub", "r10", "r9", "r7")
    routine("sub", "r11", "r10", "r7, lsl #1")
    routine("strd", "r10", "r11", f"[sp, #{_MINUS_PIXEL}]")


def _start_channel(routine: Routine, kernel: Depthwise) -> None:
    """Weights in s2, the start of the sums in s4; where the code covers the image, pixels in s1."""
    routine("ldm", "sp", "{r0-r3}")  # planes, output, channels, stream
    routine("ldm", "r3!", "{r5-r8}")  # start, form and shift, multiplier, addend
    routine("vmov", "s2", "r3")
    routine("vmov", "s4", "r5")
    _keep_weights(routine, kernel)
    routine("add", "r3", "r3", f"#{kernel.channel_bytes - HEADER_BYTES}")
    routine("str", "r3", f"[sp, #{_STREAM}]")
    routine("strd", "r7", "r8", f"[sp, #{_MULTIPLIER}]")
    routine("str", "r1", f"[sp, #{_OUTPUT_NOW}]")
    routine("str", "r6", f"[sp, #{SHIFT}]")
    routine("lsr", "r6", "r6", "#8")
    routine("adr", "r4", routine.target("entries"))
    sites = len(kernel.ends)
    routine("mov", "r5", f"#{4 * sites}")
    routine("mla", "r4", "r6", "r5", "r4")
    if kernel.whole:
        routine("str", "r4", f"[sp, #{_ENTRIES}]")
        routine("vmov", "s1", "r0")
        return
    for site in range(sites):
        routine("ldr", "r7", f"[r4, #{4 * site}]")
        routine("str", "r7", f"[sp, #{_ENTRIES + 4 * site}]")
    routine("ldrd", "r1", "r2", f"[sp, #{_ROWS}]")
    if kernel.unrolled:
        routine("mov", "r4", f"#{kernel.pitch * kernel.stride}")
        routine("mla", "r1", "r1", "r4", "r0")
        routine("str", "r0", f"[sp, #{_ROW_NOW}]")
        routine("str", "r1", f"[sp, #{_ROWS_END}]")
        routine("mov", "r12", "r0")
    else:
        routine("strd", "r1", "r2", f"[sp, #{_ROWS_LEFT}]")


def _keep_weights(routine: Routine, kernel: Depthwise) -> None:
    for row, registers in enumerate(kernel.weight_registers):
        for at in range(0, len(registers), 2):
            routine("ldr", "r10", f"[r3, #{row * kernel.row_bytes + 2 * at}]")
            routine("sxtb16", "r11", "r10")
            routine("vmov", registers[at], "r11")
            if at + 1 < len(registers):
                routine("sxtb16", "r10", "r10", "ror #8")
                routine("vmov", registers[at + 1], "r10")


def _start_row(routine: Routine, kernel: Depthwise) -> None:
    """Pixels in r12 (already, where all filter rows are done in a piece) and s1, weights in lr and, where filter rows are a loop, in s3;
    the end of the weights in s0."""
    if kernel.unrolled:
        if not kernel.weight_registers:
            routine("vmov", "lr", "s2")
    else:
        routine("ldr", "r0", f"[sp, #{_TABLE_NOW}]")
        routine("ldr", "r4", f"[sp, #{_PLANES}]")
        routine("vmov", "r5", "s2")
        routine("ldm", "r0!", "{r1-r3}")
        routine("str", "r0", f"[sp, #{_TABLE_NOW}]")
        routine("add", "r12", "r4", "r1")
        routine("add", "lr", "r5", "r2")
        routine("add", "r5", "r5", "r3")
        routine("vmov", "s0", "r5")
    _, repeats, _ = kernel.pattern
    if len(kernel.segments) > 1 or repeats > 1:
        routine("vmov", "s1", "r12")
        if not kernel.unrolled:
            routine("vmov", "s3", "lr")
    if repeats > 1:
        routine("add", "r0", "r12", f"#{_advance(kernel) * repeats}")
        routine("vmov", "s6", "r0")


def _advance(kernel: Depthwise) -> int:
    return WORD_STEP * sum(kernel.pattern[0]) * kernel.stride // 2


def _row(routine: Routine, kernel: Depthwise) -> None:
    repeating, repeats, _ = kernel.pattern
    if repeats > 1:
        routine.label("repeat")
    for index, segment in enumerate(kernel.segments):
        loops = repeats > 1 and index == len(repeating) - 1
        following = kernel.segments[0 if loops else (index + 1) % len(kernel.segments)]
        finish = [*_end_segment(following.outputs), Instruction("ldr", ("lr", f"[sp, #{_ENTRIES + 4 * index}]"))]
        restore = [Instruction("vmov", ("r12", "s1"))] if index or repeats > 1 else []
        if restore and not kernel.weight_registers:
            restore.append(Instruction("vmov", ("lr", "s2" if kernel.unrolled else "s3")))
        if kernel.unrolled:
            rows = {row: _first_word(kernel, index) + row * kernel.pitch for row in range(kernel.filter[0])}
            routine.block([*restore, *_with_start(_filter_rows(kernel, segment, rows), segment.outputs), *finish])
        else:
            _row_loop(routine, kernel, index, restore)
            routine.block(finish)
        routine("blx", "lr")
        if loops:
            _repeat(routine, kernel)


def _whole_row(routine: Routine, kernel: Depthwise, row: int) -> None:
    segment = kernel.segments[0]
    top = row * kernel.stride - kernel.padding[0]
    rows = {y: (top + y) * kernel.pitch for y in range(kernel.filter[0]) if 0 <= top + y < kernel.input[0]}
    start = [Instruction("vmov", ("r12", "s1")), Instruction("vmov", ("lr", "s2"))]
    products = _with_start(_filter_rows(kernel, segment, rows), segment.outputs)
    entry = [Instruction("ldr", ("lr", f"[sp, #{_ENTRIES}]")), Instruction("ldr", ("lr", f"[lr, #{4 * row}]"))]
    routine.block([*start, *products, *_end_segment(segment.outputs), *entry])
    routine("blx", "lr")


def _end_segment(following: int) -> list[Instruction]:
    """Loads what the end of a segment takes, notes where the last of the `following` outputs goes."""
    return [
        Instruction("add", ("r12", "sp", f"#{_MULTIPLIER}")),
        Instruction("ldm", ("r12", "{r8-r12}")),
        *_next_output(following),
        Instruction("str", ("lr", f"[sp, #{_OUTPUT_NOW}]")),
    ]


def _first_word(kernel: Depthwise, index: int) -> int:
    """Offset of the word of pixels 0 and 1, from where the pixels' register points during a segment."""
    repeating, repeats, _ = kernel.pattern
    passed = _advance(kernel) * repeats if index >= len(repeating) else 0
    return WORD_STEP * kernel.words_before - passed


def _filter_rows(kernel: Depthwise, segment: RowOfOutputs, rows: dict[int, int]) -> list[Instruction]:
    """The products of some filter rows; `rows` has the offset of each one's first word of pixels."""
    code: list[Instruction] = []
    registers = tuple(f"r{number}" for number in range(segment.outputs, 12))
    for row, offset in rows.items():
        if kernel.weight_registers:
            addresses = Addresses("r12", offset, WORD_STEP, weight_registers=kernel.weight_registers[row])
            code += block(segment, kernel.words, (*registers, "lr"), addresses).instructions
        else:
            addresses = Addresses("r12", offset, WORD_STEP, "lr", row * kernel.row_bytes)
            code += block(segment, kernel.words, registers, addresses).instructions
    return code


def _with_start(code: list[Instruction], outputs: int) -> list[Instruction]:
    """Every sum's first product takes the start of the sum from the register of the sum that begins last."""
    sums = tuple(f"r{number}" for number in range(outputs))
    begun: list[str] = []
    for instruction in code:
        if instruction.is_multiply and instruction.operands[0] not in begun:
            begun.append(instruction.operands[0])
    holder = begun[-1] if begun else sums[0]
    result = [Instruction("vmov", (holder, "s4"))]
    seen: set[str] = set()
    for instruction in code:
        target = instruction.operands[0]
        if instruction.is_multiply and target not in seen:
            seen.add(target)
            instruction = Instruction(instruction.mnemonic, (*instruction.operands[:3], holder))
        result.append(instruction)
    return [*result, *(Instruction("mov", (name, holder)) for name in sums if name not in seen and name != holder)]


def _row_loop(routine: Routine, kernel: Depthwise, index: int, restore: list[Instruction]) -> None:
    segment = kernel.segments[index]
    sums = [f"r{number}" for number in range(segment.outputs)]
    pool = tuple(f"r{number}" for number in range(segment.outputs, 12))
    addresses = Addresses("r12", _first_word(kernel, index), WORD_STEP, "lr")
    roomy, tight = (block(segment, kernel.words, registers, addresses) for registers in (pool, pool[:-1]))
    keeps_end = tight.cost <= roomy.cost
    body = list((tight if keeps_end else roomy).instructions)
    end = pool[-1]
    start = [*restore, Instruction("vmov", (sums[0], "s4"))]
    start += [Instruction("mov", (name, sums[0])) for name in sums[1:]]
    if keeps_end:
        start.append(Instruction("vmov", (end, "s0")))
    routine.block(start)
    routine.label(f"filter_row_{index}")
    step = [Instruction("add", ("r12", "r12", f"#{kernel.pitch}")), Instruction("add", ("lr", "lr", f"#{kernel.row_bytes}"))]
    check = [] if keeps_end else [Instruction("vmov", (end, "s0"))]
    routine.block([*body, *step, *check, Instruction("cmp", ("lr", end))])
    routine("bne", routine.target(f"filter_row_{index}"))


def _next_output(outputs: int) -> list[Instruction]:
    """lr: where the last output of the next segment goes. r10: the same of this segment, r11 and r12: minus one and three pixels."""
    parts = {
        1: ("r11",),
        2: ("r11, lsl #1",),
        3: ("r12",),
        4: ("r11, lsl #2",),
        5: ("r11, lsl #2", "r11"),
        6: ("r12, lsl #1",),
        7: ("r12, lsl #1", "r11"),
        8: ("r11, lsl #3",),
    }[outputs]
    code = []
    source = "r10"
    for part in parts:
        code.append(Instruction("sub", ("lr", source, *part.split(", "))))
        source = "lr"
    return code


def _repeat(routine: Routine, kernel: Depthwise) -> None:
    advance = _advance(kernel)
    routine("vmov", "r0", "s1")
    routine("vmov", "r1", "s6")
    routine("add", "r0", "r0", f"#{advance}")
    routine("vmov", "s1", "r0")
    routine("cmp", "r0", "r1")
    routine("bne", routine.target("repeat"))
    if kernel.pattern[2]:
        # The place of the last output of another repetition becomes that of the last output of the rest.
        routine("ldr", "r0", f"[sp, #{_OUTPUT_NOW}]")
        routine("ldr", "r1", f"[sp, #{_PIXEL}]")
        routine("mov", "r2", f"#{kernel.pattern[2][0] - kernel.pattern[0][0]}")
        routine("mla", "r0", "r1", "r2", "r0")
        routine("str", "r0", f"[sp, #{_OUTPUT_NOW}]")


def _end_row(routine: Routine, kernel: Depthwise) -> None:
    if kernel.unrolled:
        routine("ldr", "r12", f"[sp, #{_ROW_NOW}]")
        routine("ldr", "r1", f"[sp, #{_ROWS_END}]")
        routine("add", "r12", "r12", f"#{kernel.pitch * kernel.stride}")
        routine("str", "r12", f"[sp, #{_ROW_NOW}]")
        routine("cmp", "r12", "r1")
    else:
        routine("ldr", "r1", f"[sp, #{_ROWS_LEFT}]")
        routine("subs", "r1", "r1", "#1")
        routine("str", "r1", f"[sp, #{_ROWS_LEFT}]")
    routine("bne", routine.target("row"))


def _end_channel(routine: Routine) -> None:
    routine("ldm", "sp", "{r0-r2}")
    routine("add", "r0", "r0", "#4")
    routine("add", "r1", "r1", "#1")
    routine("subs", "r2", "r2", "#1")
    routine("stm", "sp", "{r0-r2}")
    routine("bne", routine.target("channel"))
    routine("add", "sp", "sp", f"#{_FRAME}")
    routine("pop", "{r4-r11, pc}")
