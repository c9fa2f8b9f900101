"""The start-up code of each part on a bare core whose peripherals are memory: what it writes, in which order, and what it waits for.

Addresses and bits are from RM0433 (H743), RM0399 (H747), RM0455 (H7A3), RM0385 (F746) and RM0432 (L4R5).
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import unicorn as uc
from unicorn import arm_const as arm

from hilnas.boards.board import Board, load_board
from hilnas.errors import BuildError
from hilnas.firmware.board_support import support_header, support_sources
from hilnas.firmware.build import core_flags
from hilnas.firmware.toolchain import ARM, RUNTIME_FOLDER

CODE, RAM = 0x0800_0000, 0x2000_0000
PAGE = 4096
H7_RCC, H7_PWR, FLASH_H7, SYSCFG = 0x5802_4400, 0x5802_4800, 0x5200_2000, 0x5800_0400
F7_RCC, F7_PWR, FLASH_F7 = 0x4002_3800, 0x4000_7000, 0x4002_3C00
L4_RCC, L4_PWR, FLASH_L4 = 0x4002_1000, 0x4000_7000, 0x4002_2000
H7 = ("nucleo-h743zi2", "stm32h747i-disco", "nucleo-h7a3zi-q")
# Each ready bit where it is, as it reads when what it tells of is ready.
READY_H7 = {
    "PWR_CSR1.ACTVOSRDY": (H7_PWR + 0x04, 1 << 13),
    "PWR_D3CR.VOSRDY": (H7_PWR + 0x18, 1 << 13),
    "RCC_CR.PLL1RDY": (H7_RCC + 0x00, 1 << 25),
    "RCC_CFGR.SWS": (H7_RCC + 0x10, 3 << 3),
}
READY_F7 = {
    "RCC_CR.PLLRDY": (F7_RCC + 0x00, 1 << 25),
    "PWR_CSR1.ODRDY": (F7_PWR + 0x04, 1 << 16),
    "PWR_CSR1.ODSWRDY": (F7_PWR + 0x04, 1 << 17),
    "RCC_CFGR.SWS": (F7_RCC + 0x08, 2 << 2),
}
READY_L4 = {
    "RCC_CR.HSIRDY": (L4_RCC + 0x00, 1 << 10),
    "RCC_CR.PLLRDY": (L4_RCC + 0x00, 1 << 25),
    "RCC_CFGR.SWS": (L4_RCC + 0x08, 3 << 2),
}
OTHERS = {"stm32f746g-disco": READY_F7, "nucleo-l4r5zi": READY_L4}
RESET = {H7_PWR + 0x0C: 6, H7_PWR + 0x18: 1 << 14, F7_PWR + 0x00: 3 << 14}


def ready_bits(board: str) -> dict[str, tuple[int, int]]:
    return READY_H7 if board in H7 else OTHERS[board]


@dataclass
class StartUp:
    """What the steps of the start-up returned, and every register that they wrote, in order."""

    missing: str
    writes: list[tuple[int, int]] = field(default_factory=list)

    def values(self, address: int) -> list[int]:
        return [value for where, value in self.writes if where == address]

    def index(self, address: int, value: int, mask: int = 0xFFFF_FFFF) -> int:
        """When `address` first got `value`."""
        return next(i for i, (where, written) in enumerate(self.writes) if where == address and written & mask == value)


@cache
def build(declaration: str) -> tuple[bytes, dict[str, int]]:
    """The clock's start-up code of a board (as JSON) as it lies from CODE on, and the addresses of its steps."""
    board = Board.model_validate_json(declaration)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hilnas_board.h").write_text(support_header(board, "", "", 1))
        clock = next(path for path in support_sources(board) if path.name.startswith("clock_"))
        elf, binary = folder / "clock.elf", folder / "clock.bin"
        link = ["-nostdlib", "-nostartfiles", f"-Wl,-Ttext={CODE:#x}", "-Wl,--entry=clock_start", "-o", elf]
        ARM.run([*core_flags(board), "-Os", f"-I{folder}", f"-I{RUNTIME_FOLDER}", clock, *link])
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", elf, binary], check=True)
        symbols = subprocess.run(["arm-none-eabi-nm", elf], capture_output=True, text=True, check=True).stdout
        return binary.read_bytes(), {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}


