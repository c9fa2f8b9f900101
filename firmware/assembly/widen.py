"""Widens the pixels of a row to int16, each at its own place: columns of what is under a filter."""

from __future__ import annotations

from dataclasses import dataclass

from hilnas.firmware.assembly.emitter import Routine

MOST_CHANNELS = 128


@dataclass(frozen=True)
class Widen:
    """A routine for pixels of `channels` channels: a multiple of four in the order 0, 2, 1, 3; others one by one, in their own order."""

    channels: int

    @property
    def symbol(self) -> str:
        """The routine's name."""
        return f"hilnas_widen_{self.channels}"

    def text(self) -> str:
        """The routine in assembly: source r0, target r1, pixels r2, bytes from a pixel's target to the next one's r3."""
        routine = Routine(self.symbol)
        routine("push", "{r4-r11, lr}")
        routine("mov", "r12", "r1")
        routine.label("pixel")
        if self.channels % 4 == 0:
            self._by_words(routine)
        else:
            for channel in range(self.channels):
                routine("ldrsb", f"r{4 + channel % 8}", f"[r0, #{channel}]")
                routine("strh", f"r{4 + channel % 8}", f"[r12, #{2 * channel}]")
            routine("add", "r0", "r0", f"#{self.channels}")
        routine("subs", "r2", "r2", "#1")
        routine("add", "r12", "r12", "r3")
        routine("bne", routine.target("pixel"))
        routine("pop", "{r4-r11, pc}")
        return routine.text(f"Pixels of {self.channels} channel(s) to int16, a place each.")

    def _by_words(self, routine: Routine) -> None:
        routine("mov", "r1", "r12")
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
            routine("stm", "r1!", f"{{r4-r{3 + 2 * words}}}")
