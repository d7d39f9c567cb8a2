"""Every command in the documents is one that there is, with options that it has; the site's pages and links hold."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAMS = {"reid": "reid", "teacher": "teacher", "distill": "distill", "export": "export", "edge": "edge_runtime"}
MODULES = {module: program for program, module in PROGRAMS.items()}
_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)")


def commands(text: str) -> list[list[str]]:
    """The words of each command of this project in fenced blocks, the program first."""
    found = []
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            stripped = re.sub(r"^\s*(run: |ExecStart=)", "", line).strip()
            if not re.match(r"[A-Z_]+=|\S+/|\w+", stripped) or stripped.startswith("{"):
                continue
            for part in re.split(r"&&|\|", stripped):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue  # no shell: a line of Python or YAML
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if "-m" in words[:-1] and words[words.index("-m") + 1] in MODULES:
                    start = words.index("-m") + 1
                    words = [MODULES[words[start]], *words[start + 1 :]]
                words = [Path(words[0]).name, *words[1:]] if words else []
                if words and words[0] in PROGRAMS and len(words) > 1 and re.fullmatch(r"-*[a-z][a-z-]*", words[1]):
                    found.append(words)
    return found


def problem(words: list[str]) -> str:
    """What of a command there is not; empty if all is there."""
    program, *rest = words
    if program == "reid" and rest[0] in PROGRAMS:
        program, *rest = rest
    command: click.Command = import_module(f"{PROGRAMS[program]}.cli").command
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group) and rest:
        name, *rest = rest
        if name in ("--help", "--version"):
            return ""
        if name not in command.list_commands(context):
            return f"no command '{name}'"
        found = command.get_command(context, name)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    options = {
        name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        if word.startswith("-") and word != "-" and word.partition("=")[0] not in options:
            return f"no option '{word}'"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_there_with_its_options(document: Path) -> None:
    for words in commands(document.read_text(encoding="utf-8")):
        assert not problem(words), f"{shlex.join(words)}: {problem(words)}"


def test_commands_are_found_and_wrong_ones_seen() -> None:
    text = (
        "```\nreid data check x  # look\na | edge enroll g.db --boxes - --nope\ntorchrun -n 2 -m teacher trian x\n```\n"
    )
    found = commands(text)
    assert [words[:2] for words in found] == [["reid", "data"], ["edge", "enroll"], ["teacher", "trian"]]
    assert [problem(words) for words in found] == ["", "no option '--nope'", "no command 'trian'"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    for target in _LINK.findall(re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"


def test_the_site_has_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = {str(path.relative_to(ROOT / "docs")) for path in DOCUMENTS if path.parent != ROOT}
    assert pages <= set(re.findall(r"[\w/-]+\.md", nav))
