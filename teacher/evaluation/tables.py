"""Evaluations of many pairs of modalities as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.artifact import write_text
from reid.errors import UserError
from reid.evaluation import AP_VARIANT, Evaluation
from reid.modality import Modality

PairScores = Mapping[tuple[Modality, Modality], Evaluation]
"""Query and gallery modality -> evaluation."""


def cell(result: Evaluation | None) -> str:
    """mAP / rank-1 / mINP in per cent, or "-"."""
    if result is None:
        return "-"
    return f"{100 * result.mean_ap:.1f} / {100 * result.rank1:.1f} / {100 * result.mean_inp:.1f}"


def rules(scores: PairScores) -> list[str]:
    """A line for each pair that says by which protocol and of how many it was scored, then the protocols' notes."""
    lines = []
    for (query, gallery), result in scores.items():
        row = result.row()
        sizes = f"{row['queries']} queries, {row['gallery']} in the gallery"
        lines.append(f"{query} -> {gallery}: protocol {row['protocol']}, {sizes}")
    notes = dict.fromkeys(note for result in scores.values() for note in result.notes())
    return lines + [f"- {note}" for note in notes if note != AP_VARIANT] + [f"- {AP_VARIANT}"]


def to_rows(scores: PairScores) -> list[dict[str, Any]]:
    """JSON-ready, one entry for each pair, without the ranks."""
    return [
        {
            "query": str(query), "gallery": str(gallery), "protocol": result.protocol.name, "mAP": result.mean_ap,
            "rank-1": result.rank1, "mINP": result.mean_inp, "queries": result.trials[0].queries,
            "notes": result.notes(),
        }
        for (query, gallery), result in scores.items()
    ]  # fmt: skip


def save_report(out: Path, text: str, data: str) -> None:
    """Write report.txt and report.json into `out`, which is made.

    Raises:
        UserError: they cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another place") from error
    write_text(out / "report.txt", f"{text}\n")
    write_text(out / "report.json", data)
