"""Dot products of many output channels with a few pixels at a time: the inner routine of every convolution but the depthwise.

Two output channels a and b share a halfword, 256 a + b, two inputs share a word, so a word of weights serves four products. SMLAD of it
with two widened inputs adds to S = 256 A + B; SXTB16 leaves the two b, and SMLAD of those adds to B. S - B is 256 A, exact while |A| is
below 2^23. A step takes one word of weights and one word of inputs of each of `pixels` pixels; the loop is unrolled and entered at the
step that leaves a whole number of rounds.

The stream of a layer holds, for each pair of channels: the start of S and of B, the weights, which form of requantisation follows, and
its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule

FIT_SHIFTS = (4, 1)
"""The right shifts of the two-instruction forms."""

EXACT_FORM = len(FIT_SHIFTS)
"""The form after those of `FIT_SHIFTS`: the reference's own arithmetic."""

LONGEST_ROUND = 32
"""Steps of a loop, where no cache is too small for them."""

# The first nine words of the frame are the call's arguments, in this order (struct hilnas_dot).
_INPUT, _OUTPUT, _STREAM, _STREAM_END, _TILE, _TILES, _INPUT_PIXEL, _OUTPUT_PIXEL, _STEPS = range(0, 36, 4)
_THREE_OUTPUT_PIXELS = _STEPS  # the number of steps is needed only once
_ENTRY, _OUTPUT_NOW = 36, 40
_FRAME = 48

_S = ("r0", "r1", "r2", "r3")
_B = ("r4", "r5", "r6", "r7")
_W, _LOW, _XA, _XB, _PX, _PW = "r8", "r9", "r10", "r11", "r12", "lr"


@dataclass(frozen=True)
class Dot:
    """A routine for tiles of `pixels` pixels (1 to 4).

    `pitch`: bytes between the widened inputs of two pixels, or None where the routine widens int8 pixels itself, into a tile in which
    the words of the pixels alternate. `steps`: where they are few, all of them stand one behind the other; None where they are a loop,
    with at most `longest_round` in a round.
    """

    pixels: int
    pitch: int | None
    steps: int | None = None
    longest_round: int = LONGEST_ROUND

    @property
    def symbol(self) -> str:
        """The routine's name."""
        pitch = "" if self.pitch is None else f"_pitch_{self.pitch}"
        round_ = "" if self.unroll == self._most_unrolled else f"_round_{self.unroll}"
        return f"hilnas_dot_{self.pixels}{pitch}" + (round_ if self.steps is None else f"_steps_{self.steps}")

    @property
    def step_bytes(self) -> int:
        """Bytes of widened input from step to step."""
        return 4 * self.pixels if self.pitch is None else 4

    @property
    def unroll(self) -> int:
        """Steps of a round of the loop, a power of two."""
        return min(self._most_unrolled, self.longest_round)

    @property
    def _most_unrolled(self) -> int:
        """Where most work is done, so many that the loop seldom goes round: its end is mispredicted only then."""
        if self.pixels < 4:
            return 8
        return LONGEST_ROUND if self.pitch is None else LONGEST_ROUND // 2

    @property
    def loop_bytes(self) -> tuple[int, ...]:
        """The pieces of code that each pair of channels takes: up to its requantisation, and the longest of the usual forms of that."""
        return _loop_bytes(self)

    def offset(self, pixel: int) -> int:
        """Bytes from the first pixel's word to that of `pixel` in one step."""
        return pixel * (4 if self.pitch is None else self.pitch)

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        return self.routine().text(f"{self.pixels} pixel(s) by pairs of channels; struct hilnas_dot in r0.", schedule)

    def routine(self) -> Routine:
        """Its instructions."""
        routine = Routine(self.symbol)
        _enter(routine, self)
        routine.label("tile")
        if self.pitch is None:
            _widen(routine, self)
        else:
            routine("ldr", _PX, f"[sp, #{_TILE}]")
        _start_tile(routine)
        routine.label("group")
        _first_step(routine, self)
        if self.steps is None:
            _loop(routine, self)
        else:
            for _ in range(self.steps - 1):
                routine.block(_moving_last(self), dual_issue=_step(self))
        _finish_group(routine, self)
        routine.label("tile_end")
        _leave(routine, self)
        return routine


