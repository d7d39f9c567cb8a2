"""How the user's own data is scored: protocols made from the samples that are there."""

from __future__ import annotations

from collections.abc import Sequence

from reid.modality import Modality
from reid.protocol import Drop, Protocol, cross_modal
from reid.sample import Sample, Split

QUERY_SPLITS, GALLERY_SPLITS = (Split.TEST, Split.QUERY), (Split.TEST, Split.GALLERY)
CAMERA_NOTE = "gallery images of the same person by the same camera are dropped"
SELF_NOTE = "no camera rule, because there are images without a camera; what was made from one photograph is dropped"
NO_CAMERA_NOTE = "no camera rule: the samples have no cameras"
NO_RULE_NOTE = "no camera rule"
SOURCE_NOTE = "the photograph that a query was made from or describes is dropped from its gallery"


def default_protocols(samples: Sequence[Sample]) -> tuple[tuple[Protocol, ...], tuple[str, ...]]:
    """The protocols `<query modality>-to-<gallery modality>` for which there are samples, and warnings.

    The gallery is RGB, or every other image modality in turn where there is no RGB gallery. An infrared or RGB query
    drops the same person's images by the same camera; that also keeps an image of split test, which is query and
    gallery at once, from finding itself. If such an image has no camera, the rule is "same source" instead, because an
    image is its own source. Sketches and sentences have no camera rule. Where queries were made from photographs of
    the gallery or describe them, a second protocol `...-drop-source` leaves those out.

    Returns:
        Protocols, the first of which is the default; lines for the user.
    """
    queries = [s for s in samples if s.split in QUERY_SPLITS]
    entries = [s for s in samples if s.split in GALLERY_SPLITS and s.modality.is_image]
    found = {s.modality for s in entries}
    targets = [Modality.RGB] if Modality.RGB in found else [m for m in Modality if m in found]
    protocols: list[Protocol] = []
    warnings: list[str] = []
    for target in targets:
        gallery = [s for s in entries if s.modality is target]
        photos = {s.sample_id for s in gallery}
        for modality in Modality:
            asked = [s for s in queries if s.modality is modality]
            if not asked:
                continue
            drop, note = _rule(asked, gallery)
            name = f"{modality}-to-{target}"
            protocols.append(_protocol(name, modality, target, drop, note))
            if drop is Drop.SAME_SOURCE:
                warnings += _unguarded(name, asked)
            elif drop is Drop.NONE and any(s.source_id in photos for s in asked if s.modality is not target):
                protocols.append(_protocol(f"{name}-drop-source", modality, target, Drop.SAME_SOURCE, SOURCE_NOTE))
    return tuple(protocols), tuple(warnings)


def _rule(asked: Sequence[Sample], gallery: Sequence[Sample]) -> tuple[Drop, str]:
    """The drop rule for queries of one modality against a gallery of one modality, and what to print about it."""
    both = [s for s in asked if s.split is Split.TEST] if asked[0].modality is gallery[0].modality else []
    if asked[0].modality in (Modality.RGB, Modality.IR):
        cameras = [any(s.camera_id is not None for s in side) for side in (asked, gallery)]
        if all(cameras) and all(s.camera_id is not None for s in both):
            return Drop.SAME_CAMERA, CAMERA_NOTE
    if both:
        return Drop.SAME_SOURCE, SELF_NOTE
    return Drop.NONE, NO_CAMERA_NOTE if asked[0].modality in (Modality.RGB, Modality.IR) else NO_RULE_NOTE


def _unguarded(name: str, asked: Sequence[Sample]) -> list[str]:
    """A warning about images of split test that nothing keeps from finding themselves."""
    alone = [s for s in asked if s.split is Split.TEST and s.source_id is None]
    if not alone:
        return []
    return [
        f"protocol {name}: {len(alone):,} images of split test have neither camera_id nor source_id and will find "
        f"themselves, the first is {alone[0].sample_id}; give them one"
    ]


def _protocol(name: str, query: Modality, gallery: Modality, drop: Drop, note: str) -> Protocol:
    return cross_modal(
        name,
        query,
        gallery,
        query_splits=QUERY_SPLITS,
        gallery_splits=GALLERY_SPLITS,
        drop=drop,
        notes=(note,),
        source="protocol made from the manifest's samples",
    )
