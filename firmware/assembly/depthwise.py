"""Depthwise convolution of four channels: their pixels are spread to planes of int16, one a channel, then each plane is convolved by
itself, up to eight neighbouring outputs at a time.

Planes hold inputs less their zero point, so padding is 0 and can be left out where it is cheaper to do so. A plane is rows of whole words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hilnas.firmware.assembly.emitter import Instruction, Routine
from hilnas.firmware.assembly.requantise import FIT_SHIFTS
from hilnas.firmware.assembly.scheduler import schedule
from hilnas.firmware.assembly.taps import Addresses, RowOfOutputs, block, words_of

MOST_OUTPUTS = 8
EXACT_FORM = len(FIT_SHIFTS)
HEADER_BYTES = 20
"""Of a channel's stream, before its weights: start of the sum, form of requantisation, multiplier, addend, shift."""

# The frame: first the call's arguments (struct hilnas_depthwise_group), then the channel's numbers in the order in which a segment's end
# takes them, then counters.
_PLANES, _OUTPUT, _STREAM, _ROWS, _ROW_TABLE, _CHANNELS, _PIXEL, _PLANE = range(0, 32, 4)
_MULTIPLIER, _ADDEND, _OUTPUT_NOW, _MINUS_PIXEL, _MINUS_THREE_PIXELS, _SHIFT = range(32, 56, 4)
_ROW_NOW, _ROWS_LEFT, _TABLE_NOW, _WEIGHTS, _ENTRIES = 56, 60, 64, 68, 72
_FRAME = 88


