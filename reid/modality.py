"""The four ways in which a person is observed."""

from __future__ import annotations

from enum import Enum

from reid.errors import UserError


class Modality(str, Enum):
    """How an observation of a person was made. Text has a sentence, the other three have an image."""

    RGB = "rgb"
    IR = "ir"
    SKETCH = "sketch"
    TEXT = "text"

    def __str__(self) -> str:
        return self.value

    @property
    def is_image(self) -> bool:
        """Whether an observation of this modality is an image file."""
        return self is not Modality.TEXT

    @classmethod
    def parse(cls, value: str, where: str = "modality") -> Modality:
        """The modality called `value` (case does not matter); `where` names the place in the error.

        Raises:
            UserError: no modality has this name.
        """
        try:
            return cls(value.strip().lower())
        except ValueError:
            known = ", ".join(m.value for m in cls)
            raise UserError(f"{where}: '{value}' is not a modality; expected one of {known}") from None
