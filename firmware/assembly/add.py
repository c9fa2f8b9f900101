"""Addition of two int8 tensors in seven instructions an element.

The reference brings both operands to a common scale with 20 bits of headroom, adds, scales the sum, and rounds after each step. There are
only 65,536 pairs of operands, so it can be seen whether one plane gives the same outputs for all of them:
saturate((a * first + b * second + c) >> SHIFT). `fit_plane` searches a, b and c and accepts only what agrees everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.assembly.emitter import Instruction, Routine, Schedule

SHIFT = 21
SYMBOL = "hilnas_add_fours"
_SEARCH_RADIUS = 96


@dataclass(frozen=True)
class Plane:
    """out = saturate((a * first + b * second + c) >> SHIFT), for all int8 operands, in 32 bits."""

    a: int
    b: int
    c: int


def fit_plane(outputs: NDArray[np.int64], first_ratio: float, second_ratio: float) -> Plane | None:
    """The plane for `outputs` (first operand + 128, second operand + 128), or None if the search finds none.

    The ratios are the operands' scales divided by the output's. Deterministic.
    """
    values = np.arange(-128, 128, dtype=np.int64)
    # A pair whose output is saturated bounds the plane from one side only, and where outputs rise with both operands, it is bounded from
    # below by the first pairs with an output and from above by the last ones.
    above, below = (outputs > -128) & _first_ones(outputs), (outputs < 127) & _first_ones(-outputs[::-1, ::-1])[::-1, ::-1]
    first, second = np.broadcast_to(values[:, None], (256, 256)), np.broadcast_to(values, (256, 256))
    floors = ((outputs << SHIFT)[above], first[above], second[above])
    ceilings = (((outputs + 1) << SHIFT)[below], first[below], second[below])

    def constants(a: int, b: int) -> tuple[int, int]:
        lowest = int((floors[0] - a * floors[1] - b * floors[2]).max(initial=-(2**40)))
        highest = int((ceilings[0] - a * ceilings[1] - b * ceilings[2]).min(initial=2**40))
        return lowest, highest

    def slack(a: int, b: int) -> int:
        lowest, highest = constants(a, b)
        return highest - lowest

    middle_a, middle_b = round(first_ratio * 2**SHIFT), round(second_ratio * 2**SHIFT)
    a, _ = _maximise(lambda a: _maximise(lambda b: slack(a, b), middle_b)[1], middle_a)
    b, best = _maximise(lambda b: slack(a, b), middle_b)
    if best <= 0:
        return None
    c = constants(a, b)[0]
    sums = a * first + b * second + c
    exact = bool((np.clip(sums >> SHIFT, -128, 127) == outputs).all())
    return Plane(a, b, c) if exact and int(np.abs(sums).max()) < 2**31 else None


def _first_ones(outputs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where an output is larger than its neighbours before it."""
    rises = np.ones(outputs.shape, bool)
    rises[1:] &= outputs[1:] > outputs[:-1]
    rises[:, 1:] &= outputs[:, 1:] > outputs[:, :-1]
    return rises


def _maximise(concave: Callable[[int], int], middle: int) -> tuple[int, int]:
    """Where a concave function is largest near `middle`, and how large."""
    low, high = middle - _SEARCH_RADIUS, middle + _SEARCH_RADIUS
    while high - low > 2:
        third = (high - low) // 3
        if concave(low + third) < concave(high - third):
            low += third + 1
        else:
            high -= third
    return max(((at, concave(at)) for at in range(low, high + 1)), key=lambda found: found[1])


@dataclass(frozen=True)
class AddFours:
    """The routine: fours r0, operands r1 and r2, output r3, and on the stack a, b and c."""

    symbol: str = SYMBOL

    def text(self, schedule: Schedule) -> str:
        """The routine in assembly."""
        routine = Routine(self.symbol)
        routine("push", "{r4-r11, lr}")
        routine("ldr", "r10", "[sp, #36]")
        routine("ldr", "r11", "[sp, #40]")
        routine("ldr", "r12", "[sp, #44]")
        routine("add", "r0", "r3", "r0, lsl #2")
        routine.label("four")
        routine.block(_four())
        routine("bne", routine.target("four"))
        routine("pop", "{r4-r11, pc}")
        return routine.text("Adds four pairs of int8 at a time.", schedule)


def _four() -> list[Instruction]:
    code = [Instruction("ldr", ("r8", "[r1]", "#4")), Instruction("ldr", ("r9", "[r2]", "#4"))]
    for element in range(4):
        result, rotation = f"r{4 + element}", (f"ror #{8 * element}",) if element else ()
        other = "lr" if element < 3 else "r9"
        code += [
            Instruction("sxtb", (result, "r8", *rotation)),
            Instruction("sxtb", (other, "r9", *rotation)),
            Instruction("mla", (result, result, "r10", "r12")),
            Instruction("mla", (result, other, "r11", result)),
            Instruction("ssat", (result, "#8", result, f"asr #{SHIFT}")),
        ]
    code += [Instruction("bfi", ("r4", f"r{4 + element}", f"#{8 * element}", "#8")) for element in (1, 2, 3)]
    return [*code, Instruction("str", ("r4", "[r3]", "#4")), Instruction("cmp", ("r3", "r0"))]
