"""All pictures of a run, as PNGs in a folder."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.result import StudentReport
from distill.evaluation.scores import Direction, sides
from distill.report.attention_picture import choose, draw_seen, see
from distill.report.history import history
from distill.report.plots import draw_ceiling, draw_losses, draw_norms, draw_prefixes, draw_rates, draw_validation
from distill.spectrum.ceiling import Ceiling
from distill.spectrum.plots import draw_energy, draw_spectra
from distill.training.run import Run
from reid.artifact import replacing
from reid.matrix import score_pairs
from reid.modality import Modality
from reid.rank_lists import draw_rank_lists
from teacher.training.validation import Validation

QUERIES, PLACES, PEOPLE = 6, 10, 6
"""Rank lists of so many queries and places; attention on so many people."""


def draw_pictures(
    run: Run, evaluated: StudentReport | None, coordinates: Coordinates | None, folder: Path
) -> dict[str, Path]:
    """Draw what there is to draw.

    Args:
        run: finished. evaluated, coordinates: of whom was scored; None if nobody could be. folder: exists.

    Returns:
        Name -> picture: losses, validation, rates, norms, energy, spectrum, ceiling, prefixes, attention, and
        rank-list-<modality> for each query modality. What there is nothing to show of is absent.

    Raises:
        UserError: an image does not decode, or a picture cannot be written.
    """
    drawn = _draw_training(run, folder)
    drawn["energy"] = draw_energy(run.analysis, folder / "energy.png")
    drawn["spectrum"] = draw_spectra(run.analysis, folder / "spectrum.png")
    if (ceiling := run.analysis.ceiling) is not None:
        reached = validated(run, ceiling)
        drawn["ceiling"] = draw_ceiling(ceiling, run.subspace.rank, reached, folder / "ceiling.png")
    if evaluated is not None and coordinates is not None:
        whole = evaluated.scores.mean_ap(Direction.TEACHER)
        drawn["prefixes"] = draw_prefixes(evaluated.prefix, whole, evaluated.who, folder / "prefixes.png")
        drawn |= _draw_rank_lists(run, evaluated, coordinates, folder)
    samples = choose(run.source.dataset, PEOPLE)
    if samples:
        seen = see(run.module.student, run.subspace, run.source.store, samples)
        drawn["attention"] = _save(draw_seen(seen), folder / "attention.png")
    return drawn


def rank_list_name(query: Modality) -> str:
    """What the rank list of a query modality is called."""
    return f"rank-list-{query}"


def validated(run: Run, ceiling: Ceiling) -> dict[Modality, float]:
    """mAP of the kept checkpoint by query modality, where the ceiling was scored by the same rule."""
    _, pairs = score_pairs(run.source.dataset, val=True)
    rules = {query: protocol.name for (query, gallery), protocol in pairs.items() if gallery is ceiling.gallery}
    return {query: run.scores[rules[query]] for query in ceiling.full if rules.get(query) in run.scores}


def _draw_training(run: Run, folder: Path) -> dict[str, Path]:
    told, drawn = history(run.log), {}
    if told.losses:
        drawn["losses"] = draw_losses(told.losses, folder / "losses.png")
    if told.scores:
        protocols = Validation(run.source.dataset).protocols
        queries = {p.name: p.query.modalities[0] for p in protocols if len(p.query.modalities) == 1}
        drawn["validation"] = draw_validation(told.scores, queries, run.best_step, folder / "validation.png")
    if told.norms:
        drawn["norms"] = draw_norms(told.norms, folder / "norms.png")
    if told.rates:
        drawn["rates"] = draw_rates(told.rates, folder / "rates.png")
    return drawn


def _draw_rank_lists(run: Run, evaluated: StudentReport, coordinates: Coordinates, folder: Path) -> dict[str, Path]:
    drawn, scores = {}, evaluated.scores
    for query in scores.queries:
        result = scores.deployed((query, scores.gallery))
        if result is None:
            continue
        asking, asked = sides(coordinates, scores.deployed_direction(query))
        picture = draw_rank_lists(
            result, coordinates.table, asking, run.source.dataset, gallery=asked, queries=QUERIES, places=PLACES
        )
        name = rank_list_name(query)
        drawn[name] = _save(picture, folder / f"{name}.png")
    return drawn


def _save(picture: Image.Image, path: Path) -> Path:
    with replacing(path) as part:
        picture.save(part, "png")
    return path
