"""Which board a user means. USB devices are stood in for by pyserial's own records and by a folder laid out as Linux's sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from hilnas.errors import ConnectError
from hilnas.hil import probes
from hilnas.hil.probes import attached_boards, choose_port, choose_probe

FIRST, SECOND = "004200253137511233333639", "066AFF495056805087123456"


def port(device: str, serial_number: str | None, vendor: int | None = 0x0483, product: int | None = 0x374E) -> ListPortInfo:
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number, info.product = vendor, product, serial_number, "STLINK-V3"
    return info


@pytest.fixture
def attach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lets the host have these ports, and no other USB devices."""

    def attach(*ports: ListPortInfo) -> None:
        monkeypatch.setattr(probes.list_ports, "comports", lambda: list(ports))

    monkeypatch.setattr(probes, "USB_DEVICES", tmp_path)
    attach()
    return attach


def test_only_st_links_are_boards(attach) -> None:
    attach(port("/dev/ttyUSB0", "A1", 0x0403, 0x6001), port("/dev/ttyS0", None, None, None), port("/dev/ttyACM0", FIRST))
    assert [(probe.serial_number, probe.port) for probe in attached_boards()] == [(FIRST, "/dev/ttyACM0")]


def test_one_board_is_the_one_that_is_meant(attach) -> None:
    attach(port("/dev/ttyACM3", FIRST))
    assert choose_port("auto", None) == "/dev/ttyACM3"


def test_of_two_boards_none_is_guessed_and_both_are_listed(attach) -> None:
    attach(port("/dev/ttyACM1", SECOND), port("/dev/ttyACM0", FIRST))
    with pytest.raises(ConnectError, match=f"2 boards are attached: {FIRST}.*ttyACM0.*{SECOND}.*ttyACM1") as error:
        choose_port("auto", None)
    assert "--probe" in error.value.hint
    assert choose_port("auto", SECOND) == "/dev/ttyACM1"


def test_a_probe_that_is_not_attached_is_named_with_those_that_are(attach) -> None:
    attach(port("/dev/ttyACM0", FIRST))
    with pytest.raises(ConnectError, match=f"no probe {SECOND} is attached; there is {FIRST}"):
        choose_probe(SECOND, attached_boards())


def test_a_port_that_is_named_is_taken_as_it_is(attach) -> None:
    assert choose_port("/dev/ttyUSB7", None) == "/dev/ttyUSB7"


def test_no_board_says_what_to_check(attach) -> None:
    with pytest.raises(ConnectError, match="no ST-LINK found") as error:
        choose_port("auto", None)
    assert "cable" in error.value.hint


def test_a_board_without_a_driver_for_its_port_counts(attach, tmp_path: Path) -> None:
    attach(port("/dev/ttyACM0", FIRST))
    for name, serial_number, vendor in (("1-1", FIRST, "0483"), ("1-2", SECOND, "0483"), ("1-3", "X", "1d6b")):
        device = tmp_path / name
        device.mkdir()
        for file, text in (("idVendor", vendor), ("idProduct", "374b"), ("serial", serial_number), ("product", "ST-Link")):
            (device / file).write_text(text + "\n")
    assert [(probe.serial_number, probe.port) for probe in attached_boards()] == [(FIRST, "/dev/ttyACM0"), (SECOND, None)]
    with pytest.raises(ConnectError, match="has no serial port"):
        choose_port("auto", SECOND)


def test_a_probe_with_two_ports_is_one_board(attach) -> None:
    attach(port("/dev/ttyACM1", FIRST), port("/dev/ttyACM0", FIRST))
    assert [probe.port for probe in attached_boards()] == ["/dev/ttyACM0"]
