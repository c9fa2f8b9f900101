"""How a segment of a depthwise convolution ends: its sums are requantised and stored.

The sums are in r0 (last output) up; multiplier r8, addend r9, address of the last output r10, minus one and three pixels r11 and r12.
"""

from __future__ import annotations

from dataclasses import dataclass

from hilnas.firmware.assembly.depthwise_layout import MOST_OUTPUTS
from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule

FIT_SHIFTS = (3, 1)
"""The right shifts of the two-instruction forms. Scales are larger than those of other convolutions: few products are summed."""

EXACT_FORM = len(FIT_SHIFTS)
"""The form after those of `FIT_SHIFTS`: the reference's own arithmetic."""

SHIFT = 52
"""Where the caller's frame has the channel's shift, in the lowest byte."""


@dataclass(frozen=True)
class Finish:
    """The end of a segment of `outputs` outputs, one entry for each form of requantisation that a line allows. `site` tells copies
    apart."""

    outputs: int
    site: int

    @property
    def symbol(self) -> str:
        """The routine's name; its entries are numbered by form."""
        return f"hilnas_depthwise_finish_{self.outputs}_{self.site}"

    def entry(self, form: int) -> str:
        """The label of a form."""
        return _exact_entry(self.outputs) if form == EXACT_FORM else f"{self.symbol}_{form}"

    @property
    def form_bytes(self) -> int:
        """Bytes of a form, at most."""
        return 4 * (len(_all_fitted(self.outputs, FIT_SHIFTS[0])) + 1)

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        routine = Routine(self.symbol)
        for form, shift in enumerate(FIT_SHIFTS):
            routine.label_global(self.entry(form))
            routine.block(_all_fitted(self.outputs, shift))
            routine("bx", "lr")
        return routine.text(f"Requantises and stores {self.outputs} output(s) of one channel of a depthwise convolution.", schedule)


@dataclass(frozen=True)
class ExactFinish:
    """The same by the reference's own arithmetic, with an entry for every number of outputs: an odd one goes first, pairs follow."""

    symbol: str = "hilnas_depthwise_finish_exact"

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        routine = Routine(self.symbol)
        for outputs in range(MOST_OUTPUTS, 0, -1):
            routine.label_global(_exact_entry(outputs))
            routine("vmov", "s5", "lr")
            routine("ldr", "lr", f"[sp, #{SHIFT}]")
            if outputs % 2:
                routine.block(_exact(outputs - 1))
            routine("b", routine.target(f"last_{outputs // 2 * 2}"))
        for outputs in range(MOST_OUTPUTS, 0, -2):
            routine.label(f"last_{outputs}")
            routine.block([instruction for output in _order(outputs)[:2] for instruction in _exact(output)])
        routine.label("last_0")
        routine("vmov", "lr", "s5")
        routine("bx", "lr")
        return routine.text(
            "Requantises and stores the outputs of one channel of a depthwise convolution, in the reference's arithmetic.", schedule
        )


def _exact_entry(outputs: int) -> str:
    return f"{ExactFinish().symbol}_{outputs}"


def _order(outputs: int) -> list[int]:
    """Outputs counted from the last, in the order in which they are stored: 5 and 7 need a register that 6 leaves."""
    return sorted(range(outputs), key=lambda output: (-(output // 2), output % 2))


def _all_fitted(outputs: int, shift: int) -> list[Instruction]:
    return [instruction for output in _order(outputs) for instruction in _fitted(output, shift)]


def _fitted(output: int, shift: int) -> list[Instruction]:
    value = f"r{output}"
    return [
        Instruction("smmlar", (value, value, "r8", "r9")),
        Instruction("ssat", (value, "#8", value, f"asr #{shift}")),
        *_store(output),
    ]


def _exact(output: int) -> list[Instruction]:
    value = f"r{output}"
    return [
        Instruction("lsl", (value, value, "#1")),
        Instruction("smmulr", (value, value, "r8")),
        Instruction("add", (value, value, value, "asr #31")),
        Instruction("add", (value, value, "r9")),
        Instruction("asr", (value, value, "lr")),
        Instruction("ssat", (value, "#8", value)),
        *_store(output),
    ]


_PLACES = {
    0: "[r10]",
    1: "[r10, r11]",
    2: "[r10, r11, lsl #1]",
    3: "[r10, r12]",
    4: "[r10, r11, lsl #2]",
    6: "[r10, r12, lsl #1]",
}


def _store(output: int) -> list[Instruction]:
    """Five and seven pixels are one and two pairs more than three; they take the register of output 6, which is stored by then or is not
    there."""
    if output in _PLACES:
        return [Instruction("strb", (f"r{output}", _PLACES[output]))]
    shift = "lsl #1" if output == 5 else "lsl #2"
    return [Instruction("add", ("r6", "r12", "r11", shift)), Instruction("strb", (f"r{output}", "[r10, r6]"))]
