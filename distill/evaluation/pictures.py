"""The pictures of `distill eval`: rank lists of the device, and the Matryoshka curve."""

from __future__ import annotations

from pathlib import Path

from distill.evaluation.coordinates import Coordinates
from distill.evaluation.prefix import PrefixCurve
from distill.evaluation.result import StudentReport
from distill.evaluation.scores import sides
from distill.spectrum.plots import COLOURS
from reid.artifact import replacing
from reid.dataset import Dataset
from reid.rank_lists import draw_rank_lists
from teacher.evaluation.tables import save_report


def save(result: StudentReport, out: Path) -> list[Path]:
    """Write report.txt and report.json into `out`, which is made; returns their paths.

    Raises:
        UserError: they cannot be written.
    """
    save_report(out, str(result), result.to_json())
    return [out / "report.txt", out / "report.json"]


def draw(
    result: StudentReport, coordinates: Coordinates, dataset: Dataset, out: Path, *, queries: int = 8
) -> list[Path]:
    """Write a rank list for each query modality, as the device's gallery answers it, and prefix.png into `out`.

    Args:
        result: what was scored. coordinates: of what. dataset: where the images and sentences are.
        out: a folder that is there. queries: how many a rank list shows.

    Raises:
        UserError: a picture cannot be written, or an image does not decode.
    """
    written = []
    for query in result.scores.queries:
        found = result.scores.deployed((query, result.scores.gallery))
        if found is None:
            continue
        asking, asked = sides(coordinates, result.scores.deployed_direction(query))
        picture = draw_rank_lists(found, coordinates.table, asking, dataset, gallery=asked, queries=queries)
        path = out / f"rank-list-{query}-to-{result.scores.gallery}.png"
        with replacing(path) as part:
            picture.save(part, "png")
        written.append(path)
    return [*written, draw_prefix(result.prefix, out / "prefix.png")]


def draw_prefix(curve: PrefixCurve, path: Path) -> Path:
    """mAP against the length of the prefix: the device as lines, the projected teacher dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for query, ceiling in curve.cloud.items():
        axes.plot(curve.lengths, ceiling, "--", color=COLOURS[query], linewidth=1.1, alpha=0.8)
        if query in curve.edge:
            axes.plot(curve.lengths, curve.edge[query], "o-", color=COLOURS[query], markersize=3.5, label=str(query))
    last = curve.lengths[-1]
    ticks = [tick for a in range(last.bit_length()) if (tick := 2**a) >= curve.lengths[0]]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(0.95 * curve.lengths[0], last * 1.08)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("first coordinates that are kept")
    axes.set_ylabel(f"mAP, query to {curve.gallery} gallery, %")
    axes.set_title("Prefixes of the student's output (dashed: of the projected teacher)")
    axes.grid(visible=True, color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if curve.edge:
        axes.legend(fontsize=9, framealpha=0.9)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)
    return path
