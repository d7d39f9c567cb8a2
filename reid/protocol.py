"""What an evaluation asks: which queries, which gallery, what does not count, how many trials.

A `Protocol` is plain data. It says nothing about distances or embeddings, so one metric kernel (`reid.metrics`) serves
every data set, and it is saved with an embedding store, so a store can be scored without the data set it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split


class Drop(str, Enum):
    """Which gallery entries do not count for a query."""

    NONE = "none"
    SAME_CAMERA = "same-camera"
    """Same person and same camera (Market-1501 and all that follow it). No effect where either camera is unknown."""
    SAME_LOCATION = "same-location"
    """Same location, whoever is seen (SYSU-MM01: cameras 2 and 3 hang in one room)."""
    SAME_SOURCE = "same-source"
    """Same person and same photograph (Tri-CUHK-PEDES: the photograph that the sketch was drawn from)."""

    def __str__(self) -> str:
        return self.value


class Cmc(str, Enum):
    """What CMC counts positions over."""

    IMAGE = "image"
    """Gallery images."""
    IDENTITY = "identity"
    """Gallery people, each at the place of their first image (SYSU-MM01, LLCM)."""

    def __str__(self) -> str:
        return self.value


class Fuse(str, Enum):
    """How several samples become one query: the normalised mean of their normalised embeddings."""

    NONE = "none"
    SOURCE = "source"
    """Each sample of the first query modality joins those of the other modalities that share its source_id."""
    PERSON = "person"
    """All query samples of a person become one query."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Select:
    """The samples of these modalities, splits and cameras (None: any camera)."""

    modalities: tuple[Modality, ...]
    splits: tuple[Split, ...]
    cameras: tuple[str, ...] | None = None

    def __str__(self) -> str:
        where = "" if self.cameras is None else f" of cameras {','.join(self.cameras)}"
        return f"{'+'.join(self.modalities)} samples of split {'/'.join(self.splits)}{where}"


@dataclass(frozen=True)
class Sampling:
    """A random subset, `per_camera` images of each (person, camera), drawn anew in every trial.

    Trial t seeds Python's `random` with t, then visits the people in ascending order of person_id and, for each, the
    cameras in the order given, and calls `choice` (or `sample`, if per_camera > 1) on the images in ascending order of
    sample_id: the galleries of AGW, and of nearly every paper since. `side` tells whether the gallery or, as LLCM's
    script does for VIS to IR, the query set is sampled.
    """

    per_camera: int
    cameras: tuple[str, ...]
    side: str = "gallery"

    def __post_init__(self) -> None:
        if self.per_camera < 1 or self.side not in ("gallery", "query"):
            raise ValueError(f"Sampling(per_camera={self.per_camera}, side={self.side!r}) is not possible")


