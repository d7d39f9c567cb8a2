"""What one run of a comparison reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

from distill.checkpoint import LOG
from distill.evaluation.artifact import load_distilled
from distill.evaluation.scores import Direction, Scores, score
from distill.training.run import Source
from reid.modality import Modality


@dataclass(frozen=True)
class Outcome:
    """Scores of a student on the test people, searched in one gallery modality.

    Attributes:
        recipe, seed: of the run. artifact: sha256 of its manifest.
        rank: outputs of the student. gallery: the modality that is searched.
        deployed: query modality -> mAP in per cent of the device's gallery. sentences: who embeds a sentence there.
        cross_modal: mean of `deployed` over the other modalities than the gallery's; None if there is none.
        mean_ap: direction -> query modality -> mAP in per cent.
        seconds: of the training; None if it was interrupted.
    """

    recipe: str
    seed: int
    artifact: str
    rank: int
    gallery: str
    deployed: Mapping[str, float]
    sentences: str | None
    cross_modal: float | None
    mean_ap: Mapping[str, Mapping[str, float]]
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def outcome_of(
    place: Path, recipe: str, seed: int, source: Source, *, device: str = "auto", seconds: float | None = None
) -> Outcome:
    """Score the student at `place` on the test people of the source's data.

    Raises:
        UserError: it does not load, or there are no test people.
    """
    found = load_distilled(place, source, device=device)
    coordinates = found.coordinates()
    gallery = coordinates.gallery
    searched = {pair: protocol for pair, protocol in coordinates.pairs.items() if pair[1] is gallery}
    scores = score(replace(coordinates, pairs=searched))
    across = scores.mean_cross_modal()
    return Outcome(
        recipe,
        seed,
        found.manifest.sha256,
        coordinates.rank,
        str(gallery),
        _named(scores.mean_ap()),
        _who(scores),
        None if isnan(across) else across,
        {str(direction): _named(scores.mean_ap(direction)) for direction in Direction},
        seconds,
    )


def training_seconds(place: Path) -> float | None:
    """How long the training took that made the artifact at `place`, by its log; None if that does not say."""
    try:
        lines = (place / LOG).read_text(encoding="utf-8").splitlines()
        found = [row["train_runtime"] for row in map(json.loads, lines) if "train_runtime" in row]
    except (OSError, ValueError):
        return None
    return float(found[-1]) if found else None


def _who(scores: Scores) -> str | None:
    return str(scores.deployed_direction(Modality.TEXT)) if Modality.TEXT in scores.queries else None


def _named(found: Mapping[Modality, float]) -> dict[str, float]:
    return {str(modality): value for modality, value in found.items()}
