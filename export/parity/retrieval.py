"""Who is found before and after: the test people ranked by the fp32 student and by what was exported.

All precisions share one space, so queries of the one must also find people in a gallery of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.preprocess import Preprocessing
from export.crops import Crops
from export.parity.reference import reference_embeddings, sentence_embeddings
from export.source import Source
from reid.dataset import Dataset
from reid.errors import UserError
from reid.evaluation import evaluate
from reid.images import read_rgb
from reid.matrix import TESTED, Pairs, score_pairs
from reid.modality import Modality
from reid.protocol import Protocol
from reid.sample import Sample, Split
from reid.table import SampleTable

Floats = NDArray[np.float32]
Embed = Callable[[Crops], Floats]
"""Crops -> coordinates float32 [n, k]."""

PER_MODALITY = 200
"""Samples of each modality that are ranked unless told otherwise: a typed evaluation makes about five crops a second
on a core."""
TOGETHER = 4
"""Samples of a person and a modality that are taken together, so that a query has somebody to find."""
_CHUNK = 64


@dataclass(frozen=True)
class Score:
    """mAP and rank-1 in per cent."""

    mean_ap: float
    rank1: float


@dataclass(frozen=True)
class PairScores:
    """One pair of modalities.

    Attributes:
        query, gallery: the modalities. queries, entries: how many, in the first trial.
        reference: both sides by the fp32 student. found: both by the exported graph.
        mixed: queries by the exported graph, gallery by the student. A text query is the fp32 text student's always.
    """

    query: Modality
    gallery: Modality
    queries: int
    entries: int
    reference: Score
    found: Score
    mixed: Score

    @property
    def name(self) -> str:
        """In tables."""
        return f"{self.query} -> {self.gallery}"

    @property
    def lost(self) -> float:
        """Points of mAP that the exported graph loses; negative if it gains."""
        return self.reference.mean_ap - self.found.mean_ap

    @property
    def lost_mixed(self) -> float:
        """The same of exported queries in the student's gallery."""
        return self.reference.mean_ap - self.mixed.mean_ap

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "query -> gallery": self.name,
            "mAP before": f"{self.reference.mean_ap:.2f}",
            "after": f"{self.found.mean_ap:.2f}",
            "lost": _points(self.lost),
            "fp32 gallery": f"{self.mixed.mean_ap:.2f}",
            "rank-1 before": f"{self.reference.rank1:.2f}",
            "rank-1 after": f"{self.found.rank1:.2f}",
            "queries": str(self.queries),
            "gallery": str(self.entries),
        }


@dataclass(frozen=True)
class Retrieval:
    """Before and after for every pair of modalities.

    Attributes:
        pairs: in the order of the modalities, at least one. notes: what must be read with the numbers.
    """

    pairs: tuple[PairScores, ...]
    notes: tuple[str, ...] = ()

    @property
    def lost(self) -> float:
        """Mean over the pairs of the points of mAP lost."""
        return float(np.mean([pair.lost for pair in self.pairs]))

    @property
    def worst(self) -> PairScores:
        """The pair that loses most."""
        return max(self.pairs, key=lambda pair: pair.lost)

    def rows(self) -> list[dict[str, str]]:
        """For `reid.evaluation.format_table`: each pair, then the mean."""
        rows = [pair.row() for pair in self.pairs]
        mean = {
            "mAP before": _mean(pair.reference.mean_ap for pair in self.pairs),
            "after": _mean(pair.found.mean_ap for pair in self.pairs),
            "lost": _points(self.lost),
            "fp32 gallery": _mean(pair.mixed.mean_ap for pair in self.pairs),
            "rank-1 before": _mean(pair.reference.rank1 for pair in self.pairs),
            "rank-1 after": _mean(pair.found.rank1 for pair in self.pairs),
        }
        return [*rows, {**dict.fromkeys(rows[0], ""), "query -> gallery": "mean", **mean}]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        pairs = [
            {
                **{key: str(value) if isinstance(value, Modality) else value for key, value in asdict(pair).items()},
                "lost": pair.lost,
                "lost_mixed": pair.lost_mixed,
            }
            for pair in self.pairs
        ]
        return {"pairs": pairs, "lost": self.lost, "notes": list(self.notes)}


@dataclass(frozen=True)
class RetrievalTask:
    """The test people of a data set, and how the fp32 student knows them.

    Attributes:
        samples: n, images first. table: their columns. pairs: the rules, of those that can be asked.
        reference: float32 [n, k]. preprocessing: fits images. notes: how the samples were chosen.
    """

    samples: tuple[Sample, ...]
    table: SampleTable
    pairs: Pairs
    reference: Floats
    preprocessing: Preprocessing
    notes: tuple[str, ...]

    @property
    def images(self) -> tuple[Sample, ...]:
        """Those that the exported graph answers."""
        return tuple(sample for sample in self.samples if sample.modality.is_image)

    def score(self, embed: Embed) -> Retrieval:
        """Before and after, with what the exported graph makes of the same images."""
        found = self.reference.copy()
        images = self.images
        found[: len(images)] = embed_images(images, self.preprocessing, embed)
        lost = np.flatnonzero(~np.isfinite(found).all(axis=1))
        # A ranking needs a direction of every row; that of rows that have none says nothing, which costs their places.
        found[lost] = 1
        notes = [f"{lost.size} embeddings are NaN or infinite, and find nobody but by chance"] if lost.size else []
        pairs = tuple(self._pair(pair, protocol, found) for pair, protocol in self.pairs.items())
        return Retrieval(pairs, (*self.notes, *notes))

    def _pair(self, pair: tuple[Modality, Modality], protocol: Protocol, found: Floats) -> PairScores:
        def scored(queries: Floats, gallery: Floats) -> Score:
            result = evaluate(protocol, self.table, queries, gallery=gallery)
            return Score(100 * result.mean_ap, 100 * result.rank1)

        first = evaluate(protocol, self.table, self.reference).trials[0]
        before = scored(self.reference, self.reference)
        return PairScores(
            *pair, first.queries, int(first.trial.gallery.size), before,
            scored(found, found), scored(found, self.reference),
        )  # fmt: skip


