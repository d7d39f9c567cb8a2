"""The sections of the page, each from what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from pathlib import Path

from distill.evaluation.agreement import table as agreement_rows
from distill.evaluation.result import StudentReport
from distill.evaluation.scores import Direction
from distill.recipe import dump_recipe
from distill.report.attention import HOW, has_tokens
from distill.report.facts import described, is_ordered, origins, size_of
from distill.report.history import MEAN, Series, history
from distill.report.pictures import rank_list_name
from distill.report.plots import NAMES
from distill.spectrum.analysis import ceiling_rows
from distill.training.run import Run
from reid.html import (
    Section,
    code,
    facts,
    figure,
    folded,
    heading,
    items,
    paragraph,
    side_by_side,
    table,
    tiles,
)
from reid.modality import Modality
from teacher.evaluation.tables import rules

PRIVACY = "This page shows people of the data set: give it only to those who may see the data."
_NOBODY = "Nobody was scored: the data has no test people."
Pictures = Mapping[str, Path]


def headline(run: Run, evaluated: StudentReport | None) -> str:
    """The few numbers that are seen first."""
    size = size_of(run)
    shown = []
    if evaluated is not None:
        scores = evaluated.scores
        for query in scores.queries:
            pair = query, scores.gallery
            result, kept = scores.deployed(pair), scores.kept(pair)
            if result is None:
                continue
            cloud = scores.deployed_direction(query) is Direction.CLOUD_TO_EDGE
            above = f"{NAMES[query]} to {NAMES[scores.gallery]}" + (", asked by the cloud" if cloud else "")
            share = "mAP" if isnan(kept) else f"mAP, {100 * kept:.1f} % of the teacher's"
            shown.append((above, f"{100 * result.mean_ap:.1f}", share))
    elif MEAN in run.scores:
        shown.append(("validation people", f"{run.scores[MEAN]:.1f}", "mAP, mean of the protocols"))
    shown.append(("size", f"{size.parameters / 1e6:.3g} M", f"weights, {size.gflops:.2f} GFLOPs an image"))
    return tiles(shown)


def about(run: Run, folder: Path) -> Section:
    """Who was distilled into what."""
    return Section("about", "What this is", facts(described(run, folder)))


def training(run: Run, pictures: Pictures) -> Section:
    """Losses, validation and learning rates over steps."""
    captions = {
        "losses": "Means between two lines of the log.",
        "validation": "The checkpoint is chosen by the mean, never by the loss.",
        "rates": "",
        "norms": "Before it is clipped.",
    }
    figures = [figure(pictures[n], f"{n} over steps", text) for n, text in captions.items() if n in pictures]
    told = history(run.log)
    steps = sorted({step for series in told.scores.values() for step in series.steps})
    rows = [
        {"step": f"{step:,}" + (" *" if step == run.best_step else ""), **_scores_at(told.scores, step)}
        for step in steps
    ]
    body = side_by_side(*figures) if figures else paragraph("Nothing was logged.")
    if rows:
        body += folded("Validation in numbers (mAP in per cent, * kept)", table(rows))
    return Section("training", "Training", body)


def subspace(run: Run, pictures: Pictures) -> Section:
    """How the coordinates were chosen, and what the projected teacher reaches with them."""
    analysis = run.analysis
    known = analysis.to_dict()
    groups = {"all": known, **{NAMES[Modality.parse(m)]: each for m, each in known["modalities"].items()}}
    rows = [
        {
            "spectrum of": "people's means" if name == "all" and analysis.basis == "between" else name,
            "effective rank": f"{each['effective_rank']:.1f}",
            **{
                f"k for {100 * float(share):g} % of the variance": str(k)
                for share, k in each["ranks_by_energy"].items()
            },
        }
        for name, each in groups.items()
    ]
    parts = [
        paragraph(
            f"{analysis.rank} of {run.subspace.dim} coordinates, {100 * analysis.energy:.1f} % of the variance: "
            f"{analysis.reason}."
        ),
        side_by_side(
            figure(pictures["energy"], "share of the variance against the number of coordinates"),
            figure(pictures["spectrum"], "spectrum by modality"),
        ),
        table(rows),
        items(analysis.warnings),
    ]
    if analysis.ceiling is not None:
        parts += [
            heading("Ceiling and student"),
            paragraph("What the teacher retrieves by its first coordinates is what a student of that rank aims at."),
            figure(pictures["ceiling"], "mAP of the projected teacher against k, and of the student"),
            folded(
                "In numbers (mAP in per cent of the projected teacher, * chosen)",
                table(ceiling_rows(analysis.ceiling, analysis.rank)),
            ),
        ]
    return Section("subspace", "Subspace", "\n".join(parts))


def retrieval(evaluated: StudentReport | None) -> Section:
    """Every pair of modalities in every direction."""
    title = "Retrieval"
    if evaluated is None:
        return Section("retrieval", title, paragraph(_NOBODY))
    scored = f"{evaluated.people:,} {evaluated.who}, {evaluated.samples:,} samples"
    rows = [{name: value.replace("->", "→") for name, value in row.items()} for row in evaluated.score_rows()]
    parts = [
        paragraph(
            f"{scored}. mAP / rank-1 / mINP in per cent, by who embeds the query and who the gallery: the device "
            "(edge) or the teacher in the student's coordinates (cloud). Teacher: both in all its dimensions. Kept: "
            "share of the teacher's mAP that the device's gallery reaches."
        ),
        table([{name.replace("->", "→"): value for name, value in row.items()} for row in rows]),
        items(evaluated.notes),
        folded("Protocols", items([rule.lstrip("- ") for rule in rules(evaluated.scores.found[Direction.TEACHER])])),
    ]
    return Section("retrieval", title, "\n".join(parts))


def agreement(evaluated: StudentReport | None) -> Section:
    """How far the student is its teacher."""
    body = paragraph(_NOBODY)
    if evaluated is not None:
        body = paragraph(
            "Student and teacher in the same coordinates: cosine of a sample's two, rank correlation of the "
            "similarities of pairs, common share of the ten nearest, effective rank of either."
        ) + table(agreement_rows(evaluated.agreement))
    return Section("agreement", "Agreement with the teacher", body)


def prefixes(run: Run, evaluated: StudentReport | None, pictures: Pictures) -> Section:
    """The Matryoshka curve."""
    body = paragraph(_NOBODY)
    told = (
        "The coordinates are ordered by importance: the first few are an embedding of their own."
        if is_ordered(run)
        else f"The coordinates of basis {run.subspace.kind} have no order, so a prefix is any choice of them."
    )
    if evaluated is not None:
        body = "\n".join(
            [
                paragraph(told),
                figure(pictures["prefixes"], "mAP against the length of the prefix"),
                folded("In numbers (mAP of the device, of the projected teacher)", table(evaluated.prefix.rows())),
            ]
        )
    return Section("prefixes", "Matryoshka curve", body)


def rank_lists(evaluated: StudentReport | None, pictures: Pictures) -> Section:
    """What is answered to a few queries of each modality."""
    parts = []
    for query in Modality:
        name = rank_list_name(query)
        if evaluated is None or name not in pictures:
            continue
        direction = evaluated.scores.deployed_direction(query)
        by = "embedded by the device" if direction.query_on_edge else "embedded by the teacher"
        parts += [
            heading(f"{NAMES[query]}, {by}"),
            figure(pictures[name], f"rank lists of {NAMES[query]} queries"),
        ]
    told = "From the worst answered query to the best, at even steps; the gallery is the device's."
    return Section("rank-lists", "Rank lists", paragraph(told) + "\n".join(parts) if parts else paragraph(_NOBODY))


def attention(run: Run, pictures: Pictures) -> Section:
    """Where the student looks."""
    body = paragraph("The data has no image to look at.")
    if "attention" in pictures:
        body = paragraph(HOW[has_tokens(run.module.student)]) + figure(
            pictures["attention"],
            "images of some people and where the student looks in them",
            "Each image's least place is dark, its greatest bright; brightness is not comparable between images.",
        )
    return Section("attention", "Where the student looks", body)


def settings(run: Run) -> Section:
    """The recipe in full."""
    told = paragraph(
        f"As in recipe.yaml beside this page: distill run --student {run.name} --recipe recipe.yaml runs it again."
    )
    return Section("settings", "Settings", told + code(dump_recipe(run.recipe)))


def made_from(run: Run, folder: Path) -> Section:
    """Lineage."""
    found = [{**origin.row(), "sha256": origin.sha256[:16]} for origin in origins(run, folder)]
    told = paragraph(
        "Each artifact is known by the sha256 of its manifest; manifest.json beside this page holds them whole."
    )
    return Section(
        "lineage", "Lineage", told + table(found, words=True) if found else paragraph("Nothing that has a manifest.")
    )


def _scores_at(scores: Mapping[str, Series], step: int) -> dict[str, str]:
    found = {name: series.at(step) for name, series in scores.items()}
    return {name: "-" if value is None else f"{value:.2f}" for name, value in found.items()}
