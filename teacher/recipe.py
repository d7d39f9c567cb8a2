"""Reading recipes: by name or path, built on each other, changed by `--set`; whatever is unknown is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from reid.errors import UserError
from teacher.settings import Recipe

_LONGEST_CHAIN = 8
Settings = TypeVar("Settings", bound=BaseModel)


class RecipeBook(Generic[Settings]):
    """The recipes of one kind: what form they have, and where those lie that come with the package.

    Args:
        settings: the form.
        package: whose .yaml files can be called by name, such as "recipes".
    """

    def __init__(self, settings: type[Settings], package: str) -> None:
        self._settings = settings
        self._package = package

    def names(self) -> list[str]:
        """Names of the recipes that come with the package."""
        found = (entry.name for entry in files(self._package).iterdir())
        return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))

    def load(self, name: str, changes: Iterable[str] = ()) -> Settings:
        """The recipe called `name`, or at the path `name`, with `changes` such as "training.seed=1".

        A recipe may `extend` another by name or path: mappings are merged, everything else replaced.

        Raises:
            UserError: no such recipe, not YAML, an unknown key (the nearest is named), or a value that cannot be.
        """
        raw = self._read(name)
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals:
                raise UserError(f"--set {change}: expected KEY=VALUE, such as training.seed=1")
            raw = _merged(raw, _nested(key.split("."), _parsed(value, f"--set {change}")))
        return self.check(raw, name)

    def check(self, raw: Mapping[str, Any], where: str) -> Settings:
        """A recipe from plain values; `where` names it in the error.

        Raises:
            UserError: an unknown key, or a value that cannot be.
        """
        try:
            return self._settings.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            path = [str(part) for part in first["loc"]]
            if first["type"] == "extra_forbidden":
                near = _nearest(self._settings, path)
                raise UserError(f"recipe {where}: unknown key '{'.'.join(path)}'; {near}") from error
            message = str(first["msg"]).removeprefix("Value error, ")
            told = "" if first["type"] in ("missing", "value_error") else f", found {first['input']!r}"
            raise UserError(f"recipe {where}: {'.'.join(path) + ': ' if path else ''}{message}{told}") from error

    def dump(self, recipe: Settings) -> str:
        """The recipe in full as YAML; `load` reads it again."""
        text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=120)
        return text

    def _read(self, name: str, depth: int = 0) -> dict[str, Any]:
        if depth > _LONGEST_CHAIN:
            raise UserError(f"recipe {name}: extends itself, or a chain of more than {_LONGEST_CHAIN + 1} recipes")
        path = Path(name)
        raw = _parsed(self._text(name, path), f"recipe {name}")
        if not isinstance(raw, dict):
            raise UserError(f"recipe {name}: expected a mapping of sections, found {type(raw).__name__}")
        if "extends" in raw:
            return _merged(self._read(_beside(path, str(raw.pop("extends"))), depth + 1), raw)
        return dict(raw)

    def _text(self, name: str, path: Path) -> str:
        """What stands in the file at the path, or in the package's recipe of this name."""
        if path.suffix in (".yaml", ".yml") or path.is_file():
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or error
                raise UserError(f"recipe {name}: cannot be read ({reason})") from error
        if name not in self.names():
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.names())}."
            raise UserError(f"recipe '{name}' is not known; {hint} A path ends in .yaml")
        return files(self._package).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


_BOOK = RecipeBook(Recipe, "recipes")


def list_recipes() -> list[str]:
    """Names of the teacher's recipes that come with the package."""
    return _BOOK.names()


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The teacher's recipe called `name`, or at the path `name`, with `changes` such as "tuning.levels.vision.rank=8".

    Raises:
        UserError: as `RecipeBook.load` says.
    """
    return _BOOK.load(name, changes)


def check_recipe(raw: Mapping[str, Any], where: str) -> Recipe:
    """A teacher's recipe from plain values; `where` names it in the error.

    Raises:
        UserError: an unknown key, or a value that cannot be.
    """
    return _BOOK.check(raw, where)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe in full as YAML; `load_recipe` reads it again."""
    return _BOOK.dump(recipe)


def _beside(path: Path, name: str) -> str:
    """The recipe `name` as a recipe at `path` calls it: a relative path is relative to that recipe."""
    near = path.parent / name
    return str(near) if path.is_file() and near.is_file() else name


def _parsed(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: not YAML ({' '.join(str(error).split())})") from error


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _nearest(settings: type[BaseModel], path: list[str]) -> str:
    """What the key at `path` may have been meant to be: among its siblings, else anywhere in a recipe."""
    keys = list(_keys(settings))
    parent = path[:-1]
    siblings = [key[-1] for key in keys if len(key) == len(path) and _same_place(key[:-1], parent)]
    elsewhere = [".".join(key) for key in keys if key[-1] == path[-1]]
    if elsewhere:
        return f"the nearest known key is '{elsewhere[0]}'"
    near = difflib.get_close_matches(path[-1], siblings, n=1, cutoff=0.5)
    if near:
        return f"the nearest known key is '{'.'.join([*parent, near[0]])}'"
    return f"known keys there: {', '.join(siblings)}"


def _same_place(known: list[str], asked: list[str]) -> bool:
    """Whether two paths lead to one place; "*" stands for a name that the user chooses."""
    return all(a in ("*", b) for a, b in zip(known, asked, strict=True))


def _keys(model: type[BaseModel]) -> Iterable[list[str]]:
    """The path of every key of a settings model."""
    for name, field in model.model_fields.items():
        yield [name]
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                middle = [name] if kind is field.annotation else [name, "*"]
                yield from ([*middle, *rest] for rest in _keys(kind))
