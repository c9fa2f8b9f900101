"""What each assumption of the timing model is worth: cycles of an image when one of them changes, in percent.

Example: python benchmarks/timing_sensitivity.py build/model nucleo-h743zi2
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hilnas.boards.board import AcceleratedFlash, Board, BusTiming, load_board
from hilnas.boards.core import Core, load_core
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.timing.timed_run import RunOptions, run_image

Change = Callable[[Core, Board], tuple[Core, Board]]


def parameter(name: str, value: int) -> Change:
    """Another value of a core parameter, whatever its bounds."""

    def change(core: Core, board: Board) -> tuple[Core, Board]:
        changed = core.parameters[name].model_copy(update={"value": value})
        return core.model_copy(update={"parameters": {**core.parameters, name: changed}}), board

    return change


def latency(kinds: tuple[str, ...], roles: tuple[str, ...], add: int) -> Change:
    """Latencies of some kinds of result to some readers, longer or shorter."""

    def change(core: Core, board: Board) -> tuple[Core, Board]:
        latencies = dict(core.latencies)
        for kind in kinds:
            cycles = {role: max(0, value + add) if role in roles else value for role, value in latencies[kind].cycles.items()}
            latencies[kind] = latencies[kind].model_copy(update={"cycles": cycles})
        return core.model_copy(update={"latencies": latencies}), board

    return change


def memory(name: str, **changes: int) -> Change:
    """Another timing of a memory."""

    def change(core: Core, board: Board) -> tuple[Core, Board]:
        timing = board.memories[name].timing
        assert isinstance(timing, BusTiming | AcceleratedFlash)
        changed = board.memories[name].model_copy(update={"timing": timing.model_copy(update=changes)})
        return core, board.model_copy(update={"memories": {**board.memories, name: changed}})

    return change


_FP = ("fp_arithmetic", "fp_fused", "fp_chained", "core_to_fpu")
_FP_ROLES = ("fp_operand", "fp_accumulator", "fp_move")
_ALL = ("early_alu", "late_alu", "address_update", "reverse", "dsp", "saturate", "multiply", "load_word", "load_narrow")
_CORTEX_M7: dict[str, Change] = {
    "single issue": parameter("issue_width", 1),
    "taken branch: one cycle more of fetch": parameter("taken_branch_bubble", 1),
    "misprediction 12 and 10 instead of 8 and 6": lambda core, board: parameter("mispredicted", 12)(
        *parameter("mispredicted_flags_known", 10)(core, board)
    ),
    "branch target cache of 16": parameter("branch_target_entries", 16),
    "branch target cache of one way": parameter("branch_target_ways", 1),
    "loops not counted": parameter("counted_passes", 0),
    "no return stack": parameter("return_stack_entries", 0),
    "load of a stored word waits not": parameter("load_of_stored_word", 0),
    "loaded word one cycle earlier as an index": latency(("load_word",), ("index",), -1),
    "result of an IT block not later outside of it": parameter("other_condition", 0),
    "fetch queue of 2 words": parameter("fetch_queue_words", 2),
    "FP latencies one cycle less": latency(_FP, _FP_ROLES, -1),
    "load to multiplicand one cycle less": latency(("load_word", "load_narrow"), ("multiplicand",), -1),
    "no bank conflicts": parameter("bank_conflict", 0),
    "unaligned loads free": lambda core, board: parameter("unaligned_load_older", 0)(*parameter("unaligned_load_younger", 0)(core, board)),
    "narrow stores drain in one cycle": parameter("narrow_store_drain", 1),
    "one linefill buffer": parameter("linefill_buffers", 1),
    "random replacement": parameter("random_replacement", 1),
    "flash fill 24 instead of 16 cycles": memory("flash", bus_cycles=7),
    "next flash line not earlier": memory("flash", sequential_saving=0),
    "next flash line 8 cycles earlier": memory("flash", sequential_saving=4),
    "AXI fill 14 instead of 8 cycles": memory("axi", bus_cycles=6),
}
_CORTEX_M4: dict[str, Change] = {
    "taken branch: one cycle more": parameter("unpredicted_direct_branch", 2),
    "branch to a register: one cycle more": parameter("mispredicted", 3),
    "IT takes a cycle": parameter("it_folds", 0),
    "loads take one cycle": parameter("load_data_phase", 0),
    "load behind a store waits not": parameter("load_behind_store", 0),
    "store with a register offset takes one cycle": parameter("store_at_index", 0),
    "addresses as early as other operands": latency(_ALL, ("address", "index"), -1),
    "flash: one wait state less": memory("flash", wait_states=4),
    "flash: 128 bits a read": memory("flash", word_bytes=16),
    "flash: a whole line a read": memory("flash", word_bytes=32),
    "flash: no data cache": memory("flash", data_lines=0),
    "flash: instruction cache of 512 bytes": memory("flash", instruction_lines=16),
    "flash: instruction cache of 2 KB": memory("flash", instruction_lines=64),
}
CHANGES = {"cortex-m7": _CORTEX_M7, "cortex-m4": _CORTEX_M4}


def sensitivities(image: FirmwareImage, board: Board) -> Iterator[tuple[str, float]]:
    """Each change and by how much it changes the cycles of one inference, as a fraction."""
    core = load_core(board.core)

    def cycles(core: Core, board: Board) -> int:
        run = run_image(image, board, RunOptions(mark="hilnas_layer_mark"), core)
        return sum(interval.cycles for interval in run.intervals)

    base = cycles(core, board)
    for name, change in CHANGES[board.core].items():
        yield name, cycles(*change(core, board)) / base - 1


def main() -> None:
    """Prints the table."""
    image = FirmwareImage.load(Path(sys.argv[1]))
    for name, fraction in sensitivities(image, load_board(sys.argv[2])):
        print(f"{name:44s} {100 * fraction:+7.2f} %")


if __name__ == "__main__":
    main()
