"""The report of the gate: what was tried, what it reached, who is found before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.crops import Crops
from export.parity.gated import Gated
from reid.artifact import write_text
from reid.errors import UserError
from reid.evaluation import format_table

SCHEMA = 1
TEXT, JSON = "parity.txt", "parity.json"


def report_dict(outcomes: Sequence[Gated], check: Crops, **about: Any) -> dict[str, Any]:
    """JSON-ready report of several precisions; `about` adds keys (student, space id, ...)."""
    return {
        "schema": SCHEMA,
        **about,
        "check": {"origin": check.origin, "images": len(check), "sha256": check.sha256},
        "precisions": {gated.precision: gated.to_dict() for gated in outcomes},
    }


def report_text(outcomes: Sequence[Gated], check: Crops) -> str:
    """The same for people."""
    head = f"Judged by a typed evaluation on {len(check)} crops ({check.origin}), against the fp32 student in torch."
    if all(gated.retrieval is None for gated in outcomes):
        why = "these are synthetic people" if check.origin.startswith("synthetic") else "there are no test people"
        head += f"\nNo mAP was measured: {why}; name a data set with --data."
    return "\n\n".join([head, *(_section(gated) for gated in outcomes)]) + "\n"


def write_report(folder: Path, outcomes: Sequence[Gated], check: Crops, **about: Any) -> tuple[Path, Path]:
    """parity.txt and parity.json in `folder`.

    Raises:
        UserError: they cannot be written.
    """
    text, data = folder / TEXT, folder / JSON
    write_text(text, report_text(outcomes, check))
    write_text(data, json.dumps(report_dict(outcomes, check, **about), indent=1, ensure_ascii=False) + "\n")
    return text, data


def read_report(path: Path) -> dict[str, Any]:
    """The content of a parity.json.

    Raises:
        UserError: not one, or of a newer schema.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        schema = raw["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a parity report ({type(error).__name__}: {error})") from error
    if schema != SCHEMA:
        raise UserError(f"{path}: parity report of schema {schema}; this version reads {SCHEMA}")
    assert isinstance(raw, dict)
    return raw


def _section(gated: Gated) -> str:
    outcome = "passes" if gated.passed else "MISSES ITS BAR"
    lines = [f"== {gated.precision}: {outcome} ==", f"bars: {gated.bars}"]
    lines += [f"missed: {line}" for line in gated.missed]
    lines += ["", format_table([step.row(gated.steps[0], gated.fp32_bytes) for step in gated.steps])]
    if len(gated.steps) > 1:
        lines += [_cost(gated)]
    if gated.departure:
        lines += ["", f"first tensor that departs ({gated.steps[_first_missed(gated)].what}): {gated.departure}"]
    lines += ["", format_table(gated.parity.rows())]
    if gated.retrieval is not None:
        notes = [f"- {note}" for note in gated.retrieval.notes]
        lines += ["", format_table(gated.retrieval.rows()), *notes]
    lines += ["", *(f"note: {note}" for note in gated.notes)] if gated.notes else []
    return "\n".join(lines)


def _cost(gated: Gated) -> str:
    more = len(gated.kept) - gated.steps[0].kept
    kind = "reaching the bars" if gated.passed else "coming nearest to the bars"
    return f"{kind} costs {gated.cost:+,} bytes and {more:+} nodes in a wider type, against the first graph"


def _first_missed(gated: Gated) -> int:
    return next(place for place, step in enumerate(gated.steps) if step.missed)
