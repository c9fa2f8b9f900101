"""What a fault line of the firmware says, as a sentence."""

from __future__ import annotations

from hilnas.errors import TargetError
from hilnas.firmware.elf import Elf
from hilnas.firmware.protocol import FAULT_KEYS, Line


class FaultError(TargetError):
    """The processor faulted: the firmware's doing, which another board would only repeat."""


# Bits of the Configurable Fault Status Register (ARMv7-M Architecture Reference Manual, B3.2.15).
_CAUSES = {
    0: "an instruction fetched from where none may be",
    1: "a data access that the MPU forbids",
    3: "unstacking into memory that the MPU forbids",
    4: "the stack in memory that the MPU forbids",
    8: "an instruction fetched from where no memory is",
    9: "a data access where no memory is",
    10: "a write where no memory is, noticed late",
    11: "unstacking where no memory is",
    12: "the stack has left its memory: it overflowed",
    16: "an undefined instruction",
    17: "a jump to an address without the Thumb bit",
    18: "an invalid return from an exception",
    19: "a floating-point instruction while the FPU is off",
    24: "an unaligned access",
    25: "a division by zero",
}
_MMFAR_VALID, _BFAR_VALID = 7, 15


def fault_error(line: Line, elf: Elf, place: str) -> FaultError:
    """The error that a `fault` line is; `place` says what the firmware was doing."""
    registers = {key: line.number(key) for key in FAULT_KEYS}
    status = registers["cfsr"]
    causes = [text for bit, text in _CAUSES.items() if status >> bit & 1] or ["an unknown cause"]
    address = next((registers[key] for key, bit in (("mmfar", _MMFAR_VALID), ("bfar", _BFAR_VALID)) if status >> bit & 1), None)
    where = f"in {elf.function_at(registers['pc'])} at {registers['pc']:#010x}" if registers["pc"] else "where the stack no longer tells"
    accessed = "" if address is None else f", address {address:#010x}"
    listing = ", ".join(f"{key.upper()}={value:#010x}" for key, value in registers.items())
    return FaultError(
        f"the firmware stopped with a {line.text('kind')} {where}, {place}: {'; '.join(causes)}{accessed} ({listing})",
        "Look the address up with arm-none-eabi-addr2line.",
    )
