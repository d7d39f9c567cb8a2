"""Three pictures of a subspace: energy, spectra by modality, and what the projected teacher retrieves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distill.spectrum.analysis import SHARES, Analysis
from distill.spectrum.ceiling import Ceiling
from distill.spectrum.rank import by_energy, energy
from reid.artifact import replacing
from reid.modality import Modality

COLOURS = {Modality.RGB: "#1f77b4", Modality.IR: "#d62728", Modality.SKETCH: "#2ca02c", Modality.TEXT: "#9467bd"}
_DARK, _CHOSEN = "#333333", "#e67e22"
_NAMES = {Modality.RGB: "RGB", Modality.IR: "infrared", Modality.SKETCH: "sketch", Modality.TEXT: "text"}
_FLOOR = 1e-7
"""Eigenvalues below this share of the largest are rounding and not drawn."""


def draw(analysis: Analysis, out: Path) -> list[Path]:
    """Write energy.png, spectrum.png and, if people were validated on, ceiling.png into a folder that is there.

    Returns:
        Their paths.

    Raises:
        UserError: one cannot be written.
    """
    written = [draw_energy(analysis, out / "energy.png"), draw_spectra(analysis, out / "spectrum.png")]
    if analysis.ceiling is not None:
        written.append(draw_ceiling(analysis.ceiling, analysis.rank, out / "ceiling.png"))
    return written


def draw_energy(analysis: Analysis, path: Path) -> Path:
    """Share of the variance that the leading directions hold, with the chosen rank."""
    shares = 100 * energy(analysis.spectrum)
    figure, axes = _figure()
    of = "the variance between people" if analysis.basis == "between" else "the variance"
    k = np.arange(1, len(shares) + 1)
    axes.plot(k, shares, color=_DARK, linewidth=1.8)
    needed = {share: by_energy(analysis.spectrum, share) for share in SHARES}
    axes.plot(list(needed.values()), [shares[k - 1] for k in needed.values()], "o", color=_DARK, markersize=4.5)
    at = f"chosen: {analysis.rank}, {shares[analysis.rank - 1]:.1f} %"
    axes.axvline(analysis.rank, color=_CHOSEN, linewidth=1.5, label=at)
    axes.set_ylim(0, 103)
    axes.set_ylabel(f"held by the first k, % of {of}")
    marked = ", ".join(f"{100 * share:g} % need {k}" for share, k in needed.items())
    axes.set_title(f"Effective rank {analysis.effective_rank:.1f} of {len(shares)}; {marked}")
    _by_rank(axes, len(shares))
    return _save(figure, path)


def draw_spectra(analysis: Analysis, path: Path) -> Path:
    """Eigenvalues of all embeddings and of each modality about its own mean, as shares of their sum."""
    figure, axes = _figure()
    all_of_them = "people's means" if analysis.basis == "between" else "all"
    lines = {all_of_them: (analysis.spectrum, _DARK)}
    lines |= {_NAMES[modality]: (values, COLOURS[modality]) for modality, values in analysis.by_modality.items()}
    for name, (values, colour) in lines.items():
        shown = values[values > _FLOOR * values[0]]
        width = 2.0 if colour == _DARK else 1.4
        axes.plot(np.arange(1, len(shown) + 1), shown / values.sum(), color=colour, label=name, linewidth=width)
    axes.axvline(analysis.rank, color=_CHOSEN, linewidth=1.5, label=f"chosen: {analysis.rank}")
    axes.set_yscale("log")
    axes.set_ylabel("share of the variance")
    axes.set_title("Spectrum by modality")
    _by_rank(axes, len(analysis.spectrum))
    return _save(figure, path)


def draw_ceiling(found: Ceiling, rank: int, path: Path) -> Path:
    """mAP of the first k coordinates of the teacher by query modality; dashed, what the whole teacher reaches."""
    figure, axes = _figure()
    ks = list(found.curve)
    for query in found.full:
        scores = [found.curve[k][query] for k in ks]
        axes.plot(ks, scores, "o-", color=COLOURS[query], markersize=3.5, label=_NAMES[query])
        axes.axhline(found.full[query], color=COLOURS[query], linewidth=1, linestyle="--", alpha=0.7)
    if len(found.full) > 1:
        axes.plot(ks, [found.mean(k) for k in ks], color=_DARK, linewidth=2, label="mean")
        axes.axhline(found.mean(), color=_DARK, linewidth=1, linestyle="--", alpha=0.7)
    axes.axvline(rank, color=_CHOSEN, linewidth=1.5, label=f"chosen: {rank}")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"mAP, query to {_NAMES[found.gallery]} gallery, %")
    axes.set_title("What the projected teacher retrieves (dashed: the whole teacher)")
    _by_rank(axes, ks[-1])
    return _save(figure, path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    return figure, figure.subplots()


def _by_rank(axes: Any, last: int) -> None:
    """Ranks on a logarithmic axis, marked at powers of two, which is what people choose."""
    ticks = [2**a for a in range(last.bit_length())]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(0.95, last * 1.08)
    axes.set_xlabel("coordinates k")
    axes.grid(visible=True, color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, framealpha=0.9)


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)
    return path
