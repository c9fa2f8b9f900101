"""Board files: what is accepted, and what a wrong one says."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hilnas.boards.board import BOARDS_FOLDER, Board, InstructionCache, board_names, load_board
from hilnas.boards.linker import linker_script
from hilnas.errors import BoardError

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "boards.md"


def document(name: str = "nucleo-h743zi2") -> dict:
    return yaml.safe_load((BOARDS_FOLDER / f"{name}.yaml").read_text())


def load_changed(folder: Path, content: dict) -> Board:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_board(str(path))


@pytest.mark.parametrize(
    ("name", "clock_hz"),
    [
        ("nucleo-h743zi2", 480_000_000),
        ("nucleo-h7a3zi-q", 280_000_000),
        ("stm32h747i-disco", 400_000_000),
        ("stm32f746g-disco", 216_000_000),
        ("nucleo-l4r5zi", 120_000_000),
        ("qemu-m7", 25_000_000),
    ],
)
def test_boards_that_come_with_hilnas(name: str, clock_hz: int) -> None:
    board = load_board(name)
    assert board.clock_hz == clock_hz
    assert all(isinstance(memory.base, int) for memory in board.memories.values())
    assert name in board_names()


def test_the_documentation_lists_every_board_with_its_targets() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([\w, ]+) \|$", DOCUMENTATION.read_text(), re.MULTILINE)
    listed = {name: targets.split(", ") for name, targets in rows if name in board_names()}
    assert listed == {name: list(load_board(name).targets) for name in board_names()}


def test_the_board_of_the_documentation_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(name:.*?)^```", DOCUMENTATION.read_text(), re.MULTILINE | re.DOTALL)
    path = tmp_path / "documented.yaml"
    path.write_text(text)
    board, model = load_board(str(path)), load_board("nucleo-h743zi2")
    assert (board.flashing and board.flashing.openocd, board.uart) == (model.flashing and model.flashing.openocd, model.uart)


@pytest.mark.parametrize(
    ("flashing", "message"),
    [
        ({"flashers": ["openocd"]}, "flasher openocd needs openocd"),
        ({"flashers": ["pyocd"], "openocd": "x.cfg"}, "flasher pyocd needs pyocd"),
        ({"flashers": ["jlink"]}, "flashers"),
        (None, "target serial needs flashing"),
    ],
)
def test_a_board_says_what_its_flashers_need(tmp_path: Path, flashing: dict | None, message: str) -> None:
    with pytest.raises(BoardError, match=message):
        load_changed(tmp_path, document() | {"flashing": flashing})


def test_users_own_board_by_path(tmp_path: Path) -> None:
    content = document() | {"name": "mine"}
    assert load_changed(tmp_path, content).name == "mine"


def test_overlapping_memories_are_named(tmp_path: Path) -> None:
    content = document()
    content["memories"]["dtcm"]["base"] = content["memories"]["axi"]["base"] + 524_287
    with pytest.raises(BoardError, match=r"mine\.yaml.*memories axi and dtcm overlap"):
        load_changed(tmp_path, content)


def test_adjacent_memories_do_not_overlap(tmp_path: Path) -> None:
    content = document()
    content["memories"]["dtcm"]["base"] = content["memories"]["axi"]["base"] + 524_288
    assert load_changed(tmp_path, content)


@pytest.mark.parametrize("path", [("colour",), ("uart", "parity"), ("memories", "axi", "speed")])
def test_unknown_key_is_named(tmp_path: Path, path: tuple[str, ...]) -> None:
    content = document()
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = 1
    with pytest.raises(BoardError, match=".".join(path) + ": Extra inputs are not permitted"):
        load_changed(tmp_path, content)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arena", ["dtcm", "psram"], "psram"),
        ("data", "flash", "flash, which is not RAM"),
        ("stack", "nowhere", "nowhere"),
    ],
)
def test_placement_must_fit_the_memories(tmp_path: Path, key: str, value: object, message: str) -> None:
    content = document()
    content["placement"][key] = value
    with pytest.raises(BoardError, match=message):
        load_changed(tmp_path, content)


def test_usart_needs_pins(tmp_path: Path) -> None:
    content = document()
    del content["uart"]["tx"]
    with pytest.raises(BoardError, match="pins"):
        load_changed(tmp_path, content)


@pytest.mark.parametrize("text", ["name: [", "just text", "", "\x00"])
def test_what_is_no_board_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(BoardError, match=r"broken\.yaml"):
        load_board(str(path))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(BoardError, match="nucleo-h743zi2"):
        load_board("nucleo-h7")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"none\.yaml"):
        load_board(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("name", board_names())
def test_linker_script_has_every_memory_and_every_arena(name: str) -> None:
    board = load_board(name)
    script = linker_script(board, board.placement.arena)
    assert "$" not in script
    for memory, place in board.memories.items():
        assert f"ORIGIN = {place.base:#010x}, LENGTH = {place.size}" in script
        assert bool(re.search(rf"> {memory}\b", script)) == (memory in board.placement.names)
    for memory in board.placement.arena:
        assert f"LONG(ADDR(.arena.{memory})) LONG(SIZEOF(.arena.{memory}))" in script


@pytest.mark.parametrize(
    ("name", "cache"),
    [
        ("nucleo-h743zi2", InstructionCache(512, 32)),
        ("stm32f746g-disco", InstructionCache(128, 32)),
        ("nucleo-l4r5zi", InstructionCache(32, 32)),
        ("qemu-m7", None),
    ],
)
def test_code_comes_through_the_cores_cache_or_that_of_its_flash(name: str, cache: InstructionCache | None) -> None:
    assert load_board(name).instruction_cache == cache


def test_code_that_is_fetched_without_a_cache_is_bound_by_none(tmp_path: Path) -> None:
    in_itcm = document()
    in_itcm["placement"]["text"] = "itcm"
    assert load_changed(tmp_path, in_itcm).instruction_cache is None
    plain = document("nucleo-l4r5zi")
    plain["memories"]["flash"]["timing"]["instruction_lines"] = 0
    assert load_changed(tmp_path, plain).instruction_cache is None


@given(st.integers(1, 6), st.sampled_from([8, 16, 32]), st.lists(st.integers(1, 40).map(lambda halfwords: 2 * halfwords), max_size=3))
def test_a_cache_holds_pieces_wherever_they_begin(lines: int, line_bytes: int, pieces: list[int]) -> None:
    """Counted for every halfword at which a piece can begin."""
    touched = [max(len({at // line_bytes for at in range(start, start + size)}) for start in range(0, line_bytes, 2)) for size in pieces]
    assert InstructionCache(lines, line_bytes).holds(pieces) == (sum(touched) <= lines)
