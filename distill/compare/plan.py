"""Which runs a comparison consists of, and whether what lies on the disk is one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.checkpoint import RECIPE
from distill.recipe import dump_recipe, load_recipe
from distill.settings import DistillRecipe
from reid.artifact import expect_kind
from reid.embeddings import KIND as STORE
from reid.errors import UserError
from student.checkpoint import KIND

_SHARED = ("image", "sampling", "augmentation", "views", "text", "training")
"""Sections that are to be alike, so that methods differ and nothing else."""


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        recipe: in full, with the seed. seed: its number. place: the artifact that it makes.
    """

    recipe: DistillRecipe
    seed: int
    place: Path

    @property
    def label(self) -> str:
        """For messages and folders."""
        return f"{self.recipe.name}-{self.seed}"


def plan(names: Sequence[str], seeds: int, changes: Iterable[str], out: Path) -> list[Entry]:
    """The runs, all recipes with seed 0 first, so that there is a whole table early.

    Args:
        names: of recipes, or paths. seeds: how many, from 0. changes: `--set`, to all recipes.
        out: the folder of all runs.

    Raises:
        UserError: a recipe is not known or not valid, or two have one name.
    """
    changed = list(changes)
    if any(change.partition("=")[0].strip() == "training.seed" for change in changed):
        raise UserError("--set training.seed: a comparison goes over seeds itself; use --seeds")
    entries = []
    for seed in range(seeds):
        for name in names:
            # A random basis is drawn anew too: it is part of what varies.
            recipe = load_recipe(name, [f"spectrum.seed={seed}", *changed, f"training.seed={seed}"])
            entries.append(Entry(recipe, seed, out / f"{recipe.name}-{seed}"))
    twice = [label for label, count in Counter(entry.label for entry in entries).items() if count > 1]
    if twice:
        raise UserError(f"--recipes: two recipes are called '{twice[0].rpartition('-')[0]}'; give each once")
    return entries


def differences(entries: Sequence[Entry]) -> list[str]:
    """A line for each recipe that differs from the first in more than its method."""
    lines: dict[str, None] = {}
    first = entries[0].recipe
    for entry in entries:
        if entry.seed != entries[0].seed:
            continue
        unlike = [name for name in _SHARED if getattr(entry.recipe, name) != getattr(first, name)]
        if unlike:
            lines[f"{entry.recipe.name} differs from {first.name} in {', '.join(unlike)} too"] = None
    return list(lines)


def expect_made_by(entry: Entry, student: str, store: str) -> None:
    """Make sure that the artifact at an entry's place is what the entry would make.

    Args:
        student: name in the zoo. store: sha256 of the store's manifest.

    Raises:
        UserError: it is something else; what differs is named.
    """
    manifest = expect_kind(entry.place, KIND)
    stores = {parent.manifest_sha256 for parent in manifest.parents if parent.kind == STORE}
    try:
        described = (entry.place / RECIPE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        described = ""
    checks = {
        "student": manifest.details.get("student") == student,
        "store": store in stores,
        "recipe": described == dump_recipe(entry.recipe),
    }
    differs = [name for name, same in checks.items() if not same]
    if differs:
        raise UserError(
            f"{entry.place}: was made with another {', '.join(differs)}; choose another --out, or remove that folder"
        )
