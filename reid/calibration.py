"""Same person or not: the similarity from which on two observations count as one person.

Every toolbox ranks, none says where to stop. The threshold is chosen on pairs of a protocol's queries and gallery:
the lowest score at which the share of pairs of different people that are accepted (false-accept rate, FAR) is not
above the one asked for. Choose it on validation people: on the test people it would be tuned to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.artifact import replacing
from reid.errors import UserError
from reid.evaluation import trial_embeddings
from reid.extras import require
from reid.progress import progress_bar
from reid.protocol import Protocol
from reid.similarity import CosineScores
from reid.table import SampleTable
from reid.trials import Trial, resolve

BINS = 1 << 16
"""Bins over the cosine's range [-1, 1]: thresholds are multiples of 2 / BINS = 3.1e-5."""


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold and what it does.

    Attributes:
        far_asked: the false-accept rate that was asked for.
        threshold: accept pairs whose cosine is at least this.
        far: share of the pairs of different people that are accepted; at most `far_asked`.
        tar: share of the pairs of one person that are accepted (true-accept rate).
    """

    far_asked: float
    threshold: float
    far: float
    tar: float


@dataclass(frozen=True)
class Calibration:
    """Histograms of the similarities of pairs, and the thresholds that follow.

    Attributes:
        protocol: whose queries and gallery were paired; entries that it drops are not paired.
        genuine, impostor: [BINS] int64 pairs of one person, of different people, by cosine in [-1, 1].
    """

    protocol: Protocol
    genuine: NDArray[np.int64]
    impostor: NDArray[np.int64]

    def at(self, far: float) -> OperatingPoint:
        """The lowest threshold whose false-accept rate is at most `far`.

        Raises:
            UserError: `far` is not a share, or there are too few pairs of different people to know it.
        """
        pairs = int(self.impostor.sum())
        if not 0 < far < 1:
            raise UserError(f"--far {far:g}: expected a share between 0 and 1, such as 0.001")
        if far * pairs < 1:
            raise UserError(
                f"--far {far:g} needs at least {int(np.ceil(1 / far))} pairs of different people; "
                f"'{self.protocol.name}' gives {pairs}: ask for a larger rate or bring more data"
            )
        accepted = _at_least(self.impostor)
        if accepted[-1] > far * pairs:
            raise UserError(
                f"--far {far:g}: {accepted[-1]} of {pairs} pairs of different people have a cosine of 1, more than the "
                "rate allows; are images of one person filed under several ids?"
            )
        edge = int(np.argmax(accepted <= far * pairs))
        tar = _at_least(self.genuine)[edge] / self.genuine.sum()
        return OperatingPoint(far, 2 * edge / BINS - 1, float(accepted[edge] / pairs), float(tar))

    @property
    def equal_error_rate(self) -> float:
        """The error rate where as many pairs of one person are refused as pairs of different people accepted."""
        false_accept = _at_least(self.impostor) / self.impostor.sum()
        false_reject = 1 - _at_least(self.genuine) / self.genuine.sum()
        edge = int(np.argmin(np.abs(false_accept - false_reject)))
        return float((false_accept[edge] + false_reject[edge]) / 2)

    def plot(self, path: Path, points: Sequence[OperatingPoint]) -> None:
        """Draw both distributions with the thresholds, and true- against false-accept rate, as a PNG.

        Raises:
            UserError: matplotlib is not installed.
        """
        require("data", "the calibration plot", "matplotlib")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        coarse = np.linspace(-1, 1, 201)[:-1] + 0.005
        for name, counts, colour in (("same person", self.genuine, "C2"), ("different people", self.impostor, "C3")):
            density = np.add.reduceat(counts, np.linspace(0, BINS, 201).astype(int)[:-1]) / counts.sum()
            left.fill_between(coarse, density, step="mid", alpha=0.5, color=colour, label=name)
        thresholds = np.linspace(-1, 1, BINS, endpoint=False)
        seen = np.flatnonzero(self.genuine + self.impostor)
        left.set_xlim(thresholds[seen[0]] - 0.02, thresholds[seen[-1]] + 0.02)
        for point in points:
            left.axvline(point.threshold, color="black", linewidth=0.8)
            left.annotate(
                f"FAR {point.far_asked:g}", (point.threshold, left.get_ylim()[1]), rotation=90, va="top", ha="right"
            )
        left.set(xlabel="cosine similarity", ylabel="share of pairs")
        left.legend()
        far, tar = _at_least(self.impostor) / self.impostor.sum(), _at_least(self.genuine) / self.genuine.sum()
        right.semilogx(far[far > 0], tar[far > 0])
        right.plot([p.far for p in points], [p.tar for p in points], "ko")
        right.set(xlabel="false-accept rate", ylabel="true-accept rate", ylim=(0, 1.02))
        right.grid(alpha=0.3)
        figure.suptitle(
            f"{self.protocol.name}: {self.genuine.sum()} pairs of one person, {self.impostor.sum()} of different people"
        )
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=120)


def calibrate(
    protocol: Protocol, table: SampleTable, embeddings: NDArray[np.floating], *, progress: bool = False
) -> Calibration:
    """Similarity histograms of all pairs of the protocol's first trial that count, streamed.

    Args:
        protocol: whose queries are paired with whose gallery; `on_validation` turns one towards validation people.
        table: [n] samples' columns.
        embeddings: [n, D] their embeddings; they are normalised here.
        progress: show a bar if it takes over two seconds.

    Raises:
        UserError: unusable embeddings, an empty set, or no pair of one of the two sorts.
    """
    genuine, impostor = np.zeros(BINS, dtype=np.int64), np.zeros(BINS, dtype=np.int64)
    # Further trials would draw the same pairs again and pass them off as new ones.
    trial = next(resolve(protocol, table))
    scores = CosineScores(*trial_embeddings(trial, table, embeddings))
    with progress_bar(what="pairing", unit="queries", total=scores.shape[0], shown=progress) as bar:
        for start, block in scores.blocks():
            bins = np.clip((block + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
            same, counted = _pairs(trial, slice(start, start + len(block)))
            genuine += np.bincount(bins[same & counted], minlength=BINS)
            impostor += np.bincount(bins[~same & counted], minlength=BINS)
            bar.update(len(block))
    if not genuine.any() or not impostor.any():
        which = "of one person" if not genuine.any() else "of different people"
        raise UserError(f"protocol '{protocol.name}': there are no pairs {which}; check person ids and splits")
    return Calibration(protocol, genuine, impostor)


def _pairs(trial: Trial, rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For some queries, [b, G]: whether it is the same person, and whether the entry counts."""
    drop = trial.query_drop[rows, None]
    same = trial.query_person[rows, None] == trial.gallery_person
    return same, (drop < 0) | (drop != trial.gallery_drop)


def _at_least(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[BINS] how many pairs score at least each bin's lower edge."""
    return np.asarray(counts[::-1].cumsum()[::-1])
