"""The multiply-accumulates of a few neighbouring outputs of one filter row, and the registers and loads that they need.

Pixels of one channel lie side by side as int16, two a word, pixel 0 at a word's start. Weights come in words too: word t holds the taps
t and t + 1, so any two neighbouring taps can meet any two neighbouring pixels of a word: one SMLAD. What is left at the ends of a filter
takes SMLAxy. In memory four int8 taps hold two words, `b0 b1 a0 a1` interleaved so that SXTB16 yields word a and, rotated, word b.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hilnas.firmware.assembly.emitter import Instruction

Value = tuple[str, int]  # ("word", first tap) or ("data", word of pixels)


@dataclass(frozen=True)
class RowOfOutputs:
    """`outputs` neighbouring outputs from column `first` on: filter width, stride, padding on the left.

    `pixels` is the input's width if products with padding are left out; None if the padding is there as zeros.
    """

    first: int
    outputs: int
    taps: int
    stride: int
    padding: int
    pixels: int | None


@dataclass(frozen=True)
class Product:
    """One multiply-accumulate into output `output`: halves of a word of weights and of a word of pixels, or both whole."""

    output: int
    mnemonic: str
    word: int
    data: int


def products(row: RowOfOutputs) -> list[Product]:
    """What the outputs of a row need, in no particular order."""
    found: list[Product] = []
    singles: list[tuple[int, str, int, int]] = []
    for output in range(row.outputs):
        start = (row.first + output) * row.stride - row.padding
        for data in range(start // 2, (start + row.taps - 1) // 2 + 1):
            bottom = 2 * data - start
            low, high = (_counts(row, tap, start) for tap in (bottom, bottom + 1))
            if low and high:
                found.append(Product(output, "smlad", bottom, data))
            elif low or high:
                singles.append((output, "b" if low else "t", bottom if low else bottom + 1, data))
    words = {product.word for product in found}
    for output, half, tap, data in singles:
        if tap not in words and tap - 1 in words:
            found.append(Product(output, f"smla{half}t", tap - 1, data))
        else:
            words.add(tap)
            found.append(Product(output, f"smla{half}b", tap, data))
    return found


def _counts(row: RowOfOutputs, tap: int, start: int) -> bool:
    if not 0 <= tap < row.taps:
        return False
    return row.pixels is None or 0 <= start + tap < row.pixels


def words_of(rows: Iterable[RowOfOutputs]) -> tuple[int, ...]:
    """The words of weights that the segments of a row need together, ascending: their places in memory."""
    return tuple(sorted({product.word for row in rows for product in products(row)}))


@dataclass(frozen=True)
class Block:
    """Instructions of one filter row for some outputs."""

    instructions: tuple[Instruction, ...]

    @property
    def cost(self) -> int:
        """How many instructions."""
        return len(self.instructions)


def block(row: RowOfOutputs, words: tuple[int, ...], registers: tuple[str, ...], addresses: Addresses) -> Block:
    """The cheapest of a few orders of the products. `registers` hold weights and pixels; the last output is summed in r0, the one
    before it in r1, and so on."""
    found = products(row)
    orders = (
        sorted(found, key=lambda product: (product.data, product.word, product.output)),
        sorted(found, key=lambda product: (words.index(product.word) // 2, product.data, product.output)),
        sorted(found, key=lambda product: (words.index(product.word) // 2, -product.data, product.output)),
        sorted(found, key=lambda product: (product.output, product.data)),
    )
    return min(
        (Block(tuple(_allocate(order, row.outputs, words, registers, addresses))) for order in orders), key=lambda candidate: candidate.cost
    )


@dataclass(frozen=True)
class Addresses:
    """Where a filter row's words are: pixels in memory, from one word to the next `data_step` bytes; weights in memory as `words` has
    them, or each in a register of the FPU."""

    data: str
    data_offset: int
    data_step: int
    weights: str = ""
    weight_offset: int = 0
    weight_registers: tuple[str, ...] = ()


def _allocate(
    order: list[Product], outputs: int, words: tuple[int, ...], registers: tuple[str, ...], addresses: Addresses
) -> list[Instruction]:
    held: dict[str, Value | None] = dict.fromkeys(registers)
    code: list[Instruction] = []

    def next_use(value: Value | None, position: int) -> int:
        if value is None:
            return len(order) + 1
        return next((at for at in range(position, len(order)) if value in _needs(order[at])), len(order))

    def place(value: Value, position: int, keep: tuple[Value, ...]) -> str:
        free = [register for register in registers if held[register] not in keep]
        register = max(free, key=lambda name: (next_use(held[name], position), registers.index(name)))
        held[register] = value
        return register

    def load(value: Value, position: int, keep: tuple[Value, ...]) -> None:
        kind, index = value
        register = place(value, position, keep)
        if kind == "data":
            code.append(Instruction("ldr", (register, f"[{addresses.data}, #{addresses.data_offset + addresses.data_step * index}]")))
            return
        at = words.index(index)
        if addresses.weight_registers:
            code.append(Instruction("vmov", (register, addresses.weight_registers[at])))
            return
        code.append(Instruction("ldr", (register, f"[{addresses.weights}, #{addresses.weight_offset + 4 * (at // 2)}]")))
        partner = ("word", words[at ^ 1]) if at ^ 1 < len(words) else None
        rotation: tuple[tuple[str, ...], ...] = ((), ("ror #8",))
        if partner is not None and partner not in held.values() and next_use(partner, position) < len(order):
            others = [name for name in registers if held[name] not in (*keep, value)]
            victim = max(others, key=lambda name: next_use(held[name], position), default=None)
            if victim is not None and next_use(held[victim], position) > next_use(partner, position):
                held[victim] = partner
                code.append(Instruction("sxtb16", (victim, register, *rotation[(at ^ 1) % 2])))
        code.append(Instruction("sxtb16", (register, register, *rotation[at % 2])))

    for position, product in enumerate(order):
        needs = _needs(product)
        for value in needs:
            if value not in held.values():
                load(value, position, needs)
        where = {value: register for register, value in held.items() if value is not None}
        accumulator = f"r{outputs - 1 - product.output}"
        code.append(Instruction(product.mnemonic, (accumulator, where[needs[1]], where[needs[0]], accumulator)))
    return code


def _needs(product: Product) -> tuple[Value, Value]:
    return ("word", product.word), ("data", product.data)
