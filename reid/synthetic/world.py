"""A world of synthetic people: from a seed to any one of its samples, without the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.synthetic.camera import make_camera, take_shot
from reid.synthetic.caption import describe
from reid.synthetic.infrared import render_infrared
from reid.synthetic.person import MAX_PEOPLE, Person, family_of, make_person
from reid.synthetic.rgb import render_rgb
from reid.synthetic.sketch import draw_sketch

# Families, not people, are dealt to the splits, so that look-alikes are told apart within one: 6 : 1 : 3.
_DEAL = (
    Split.TRAIN, Split.TEST, Split.TRAIN, Split.VAL, Split.TRAIN, Split.TEST, Split.TRAIN, Split.TRAIN, Split.TEST,
    Split.TRAIN,
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Which observation a sample is: person, modality, camera (None for sketch and text), number of the shot."""

    person: int
    modality: Modality
    camera: str | None
    shot: int


@dataclass(frozen=True)
class World:
    """All samples of a seed.

    The samples are ordered by person and then as photographs, infrared frames, sketches, captions. Person n is the same
    whatever `people` is, and a shot is the same whatever `per_camera` is.

    Attributes:
        seed: everything follows from it.
        people: how many. cameras: visible ones, c1, c2, ...
        infrared_cameras: n1, n2, ...; None: half as many as visible ones, at least two.
        per_camera: images of each person by each camera. sketches, captions: of each person.
        size: height and width of the images in pixels.
        lookalikes: share of people who have look-alikes, see `reid.synthetic.person`.
        modalities: which of the four there are.

    Raises:
        UserError: a number that cannot be.
    """

    seed: int
    people: int
    cameras: int = 4
    infrared_cameras: int | None = None
    per_camera: int = 2
    sketches: int = 2
    captions: int = 2
    size: tuple[int, int] = (128, 64)
    lookalikes: float = 0.5
    modalities: tuple[Modality, ...] = tuple(Modality)

    def __post_init__(self) -> None:
        limits = (
            ("people", self.people, 1, MAX_PEOPLE),
            ("cameras", self.cameras, 1, 1000),
            ("infrared cameras", 2 if self.infrared_cameras is None else self.infrared_cameras, 0, 1000),
            ("images per camera", self.per_camera, 1, 10000),
            ("sketches", self.sketches, 0, 10000),
            ("captions", self.captions, 0, 10000),
            ("image height", self.size[0], 32, 256),
            ("image width", self.size[1], 16, 256),
        )
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise UserError(f"{name}: {value} is not possible; expected a whole number from {low} to {high}")
        if not 0 <= self.lookalikes <= 1:
            raise UserError(f"lookalikes: {self.lookalikes} is not a share; expected a number from 0 to 1")
        if not self.modalities:
            raise UserError("modalities: none given; expected at least one of rgb, ir, sketch, text")

    @cached_property
    def _person_places(self) -> tuple[tuple[Modality, str | None, int], ...]:
        shots = range(self.per_camera)
        groups: dict[Modality, list[tuple[Modality, str | None, int]]] = {
            Modality.RGB: [(Modality.RGB, name, s) for name in self.camera_names(Modality.RGB) for s in shots],
            Modality.IR: [(Modality.IR, name, s) for name in self.camera_names(Modality.IR) for s in shots],
            Modality.SKETCH: [(Modality.SKETCH, None, s) for s in range(self.sketches)],
            Modality.TEXT: [(Modality.TEXT, None, s) for s in range(self.captions)],
        }
        return tuple(place for modality in Modality if modality in self.modalities for place in groups[modality])

    def camera_names(self, modality: Modality) -> tuple[str, ...]:
        """The cameras of a modality, c1, c2, ... or n1, n2, ...; none for sketch and text."""
        if modality is Modality.RGB:
            return tuple(f"c{i + 1}" for i in range(self.cameras))
        if modality is Modality.IR:
            count = max(2, self.cameras // 2) if self.infrared_cameras is None else self.infrared_cameras
            return tuple(f"n{i + 1}" for i in range(count))
        return ()

    def __len__(self) -> int:
        return self.people * len(self._person_places)

    def place(self, index: int) -> Place:
        """Which observation sample `index` is.

        Raises:
            IndexError: there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of a world of {len(self)}")
        person, rest = divmod(index, len(self._person_places))
        return Place(person, *self._person_places[rest])

    def person(self, number: int) -> Person:
        """The attributes of a person."""
        return make_person(self.seed, number, self.lookalikes)

    def person_id(self, number: int) -> str:
        """The name of a person, e.g. "0007"."""
        return f"{number:0{max(4, len(str(self.people - 1)))}d}"

    def split(self, person: int) -> Split:
        """Train, validation or test; look-alikes are in one split."""
        family, _, _ = family_of(person, self.lookalikes)
        return _DEAL[family % len(_DEAL)]

    def render(self, index: int) -> NDArray[np.uint8]:
        """The image of sample `index`: uint8 [H, W, 3]; infrared frames and sketches have three equal channels.

        Raises:
            ValueError: the sample is a caption.
        """
        place, (height, width) = self.place(index), self.size
        person = self.person(place.person)
        if place.modality is Modality.SKETCH:
            return draw_sketch(self.seed, person, place.shot, height, width)
        if place.camera is None:
            raise ValueError(f"sample {index} is a caption and has no image")
        camera = make_camera(self.seed, place.camera)
        shot = take_shot(self.seed, place.person, camera, place.shot, height, width)
        draw = render_infrared if camera.infrared else render_rgb
        return draw(self.seed, person, camera, shot)

    def text(self, index: int) -> str:
        """The sentence of sample `index`.

        Raises:
            ValueError: the sample is an image.
        """
        place = self.place(index)
        if place.modality is not Modality.TEXT:
            raise ValueError(f"sample {index} is an image and has no text")
        return describe(self.seed, self.person(place.person), place.shot, self.lookalikes)

    def sample(self, index: int, root: Path = Path()) -> Sample:
        """Sample `index` as the data set written to `root` has it; the image need not exist."""
        place = self.place(index)
        name = self.person_id(place.person)
        modality, split = place.modality, self.split(place.person)
        if modality is Modality.TEXT:
            return Sample(f"{name}#{place.shot}", name, modality, split, text=self.text(index))
        camera = "" if place.camera is None else f"_{place.camera}"
        path = f"images/{modality}/{name}{camera}_{place.shot:02d}.png"
        source = path if modality is Modality.RGB else None
        return Sample(path, name, modality, split, place.camera, root / path, source_id=source)

    def samples(self, root: Path = Path()) -> tuple[Sample, ...]:
        """All samples in order."""
        return tuple(self.sample(i, root) for i in range(len(self)))
