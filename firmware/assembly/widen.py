"""Widens the pixels of a row to int16, each at its own place: columns of what is under a filter."""

from __future__ import annotations

from dataclasses import dataclass

from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule

MOST_CHANNELS = 128


@dataclass(frozen=True)
class Widen:
    """A routine for pixels of `channels` channels, `step` bytes from a pixel's place to the next.

    A multiple of four channels comes in the order 0, 2, 1, 3; others keep theirs.
    """

    channels: int
    step: int

    @property
    def symbol(self) -> str:
        """The routine's name."""
        return f"hilnas_widen_{self.channels}_step_{self.step}"

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly: source r0, target r1, pixels r2."""
        routine = Routine(self.symbol)
        routine("push", "{r4-r11, lr}")
        if self.channels == 3:
            self._four_pixels_of_three(routine)
        routine.label("pixel")
        if self.channels % 4 == 0:
            self._by_words(routine)
        else:
            self._by_bytes(routine)
        routine("subs", "r2", "r2", "#1")
        routine("bne", routine.target("pixel"))
        routine.label("end")
        routine("pop", "{r4-r11, pc}")
        return routine.text(f"Pixels of {self.channels} channel(s) to int16, {self.step} bytes apart.", schedule)

    def _by_words(self, routine: Routine) -> None:
        routine("mov", "r12", "r1")
        for first in range(0, self.channels, 16):
            words = min(4, (self.channels - first) // 4)
            high = [f"r{5 + 2 * word}" for word in range(words)]
            if words > 1:
                routine("ldm", "r0!", f"{{{', '.join(high)}}}")
            else:
                routine("ldr", high[0], "[r0]", "#4")
            for word, register in enumerate(high):
                routine("sxtb16", f"r{4 + 2 * word}", register)
                routine("sxtb16", register, register, "ror #8")
            routine("stm", "r12!", f"{{r4-r{3 + 2 * words}}}")
        routine("add", "r1", "r1", f"#{self.step}")

    def _by_bytes(self, routine: Routine) -> None:
        for channel in range(self.channels):
            routine("ldrsb", f"r{4 + channel % 8}", f"[r0, #{channel}]")
            routine("strh", f"r{4 + channel % 8}", f"[r1, #{2 * channel}]")
        routine("add", "r0", "r0", f"#{self.channels}")
        routine("add", "r1", "r1", f"#{self.step}")

    def _four_pixels_of_three(self, routine: Routine) -> None:
        """Twelve bytes at a time while there are four pixels; what is left goes byte by byte."""
        routine("subs", "r2", "r2", "#4")
        routine("blo", routine.target("rest"))
        routine.label("four")
        code = [Instruction("ldr", ("r6", "[r0, #4]")), Instruction("ldr", ("r8", "[r0, #8]")), Instruction("ldr", ("r4", "[r0]", "#12"))]
        for even, odd in (("r5", "r4"), ("r7", "r6"), ("r9", "r8")):
            # Bytes 0 and 2 of a word, bytes 1 and 3.
            code += [Instruction("sxtb16", (even, odd)), Instruction("sxtb16", (odd, odd, "ror #8"))]
        pairs = (
            ("pkhbt", ("r10", "r5", "r4", "lsl #16"), 0),
            ("pkhbt", ("r11", "r7", "r6", "lsl #16"), self.step + 2),
            ("pkhtb", ("r12", "r6", "r7", "asr #16"), 2 * self.step),
            ("pkhbt", ("lr", "r8", "r9"), 3 * self.step),
        )
        for mnemonic, operands, offset in pairs:
            code += [Instruction(mnemonic, operands), Instruction("str", (operands[0], f"[r1, #{offset}]"))]
        singles = (("r5", 4), ("r4", self.step), ("r9", 2 * self.step + 4), ("r8", 3 * self.step + 4))
        for register, offset in singles:
            if register != "r9":
                code.append(Instruction("lsr", (register, register, "#16")))
            code.append(Instruction("strh", (register, f"[r1, #{offset}]")))
        code += [Instruction("add", ("r1", "r1", f"#{4 * self.step}")), Instruction("subs", ("r2", "r2", "#4"))]
        routine.block(code)
        routine("bhs", routine.target("four"))
        routine.label("rest")
        routine("adds", "r2", "r2", "#4")
        routine("beq", routine.target("end"))