@lru_cache(maxsize=1024)
def _loop_bytes(dot: Dot) -> tuple[int, ...]:
    routine = dot.routine()
    forms = (routine.code_bytes(f"form_{form}", f"form_{form + 1}") for form in range(EXACT_FORM))
    return routine.code_bytes("group", "form_0"), max(forms)


def _enter(routine: Routine, dot: Dot) -> None:
    routine("push", "{r4-r11, lr}")
    routine("sub", "sp", "sp", f"#{_FRAME}")
    routine("ldm", "r0", "{r1-r9}")
    routine("stm", "sp", "{r1-r9}")
    # r8: output pixel, r9: steps. The first step is done before the loop.
    routine("add", "r0", "r8", "r8, lsl #1")
    routine("str", "r0", f"[sp, #{_THREE_OUTPUT_PIXELS}]")
    if dot.steps is not None:
        return
    routine("mov", "r3", f"#{dot.step_bytes}")
    routine("mul", "r0", "r9", "r3")
    routine("add", "r2", "r5", "r0")
    routine("vmov", "s0", "r2")
    routine("sub", "r0", "r9", "#1")
    routine("and", "r0", "r0", f"#{dot.unroll - 1}")
    routine("mov", "r3", f"#{4 * len(_step(dot))}")
    routine("mul", "r0", "r0", "r3")
    routine("adr", "r3", routine.target("check"))
    routine("sub", "r3", "r3", "r0")
    routine("orr", "r3", "r3", "#1")
    routine("str", "r3", f"[sp, #{_ENTRY}]")


def _widen(routine: Routine, dot: Dot) -> None:
    """Four channels of each pixel a time: words of channels 0 and 2 of all pixels, then of 1 and 3."""
    pixels = range(dot.pixels)
    routine("ldr", "r0", f"[sp, #{_INPUT}]")
    routine("ldr", "r12", f"[sp, #{_INPUT_PIXEL}]")
    for pixel in pixels[1:]:
        routine("add", f"r{pixel}", f"r{pixel - 1}", "r12")
    routine("add", "r4", f"r{dot.pixels - 1}", "r12")
    routine("str", "r4", f"[sp, #{_INPUT}]")
    routine("vmov", "lr", "s0")
    routine("ldr", "r12", f"[sp, #{_TILE}]")
    routine.label("widen")
    first_high = 4 + dot.pixels
    for pixel in pixels:
        routine("ldr", f"r{first_high + pixel}", f"[r{pixel}]", "#4")
    for pixel in pixels:
        routine("sxtb16", f"r{4 + pixel}", f"r{first_high + pixel}")
        routine("sxtb16", f"r{first_high + pixel}", f"r{first_high + pixel}", "ror #8")
    routine("stm", "r12!", f"{{r4-r{3 + 2 * dot.pixels}}}")
    routine("cmp", "r12", "lr")
    routine("bne", routine.target("widen"))


def _start_tile(routine: Routine) -> None:
    routine("ldr", "r0", f"[sp, #{_OUTPUT}]")
    routine("ldr", _PW, f"[sp, #{_STREAM}]")
    routine("str", "r0", f"[sp, #{_OUTPUT_NOW}]")


def _first_step(routine: Routine, dot: Dot) -> None:
    """Loads the starts of the sums into the last pixel's registers, from where every pixel's first product takes them."""
    last_s, last_b = _S[dot.pixels - 1], _B[dot.pixels - 1]
    routine("ldr", _PX, f"[sp, #{_TILE}]")
    routine("ldm", f"{_PW}!", f"{{{last_s}, {last_b}, {_W}}}")
    routine("ldr", _XA, f"[{_PX}]")
    if dot.pixels > 1:
        routine("ldr", _XB, f"[{_PX}, #{dot.offset(1)}]")

    def started(step: list[Instruction]) -> list[Instruction]:
        starts = {**dict.fromkeys(_S, last_s), **dict.fromkeys(_B, last_b)}
        return [replace(one, operands=(*one.operands[:3], starts[one.operands[0]])) if one.mnemonic == "smlad" else one for one in step]

    routine.block(started(_moving_last(dot)), dual_issue=started(_step(dot)))


