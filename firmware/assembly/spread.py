"""Spreads four channels of an image to planes of int16, less the zero point. The planes' words alternate."""

from __future__ import annotations

from dataclasses import dataclass

from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule

_SOURCE, _TARGET, _SOURCE_PITCH, _TARGET_PITCH, _ROWS, _PIXEL, _WIDTH, _ZERO = range(0, 32, 4)
_FRAME = 40


@dataclass(frozen=True)
class Spread:
    """The routine; struct hilnas_depthwise_spread_arguments in r0.

    Registers: r0 source, r1 target, r2 bytes of a pixel, lr minus the zero point twice; r3 and r12 two pixels, r4 to r7 and r8 to r11
    two neighbours of each channel; the end of the four pixels at a time in s0.
    """

    symbol: str = "hilnas_depthwise_spread"

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        routine = Routine(self.symbol)
        _enter(routine)
        routine.label("row")
        routine("ldrd", "r0", "r1", f"[sp, #{_SOURCE}]")
        routine("ldr", "r3", f"[sp, #{_WIDTH}]")
        routine("lsrs", "r3", "r3", "#2")
        routine("beq", routine.target("two"))
        routine("add", "r3", "r1", "r3, lsl #5")
        routine("vmov", "s0", "r3")
        routine.label("four")
        pairs = [*_pair(("r4", "r5", "r6", "r7")), *_pair(("r8", "r9", "r10", "r11"))]
        routine.block(
            [*pairs, Instruction("stm", ("r1!", "{r4-r11}")), Instruction("vmov", ("r3", "s0")), Instruction("cmp", ("r1", "r3"))]
        )
        routine("bne", routine.target("four"))
        routine.label("two")
        routine("ldr", "r3", f"[sp, #{_WIDTH}]")
        routine("tst", "r3", "#2")
        routine("beq", routine.target("one"))
        routine.block([*_pair(("r4", "r5", "r6", "r7")), Instruction("stm", ("r1!", "{r4-r7}"))])
        routine("ldr", "r3", f"[sp, #{_WIDTH}]")
        routine.label("one")
        routine("tst", "r3", "#1")
        routine("beq", routine.target("end"))
        _last_pixel(routine)
        routine.label("end")
        _leave(routine)
        return routine.text("Four channels of rows to planes of int16; struct hilnas_depthwise_spread_arguments in r0.", schedule)


def _enter(routine: Routine) -> None:
    routine("push", "{r4-r11, lr}")
    routine("sub", "sp", "sp", f"#{_FRAME}")
    routine("ldm", "r0", "{r1-r8}")
    routine("stm", "sp", "{r1-r8}")
    routine("mov", "r2", "r6")
    routine("mov", "lr", "r8")


def _last_pixel(routine: Routine) -> None:
    routine("ldr", "r3", "[r0]")
    routine("sxtab16", "r6", "lr", "r3")
    routine("sxtab16", "r7", "lr", "r3, ror #8")
    routine("uxth", "r4", "r6")
    routine("uxth", "r5", "r7")
    routine("lsr", "r6", "r6", "#16")
    routine("lsr", "r7", "r7", "#16")
    routine("stm", "r1!", "{r4-r7}")


def _leave(routine: Routine) -> None:
    routine("ldm", "sp", "{r4-r8}")
    routine("add", "r4", "r4", "r6")
    routine("add", "r5", "r5", "r7")
    routine("subs", "r8", "r8", "#1")
    routine("stm", "sp", "{r4-r8}")
    routine("bne", routine.target("row"))
    routine("add", "sp", "sp", f"#{_FRAME}")
    routine("pop", "{r4-r11, pc}")


def _pair(words: tuple[str, str, str, str]) -> list[Instruction]:
    """Two pixels of four channels to one word of each channel."""
    first, second, third, fourth = words
    return [
        Instruction("ldr", ("r3", "[r0]")),
        Instruction("ldr", ("r12", "[r0, r2]")),
        Instruction("add", ("r0", "r0", "r2", "lsl #1")),
        Instruction("sxtab16", (second, "lr", "r3")),
        Instruction("sxtab16", (fourth, "lr", "r12")),
        Instruction("sxtab16", ("r3", "lr", "r3", "ror #8")),
        Instruction("sxtab16", ("r12", "lr", "r12", "ror #8")),
        Instruction("pkhbt", (first, second, fourth, "lsl #16")),
        Instruction("pkhtb", (third, fourth, second, "asr #16")),
        Instruction("pkhbt", (second, "r3", "r12", "lsl #16")),
        Instruction("pkhtb", (fourth, "r12", "r3", "asr #16")),
    ]
