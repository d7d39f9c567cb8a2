"""A sketch or an infrared view out of a photograph, for data sets that lack them."""

from reid.derive.write import DEFAULT_STYLES, STYLES, DeriveReport, derive_dataset

__all__ = ["DEFAULT_STYLES", "STYLES", "DeriveReport", "derive_dataset"]
