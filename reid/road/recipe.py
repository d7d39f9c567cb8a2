"""A road as its YAML file says it.

    name: demo
    folder: runs/demo
    values: {people: 1000}
    stages:
      people: {run: "reid data synth {out} --people {people} --seed 0", makes: people}
      base: {run: "teacher init --out {out}", makes: base}
      teacher: {run: "teacher train {stage.people} --base {stage.base} --out {out} --resume", makes: teacher}

{out} is what the stage makes, {stage.NAME} what another one makes, {folder} the road's folder, {NAME} a value.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from reid.errors import UserError
from reid.extras import require

PROGRAMS = ("reid", "teacher", "distill", "export", "edge")
_MODULES = {"edge": "edge_runtime"}
_PLACE = re.compile(r"\{([^{}]*)\}")
_STAGE = "stage."
_KEYS = {"name", "folder", "values", "stages"}
_STAGE_KEYS = {"run", "makes", "about"}


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        name: in the file. about: one line for people.
        words: the command, with every place filled in. words[0] is of `PROGRAMS`.
        makes: what it leaves: an artifact, a folder or a file.
        needs: names of the stages whose products it reads.
    """

    name: str
    about: str
    words: tuple[str, ...]
    makes: Path
    needs: tuple[str, ...]

    @property
    def command(self) -> str:
        """As one would type it. `export` alone is a builtin of every shell."""
        words = ("reid", *self.words) if self.words[0] == "export" else self.words
        return shlex.join(words)

    @property
    def module(self) -> str:
        """Which package runs it."""
        return _MODULES.get(self.words[0], self.words[0])


@dataclass(frozen=True)
class Road:
    """Stages in order. Everything that they make lies in `folder`."""

    name: str
    folder: Path
    stages: tuple[Stage, ...]

    def index(self, name: str) -> int:
        """The place of a stage.

        Raises:
            UserError: there is none of this name; the nearest is given.
        """
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise UserError(f"stage '{name}': not in this road; {_near(name, names)}")
        return names.index(name)


def find_road(name: str) -> Path:
    """The file `name`, or the road of this name that comes with the package.

    Raises:
        UserError: there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    packaged = {entry.name.removesuffix(".yaml"): entry for entry in files("recipes.road").iterdir()}
    known = sorted(road for road, entry in packaged.items() if entry.name.endswith(".yaml"))
    if name not in known:
        raise UserError(f"{name}: no such file, and no road of this name; {_near(name, known)}")
    return Path(str(packaged[name]))


def read_road(path: Path, changes: Sequence[str] = (), folder: Path | None = None) -> Road:
    """The road in a file.

    Args:
        path: of the YAML.
        changes: NAME=VALUE, instead of the file's values.
        folder: instead of the file's.

    Raises:
        UserError: it does not read, has an unknown key, or a place in a command that nothing fills.
    """
    require("cloud", "reid run", "yaml")
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name the file of a road") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())[:200]})") from error
    _expect_keys(raw, _KEYS, str(path))
    values = {str(name): str(value) for name, value in (raw.get("values") or {}).items()}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in values:
            raise UserError(f"--set {change}: expected NAME=VALUE; {_near(name, list(values))}")
        values[name] = value
    place = folder or Path(str(raw.get("folder") or f"runs/{raw.get('name') or path.stem}"))
    stages = raw.get("stages")
    if not isinstance(stages, dict) or not stages:
        raise UserError(f"{path}: has no stages; expected 'stages:' with a name and a command each")
    made: dict[str, Stage] = {}
    for name, entry in stages.items():
        made[str(name)] = _stage(str(name), entry, made, values, place, f"{path}, stage {name}")
    return Road(str(raw.get("name") or path.stem), place, tuple(made.values()))


def _stage(
    name: str, entry: Any, before: Mapping[str, Stage], values: Mapping[str, str], folder: Path, where: str
) -> Stage:
    _expect_keys(entry, _STAGE_KEYS, where)
    if not entry.get("run") or not entry.get("makes"):
        raise UserError(f"{where}: needs 'run', a command, and 'makes', a path in the road's folder")
    makes = Path(str(entry["makes"]))
    if makes.is_absolute() or ".." in makes.parts:
        raise UserError(f"{where}: makes '{makes}', which leaves the road's folder; name a path inside")
    needs: list[str] = []

    def fill(matched: re.Match[str]) -> str:
        key = matched[1]
        if key.startswith(_STAGE):
            other = key.removeprefix(_STAGE)
            if other not in before:
                raise UserError(f"{where}: reads {{{key}}}; {_near(other, list(before))} before it")
            needs.append(other)
            return str(before[other].makes)
        own = {"out": str(folder / makes), "folder": str(folder), **values}
        if key not in own:
            raise UserError(f"{where}: nothing fills {{{key}}}; {_near(key, list(own))}")
        return own[key]

    words = tuple(_PLACE.sub(fill, word) for word in shlex.split(str(entry["run"])))
    if words[0] not in PROGRAMS:
        raise UserError(f"{where}: '{words[0]}' is not a command of this project; expected {', '.join(PROGRAMS)}")
    return Stage(name, str(entry.get("about") or ""), words, folder / makes, tuple(dict.fromkeys(needs)))


def _expect_keys(raw: Any, keys: set[str], where: str) -> None:
    if not isinstance(raw, dict):
        raise UserError(f"{where}: found {type(raw).__name__}; expected {', '.join(sorted(keys))}")
    for key in raw:
        if key not in keys:
            raise UserError(f"{where}: unknown key '{key}'; {_near(str(key), sorted(keys))}")


def _near(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {found[0]}?" if found else f"there are {', '.join(known) or 'none'}"