def _loop(routine: Routine, dot: Dot) -> None:
    """The other steps, entered at the one that leaves a whole number of rounds."""
    routine("ldr", "pc", f"[sp, #{_ENTRY}]")
    routine.label("round")
    for _ in range(dot.unroll):
        routine.block(_moving_last(dot), dual_issue=_step(dot))
    routine.label("check")
    routine("vmov", _LOW, "s0")
    routine("cmp", _PX, _LOW)
    routine("bne", routine.target("round"))


def _step(dot: Dot) -> list[Instruction]:
    """One step, in an order in which every product finds its operands loaded where two instructions issue in a cycle: for four pixels 14
    instructions, 8 cycles.

    At its start the word of weights and the words of the first two pixels are loaded; at its end those of the next step are.
    """
    step = [Instruction("sxtb16", (_LOW, _W))]

    def multiply(sums: tuple[str, ...], pixel: int) -> None:
        step.append(Instruction("smlad", (sums[pixel], _W if sums is _S else _LOW, (_XA, _XB)[pixel % 2], sums[pixel])))

    def load(pixel: int) -> None:
        if pixel < dot.pixels:
            step.append(Instruction("ldr", ((_XA, _XB)[pixel % 2], f"[{_PX}, #{dot.offset(pixel)}]")))

    for first in range(0, dot.pixels, 2):
        pair = range(first, min(first + 2, dot.pixels))
        last_pair = first + 2 >= dot.pixels
        for pixel in pair:
            multiply(_S, pixel)
        if last_pair:
            step.append(Instruction("ldr", (_W, f"[{_PW}]", "#4")))
        for pixel in pair:
            multiply(_B, pixel)
            if not last_pair:
                load(pixel + 2)
            elif pixel == first:
                step.append(Instruction("ldr", (_XA, f"[{_PX}, #{dot.step_bytes}]!")))
        if last_pair:
            load(1)
    return step


def _moving_last(dot: Dot) -> list[Instruction]:
    """The step with its address moved by the last load, so that no other load waits for the new address."""
    step = _step(dot)
    if dot.pixels == 1:
        return step
    moves = next(instruction for instruction in step if instruction.memory is not None and instruction.memory.endswith("!"))
    second = Instruction("ldr", (_XB, f"[{_PX}, #{dot.step_bytes + dot.offset(1)}]"))
    return [*(instruction for instruction in step[:-1] if instruction is not moves), second, moves]


def _finish_group(routine: Routine, dot: Dot) -> None:
    """The loop has loaded the word after the weights, the form of requantisation. The load before the jump keeps its place apart from
    that of the loop's end, as far as branch prediction goes."""
    routine("ldr", _PX, f"[sp, #{_OUTPUT_NOW}]")
    routine("tbh", f"[pc, {_W}, lsl #1]")
    routine.label("forms")
    for form in range(EXACT_FORM + 1):
        routine.directive(f".hword (.L{routine.symbol}_form_{form} - .L{routine.symbol}_forms) / 2")
    for form, shift in enumerate(FIT_SHIFTS):
        routine.label(f"form_{form}")
        _finish(routine, dot, _fitted(dot, shift))
    routine.label(f"form_{EXACT_FORM}")
    _finish(routine, dot, _exact(dot))


def _finish(routine: Routine, dot: Dot, requantisation: list[Instruction]) -> None:
    routine.block([*requantisation, *_store(dot)])
    routine("bne", routine.target("group"))
    routine("b", routine.target("tile_end"))


