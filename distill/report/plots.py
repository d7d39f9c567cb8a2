"""The pictures of numbers: losses, validation, learning rates, ceiling and student, prefixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from distill.evaluation.prefix import PrefixCurve
from distill.report.history import MEAN, TOTAL, Series
from distill.spectrum.ceiling import Ceiling
from distill.spectrum.plots import COLOURS
from reid.artifact import replacing
from reid.modality import Modality

NAMES = {Modality.RGB: "RGB", Modality.IR: "infrared", Modality.SKETCH: "sketch", Modality.TEXT: "text"}
"""As people say them."""
DARK, CHOSEN = "#333333", "#e67e22"
_OTHERS = ("#1b9e9e", "#e67e22", "#8c6d31", "#c2478b", "#5b7083", "#7a9a01", "#4b4ba8", "#b0413e")
"""For what has no modality."""
_DPI = 200
"""Pictures are shown at 100 pixels an inch, at half their size."""
_HALF, _WHOLE = (4.85, 3.3), (9.6, 4.6)
"""Inches: two beside each other on the page, or one."""


def draw_losses(losses: Mapping[str, Series], path: Path) -> Path:
    """The loss and its terms, as they are before they are weighted, over steps, on a logarithmic axis if they can."""
    figure, axes = _figure(_HALF)
    colours = cycle(_OTHERS)
    for name, series in losses.items():
        bold = name == TOTAL
        colour = DARK if bold else next(colours)
        axes.plot(series.steps, series.values, color=colour, label=name, **_line(series, 2.0 if bold else 1.3))
    if all(value > 0 for series in losses.values() for value in series.values):
        axes.set_yscale("log")
        _plain_ticks(axes)
    axes.set_ylabel("loss; terms before weighting")
    axes.set_title("Loss")
    return _finish(figure, axes, path, "step")


def draw_validation(
    scores: Mapping[str, Series], queries: Mapping[str, Modality], best: int | None, path: Path
) -> Path:
    """mAP on the validation people over steps.

    Args:
        scores: by protocol, and the mean. queries: protocol -> what asks in it.
        best: step of the checkpoint that was kept. path: the picture.
    """
    figure, axes = _figure(_HALF)
    others, seen = cycle(_OTHERS), set()
    for name, series in scores.items():
        query = queries.get(name)
        colour = DARK if name == MEAN else COLOURS[query] if query else next(others)
        # Two protocols of one modality have one colour and different lines.
        style = "--" if query in seen else "-"
        seen.add(query)
        label = "mean" if name == MEAN else name.removesuffix("-val")
        axes.plot(
            series.steps, series.values, color=colour, linestyle=style, label=label,
            **_line(series, 2.0 if name == MEAN else 1.3),
        )  # fmt: skip
    if best is not None:
        axes.axvline(best, color=CHOSEN, linewidth=1.2, label=f"kept: step {best:,}")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mAP, %")
    axes.set_title("Retrieval of validation people")
    return _finish(figure, axes, path, "step")


def draw_rates(rates: Mapping[str, Series], path: Path) -> Path:
    """Learning rates over steps."""
    return _draw_series(rates, "Learning rate", path)


def draw_norms(norms: Mapping[str, Series], path: Path) -> Path:
    """Length of the gradient over steps."""
    return _draw_series(norms, "Length of the gradient", path)


def draw_ceiling(ceiling: Ceiling, rank: int, reached: Mapping[Modality, float], path: Path) -> Path:
    """Validation people: the teacher's first k coordinates by query modality, and the student at its rank.

    Args:
        ceiling: of the projected teacher. rank: k of the student.
        reached: mAP of the student by query modality, by the same rule, in per cent. path: the picture.
    """
    figure, axes = _figure(_WHOLE)
    lengths = list(ceiling.curve)
    for query, full in ceiling.full.items():
        colour = COLOURS[query]
        axes.plot(
            lengths, [ceiling.curve[k][query] for k in lengths], "o-", color=colour, markersize=3, linewidth=1.3,
            label=f"{NAMES[query]}: teacher's first k",
        )  # fmt: skip
        axes.axhline(full, color=colour, linewidth=1, linestyle=":", alpha=0.8)
        if query in reached:
            axes.plot(
                [rank], [reached[query]], "*", color=colour, markersize=15, markeredgecolor="white",
                label=f"{NAMES[query]}: student {reached[query]:.1f}", zorder=5,
            )  # fmt: skip
    axes.axvline(rank, color=CHOSEN, linewidth=1.2, label=f"rank {rank}", zorder=1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"mAP in {NAMES[ceiling.gallery]}, %")
    axes.set_title("Validation people (dotted: the whole teacher)")
    _by_length(axes, lengths)
    return _finish(figure, axes, path, "coordinates k")


def draw_prefixes(curve: PrefixCurve, teacher: Mapping[Modality, float], who: str, path: Path) -> Path:
    """Scored people: mAP by the first coordinates, of the device and of the projected teacher.

    Args:
        curve: of both. teacher: mAP of the whole teacher by query modality, in per cent.
        who: is scored. path: the picture.
    """
    figure, axes = _figure(_WHOLE)
    for query, cloud in curve.cloud.items():
        colour = COLOURS[query]
        axes.plot(curve.lengths, cloud, "--", color=colour, linewidth=1.2, label=f"{NAMES[query]}: teacher")
        if query in curve.edge:
            axes.plot(
                curve.lengths, curve.edge[query], "o-", color=colour, linewidth=1.8, markersize=4,
                label=f"{NAMES[query]}: device",
            )  # fmt: skip
        if query in teacher:
            axes.axhline(teacher[query], color=colour, linewidth=1, linestyle=":", alpha=0.8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"mAP in {NAMES[curve.gallery]}, %")
    axes.set_title(f"{who[:1].upper()}{who[1:]} (dotted: the whole teacher)")
    _by_length(axes, curve.lengths)
    return _finish(figure, axes, path, "length of the prefix")


def _draw_series(shown: Mapping[str, Series], title: str, path: Path) -> Path:
    figure, axes = _figure(_HALF)
    colours = cycle((DARK, *_OTHERS))
    for name, series in shown.items():
        label = name if len(shown) > 1 else "_"
        axes.plot(series.steps, series.values, color=next(colours), label=label, **_line(series, 1.6))
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes.set_title(title)
    return _finish(figure, axes, path, "step")


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _line(series: Series, width: float) -> dict[str, Any]:
    """Few points are marked; a single one would not be seen otherwise."""
    return {"linewidth": width, "marker": "o" if len(series.steps) <= 40 else "", "markersize": 3}


def _plain_ticks(axes: Any) -> None:
    """0.2 and 2, not 2 x 10^-1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    marks = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high < 8 * low else (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=marks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _by_length(axes: Any, lengths: Sequence[int]) -> None:
    """A logarithmic axis, marked at powers of two and at its end."""
    first, last = lengths[0], lengths[-1]
    ticks = [2**a for a in range(last.bit_length()) if 2**a >= first]
    ticks = [tick for tick in ticks if tick == last or tick * 1.3 < last] + [last] * (last not in ticks)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(first * 0.95, last * 1.05)


def _finish(figure: Any, axes: Any, path: Path, below: str) -> Path:
    axes.set_xlabel(below)
    axes.grid(visible=True, color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    lines, _ = axes.get_legend_handles_labels()
    if lines:
        wide = figure.get_figwidth() > _HALF[0]
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False} if wide else {}
        axes.legend(fontsize=9 if wide else 8, **({"framealpha": 0.9} | place))
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=_DPI)
    return path
