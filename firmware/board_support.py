"""What the runtime needs to know of a board: which of its C files to compile, and the header that configures them."""

from __future__ import annotations

from pathlib import Path

from hilnas.boards.board import Board
from hilnas.boards.linker import GUARD_BYTES
from hilnas.firmware.toolchain import RUNTIME_FOLDER

_COMMON = ("startup.c", "core.c", "memory.c", "guard.c", "stack.c", "line.c", "report.c")
_CLOCK = {
    "stm32h743": "clock_stm32h7.c",
    "stm32h7a3": "clock_stm32h7.c",
    "stm32f746": "clock_stm32f7.c",
    "stm32l4r5": "clock_stm32l4.c",
    "mps2-an500": "clock_mps2.c",
}
_CACHES = {"cortex-m7": "caches_cortex_m7.c", "cortex-m4": "caches_stm32l4.c"}
_UART = {"stm32-usart": "uart_stm32.c", "stm32-lpuart": "uart_stm32.c", "cmsdk-uart": "uart_cmsdk.c"}
_LPUART_STEPS = 256
"""In a bit's time, by which an LPUART divides its clock."""

STACK_GUARD_BYTES = 32
"""The lowest of the stack, which may not be touched: a power of two, as the MPU protects them."""


def support_sources(board: Board) -> tuple[Path, ...]:
    """The C files of the runtime for `board`."""
    return tuple(RUNTIME_FOLDER / name for name in (*_COMMON, _CLOCK[board.startup], _CACHES[board.core], _UART[board.uart.kind]))


def support_header(board: Board, build_id: str, engine_version: str, layer_count: int) -> str:
    """The text of `hilnas_board.h`: the board, and what the firmware says of itself when it starts."""
    uart = board.uart
    values: dict[str, str | int] = {
        "BOARD_NAME": f'"{board.name}"',
        "BUILD_ID": f'"{build_id}"',
        "ENGINE_VERSION": f'"{engine_version}"',
        "LAYER_COUNT": f"{layer_count}u",
        "CLOCK_HZ": f"{board.clock_hz}u",
        "STACK_GUARD_BYTES": f"{STACK_GUARD_BYTES}u",
        "ARENA_GUARD_BYTES": f"{GUARD_BYTES}u",
        f"STARTUP_{board.startup.upper().replace('-', '_')}": 1,
        "SUPPLY_SMPS": int(board.supply == "smps"),
        "UART_BASE": f"{uart.base:#x}u",
        "UART_BAUD_RATE": f"{uart.baud_rate}u",
        "UART_CLOCK_HZ": f"{uart.clock_hz}u",
        "UART_AF": f"{uart.alternate_function}u",
        "UART_STEPS": f"{_LPUART_STEPS if uart.kind == 'stm32-lpuart' else 1}u",
    }
    for name, pin in (("TX", uart.tx), ("RX", uart.rx)):
        if pin is not None:
            values[f"UART_{name}_PORT"] = f"{ord(pin[1]) - ord('A')}u"
            values[f"UART_{name}_PIN"] = f"{pin[2:]}u"
    lines = "\n".join(f"#define HILNAS_{name} {value}" for name, value in values.items())
    return f"/* Made for board {board.name}. */\n#ifndef HILNAS_BOARD_H\n#define HILNAS_BOARD_H\n\n{lines}\n\n#endif\n"