def _fitted(dot: Dot, shift: int) -> list[Instruction]:
    block = [Instruction("ldm", (f"{_PW}!", "{r8-r11}"))]
    for s, b in zip(_S[: dot.pixels], _B, strict=False):
        block += [
            Instruction("sub", (s, s, b)),
            Instruction("smmlar", (b, b, "r10", "r11")),
            Instruction("smmlar", (s, s, "r8", "r9")),
            Instruction("ssat", (b, "#8", b, f"asr #{shift}")),
            Instruction("ssat", (s, "#8", s, f"asr #{shift + 8}")),
            Instruction("bfi", (s, b, "#8", "#8")),
        ]
    return block


def _exact(dot: Dot) -> list[Instruction]:
    pixels = range(dot.pixels)
    block = _exact_numbers()
    for pixel in pixels:
        s = _S[pixel]
        block += [Instruction("sub", (s, s, _B[pixel])), Instruction("asr", (s, s, "#7")), *_reference(s)]
    block += _exact_numbers()
    for pixel in pixels:
        b = _B[pixel]
        block += [Instruction("lsl", (b, b, "#1")), *_reference(b), Instruction("bfi", (_S[pixel], b, "#8", "#8"))]
    return block


def _exact_numbers() -> list[Instruction]:
    """Multiplier to r9, shift to r11 (its lowest byte counts), zero point and a half, at the scale before the shift, to r10."""
    return [
        Instruction("ldm", (f"{_PW}!", "{r9, r11}")),
        Instruction("asr", ("r10", "r11", "#8")),
        Instruction("sub", ("r8", "r11", "#1")),
        Instruction("lsl", ("r10", "r10", "r8")),
    ]


def _reference(value: str) -> list[Instruction]:
    """The reference's arithmetic on twice the accumulator: multiplier r9; zero point and half r10; shift r11."""
    return [
        Instruction("add", ("r8", "r10", value, "asr #31")),
        Instruction("smmlar", (value, value, "r9", "r8")),
        Instruction("asr", (value, value, "r11")),
        Instruction("ssat", (value, "#8", value)),
    ]


def _store(dot: Dot) -> list[Instruction]:
    """The pixels' pairs of outputs; the place of the first is in the register that pointed to pixels before."""
    block = [Instruction("ldrd", ("r4", "r5", f"[sp, #{_OUTPUT_PIXEL}]"))] if dot.pixels > 1 else []
    addresses = (None, f"[{_PX}, r4]", f"[{_PX}, r4, lsl #1]", f"[{_PX}, r5]")
    block += [Instruction("strh", (_S[pixel], str(addresses[pixel]))) for pixel in range(1, dot.pixels)]
    block += [
        Instruction("strh", (_S[0], f"[{_PX}]", "#2")),
        Instruction("str", (_PX, f"[sp, #{_OUTPUT_NOW}]")),
        Instruction("ldr", ("r6", f"[sp, #{_STREAM_END}]")),
        Instruction("cmp", (_PW, "r6")),
    ]
    return block


def _leave(routine: Routine, dot: Dot) -> None:
    routine("ldr", "r0", f"[sp, #{_OUTPUT}]")
    routine("ldr", "r1", f"[sp, #{_OUTPUT_PIXEL}]")
    routine("ldr", "r2", f"[sp, #{_TILES}]")
    if dot.pixels < 4:
        for _ in range(dot.pixels):
            routine("add", "r0", "r0", "r1")
    else:
        routine("add", "r0", "r0", "r1, lsl #2")
    routine("str", "r0", f"[sp, #{_OUTPUT}]")
    if dot.pitch is not None:
        routine("ldr", "r3", f"[sp, #{_TILE}]")
        routine("add", "r3", "r3", f"#{dot.pixels * dot.pitch}")
        routine("str", "r3", f"[sp, #{_TILE}]")
        if dot.steps is None:
            routine("vmov", "r4", "s0")
            routine("add", "r4", "r4", f"#{dot.pixels * dot.pitch}")
            routine("vmov", "s0", "r4")
    routine("subs", "r2", "r2", "#1")
    routine("str", "r2", f"[sp, #{_TILES}]")
    routine("bne", routine.target("tile"))
    routine("add", "sp", "sp", f"#{_FRAME}")
    routine("pop", "{r4-r11, pc}")
