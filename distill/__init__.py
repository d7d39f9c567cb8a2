"""The distiller: a teacher's embeddings in, a small student that lands in their principal coordinates out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.distiller import Distiller

DEFAULT_RECIPE = "adaptive-svd"

__all__ = ["DEFAULT_RECIPE", "Distiller"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `distill --help` needs no torch.
    if name == "Distiller":
        from distill.distiller import Distiller

        return Distiller
    raise AttributeError(f"module 'distill' has no attribute '{name}'")
