"""The emulator's native library (machine.h), loaded with ctypes. It calls Unicorn, whose library must be loaded before it."""

from __future__ import annotations

import ctypes as c
import importlib.util
from enum import IntEnum
from functools import cache
from pathlib import Path

from hilnas.errors import ToolMissingError

_FOLDER = Path(__file__).parent


class StopReason(IntEnum):
    """Why the machine stopped: `stop_reason` of machine.h."""

    LIMIT = 0
    IDLE = 1
    SYMBOL = 2
    RESET = 3
    UNMAPPED = 4
    UNCLOCKED = 5
    EXCEPTION = 6
    ENGINE_ERROR = 7
    BREAKPOINT = 8
    EXIT = 9
    SLEEP = 10
    ENDLESS = 11


class MachineStop(c.Structure):
    """`machine_stop` of machine.h."""

    _fields_ = (
        ("reason", c.c_uint32),
        ("pc", c.c_uint32),
        ("block", c.c_uint32),
        ("address", c.c_uint32),
        ("size", c.c_uint32),
        ("is_write", c.c_uint32),
        ("detail", c.c_uint32),
        ("reserved", c.c_uint32),
        ("instructions", c.c_uint64),
        ("cycles", c.c_uint64),
    )


class MachineMark(c.Structure):
    """`machine_mark` of machine.h."""

    _fields_ = (
        ("argument", c.c_uint32),
        ("entry_instructions", c.c_uint64),
        ("entry_cycles", c.c_uint64),
        ("return_instructions", c.c_uint64),
        ("return_cycles", c.c_uint64),
    )


class MachineAccess(c.Structure):
    """`machine_access` of machine.h."""

    _fields_ = (
        ("address", c.c_uint32),
        ("block", c.c_uint32),
        ("is_write", c.c_uint64),
        ("count", c.c_uint64),
    )


_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "machine_create": (c.c_void_p, (c.c_char_p, c.c_uint32, c.c_double)),
    "machine_destroy": (None, (c.c_void_p,)),
    "machine_set_timing": (c.c_bool, (c.c_void_p, c.c_void_p)),
    "machine_map": (c.c_bool, (c.c_void_p, c.c_uint32, c.c_uint32, c.c_bool)),
    "machine_write": (c.c_bool, (c.c_void_p, c.c_uint32, c.c_char_p, c.c_size_t)),
    "machine_read": (c.c_bool, (c.c_void_p, c.c_uint32, c.c_void_p, c.c_size_t)),
    "machine_reset": (c.c_bool, (c.c_void_p, c.c_uint32)),
    "machine_start": (c.c_bool, (c.c_void_p, c.c_uint32, c.c_uint32, c.c_uint32)),
    "machine_take_any_firmware": (None, (c.c_void_p, c.POINTER(c.c_uint32), c.c_double)),
    "machine_unknown_count": (c.c_size_t, (c.c_void_p,)),
    "machine_unknown_accesses": (c.POINTER(MachineAccess), (c.c_void_p,)),
    "machine_refused_count": (c.c_size_t, (c.c_void_p,)),
    "machine_refused_calls": (c.POINTER(MachineAccess), (c.c_void_p,)),
    "machine_replaced_count": (c.c_size_t, (c.c_void_p,)),
    "machine_replaced_code": (c.POINTER(MachineAccess), (c.c_void_p,)),
    "machine_console_receive": (c.c_size_t, (c.c_void_p, c.c_void_p, c.c_size_t)),
    "machine_mark_calls": (c.c_bool, (c.c_void_p, c.c_uint32)),
    "machine_stop_at": (c.c_bool, (c.c_void_p, c.c_uint32)),
    "machine_run": (None, (c.c_void_p, c.c_uint64, c.POINTER(MachineStop))),
    "machine_uart_send": (None, (c.c_void_p, c.c_char_p, c.c_size_t)),
    "machine_uart_receive": (c.c_size_t, (c.c_void_p, c.c_void_p, c.c_size_t)),
    "machine_mark_count": (c.c_size_t, (c.c_void_p,)),
    "machine_marks": (c.POINTER(MachineMark), (c.c_void_p,)),
    "machine_forget_marks": (None, (c.c_void_p,)),
    "machine_clock_hz": (c.c_uint64, (c.c_void_p,)),
}


@cache
def library() -> c.CDLL:
    """The native library with its signatures.

    Raises:
        ToolMissingError: it or Unicorn is not there.
    """
    unicorn = importlib.util.find_spec("unicorn")
    folders = [] if unicorn is None or unicorn.origin is None else list(Path(unicorn.origin).parent.glob("lib/libunicorn.so*"))
    if not folders:
        raise ToolMissingError("the emulator needs the Python package unicorn", "Install it: pip install 'unicorn>=2.1.4,<2.2'")
    built = sorted(_FOLDER.glob("_native*.so"))
    if not built:
        raise ToolMissingError(f"the emulator's native library is not built in {_FOLDER}", "Build it with a C compiler: pip install -e .")
    c.CDLL(str(folders[0]), mode=c.RTLD_GLOBAL)
    native = c.CDLL(str(built[0]))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(native, name)
        function.restype = result
        function.argtypes = arguments
    return native
