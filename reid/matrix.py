"""Every modality asking for every modality: one protocol for each pair that the samples allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reid.dataset import Dataset
from reid.modality import Modality
from reid.protocol import Drop, Fuse, Protocol, cross_modal, on_validation
from reid.sample import Sample, Split
from reid.table import SampleTable
from reid.trials import applies

NOTE = "made for this pair of modalities: all test samples of the one ask for all of the other"
TESTED = (Split.TEST, Split.QUERY, Split.GALLERY)
_SEEN = {Modality.RGB, Modality.IR}
"""What a camera sees; a sketch or a sentence has none that could be dropped."""

Pairs = dict[tuple[Modality, Modality], Protocol]


def matrix_protocols(table: SampleTable, published: Iterable[Protocol], *splits: Split) -> tuple[SampleTable, Pairs]:
    """A protocol for each (query modality, gallery modality) that can be scored.

    A published rule of one modality against one other is taken as it is; published lists of samples are not. For every
    other pair all samples ask for all samples. Within RGB and within infrared, images of the same person by the same
    camera do not count, if every image has a camera; otherwise what was made from the same photograph does not count,
    and nothing finds itself.

    Args:
        table: the samples.
        published: the data set's protocols, already turned to validation people if those are scored.
        splits: whose samples take part where nothing is published; test, query and gallery if none is named.

    Returns:
        The table that they are resolved against, in which each sample without a source is its own; the protocols in
        the order of the modalities.
    """
    sources = [source or name for source, name in zip(table.source_id, table.sample_id, strict=True)]
    own = replace(table, source_id=sources)
    known: Pairs = {}
    for protocol in published:
        plain = protocol.fuse is Fuse.NONE and protocol.query_groups is None and protocol.galleries is None
        if plain and len(protocol.query.modalities) == len(protocol.gallery.modalities) == 1 and applies(protocol, own):
            known.setdefault((protocol.query.modalities[0], protocol.gallery.modalities[0]), protocol)
    asking = splits or (Split.TEST, Split.QUERY)
    asked = splits or (Split.TEST, Split.GALLERY)
    pairs: Pairs = {}
    for query in Modality:
        for gallery in Modality:
            protocol = known.get((query, gallery)) or _made(query, gallery, own, asking, asked)
            if applies(protocol, own):
                pairs[query, gallery] = protocol
    return own, pairs


def score_pairs(
    dataset: Dataset, samples: tuple[Sample, ...] | None = None, *, val: bool = False
) -> tuple[SampleTable, Pairs]:
    """The table of the people to score, and a rule for each pair of modalities that they allow; empty if for none."""
    splits = (Split.VAL,) if val else TESTED
    if samples is None:
        samples = dataset.select(*splits)
    published = list(dataset.protocols)
    if val:
        published = [on_validation(p) for p in published if p.query_groups is None and p.galleries is None]
    return matrix_protocols(SampleTable.of(samples), published, *((Split.VAL,) if val else ()))


def main_gallery(pairs: Pairs) -> Modality:
    """RGB, if something can be searched in it; else the first modality that another can be searched in, or any."""
    if any(gallery is Modality.RGB for _, gallery in pairs):
        return Modality.RGB
    across = [gallery for query, gallery in pairs if query is not gallery]
    return across[0] if across else next(iter(pairs))[1]


def _made(
    query: Modality, gallery: Modality, table: SampleTable, asking: tuple[Split, ...], asked: tuple[Split, ...]
) -> Protocol:
    by_camera = query is gallery and query in _SEEN and _all_have_cameras(table, query)
    drop = Drop.SAME_CAMERA if by_camera else Drop.SAME_SOURCE
    return cross_modal(
        f"{query}-to-{gallery}", query, gallery, query_splits=asking, gallery_splits=asked, drop=drop, notes=(NOTE,)
    )


def _all_have_cameras(table: SampleTable, modality: Modality) -> bool:
    cameras = [c for c, which in zip(table.camera_id, table.modality, strict=True) if which is modality]
    return None not in cameras
