"""The bundle: what a device is given. Reading, verifying and unpacking it."""

from edge_runtime.bundle.contents import Bundle, CheckSet
from edge_runtime.bundle.description import Description, GraphFile, Profile, TextFiles
from edge_runtime.bundle.open import open_bundle

__all__ = ["Bundle", "CheckSet", "Description", "GraphFile", "Profile", "TextFiles", "open_bundle"]
