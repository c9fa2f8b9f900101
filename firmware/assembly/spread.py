"""Spreads four channels of an image to planes of int16, less the zero point."""

from __future__ import annotations

from hilnas.firmware.assembly.emitter import Routine

SYMBOL = "hilnas_depthwise_spread"

_SOURCE, _TARGET, _WIDTH, _PIXEL, _PLANE, _ROWS, _SOURCE_PITCH, _TARGET_PITCH, _ZERO = range(0, 36, 4)
_FRAME = 40


def text() -> str:
    """The routine in assembly; struct hilnas_depthwise_spread in r0.

    Registers in the loop: r0 source, r1 target, r2 pixel, r3 plane, r12 three planes, lr minus the zero point twice, r4 to r11 pixels.
    """
    routine = Routine(SYMBOL)
    routine("push", "{r4-r11, lr}")
    routine("sub", "sp", "sp", f"#{_FRAME}")
    routine("ldm", "r0", "{r1-r9}")
    routine("stm", "sp", "{r1-r9}")
    routine("mov", "lr", "r9")
    routine("mov", "r3", "r5")
    routine("mov", "r2", "r4")
    routine("add", "r12", "r3", "r3, lsl #1")
    routine.label("row")
    routine("ldr", "r0", f"[sp, #{_SOURCE}]")
    routine("ldr", "r1", f"[sp, #{_TARGET}]")
    routine("ldr", "r4", f"[sp, #{_WIDTH}]")
    routine("lsr", "r5", "r4", "#1")
    routine("add", "r5", "r1", "r5, lsl #2")
    routine("vmov", "s0", "r5")
    routine("cmp", "r1", "r5")
    routine("beq", routine.target("last"))
    routine.label("pair")
    routine("ldr", "r4", "[r0]")
    routine("ldr", "r5", "[r0, r2]")
    routine("add", "r0", "r0", "r2, lsl #1")
    routine("sxtab16", "r6", "lr", "r4")
    routine("sxtab16", "r7", "lr", "r4, ror #8")
    routine("sxtab16", "r8", "lr", "r5")
    routine("sxtab16", "r9", "lr", "r5, ror #8")
    routine("pkhbt", "r4", "r6", "r8, lsl #16")
    routine("pkhbt", "r5", "r7", "r9, lsl #16")
    routine("pkhtb", "r6", "r8", "r6, asr #16")
    routine("pkhtb", "r7", "r9", "r7, asr #16")
    routine("str", "r5", "[r1, r3]")
    routine("str", "r6", "[r1, r3, lsl #1]")
    routine("str", "r7", "[r1, r12]")
    routine("str", "r4", "[r1]", "#4")
    routine("vmov", "r5", "s0")
    routine("cmp", "r1", "r5")
    routine("bne", routine.target("pair"))
    routine.label("last")
    routine("ldr", "r4", f"[sp, #{_WIDTH}]")
    routine("tst", "r4", "#1")
    routine("beq", routine.target("row_end"))
    routine("ldr", "r4", "[r0]")
    routine("sxtab16", "r6", "lr", "r4")
    routine("sxtab16", "r7", "lr", "r4, ror #8")
    routine("uxth", "r4", "r6")
    routine("uxth", "r5", "r7")
    routine("lsr", "r6", "r6", "#16")
    routine("lsr", "r7", "r7", "#16")
    routine("str", "r4", "[r1]")
    routine("str", "r5", "[r1, r3]")
    routine("str", "r6", "[r1, r3, lsl #1]")
    routine("str", "r7", "[r1, r12]")
    routine.label("row_end")
    routine("ldrd", "r4", "r5", f"[sp, #{_SOURCE}]")
    routine("ldrd", "r6", "r7", f"[sp, #{_SOURCE_PITCH}]")
    routine("ldr", "r8", f"[sp, #{_ROWS}]")
    routine("add", "r4", "r4", "r6")
    routine("add", "r5", "r5", "r7")
    routine("strd", "r4", "r5", f"[sp, #{_SOURCE}]")
    routine("subs", "r8", "r8", "#1")
    routine("str", "r8", f"[sp, #{_ROWS}]")
    routine("bne", routine.target("row"))
    routine("add", "sp", "sp", f"#{_FRAME}")
    routine("pop", "{r4-r11, pc}")
    return routine.text("Four channels of rows to planes of int16.")
