"""The page: well formed, whole, and in need of nothing but itself."""

from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from reports import NASTY, Reported

from distill.report.make import write_report
from distill.report.pictures import validated
from distill.report.sections import PRIVACY
from reid.artifact import check_files, read_manifest
from reid.html import facts, figure, page, table
from reid.modality import Modality

SECTIONS = [
    "about", "training", "subspace", "retrieval", "agreement", "prefixes", "rank-lists", "attention", "settings",
    "lineage",
]  # fmt: skip
PICTURES = {
    "losses", "validation", "rates", "norms", "energy", "spectrum", "ceiling", "prefixes", "attention",
    "rank-list-rgb", "rank-list-ir", "rank-list-sketch", "rank-list-text",
}  # fmt: skip
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """What a page holds; tags that do not close in order fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.style = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        elif self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        self.text.append(data)

    def values(self, name: str, tag: str | None = None) -> list[str]:
        return [str(attrs[name]) for which, attrs in self.tags if name in attrs and tag in (None, which)]


@pytest.fixture(scope="module")
def outline(reported: Reported) -> Outline:
    return Outline((reported.folder / "report.html").read_text(encoding="utf-8"))


def test_holds_every_section_and_its_links_lead_somewhere(outline: Outline) -> None:
    assert outline.values("id", "section") == SECTIONS
    assert len(set(outline.values("id"))) == len(outline.values("id"))
    assert outline.values("href") == [f"#{name}" for name in SECTIONS]


def test_needs_nothing_from_elsewhere(outline: Outline) -> None:
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attrs in outline.tags:
        assert not any(name.startswith("on") or name in ("style", "srcset", "action") for name in attrs), tag
    assert not re.search(r"url\(|@import", outline.style)
    assert all(source.startswith("data:image/png;base64,") for source in outline.values("src"))


def test_every_picture_is_inside_and_beside_the_page(outline: Outline, reported: Reported) -> None:
    beside = {path.stem: path.read_bytes() for path in (reported.folder / "pictures").iterdir()}
    assert set(beside) == PICTURES
    inside = [base64.b64decode(s.partition(",")[2], validate=True) for s in outline.values("src", "img")]
    assert sorted(inside) == sorted(beside.values())
    for data in inside:
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == "PNG"
            picture.load()
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 2
    assert all(outline.values("alt", "img"))


def test_says_what_it_shows_and_of_whom(outline: Outline, reported: Reported) -> None:
    text = " ".join(outline.text)
    assert PRIVACY in text
    assert f"vit-micro, distilled from {reported.run.source.store.path.name}" in text
    # Names are shown as they are; none becomes a tag.
    assert NASTY in text
    assert reported.run.analysis.reason in text
    assert "arXiv 2005.00928" in text
    assert "targets" not in {row[0] for row in outline.rows}


def test_tables_hold_what_was_found(outline: Outline, reported: Reported) -> None:
    scores = reported.evaluated.score_rows()
    for row in [*scores, *reported.evaluated.prefix.rows()]:
        assert [value.replace("->", "→") for value in row.values()] in outline.rows
    deployed = reported.evaluated.scores.deployed((Modality.IR, Modality.RGB))
    assert deployed is not None
    assert f"{100 * deployed.mean_ap:.1f}" in outline.text
    store = read_manifest(reported.run.source.store.path)
    assert any(store.sha256[:16] in row for row in outline.rows)


def test_is_part_of_the_artifact(reported: Reported) -> None:
    manifest = read_manifest(reported.folder)
    assert {"report.html", "README.md", "pictures/losses.png"} <= set(manifest.files)
    assert check_files(reported.folder, manifest) == []


def test_equal_runs_give_equal_reports(reported: Reported) -> None:
    again = reported.folder.with_name("again")
    again.mkdir()
    shutil.copyfile(reported.folder / "model.safetensors", again / "model.safetensors")
    write_report(again, reported.run, reported.evaluated, reported.coordinates)
    written = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert len(written) == 3 + len(PICTURES)
    for path in written:
        assert (again / path).read_bytes() == (reported.folder / path).read_bytes(), path


def test_without_people_to_score_or_validate_it_says_so(reported: Reported, tmp_path: Path) -> None:
    run: Any = reported.run
    bare = replace(run, analysis=replace(run.analysis, ceiling=None), log=[], scores={}, best_step=None)
    write_report(tmp_path, bare)
    outline = Outline((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert outline.values("id", "section") == SECTIONS
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"energy", "spectrum", "attention"}
    text = " ".join(outline.text)
    assert text.count("Nobody was scored") == 4
    assert "Nothing was logged" in text
    assert "Nobody was scored" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_student_stands_beside_its_ceiling_where_the_rule_is_the_same(reported: Reported) -> None:
    ceiling = reported.run.analysis.ceiling
    assert ceiling is not None
    reached = validated(reported.run, ceiling)
    assert set(reached) == set(ceiling.full)
    scores = reported.run.scores
    assert all(value == scores[f"{query}-to-rgb-val"] for query, value in reached.items())
    assert validated(replace(reported.run, scores={}), ceiling) == {}


def test_parts_escape_what_they_are_given(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    nasty = '<img src="http://x">&"\''
    body = "".join([table([{nasty: nasty}]), facts({nasty: nasty}), figure(tmp_path / "a.png", nasty, nasty)])
    outline = Outline(page(nasty, nasty, body, []))
    assert [tag for tag, _ in outline.tags].count("img") == 1
    assert outline.values("alt") == [nasty]
    assert outline.rows == [[nasty], [nasty], [nasty, nasty]]
    assert table([]) == ""