@dataclass(frozen=True)
class Depthwise:
    """A routine for planes of one shape: filter (height, width), stride of both directions, padding, width of input and output."""

    height: int
    width: int
    stride: int
    padding_left: int
    input_width: int
    output_width: int

    @property
    def symbol(self) -> str:
        """The routine's name."""
        shape = f"{self.height if self.unrolled else 'n'}x{self.width}_stride_{self.stride}_left_{self.padding_left}"
        return f"hilnas_depthwise_{shape}_from_{self.input_width}_to_{self.output_width}"

    @property
    def unrolled(self) -> bool:
        """Whether all filter rows are done in a piece; otherwise one after the other, those outside the image left out."""
        return self.height <= 3

    @cached_property
    def pattern(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """Outputs of the segments of a row: those that repeat, how often, and those of the rest."""
        width, most = self.output_width, MOST_OUTPUTS
        if width <= most:
            return (width,), 1, ()
        for size in range(most, 3, -1):
            if width % size == 0 and size * self.stride % 2 == 0:
                return (size,), width // size, ()
        for size in range(most, 3, -1):
            if width % (2 * size) == 0:
                return (size, size), width // (2 * size), ()
        if width <= 2 * most:
            return (width - width // 2, width // 2), 1, ()
        repeats = (width - 1) // most
        return (most,), repeats, (width - repeats * most,)

    @property
    def padded(self) -> bool:
        """Whether the padding at a row's ends is there as zeros: where a segment's code serves several places of a row."""
        return self.pattern[1] > 1

    @property
    def words_before(self) -> int:
        """Words of padding before pixel 0."""
        return (self.padding_left + 1) // 2 if self.padded else 0

    @property
    def pitch(self) -> int:
        """Bytes of a row of a plane."""
        last = (self.output_width - 1) * self.stride - self.padding_left + self.width - 1 if self.padded else 0
        return 4 * (self.words_before + max((self.input_width + 1) // 2, last // 2 + 1))

    @cached_property
    def segments(self) -> tuple[RowOfOutputs, ...]:
        """The segments of the pattern, then those of the rest."""
        repeating, repeats, rest = self.pattern
        found: list[RowOfOutputs] = []
        first = 0
        for outputs in (*repeating, *rest):
            if len(found) == len(repeating):
                first = sum(repeating) * repeats
            pixels = None if self.padded else self.input_width
            found.append(RowOfOutputs(first, outputs, self.width, self.stride, self.padding_left, pixels))
            first += outputs
        return tuple(found)

    @cached_property
    def words(self) -> tuple[int, ...]:
        """The words of weights of a filter row, as `taps` has them."""
        return words_of(self.segments)

    @property
    def row_bytes(self) -> int:
        """Bytes of a filter row in the stream."""
        return 4 * ((len(self.words) + 1) // 2)

    @property
    def channel_bytes(self) -> int:
        """Bytes of a channel in the stream."""
        return HEADER_BYTES + self.height * self.row_bytes

    def text(self) -> str:
        """The routine in assembly."""
        routine = Routine(self.symbol)
        sizes = tuple(dict.fromkeys(segment.outputs for segment in self.segments))
        _enter(routine)
        routine.label("channel")
        _start_channel(routine, self, sizes)
        routine.label("row")
        _start_row(routine, self)
        repeating, repeats, _ = self.pattern
        if repeats > 1:
            routine.label("repeat")
        for index, segment in enumerate(self.segments):
            following = self.segments[(index + 1) % len(self.segments)]
            if index == len(repeating) - 1 and repeats > 1:
                _end_segment(routine, self, index, segment, self.segments[0] if not self.segments[index + 1 :] else segment, sizes)
                _repeat(routine, self)
            else:
                _end_segment(routine, self, index, segment, following, sizes)
        _end_row(routine, self)
        _end_channel(routine, self)
        routine.directive(".balign 4")
        routine.label("entries")
        for form in range(EXACT_FORM + 1):
            for size in sizes:
                routine.directive(f".word hilnas_depthwise_finish_{form}_{size} + 1")
        return routine.text(
            f"Depthwise {self.height}x{self.width}, stride {self.stride}, rows of {self.input_width} to rows of {self.output_width}; "
            "struct hilnas_depthwise_group in r0."
        )


def _enter(routine: Routine) -> None:
    routine("push", "{r4-r11, lr}")
    routine("sub", "sp", "sp", f"#{_FRAME}")
    routine("ldm", "r0", "{r1-r8}")
    routine("stm", "sp", "{r1-r8}")
    routine("mov", "r9", "#0")
    routine("sub", "r10", "r9", "r7")
    routine("sub", "r11", "r10", "r7, lsl #1")
    routine("strd", "r10", "r11", f"[sp, #{_MINUS_PIXEL}]")


def _start_channel(routine: Routine, kernel: Depthwise, sizes: tuple[int, ...]) -> None:
    routine("ldr", "r0", f"[sp, #{_STREAM}]")
    routine("ldm", "r0!", "{r1-r5}")
    routine("str", "r0", f"[sp, #{_WEIGHTS}]")
    routine("add", "r0", "r0", f"#{kernel.channel_bytes - HEADER_BYTES}")
    routine("str", "r0", f"[sp, #{_STREAM}]")
    routine("vmov", "s4", "r1")
    routine("strd", "r3", "r4", f"[sp, #{_MULTIPLIER}]")
    routine("str", "r5", f"[sp, #{_SHIFT}]")
    routine("adr", "r6", routine.target("entries"))
    for _ in sizes:
        routine("add", "r6", "r6", "r2, lsl #2")
    for index in range(len(sizes)):
        routine("ldr", "r7", f"[r6, #{4 * index}]")
        routine("str", "r7", f"[sp, #{_ENTRIES + 4 * index}]")
    routine("ldr", "r8", f"[sp, #{_OUTPUT}]")
    routine("ldr", "r9", f"[sp, #{_PIXEL}]")
    routine("mov", "r10", f"#{kernel.segments[0].outputs - 1}")
    routine("mla", "r8", "r9", "r10", "r8")
    routine("str", "r8", f"[sp, #{_OUTPUT_NOW}]")
    routine("ldr", "r0", f"[sp, #{_PLANES}]")
    routine("ldr", "r1", f"[sp, #{_ROWS}]")
    routine("ldr", "r2", f"[sp, #{_ROW_TABLE}]")
    routine("str", "r0", f"[sp, #{_ROW_NOW}]")
    routine("str", "r1", f"[sp, #{_ROWS_LEFT}]")
    routine("str", "r2", f"[sp, #{_TABLE_NOW}]")


def _start_row(routine: Routine, kernel: Depthwise) -> None:
    """Pixels in r12 and s1, weights in lr and s2; where filter rows are a loop, the end of their weights in s0."""
    if kernel.unrolled:
        routine("ldr", "r12", f"[sp, #{_ROW_NOW}]")
        routine("ldr", "lr", f"[sp, #{_WEIGHTS}]")
    else:
        routine("ldr", "r0", f"[sp, #{_TABLE_NOW}]")
        routine("ldr", "r4", f"[sp, #{_PLANES}]")
        routine("ldr", "r5", f"[sp, #{_WEIGHTS}]")
        routine("ldm", "r0!", "{r1-r3}")
        routine("str", "r0", f"[sp, #{_TABLE_NOW}]")
        routine("add", "r12", "r4", "r1")
        routine("add", "lr", "r5", "r2")
        routine("add", "r5", "r5", "r3")
        routine("vmov", "s0", "r5")
    repeating, repeats, _ = kernel.pattern
    if len(kernel.segments) > 1 or repeats > 1:
        routine("vmov", "s1", "r12")
        routine("vmov", "s2", "lr")
    if repeats > 1:
        routine("add", "r0", "r12", f"#{_advance(kernel) * repeats}")
        routine("vmov", "s3", "r0")


def _advance(kernel: Depthwise) -> int:
    return 2 * sum(kernel.pattern[0]) * kernel.stride


def _end_segment(
    routine: Routine, kernel: Depthwise, index: int, segment: RowOfOutputs, following: RowOfOutputs, sizes: tuple[int, ...]
) -> None:
    """A segment: its sums, then their requantisation."""
    restore = [Instruction("vmov", ("r12", "s1")), Instruction("vmov", ("lr", "s2"))] if index or kernel.pattern[1] > 1 else []
    finish = [
        Instruction("add", ("r12", "sp", f"#{_MULTIPLIER}")),
        Instruction("ldm", ("r12", "{r8-r12}")),
        *_next_output(following.outputs),
        Instruction("str", ("lr", f"[sp, #{_OUTPUT_NOW}]")),
        Instruction("ldr", ("lr", f"[sp, #{_ENTRIES + 4 * sizes.index(segment.outputs)}]")),
    ]
    if kernel.unrolled:
        routine.extend(schedule([*restore, *_all_rows(kernel, segment), *finish]))
    else:
        _row_loop(routine, kernel, index, segment, restore)
        routine.extend(schedule(finish))
    routine("blx", "lr")


def _offset_of_first_word(kernel: Depthwise, segment: RowOfOutputs) -> int:
    """Within the rest of a row, segments lie behind all repeats, and so does s1 already."""
    shift = segment.first * kernel.stride // 2 if segment.first >= sum(kernel.pattern[0]) * kernel.pattern[1] and kernel.padded else 0
    return 4 * (kernel.words_before - shift) + (0 if not shift else 0)


def _all_rows(kernel: Depthwise, segment: RowOfOutputs) -> list[Instruction]:
    code: list[Instruction] = []
    registers = tuple(f"r{number}" for number in range(segment.outputs, 12))
    for row in range(kernel.height):
        addresses = Addresses("r12", "lr", _offset_of_first_word(kernel, segment) + row * kernel.pitch, row * kernel.row_bytes)
        code += block(segment, kernel.words, registers, addresses).instructions
    return _with_start(code, segment.outputs)


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


def _row_loop(routine: Routine, kernel: Depthwise, index: int, segment: RowOfOutputs, restore: list[Instruction]) -> None:
    sums = [f"r{number}" for number in range(segment.outputs)]
    pool = tuple(f"r{number}" for number in range(segment.outputs, 12))
    addresses = Addresses("r12", "lr", _offset_of_first_word(kernel, segment), 0)
    roomy, tight = (block(segment, kernel.words, registers, addresses) for registers in (pool, pool[:-1]))
    keeps_end = tight.cost <= roomy.cost
    body = list((tight if keeps_end else roomy).instructions)
    end = pool[-1]
    start = [*restore, Instruction("vmov", (sums[0], "s4"))]
    start += [Instruction("mov", (name, sums[0])) for name in sums[1:]]
    if keeps_end:
        start.append(Instruction("vmov", (end, "s0")))
    routine.extend(schedule(start))
    routine.label(f"filter_row_{index}")
    step = [Instruction("add", ("r12", "r12", f"#{kernel.pitch}")), Instruction("add", ("lr", "lr", f"#{kernel.row_bytes}"))]
    check = [] if keeps_end else [Instruction("vmov", (end, "s0"))]
    routine.extend(schedule([*body, *step, *check, Instruction("cmp", ("lr", end))]))
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
    routine("vmov", "r1", "s3")
    routine("add", "r0", "r0", f"#{advance}")
    routine("vmov", "s1", "r0")
    routine("cmp", "r0", "r1")
    routine("bne", routine.target("repeat"))


def _end_row(routine: Routine, kernel: Depthwise) -> None:
    routine("ldr", "r1", f"[sp, #{_ROWS_LEFT}]")
    if kernel.unrolled:
        routine("ldr", "r0", f"[sp, #{_ROW_NOW}]")
        routine("add", "r0", "r0", f"#{kernel.pitch * kernel.stride}")
        routine("str", "r0", f"[sp, #{_ROW_NOW}]")
    routine("subs", "r1", "r1", "#1")
    routine("str", "r1", f"[sp, #{_ROWS_LEFT}]")
    routine("bne", routine.target("row"))


def _end_channel(routine: Routine, kernel: Depthwise) -> None:
    routine("ldr", "r0", f"[sp, #{_PLANES}]")
    routine("ldr", "r1", f"[sp, #{_PLANE}]")
    routine("ldr", "r2", f"[sp, #{_OUTPUT}]")
    routine("ldr", "r3", f"[sp, #{_CHANNELS}]")
    routine("add", "r0", "r0", "r1")
    routine("add", "r2", "r2", "#1")
    routine("str", "r0", f"[sp, #{_PLANES}]")
    routine("str", "r2", f"[sp, #{_OUTPUT}]")
    routine("subs", "r3", "r3", "#1")
    routine("str", "r3", f"[sp, #{_CHANNELS}]")
    routine("bne", routine.target("channel"))
    routine("add", "sp", "sp", f"#{_FRAME}")
    routine("pop", "{r4-r11, pc}")


def finish_text() -> str:
    """The ends of segments: sums in r0 (last output) up to r7, multiplier r8, addend r9, address of the last output r10, minus one and
    three pixels r11 and r12. One entry for each form and number of outputs; they fall into each other."""
    routine = Routine("hilnas_depthwise_finish")
    for form, shift in enumerate(FIT_SHIFTS):
        _finish_form(routine, form, lambda value, shift=shift: [  # type: ignore[misc]
            Instruction("smmlar", (value, value, "r8", "r9")),
            Instruction("ssat", (value, "#8", value, f"asr #{shift}")),
        ])
    for outputs in range(1, MOST_OUTPUTS + 1):
        _entry(routine, EXACT_FORM, outputs)
        routine("vmov", "s5", "lr")
        routine("ldr", "lr", f"[sp, #{_SHIFT}]")
        routine("b", routine.target(f"exact_{outputs}"))
    _finish_form(routine, EXACT_FORM, _exact)
    return routine.text("Ends of segments of depthwise convolutions: requantises and stores up to eight outputs of one channel.")


def _exact(value: str) -> list[Instruction]:
    return [
        Instruction("lsl", (value, value, "#1")),
        Instruction("smmulr", (value, value, "r8")),
        Instruction("add", (value, value, value, "asr #31")),
        Instruction("add", (value, value, "r9")),
        Instruction("asr", (value, value, "lr")),
        Instruction("ssat", (value, "#8", value)),
    ]


def _entry(routine: Routine, form: int, outputs: int) -> None:
    name = f"hilnas_depthwise_finish_{form}_{outputs}"
    routine.directive(f".global {name}")
    routine.lines.append(f"{name}:")


_PLACES = {0: "[r10]", 1: "[r10, r11]", 2: "[r10, r11, lsl #1]", 3: "[r10, r12]", 4: "[r10, r11, lsl #2]", 6: "[r10, r12, lsl #1]"}


def _finish_form(routine: Routine, form: int, requantise) -> None:  # type: ignore[no-untyped-def]
    for outputs in range(MOST_OUTPUTS, 0, -1):
        if form == EXACT_FORM:
            routine.label(f"exact_{outputs}")
        else:
            _entry(routine, form, outputs)
        value = f"r{outputs - 1}"
        code = requantise(value)
        if outputs == 8:  # minus seven pixels: three and four
            code += [Instruction("add", ("r10", "r10", "r12")), Instruction("strb", (value, "[r10, r11, lsl #2]"))]
            code.append(Instruction("sub", ("r10", "r10", "r12")))
        elif outputs == 6:  # minus five pixels, in the register of an output that is stored already
            code.insert(0, Instruction("add", ("r6", "r12", "r11", "lsl #1")))
            code.append(Instruction("strb", (value, "[r10, r6]")))
        else:
            code.append(Instruction("strb", (value, _PLACES[outputs - 1])))
        routine.extend(code)
    if form == EXACT_FORM:
        routine("vmov", "lr", "s5")
    routine("bx", "lr")