def start(board: str, never: str | None = None) -> StartUp:
    """Runs the steps in the order of startup.c with every ready bit set but `never`."""
    content, entries = build(load_board(board).model_dump_json())
    core = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB)
    core.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M7)
    for base in (CODE, RAM):
        core.mem_map(base, 16 * PAGE)
    core.mem_write(CODE, content)
    for page in sorted({address & -PAGE for address in (H7_RCC, FLASH_H7, SYSCFG, F7_RCC, F7_PWR, FLASH_F7, L4_RCC, FLASH_L4)}):
        core.mem_map(page, PAGE)
    state = dict(RESET)
    for name, (address, bits) in ready_bits(board).items():
        state[address] = state.get(address, 0) | (0 if name == never else bits)
    for address, value in state.items():
        core.mem_write(address, value.to_bytes(4, "little"))
    writes: list[tuple[int, int]] = []
    core.hook_add(
        uc.UC_HOOK_MEM_WRITE, lambda _core, _kind, address, _size, value, _data: writes.append((address, value & 0xFFFF_FFFF)), None, 1, 0
    )
    missing = call(core, entries["clock_choose_supply"])
    assert all(not is_ram(address) for address, _ in writes), "RAM is written before the supply has been chosen"
    call(core, entries["clock_start_memories"])
    missing = missing or call(core, entries["clock_start"])
    return StartUp(missing, [write for write in writes if not is_ram(write[0])])


def is_ram(address: int) -> bool:
    return RAM <= address < RAM + 16 * PAGE


def call(core: uc.Uc, entry: int) -> str:
    """Calls a function; the string that it returned, empty for a null pointer."""
    back = CODE + 16 * PAGE - 16
    core.reg_write(arm.UC_ARM_REG_R0, 0)
    core.reg_write(arm.UC_ARM_REG_SP, RAM + 8 * PAGE)
    core.reg_write(arm.UC_ARM_REG_LR, back | 1)
    core.emu_start(entry | 1, back)
    told = core.reg_read(arm.UC_ARM_REG_R0)
    return bytes(core.mem_read(told, 64)).split(b"\0")[0].decode() if CODE <= told < CODE + 16 * PAGE else ""


@pytest.mark.parametrize("board", [*H7, *OTHERS])
def test_it_ends_when_everything_becomes_ready(board: str) -> None:
    assert start(board).missing == ""


@pytest.mark.parametrize(("board", "bit"), [(board, bit) for board in (*H7, *OTHERS) for bit in ready_bits(board)])
def test_a_bit_that_never_becomes_ready_is_named_and_waiting_ends(board: str, bit: str) -> None:
    assert start(board, never=bit).missing == bit


@pytest.mark.parametrize("board", H7)
def test_the_supply_is_chosen_once_and_first(board: str) -> None:
    trace = start(board)
    smps, ldo = 4, 2
    assert [value & 7 for value in trace.values(H7_PWR + 0x0C)] == [smps if load_board(board).supply == "smps" else ldo]
    assert trace.index(H7_PWR + 0x0C, trace.values(H7_PWR + 0x0C)[0]) < trace.index(H7_PWR + 0x18, 3 << 14, 3 << 14)


@pytest.mark.parametrize("board", H7)
def test_voltage_wait_states_and_dividers_come_before_the_clock(board: str) -> None:
    trace = start(board)
    switch = trace.index(H7_RCC + 0x10, 3, 7)
    latency = {"nucleo-h743zi2": 4 | 2 << 4, "stm32h747i-disco": 2 | 2 << 4, "nucleo-h7a3zi-q": 6 | 3 << 4}[board]
    assert trace.index(FLASH_H7, latency) < switch
    assert trace.index(H7_PWR + 0x18, 3 << 14, 3 << 14) < trace.index(FLASH_H7, latency)
    for divider in (0x18, 0x1C, 0x20):
        assert max(i for i, (where, _) in enumerate(trace.writes) if where == H7_RCC + divider) < switch
    assert trace.index(H7_RCC + 0x30, trace.values(H7_RCC + 0x30)[0]) < trace.index(H7_RCC + 0x00, 1 << 24, 1 << 24) < switch


