"""Where things lie in a bundle, and which names its files may have. docs/bundle.md describes the format."""

from __future__ import annotations

KIND = "bundle"
SCHEMA = "1.0"
"""MAJOR.MINOR of `details`. A reader refuses a newer major version and ignores what a newer minor one adds."""

SIGNATURE = "manifest.sig"
CHECKSUMS = "SHA256SUMS"
MODEL, TEXT, CHECK, REPORTS, DEPLOY = "model", "text", "check", "reports", "deploy"
CROPS, REFERENCE, NEIGHBOURS = f"{CHECK}/crops.npz", f"{CHECK}/reference.npy", f"{CHECK}/neighbours.json"
RECIPE = "recipe.json"
ARCHIVES = (".tar.zst", ".tar")

MANIFEST_BYTES = 16 * 2**20
"""A manifest that is larger than this is no bundle's."""
_LONGEST = 240


def is_archive(name: str) -> bool:
    """Whether a file of this name would hold a packed bundle."""
    return name.endswith(ARCHIVES)


def graph_path(precision: str) -> str:
    """Where the image graph of a precision lies."""
    return f"{MODEL}/student.{precision}.onnx"


def unsafe(name: str) -> str | None:
    """Why a path inside a bundle is refused, in words; None if it may be used.

    It must be relative, stay inside, and be the one way to write itself: no "..", ".", "//", backslash, drive or
    control character.
    """
    if not name or len(name) > _LONGEST:
        return "is empty" if not name else f"is longer than {_LONGEST} characters"
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in name):
        return "has a control character"
    if name.startswith("/") or "\\" in name or ":" in name.partition("/")[0]:
        return "is not a relative path"
    if ".." in name.split("/"):
        return "leaves the bundle"
    if {"", "."} & set(name.split("/")):
        return "is not in its plain form"
    return None