@dataclass(frozen=True)
class Protocol:
    """One published way to score embeddings.

    Attributes:
        name: what the command line calls it, e.g. "sysu-all-single-agw".
        query, gallery: which samples take part.
        drop: which gallery entries do not count for a query.
        cmc: what CMC counts over.
        trials: how many times; the result is the mean.
        sampling: how a trial's random subset is drawn; None uses every selected sample.
        locations: camera_id -> location, for `Drop.SAME_LOCATION`.
        fuse: how samples are joined into queries.
        query_groups: explicit queries as tuples of sample_ids (ORBench publishes such lists); replaces `query`'s
            split and camera rule. Several members are fused.
        galleries: explicit galleries, one tuple of sample_ids per trial; replaces `sampling`.
        notes: what must be printed with every number: the trials' source, the use of list_val, the published variant.
        source: where the rule was read.
        group: protocols of one group are also reported as their mean (ORBench: by number of modalities).
    """

    name: str
    query: Select
    gallery: Select
    drop: Drop = Drop.NONE
    cmc: Cmc = Cmc.IMAGE
    trials: int = 1
    sampling: Sampling | None = None
    locations: tuple[tuple[str, str], ...] = ()
    fuse: Fuse = Fuse.NONE
    query_groups: tuple[tuple[str, ...], ...] | None = None
    galleries: tuple[tuple[str, ...], ...] | None = None
    notes: tuple[str, ...] = ()
    source: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"protocol {self.name}: trials must be at least 1, got {self.trials}")
        if self.galleries is not None and len(self.galleries) != self.trials:
            raise ValueError(f"protocol {self.name}: {len(self.galleries)} galleries for {self.trials} trials")
        if self.fuse is not Fuse.NONE and self.sampling is not None and self.sampling.side == "query":
            raise ValueError(f"protocol {self.name}: sampling queries would drop the members that are fused")
        if self.fuse is Fuse.PERSON and self.drop is Drop.SAME_CAMERA:
            raise ValueError(f"protocol {self.name}: a query fused over a person has no one camera to drop")
        if self.trials > 1 and self.sampling is None and self.galleries is None:
            raise ValueError(f"protocol {self.name}: {self.trials} trials, but nothing differs between them")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "protocol") -> Protocol:
        """The inverse of `to_dict`; `where` names the file in the error.

        Raises:
            UserError: a key is unknown or missing, or a value does not fit.
        """
        unknown = sorted(set(raw) - {f.name for f in fields(cls)})
        if unknown:
            raise UserError(f"{where}: unknown key '{unknown[0]}' in a protocol; was it written by a newer version?")
        try:
            values = dict(raw)
            values["query"], values["gallery"] = _select(raw["query"]), _select(raw["gallery"])
            for key, kind in (("drop", Drop), ("cmc", Cmc), ("fuse", Fuse)):
                if key in raw:
                    values[key] = kind(raw[key])
            if raw.get("sampling") is not None:
                values["sampling"] = Sampling(**{**raw["sampling"], "cameras": tuple(raw["sampling"]["cameras"])})
            for key in ("locations", "query_groups", "galleries"):
                if raw.get(key) is not None:
                    values[key] = tuple(tuple(item) for item in raw[key])
            values["notes"] = tuple(raw.get("notes", ()))
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where}: not a protocol: {error}") from error


def _select(raw: Mapping[str, Any]) -> Select:
    cameras = raw.get("cameras")
    return Select(
        tuple(Modality(m) for m in raw["modalities"]),
        tuple(Split(s) for s in raw["splits"]),
        None if cameras is None else tuple(cameras),
    )


def on_validation(protocol: Protocol) -> Protocol:
    """The same rule for the validation people: its queries and its gallery are taken from `Split.VAL`.

    Where both come from the same images (RGB against RGB), each image is query and gallery at once; the camera rule, or
    that a photograph is its own source (`Sample.source_id`), keeps it from finding itself.

    Raises:
        UserError: the protocol is a published list of samples and cannot be turned to others.
    """
    if protocol.query_groups is not None or protocol.galleries is not None:
        raise UserError(f"protocol '{protocol.name}' is a published list of test samples; it has no validation form")
    drop = protocol.drop
    if drop is Drop.NONE and set(protocol.query.modalities) & set(protocol.gallery.modalities):
        drop = Drop.SAME_SOURCE
    return replace(
        protocol,
        name=f"{protocol.name}-val",
        query=replace(protocol.query, splits=(Split.VAL,)),
        gallery=replace(protocol.gallery, splits=(Split.VAL,)),
        drop=drop,
        notes=("validation people instead of test people", *protocol.notes),
    )


def cross_modal(
    name: str,
    query: Modality,
    gallery: Modality,
    *,
    query_splits: tuple[Split, ...] = (Split.TEST, Split.QUERY),
    gallery_splits: tuple[Split, ...] = (Split.TEST, Split.GALLERY),
    drop: Drop = Drop.NONE,
    notes: tuple[str, ...] = (),
    source: str = "",
) -> Protocol:
    """The commonest shape: all test samples of one modality against all of another."""
    queries, entries = Select((query,), query_splits), Select((gallery,), gallery_splits)
    return Protocol(name, queries, entries, drop, notes=notes, source=source)
