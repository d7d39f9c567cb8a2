"""What a road reached, in one table: the teacher, the student, and what was exported of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.errors import UserError

_TEACHER, _CLOUD, _EDGE = "teacher", "cloud to edge", "edge to edge"
_NONE = "-"


@dataclass(frozen=True)
class Summary:
    """A row for each model, with equal keys; notes to be read with them."""

    rows: list[dict[str, str]]
    notes: list[str]


def summarise(student: Path, parity: Path, bench: Path | None = None) -> Summary:
    """The table of a road.

    Args:
        student: report.json of `distill eval`. parity: parity.json of an export, on the same test people.
        bench: of `export bench --out`.

    Raises:
        UserError: one of them is not what it should be.
    """
    scored, exported = _read(student), _read(parity)
    times = {} if bench is None else _latencies(_read(bench))
    try:
        gallery = scored["gallery"]
        by_direction = {name: _against(rows, gallery) for name, rows in scored["scores"].items()}
        queries = list(dict.fromkeys(query for found in by_direction.values() for query in found))
        own = {**by_direction.get(_CLOUD, {}), **by_direction[_EDGE]}
        rows = [
            _row("teacher", by_direction[_TEACHER], queries, gallery, "", ""),
            _row("student", own, queries, gallery, _size(exported, None), times.get("torch", "")),
        ]
        for precision, outcome in exported["precisions"].items():
            found = _exported(outcome, gallery)
            size = _size(exported, precision)
            rows.append(_row(f"exported {precision}", found, queries, gallery, size, times.get(precision, "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{student}, {parity}: not the reports of a student and of its export ({type(error).__name__}: {error})"
        ) from error
    by_cloud = [query for query in queries if query not in by_direction[_EDGE]]
    notes = [f"mAP / rank-1 in per cent, query -> {gallery}, of {scored['people']} people nothing was trained on"]
    if by_cloud:
        notes.append(
            f"{', '.join(by_cloud)}: embedded by the teacher, projected, and searched in the student's gallery"
        )
    if times:
        notes.append("latency: median of one crop on this machine's CPU, by the fastest engine that is installed")
    return Summary(rows, notes)


def _row(
    name: str, scores: Mapping[str, tuple[float, float]], queries: list[str], gallery: str, size: str, latency: str
) -> dict[str, str]:
    cells = {
        f"{query} -> {gallery}": "{:.1f} / {:.1f}".format(*scores[query]) if query in scores else _NONE
        for query in queries
    }
    return {"": name, **cells, "size": size or _NONE, "latency": latency or _NONE}


def _against(rows: list[Mapping[str, Any]], gallery: str) -> dict[str, tuple[float, float]]:
    """Query -> mAP and rank-1 in per cent."""
    return {row["query"]: (100 * row["mAP"], 100 * row["rank-1"]) for row in rows if row["gallery"] == gallery}


def _exported(outcome: Mapping[str, Any], gallery: str) -> dict[str, tuple[float, float]]:
    pairs = (outcome["retrieval"] or {"pairs": []})["pairs"]
    return {
        pair["query"]: (pair["found"]["mean_ap"], pair["found"]["rank1"])
        for pair in pairs
        if pair["gallery"] == gallery
    }


def _size(exported: Mapping[str, Any], precision: str | None) -> str:
    outcomes = exported["precisions"]
    size = next(iter(outcomes.values()))["fp32_bytes"] if precision is None else outcomes[precision]["bytes"]
    return f"{size / 1e6:.1f} MB"


def _latencies(raw: Mapping[str, Any]) -> dict[str, str]:
    """ "torch" or a precision -> the fastest median of one crop, and by what."""
    best: dict[str, tuple[float, str]] = {}
    for row in raw["rows"]:
        if row["batch"] != 1:
            continue
        name = "torch" if row["engine"].startswith("torch") else str(row["graph"]).split(".")[-2]
        best[name] = min(best.get(name, (float("inf"), "")), (float(row["median_ms"]), str(row["engine"])))
    return {name: f"{ms:.1f} ms, {engine}" for name, (ms, engine) in best.items()}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a report ({error}); run the stage that writes it again") from error
