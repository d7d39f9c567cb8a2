"""A map of the space in two dimensions: t-SNE, once coloured by modality and once by person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.artifact import replacing
from reid.modality import Modality
from reid.similarity import normalise
from reid.table import SampleTable, encode

_COLOURS = {Modality.RGB: "#1f77b4", Modality.IR: "#d62728", Modality.SKETCH: "#2ca02c", Modality.TEXT: "#9467bd"}
_MARKERS = {Modality.RGB: "o", Modality.IR: "s", Modality.SKETCH: "^", Modality.TEXT: "*"}


def draw_map(
    table: SampleTable,
    embeddings: NDArray[np.float32],
    path: Path,
    *,
    people: int = 12,
    limit: int = 1500,
    seed: int = 0,
) -> None:
    """Write a PNG.

    Left, all samples (at most `limit`) by modality: clouds that do not mix are a gap. Right, the same places, `people`
    of them by colour and their modalities by shape: what belongs together should lie together.

    Args:
        table: the samples. embeddings: theirs, [n, D].
        path: the picture. people: how many are coloured. limit: how many samples are placed. seed: which.
    """
    from matplotlib.figure import Figure

    generator = np.random.default_rng(seed)
    codes = encode(table.person_id)
    chosen = np.sort(generator.permutation(len(table))[:limit])
    places = _places(normalise(embeddings[chosen], [table.sample_id[int(row)] for row in chosen]), seed)
    codes, modality = codes[chosen], [table.modality[int(row)] for row in chosen]
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = generator.permutation(np.unique(codes))[:people]
    right.scatter(*places.T, s=6, c="#dddddd", linewidths=0)
    for which in Modality:
        mine = np.array([m is which for m in modality])
        if not mine.any():
            continue
        left.scatter(*places[mine].T, s=14, c=_COLOURS[which], alpha=0.6, linewidths=0, label=str(which))
        here = mine & np.isin(codes, shown)
        colours = np.searchsorted(np.sort(shown), codes[here]) % 20
        size = 70 if which is Modality.TEXT else 34
        right.scatter(
            *places[here].T, s=size, c=colours, cmap="tab20", vmin=0, vmax=19, marker=_MARKERS[which],
            edgecolors="black", linewidths=0.4, label=str(which),
        )  # fmt: skip
    left.set_title(f"{len(chosen)} samples by modality")
    right.set_title(f"{len(shown)} people by colour, modality by shape")
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(loc="lower right", fontsize=9, framealpha=0.9)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)


def _places(unit: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """[n, 2] by t-SNE (van der Maaten and Hinton, 2008) on the first 50 principal components.

    t-SNE needs three samples and a distance between some of them; others are put side by side, or all in one place.
    """
    apart = float(np.ptp(unit, axis=0).max()) > 1e-6
    if len(unit) < 3 or not apart:
        return np.outer(np.arange(len(unit)) * float(apart), (1.0, 0.0))
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(min(50, *unit.shape), random_state=seed).fit_transform(unit)
    perplexity = min(30.0, max(2.0, (len(unit) - 1) / 4))
    placed = TSNE(2, perplexity=perplexity, init="pca", metric="euclidean", random_state=seed).fit_transform(reduced)
    return np.asarray(placed, dtype=np.float64)
