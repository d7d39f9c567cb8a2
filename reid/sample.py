"""One observation of one person, and the role that it plays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from reid.errors import UserError
from reid.modality import Modality


class Split(str, Enum):
    """What a sample is for.

    `QUERY` and `GALLERY` are for data sets that publish the two as separate lists (Market-1501). `TEST` leaves the
    role to the protocol: the infrared test images of SYSU-MM01 are queries in one table and gallery in another.
    """

    TRAIN = "train"
    VAL = "val"
    QUERY = "query"
    GALLERY = "gallery"
    TEST = "test"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, value: str, where: str = "split") -> Split:
        """The split called `value` (case does not matter); `where` names the place in the error.

        Raises:
            UserError: no split has this name.
        """
        try:
            return cls(value.strip().lower())
        except ValueError:
            known = ", ".join(s.value for s in cls)
            raise UserError(f"{where}: '{value}' is not a split; expected one of {known}") from None


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation of one person by one camera, one artist or one witness.

    Attributes:
        sample_id: unique within its data set and stable across machines: the image's path relative to the data set's
            root with forward slashes; `<path>#<n>` for the n-th caption (from 0) of that image, `<person>#<n>` for a
            caption of a person as a whole.
        person_id: the identity as a string. Equal strings are the same person within one data set.
        modality: how the person was observed.
        split: what the sample is for.
        camera_id: the camera as a string; None where the data set has none, which means "no camera rule applies".
        image: path of the image file; None for text.
        text: the sentence; None for images.
        source_id: sample_id of the photograph that this sample was made from or describes, where that is known: a
            generated sketch, a derived infrared view, a caption. The photograph itself has its own sample_id here.
    """

    sample_id: str
    person_id: str
    modality: Modality
    split: Split
    camera_id: str | None = None
    image: Path | None = None
    text: str | None = None
    source_id: str | None = None

    def __post_init__(self) -> None:
        if self.modality.is_image and self.image is None:
            raise ValueError(f"sample {self.sample_id}: modality {self.modality} needs an image")
        if not self.modality.is_image and self.text is None:
            raise ValueError(f"sample {self.sample_id}: modality text needs a text")
