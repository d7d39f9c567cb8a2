"""Which stages are done: what each left, from which command and from which products of others."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reid.artifact import MANIFEST, sha256_of, write_text
from reid.road.recipe import Road, Stage

_STAMPS = ".road"


@dataclass(frozen=True)
class Stamp:
    """What is known of a stage that was begun.

    Attributes:
        words: its command. parents: stage -> digest of what it read.
        made: digest of what it left; "" while it runs, or if it was interrupted.
    """

    words: list[str]
    parents: dict[str, str]
    made: str = ""


class State:
    """The stamps of a road, in its folder: `.road/STAGE.json`."""

    def __init__(self, road: Road) -> None:
        self._folder = road.folder / _STAMPS
        self._stages = {stage.name: stage for stage in road.stages}
        self._made: dict[str, str] = {}

    def done(self, stage: Stage) -> bool:
        """Whether it was made by this very command from what its parents are now, and is still there unchanged."""
        stamp = self.read(stage)
        if stamp is None or stamp != Stamp(list(stage.words), self.parents(stage), stamp.made):
            return False
        there = self.made(stage)
        # An artifact appears whole or not at all, so one that is there was finished, whoever was killed afterwards.
        return there != "" and (stamp.made == there or (not stamp.made and (stage.makes / MANIFEST).is_file()))

    def why_stale(self, stage: Stage) -> str:
        """Why a stage that was begun is not done, in words; "" if it was never begun."""
        stamp = self.read(stage)
        if stamp is None:
            return ""
        if stamp.words != list(stage.words):
            return "its command has changed"
        if changed := [name for name, digest in self.parents(stage).items() if stamp.parents.get(name) != digest]:
            return f"{', '.join(changed)} has changed"
        return "it was interrupted" if not stamp.made else "what it made is gone or has changed"

    def begin(self, stage: Stage) -> None:
        """Note that it is being made."""
        self._write(stage, Stamp(list(stage.words), self.parents(stage)))

    def finish(self, stage: Stage) -> bool:
        """Note that it was made; False if nothing is there."""
        self._made.pop(stage.name, None)
        made = self.made(stage)
        if made:
            self._write(stage, Stamp(list(stage.words), self.parents(stage), made))
        return made != ""

    def forget(self, stage: Stage) -> None:
        """Remove what a stage made and the note of it."""
        self._made.pop(stage.name, None)
        if stage.makes.is_dir():
            shutil.rmtree(stage.makes)
        else:
            stage.makes.unlink(missing_ok=True)
        self._path(stage).unlink(missing_ok=True)

    def read(self, stage: Stage) -> Stamp | None:
        """What is noted of a stage; None if nothing, or nothing that can be read."""
        try:
            raw = json.loads(self._path(stage).read_text(encoding="utf-8"))
            return Stamp(list(raw["words"]), dict(raw["parents"]), str(raw["made"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def parents(self, stage: Stage) -> dict[str, str]:
        """Stage -> digest of what it made, for all that this one reads."""
        return {name: self.made(self._stages[name]) for name in stage.needs}

    def made(self, stage: Stage) -> str:
        """Digest of what lies where a stage leaves its product; "" if nothing does."""
        if stage.name not in self._made:
            self._made[stage.name] = digest(stage.makes)
        return self._made[stage.name]

    def _write(self, stage: Stage, stamp: Stamp) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._path(stage), json.dumps(asdict(stamp), indent=1) + "\n")

    def _path(self, stage: Stage) -> Path:
        return self._folder / f"{stage.name}.json"


def digest(path: Path) -> str:
    """sha256 of a file, of an artifact's manifest, or of all files of any other folder; "" if nothing is there."""
    if path.is_file():
        return sha256_of(path)
    if (path / MANIFEST).is_file():
        return sha256_of(path / MANIFEST)
    files: Mapping[str, Path] = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
    if not files:
        return ""
    whole = hashlib.sha256()
    for name, file in files.items():
        whole.update(f"{name} {sha256_of(file)}\n".encode())
    return whole.hexdigest()
