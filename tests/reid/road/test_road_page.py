"""The page and the table at the end of a road, and the lines that a device enrols."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from reid.cli import command
from reid.errors import UserError
from reid.road.summary import summarise
from reid.synthetic.world import World
from reid.synthetic.write import write_world


def pair(query: str, mean_ap: float, **more: Any) -> dict[str, Any]:
    return {"query": query, "gallery": "rgb", "mAP": mean_ap, "rank-1": mean_ap / 2, **more}


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path, Path]:
    """As `distill eval`, an export and `export bench` write them: the device reads no sentences."""
    student = {
        "people": 18, "gallery": "rgb", "scores": {
            "teacher": [pair("rgb", 0.9), pair("text", 0.5)],
            "cloud to edge": [pair("rgb", 0.8), pair("text", 0.4)],
            "edge to edge": [pair("rgb", 0.7), {**pair("rgb", 0.1), "gallery": "ir"}],
        },
    }  # fmt: skip
    found = {"query": "rgb", "gallery": "rgb", "found": {"mean_ap": 69.0, "rank1": 33.0}}
    outcome = {"bytes": 2_000_000, "fp32_bytes": 4_000_000, "retrieval": {"pairs": [found]}}
    bench = {
        "rows": [
            {"graph": "student", "engine": "torch eager", "batch": 1, "median_ms": 9.0},
            {"graph": "student.fp16.onnx", "engine": "ONNX Runtime", "batch": 1, "median_ms": 7.0},
            {"graph": "student.fp16.onnx", "engine": "OpenVINO", "batch": 1, "median_ms": 5.0},
            {"graph": "student.fp16.onnx", "engine": "OpenVINO", "batch": 16, "median_ms": 1.0},
        ]
    }
    paths = tuple(tmp_path / name for name in ("student.json", "parity.json", "bench.json"))
    for path, content in zip(paths, (student, {"precisions": {"fp16": outcome}}, bench), strict=True):
        path.write_text(json.dumps(content))
    return paths  # type: ignore[return-value]


def test_the_table_has_what_each_model_reaches_weighs_and_takes(reports: tuple[Path, Path, Path]) -> None:
    summary = summarise(*reports)
    assert summary.rows == [
        {"": "teacher", "rgb -> rgb": "90.0 / 45.0", "text -> rgb": "50.0 / 25.0", "size": "-", "latency": "-"},
        {
            "": "student", "rgb -> rgb": "70.0 / 35.0", "text -> rgb": "40.0 / 20.0", "size": "4.0 MB",
            "latency": "9.0 ms, torch eager",
        },
        {
            "": "exported fp16", "rgb -> rgb": "69.0 / 33.0", "text -> rgb": "-", "size": "2.0 MB",
            "latency": "5.0 ms, OpenVINO",
        },
    ]  # fmt: skip
    assert any(note.startswith("text: embedded by the teacher") for note in summary.notes)


def test_a_report_of_something_else_is_named(reports: tuple[Path, Path, Path]) -> None:
    reports[1].write_text("{}")
    with pytest.raises(UserError, match=r"parity\.json: not the reports of a student and of its export"):
        summarise(*reports)


class Addresses(HTMLParser):
    """Every address in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("href", "src")]


def test_the_page_leads_to_every_picture_and_report_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "folder: out\n"
        "stages:\n"
        "  people: {run: 'reid data synth {out} --people 4 --cameras 2', makes: people}\n"
        "  sheet: {run: 'reid data show {stage.people} --out {out}', makes: a sheet.png, about: <all>}\n"
        "  page: {run: 'reid page r.yaml --out {out}', makes: index.html}\n"
    )
    done = CliRunner().invoke(command, ["run", "r.yaml"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "index.html").read_text()
    page = Addresses()
    page.feed(text)
    assert "a%20sheet.png" in page.found
    assert "reid data show out/people --out &#x27;out/a sheet.png&#x27;" in text
    assert "&lt;all&gt;" in text
    assert not [address for address in page.found if "://" in address or address.startswith("/")]


def test_boxes_are_the_images_that_were_asked_for(tmp_path: Path) -> None:
    write_world(World(0, 6, cameras=2, per_camera=1), tmp_path / "people", progress=False)
    out = tmp_path / "deep" / "boxes.jsonl"
    out.parent.mkdir()
    words = ["data", "boxes", str(tmp_path / "people"), "--camera", "c2", "--out", str(out)]
    done = CliRunner().invoke(command, words)
    assert done.output == f"wrote {out}, 6 images of 6 people\n"
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["camera"] for line in lines} == {"c2"}
    assert all((out.parent / line["image"]).is_file() for line in lines)
    assert lines[0]["boxes"] == [{"person": "0000"}]
    none = CliRunner().invoke(command, [*words[:4], "c9", "--out", str(out)])
    assert isinstance(none.exception, UserError)
