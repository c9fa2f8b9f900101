"""A list scheduler for straight-line code on the dual-issue Cortex-M7.

Instructions are taken in the order of their longest path to the end of the block, cycle by cycle, two a cycle where the core can issue
two. The rules and latencies are those of the core as it was measured; what they leave open is decided by the original order, so the
result is deterministic. Memory: a block's stores do not alias its loads, except for equal addresses relative to sp.
"""

from __future__ import annotations

from hilnas.firmware.assembly.emitter import Instruction


def schedule(block: list[Instruction]) -> list[Instruction]:
    """The same instructions in an order that takes fewer cycles. `block` has no branch."""
    count = len(block)
    after: list[dict[int, int]] = [{} for _ in block]
    for late in range(count):
        for early in range(late):
            delay = _delay(block[early], block[late])
            if delay is not None:
                after[early][late] = delay
    height = [0] * count
    for index in reversed(range(count)):
        height[index] = max((delay + height[other] for other, delay in after[index].items()), default=0)
    waiting = [0] * count
    for targets in after:
        for late in targets:
            waiting[late] += 1
    earliest = [0] * count
    ready = [index for index in range(count) if waiting[index] == 0]
    ordered: list[Instruction] = []
    cycle = 0
    while ready:
        issued: list[int] = []
        while len(issued) < 2:
            able = [index for index in ready if earliest[index] <= cycle and _can_join(block, issued, index)]
            if not able:
                break
            chosen = max(able, key=lambda index: (height[index], -index))
            issued.append(chosen)
            ready.remove(chosen)
            ordered.append(block[chosen])
            for late, delay in after[chosen].items():
                waiting[late] -= 1
                earliest[late] = max(earliest[late], cycle + delay)
                if waiting[late] == 0:
                    ready.append(late)
        cycle += 1
    return ordered


def _delay(early: Instruction, late: Instruction) -> int | None:
    """Cycles from `early` to `late` at least, or None if they may change places."""
    delays = []
    flowing = early.writes & late.reads
    if flowing:
        delays.append(max(_latency(early, late, register) for register in flowing))
    if early.writes & late.writes:
        delays.append(1)
    if early.reads & late.writes:
        delays.append(0)
    if early.memory is not None and early.memory == late.memory and "sp" in early.memory and (early.is_store or late.is_store):
        delays.append(1)
    return max(delays, default=None)


def _latency(producer: Instruction, consumer: Instruction, register: str) -> int:
    address = register in consumer.addresses
    if producer.is_load and register not in producer.addresses:
        if address or consumer.is_dsp or consumer.has_shifted_operand:
            return 2
        return 2 if consumer.is_multiply and register != consumer.accumulator else 1
    if producer.is_multiply:
        return 1 if register == consumer.accumulator else 2
    return 2 if address and producer.is_dsp else 1


def _can_join(block: list[Instruction], issued: list[int], index: int) -> bool:
    if not issued:
        return True
    older, younger = block[issued[0]], block[index]
    if older.issues_alone or younger.issues_alone:
        return False
    if (older.is_multiply and younger.is_multiply) or (older.is_store and younger.is_store):
        return False
    if (older.is_multiply and younger.is_store) or (older.is_store and younger.is_multiply):
        return False
    if younger.is_dsp or (older.has_shifted_operand and younger.has_shifted_operand):
        return False
    if older.is_load and younger.is_load and older.memory is not None and younger.memory is not None:
        return not older.writes & younger.addresses
    return True
