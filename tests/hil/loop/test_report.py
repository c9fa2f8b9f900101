"""The report of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hilnas.errors import InputError
from hilnas.hil.loop.charts import Series, ticks, xy_chart
from hilnas.hil.loop.report import load_report_data, render, write_report
from hilnas.hil.loop.result import LoopResult
from hilnas.hil.loop.run_folder import RESULT_NAME, RunFolder

VOID = {"meta", "br"}


class _Page(HTMLParser):
    """Which elements a page opens and closes, in which sections, and what text each section has."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self._section: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        identity = dict(attrs).get("id")
        if identity and tag in {"section", "div"}:
            self._section = (identity, len(self.open))
            self.sections[identity] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if self._section and len(self.open) < self._section[1]:
            self._section = None

    def handle_data(self, data: str) -> None:
        if self._section:
            self.sections[self._section[0]] += data


@pytest.fixture(scope="module")
def page(finished_run: RunFolder) -> str:
    return finished_run.report_path.read_text()


def test_the_page_is_well_formed_and_has_its_parts(page: str) -> None:
    parser = _Page()
    parser.feed(page)
    assert not parser.open
    assert set(parser.sections) == {"candidates", "pareto", "predicted", "errors", "exits", "layers", "memory", "provenance"}
    assert all(text.strip() for text in parser.sections.values())
    assert "Nothing to draw" not in page


def test_the_page_needs_no_network_and_no_script(page: str) -> None:
    assert "<script" not in page
    without_namespace = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.findall(r"(?:src|href)\s*=|url\((?!#)|@import|https?://", without_namespace)


def test_the_page_shows_the_measured_figures(page: str, finished_run: RunFolder) -> None:
    result = finished_run.read(RESULT_NAME, LoopResult)
    parser = _Page()
    parser.feed(page)
    for candidate in result.candidates:
        assert candidate.name in parser.sections["candidates"]
        assert f"{candidate.measured.latency_s * 1e3:.3f}" in parser.sections["candidates"]
        assert f"{candidate.expected_latency_s * 1e3:.3f}" in parser.sections["exits"]
    assert "cycles" in parser.sections["layers"]
    assert result.board in parser.sections["provenance"]


def test_what_was_asked_and_what_was_measured_keep_their_own_values(finished_run: RunFolder) -> None:
    data = load_report_data(finished_run)
    asked = replace(data.description, configuration=replace(data.description.configuration, seed=12_345))
    assert data.measurement.provenance["seed"] == 0
    sections = re.findall(r"<h3>(.*?)</h3>(.*?)</table>", render(replace(data, description=asked)))
    seeds = [re.findall(r'<td>seed</td><td class="left wrap">(.*?)</td>', rows) for _, rows in sections]
    assert [name.split()[0] for name, _ in sections] == ["Run", "Firmware", "Measurement"]
    assert seeds == [["12345"], [], ["0"]]


def test_the_report_can_be_written_elsewhere(finished_run: RunFolder, tmp_path: Path, page: str) -> None:
    assert write_report(finished_run, tmp_path / "page.html").read_text() == page


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        write_report(RunFolder(tmp_path))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.93, 0.971), (1e-6, 5e-3), (0.0, 12_345.0), (-3.0, 4.0)])
def test_ticks_are_round_inside_and_not_too_many(low: float, high: float) -> None:
    values = ticks(low, high)
    assert 2 <= len(values) <= 9
    assert low - 1e-9 <= values[0] and values[-1] <= high + 1e-9


def test_text_of_users_is_escaped() -> None:
    chart = xy_chart([Series("<b>&", [1.0, 2.0], [1.0, 2.0], "s1", titles=["<script>", "ok"])], "x", "y")
    assert "<script>" not in chart and "&lt;script&gt;" in chart and "&lt;b&gt;&amp;" in chart


def test_points_that_are_all_equal_can_be_drawn() -> None:
    assert "<circle" in xy_chart([Series("one", [1.0], [0.0], "s1")], "x", "y", diagonal_band=0.05)
