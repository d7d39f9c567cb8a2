"""Cosine after the mean of its modality is taken from each embedding.

Embeddings of one modality share a direction that says "infrared" and nothing about who it is. With the means mu of the
modalities, a query q of modality a and a row x of modality b are compared as

    cos(q - mu_a, x - mu_b) = (q - mu_a) . (x - mu_b) / (|q - mu_a| |x - mu_b|)

A threshold for it must be calibrated on centred embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edge_runtime.gallery.row import Floats
from edge_runtime.gallery.scan import Found, chosen_rows, top_of_blocks
from edge_runtime.gallery.table import MODALITIES, Bools, Ints, Table
from reid.errors import UserError
from reid.modality import Modality
from reid.similarity import normalise

Means = Mapping[Modality, Floats]


def centred_top(table: Table, queries: Floats, k: int, mask: Bools | None, modality: Modality, means: Means) -> Found:
    """The best k rows of each query [q, dim], a cut above the plain scan in time; as in `Scan.top`.

    Raises:
        UserError: a modality has no mean, or a query equals its own.
    """
    there = [MODALITIES[code] for code in np.unique(table.column("modality"))]
    offsets = np.zeros((len(MODALITIES), table.dim), np.float32)
    for needed in {modality, *there}:
        if needed not in means:
            raise UserError(f"centring: no mean of modality '{needed}'; give one, or search without centring")
        mean = np.asarray(means[needed], np.float32)
        if mean.shape != (table.dim,) or not np.isfinite(mean).all():
            raise UserError(f"centring: mean of '{needed}' has shape {mean.shape}; expected ({table.dim},), finite")
        offsets[MODALITIES.index(needed)] = mean
    centred = normalise(
        queries - offsets[MODALITIES.index(modality)], [f"centred query {i}" for i in range(len(queries))]
    )
    return top_of_blocks(_scores(table, centred, mask, offsets), len(queries), k)


def modality_means(table: Table) -> dict[Modality, Floats]:
    """[dim] mean of the rows of each modality that there is."""
    codes = table.column("modality")
    sums = np.zeros((len(MODALITIES), table.dim))
    for places in chosen_rows(table.rows, None):
        for code in np.unique(codes[places]):
            sums[code] += table.vectors[places[codes[places] == code]].sum(axis=0, dtype=np.float64)
    counts = np.bincount(codes, minlength=len(MODALITIES))
    return {m: (sums[c] / counts[c]).astype(np.float32) for c, m in enumerate(MODALITIES) if counts[c]}


def _scores(table: Table, queries: Floats, mask: Bools | None, offsets: Floats) -> Iterator[tuple[Ints, Floats]]:
    codes = table.column("modality")
    for places in chosen_rows(table.rows, mask):
        rows = table.vectors[places] - offsets[codes[places]]
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        # A row that equals the mean (the only one of its modality) has no direction: cosine 0 to everything.
        yield places, (queries @ rows.T) / np.where(lengths > 1e-6, lengths, np.inf)
