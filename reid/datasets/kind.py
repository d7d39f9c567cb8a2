"""What the registry knows about a loader."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reid.dataset import Dataset
from reid.errors import UserError


@dataclass(frozen=True)
class Option:
    """One option of a loader: its default, the values it takes (empty: any) and a line of help."""

    default: str
    choices: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Kind:
    """A loader with what a user needs to know to call it.

    Attributes:
        name: what the command line calls it.
        title: the data set's name in print.
        layout: the folder it expects, one path per line.
        load: root and all options -> Dataset.
        options: the options it takes.
    """

    name: str
    title: str
    layout: str
    load: Callable[[Path, Mapping[str, str]], Dataset]
    options: dict[str, Option] = field(default_factory=dict)

    def open(self, root: Path, given: Mapping[str, str]) -> Dataset:
        """Read `root` with the options `given` and the defaults of the others.

        Raises:
            UserError: an option or its value is not known; whatever the loader finds wrong.
        """
        for name, value in given.items():
            if name not in self.options:
                near = difflib.get_close_matches(name, self.options, n=1)
                has = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self.options) or 'none'}"
                raise UserError(f"data set '{self.name}' has no option '{name}'; {has}")
            choices = self.options[name].choices
            if choices and value not in choices:
                raise UserError(f"option {name}={value} of '{self.name}': expected one of {', '.join(choices)}")
        resolved = {name: given.get(name, option.default) for name, option in self.options.items()}
        return self.load(root, resolved)
