"""The calibration recovers known parameters from synthetic measurements, whatever one wrong measurement says."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner

from hilnas.boards.board import Board, load_board
from hilnas.boards.core import load_core
from hilnas.cli.calibrate_timing import command
from hilnas.errors import InputError
from hilnas.hil.timing.calibration import Knob, Point, apply, calibrate, fitted_knobs, load_points, write_calibrated
from hilnas.hil.timing.timed_run import RunOptions, run_elf

NAMES = ("nucleo-h743zi2.flash.bus_cycles", "nucleo-h743zi2.axi.bus_cycles", "unpredicted_direct_branch")
TRUTH = (5, 6, 6)

WORK = r"""
int8_t bytes[16384];
static const int32_t table[8192] = {1};
__attribute__((noinline)) void mark(void) { __asm volatile(""); }
__attribute__((noinline)) int step(int value) { __asm volatile("" : "+r"(value)); return value + 1; }
void reset(void) {
    int32_t sum = 0;
    mark();
    for (int i = 0; i < 8192; i += 16) sum += table[i];
    mark();
    for (int i = 0; i < 16384; i += 32) sum += bytes[i];
    mark();
    for (int turn = 0; turn < 400; turn++) {
        sum = step(sum);
        __asm volatile(".rept 80\n b.n 1f\n nop\n nop\n nop\n1:\n.endr");
    }
    mark();
    for (int i = 0; i < 8192; i += 8) sum += table[i] + bytes[i];
    mark();
    bytes[0] = (int8_t)sum;
    finish();
}
"""


@pytest.fixture(scope="module")
def work(programs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf: Path = programs.compile_program(WORK, tmp_path_factory.mktemp("work"))
    return elf


def knobs_of(board: Board) -> list[Knob]:
    return [knob for knob in fitted_knobs(load_core("cortex-m7"), {board.name: board}) if knob.name in NAMES]


def measurements(work: Path, board: Board) -> list[Point]:
    order = [TRUTH[NAMES.index(knob.name)] for knob in knobs_of(board)]
    core, boards = apply(load_core("cortex-m7"), {board.name: board}, knobs_of(board), tuple(order))
    intervals = run_elf(work, boards[board.name], RunOptions(mark="mark"), lambda text: None, core).intervals
    return [Point(elf=work, board=board.name, mark="mark", interval=n, cycles=item.cycles) for n, item in enumerate(intervals)]


def recovered(points: list[Point], board: Board) -> tuple[dict[str, int], tuple[float, ...]]:
    result = calibrate(points, load_core("cortex-m7"), {board.name: board}, knobs_of(board))
    return {knob.name: value for knob, value in zip(result.knobs, result.values, strict=True)}, result.errors_left_out


def test_known_parameters_are_recovered(work: Path, board: Board) -> None:
    values, left_out = recovered(measurements(work, board), board)
    assert values == dict(zip(NAMES, TRUTH, strict=True))
    assert len(left_out) == 4


def test_one_wrong_measurement_does_not_pull_the_fit(work: Path, board: Board) -> None:
    points = measurements(work, board)
    points.append(points[0].model_copy(update={"cycles": 3 * points[0].cycles}))
    points.append(points[0])
    values, left_out = recovered(points, board)
    assert values == dict(zip(NAMES, TRUTH, strict=True))
    assert left_out[4] == pytest.approx(-2 / 3, abs=0.01)


def test_present_values_stay_where_the_points_say_nothing(work: Path, board: Board) -> None:
    point = measurements(work, board)[0]  # flash alone
    result = calibrate([point], load_core("cortex-m7"), {board.name: board}, knobs_of(board))
    values = {knob.name: (knob.value, value) for knob, value in zip(result.knobs, result.values, strict=True)}
    assert values["nucleo-h743zi2.flash.bus_cycles"][1] == TRUTH[0]
    assert values["nucleo-h743zi2.axi.bus_cycles"][0] == values["nucleo-h743zi2.axi.bus_cycles"][1]
    assert result.errors_left_out == ()


def test_files_are_new_loadable_and_never_overwritten(work: Path, board: Board, tmp_path: Path) -> None:
    core = load_core("cortex-m7")
    result = calibrate(measurements(work, board), core, {board.name: board}, knobs_of(board))
    files = write_calibrated(result, core, {board.name: board}, tmp_path / "new")
    assert load_core(str(files[0])).parameters["unpredicted_direct_branch"].value == 6
    assert load_board(str(files[1])).memories["axi"].timing.bus_cycles == 6  # type: ignore[union-attr]
    with pytest.raises(InputError, match="there already"):
        write_calibrated(result, core, {board.name: board}, tmp_path / "new")


def test_command_prints_errors_and_writes_files(work: Path, board: Board, tmp_path: Path) -> None:
    points = [json.loads(point.model_dump_json(exclude_none=True)) for point in measurements(work, board)]
    (tmp_path / "points.yaml").write_text(yaml.safe_dump({"points": points}))
    arguments = [str(tmp_path / "points.yaml"), "--out", str(tmp_path / "new"), *(part for name in NAMES for part in ("--parameter", name))]
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert max(map(abs, document["errors_after"])) < 1e-9
    assert all(Path(path).exists() for path in document["files"])
    assert "do not determine" not in done.stderr


def test_fewer_points_than_parameters_is_a_warning(work: Path, board: Board, tmp_path: Path) -> None:
    (last,) = [json.loads(point.model_dump_json(exclude_none=True)) for point in measurements(work, board)[-1:]]
    (tmp_path / "points.yaml").write_text(yaml.safe_dump({"points": [last]}))
    done = CliRunner().invoke(command, [str(tmp_path / "points.yaml"), "--out", str(tmp_path / "new")], catch_exceptions=False)
    assert "1 measurements do not determine" in done.stderr


@pytest.mark.parametrize("text", ["[]", "points: [{elf: a.elf}]", "points: []", "points: [{elf: a, board: b, cycles: -1}]", "{"])
def test_bad_points_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "points.yaml").write_text(text)
    with pytest.raises(InputError, match=r"points\.yaml"):
        load_points(tmp_path / "points.yaml")


def test_a_mistake_in_the_yaml_is_given_its_line(tmp_path: Path) -> None:
    (tmp_path / "points.yaml").write_text("points:\n  - elf: a.elf\n    board: [nucleo\n")
    with pytest.raises(InputError, match=r"not valid YAML, line \d"):
        load_points(tmp_path / "points.yaml")