def test_overdrive_only_above_400_mhz_and_after_scale_1() -> None:
    trace = start("nucleo-h743zi2")
    overdrive = trace.index(SYSCFG + 0x2C, 1)
    assert trace.index(H7_RCC + 0xF4, 1 << 1, 1 << 1) < overdrive
    assert trace.index(H7_PWR + 0x18, 3 << 14, 3 << 14) < overdrive < trace.index(FLASH_H7, 4 | 2 << 4)
    for board in ("stm32h747i-disco", "nucleo-h7a3zi-q"):
        assert start(board).values(SYSCFG + 0x2C) == []


def test_480_mhz_with_the_switching_regulator_does_not_build() -> None:
    board = load_board("nucleo-h743zi2").model_copy(update={"supply": "smps"})
    with pytest.raises(BuildError, match="voltage scale 0"):
        build(board.model_dump_json())


@pytest.mark.parametrize("board", H7)
def test_without_a_supply_the_rams_are_clocked_and_nothing_else_is_changed(board: str) -> None:
    trace = start(board, never="PWR_CSR1.ACTVOSRDY")
    rams = 3 << 29 if board == "nucleo-h7a3zi-q" else 7 << 29
    assert [address for address, _ in trace.writes] == [H7_PWR + 0x0C, H7_RCC + 0xDC]
    assert trace.index(H7_RCC + 0xDC, rams, rams) == 1


def test_the_f746_goes_into_overdrive_before_its_wait_states_and_its_clock() -> None:
    trace = start("stm32f746g-disco")
    order = [
        trace.index(F7_RCC + 0x40, 1 << 28, 1 << 28),  # the power controller is clocked before it is written
        trace.index(F7_PWR + 0x00, 3 << 14, 3 << 14),
        trace.index(F7_RCC + 0x00, 1 << 24, 1 << 24),
        trace.index(F7_PWR + 0x00, 1 << 16, 1 << 16),
        trace.index(F7_PWR + 0x00, 1 << 17, 1 << 17),
        trace.index(FLASH_F7, 7, 15),
        trace.index(F7_RCC + 0x08, 2, 3),
    ]
    assert order == sorted(order)
    pll = trace.values(F7_RCC + 0x04)[-1]
    assert 16_000_000 // (pll & 63) * (pll >> 6 & 511) // (2 * ((pll >> 16 & 3) + 1)) == load_board("stm32f746g-disco").clock_hz


def test_the_l4r5_is_boosted_and_its_bus_halved_before_its_clock() -> None:
    trace = start("nucleo-l4r5zi")
    order = [
        trace.index(L4_RCC + 0x58, 1 << 28, 1 << 28),  # the power controller is clocked before it is written
        trace.index(L4_RCC + 0x00, 1 << 24, 1 << 24),
        trace.index(L4_RCC + 0x08, 8 << 4, 15 << 4),
        trace.index(L4_PWR + 0x80, 0, 1 << 8),
        trace.index(FLASH_L4, 5, 15),
        trace.index(L4_RCC + 0x08, 3, 3),
        max(i for i, (where, _) in enumerate(trace.writes) if where == L4_RCC + 0x08),
    ]
    assert order == sorted(order)
    assert trace.values(L4_RCC + 0x08)[-1] & 0xFF == 3 << 2 | 3, "at last the bus runs at the core's clock"
    pll = trace.values(L4_RCC + 0x0C)[-1]
    vco_hz = 16_000_000 // ((pll >> 4 & 15) + 1) * (pll >> 8 & 127)
    assert 64_000_000 <= vco_hz <= 344_000_000
    assert vco_hz // (2 * ((pll >> 25 & 3) + 1)) == load_board("nucleo-l4r5zi").clock_hz