def retrieval_task(
    dataset: Dataset,
    source: Source,
    *,
    per_modality: int | None = PER_MODALITY,
    seed: int = 0,
    embed_reference: Embed | None = None,
) -> RetrievalTask | None:
    """The test people (or the validation people, if there are none) embedded by the fp32 student.

    Args:
        dataset: whose. source: the student; if it reads sentences, they ask, too.
        per_modality: samples of each modality at most; None: all. seed: which people.
        embed_reference: stands for the student's embeddings of images.

    Returns:
        None if nobody can be asked for or found.

    Raises:
        UserError: an image does not decode, or the student's embedding of one is NaN.
    """
    known = [modality for modality in Modality if modality.is_image or source.text is not None]
    for val in (False, True):
        there = dataset.select(*((Split.VAL,) if val else TESTED), modalities=known)
        samples = tuple(sample for modality in known for sample in _some(there, modality, per_modality, seed))
        table, pairs = score_pairs(dataset, samples, val=val)
        pairs = {pair: rule for pair, rule in pairs.items() if pair[1].is_image and _answers(rule, table)}
        if pairs:
            break
    else:
        return None
    images = tuple(sample for sample in samples if sample.modality.is_image)
    embed = embed_reference or (lambda crops: reference_embeddings(source, crops))
    reference = embed_images(images, source.preprocessing, embed)
    if len(images) < len(samples):
        reference = np.concatenate([reference, sentence_embeddings(source, samples[len(images) :])])
    notes = [f"people of split val of {dataset.root}: it has no test people"] if val else []
    if len(samples) < len(there):
        notes.append(
            f"{len(samples)} of {len(there)} samples take part, at most {per_modality} of each modality, up to "
            f"{TOGETHER} of a person at a time; the numbers compare with each other only"
        )
    if len(images) < len(samples):
        notes.append("sentences are embedded by the fp32 text student, before and after")
    return RetrievalTask(samples, table, pairs, reference, source.preprocessing, tuple(notes))


def retrieval_table(
    dataset: Dataset, source: Source, embed: Embed, *, per_modality: int | None = PER_MODALITY, seed: int = 0
) -> Retrieval | None:
    """`retrieval_task` and its score in one."""
    task = retrieval_task(dataset, source, per_modality=per_modality, seed=seed)
    return None if task is None else task.score(embed)


def embed_images(samples: Sequence[Sample], preprocessing: Preprocessing, embed: Embed) -> Floats:
    """float32 [n, k] of images, read a few at a time."""
    rows = []
    for start in range(0, len(samples), _CHUNK):
        part = tuple(samples[start : start + _CHUNK])
        pixels = [preprocessing.fit(read_rgb(sample.image)) for sample in part if sample.image is not None]
        rows.append(embed(Crops(np.stack(pixels), part, "test people")))
    return np.concatenate(rows)


def _some(samples: Sequence[Sample], modality: Modality, count: int | None, seed: int) -> list[Sample]:
    """At most `count` samples of a modality, in rounds over the people, `TOGETHER` of a person at a time.

    The order of the people is that of every modality, so that who is asked for can be found; a person's samples come
    from camera after camera.
    """
    if count is None:
        return [sample for sample in samples if sample.modality is modality]
    people = sorted({sample.person_id for sample in samples})
    order = np.random.default_rng(seed).permutation(len(people))
    cameras: dict[str, dict[str | None, list[Sample]]] = {}
    for sample in samples:
        if sample.modality is modality:
            cameras.setdefault(sample.person_id, {}).setdefault(sample.camera_id, []).append(sample)
    mixed = {person: _by_turns(list(of.values())) for person, of in cameras.items()}
    longest = max(map(len, mixed.values()), default=0)
    rounds = [
        sample
        for start in range(0, longest, TOGETHER)
        for place in order
        for sample in mixed.get(people[place], [])[start : start + TOGETHER]
    ]
    return rounds[:count]


def _by_turns(groups: Sequence[Sequence[Sample]]) -> list[Sample]:
    return [group[i] for i in range(max(map(len, groups))) for group in groups if i < len(group)]


def _answers(protocol: Protocol, table: SampleTable) -> bool:
    """Whether a query has somebody to find: of a few samples, perhaps none."""
    try:
        evaluate(protocol, table, np.ones((len(table), 1), dtype=np.float32))
    except UserError:
        return False
    return True


def _points(lost: float) -> str:
    """Two digits, and no minus before zero."""
    return f"{round(lost, 2) + 0.0:.2f}"


def _mean(values: Any) -> str:
    return f"{np.mean(list(values)):.2f}"
