"""The page at the end of a road: what was reached, every command, and a way to every picture and report."""

from __future__ import annotations

from pathlib import Path

from reid.html import Section, code, items, link, linked_figure, page, paragraph, table
from reid.road.recipe import Road, Stage
from reid.road.summary import Summary

_PICTURES, _REPORTS = (".png",), (".html", ".txt", ".md")
_MANY = 12


def road_page(road: Road, summary: Summary | None, out: Path) -> str:
    """The HTML of a road.

    Args:
        road: whose stages are done.
        summary: what was reached; None: nothing is known of it.
        out: where the page will lie; addresses are relative to it.
    """
    sections = []
    if summary is not None:
        reached = [table(summary.rows), items(summary.notes)]
        sections.append(Section("reached", "What was reached", "\n".join(reached)))
    for stage in road.stages:
        if stage.makes.resolve() == out.resolve():
            continue
        sections.append(Section(stage.name, stage.name, _body(stage, out.parent)))
    below = f"{len(road.stages)} stages in {road.folder}; each is a command that can be given by itself"
    return page(f"The road: {road.name}", below, "", sections)


def _body(stage: Stage, folder: Path) -> str:
    parts = [paragraph(stage.about, "faint")] if stage.about else []
    parts.append(code(stage.command, columns=False))
    pictures = _files(stage.makes, _PICTURES)
    reports = _files(stage.makes, _REPORTS)
    if reports:
        parts.append("<p>" + " · ".join(link(_address(file, folder), file.name) for file in reports) + "</p>")
    parts += [linked_figure(_address(file, folder), file.stem) for file in pictures[:_MANY]]
    if len(pictures) > _MANY:
        parts.append(paragraph(f"{len(pictures) - _MANY} more pictures lie in {stage.makes}", "faint"))
    return "\n".join(parts)


def _files(made: Path, endings: tuple[str, ...]) -> list[Path]:
    """Reports and pictures of a product, not the images of a data set."""
    if made.is_file():
        return [made] if made.suffix in endings else []
    found = [*made.glob("*"), *made.glob("reports/*"), *made.glob("plots/*"), *made.glob("pictures/*")]
    return sorted(path for path in found if path.is_file() and path.suffix in endings)


def _address(file: Path, folder: Path) -> str:
    return file.resolve().relative_to(folder.resolve()).as_posix()
