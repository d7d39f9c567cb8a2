"""Hooks of mkdocs: pages that lie outside docs/, and links that leave it.

README, CHANGELOG and CONTRIBUTING are written for the repository's page, where `docs/export.md` is the right link. Here
they become pages of the site. A link to a file that is no page is shown as that file's path.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""File of the repository -> page of the site."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_PICTURE = re.compile(r"(!\[[^\]]*\]\()docs/")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the repository's own pages."""
    for source, page in PAGES.items():
        text = _PICTURE.sub(r"\1", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=_linked(text, "")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links out of docs/ into the repository's pages or into paths."""
    if page.file.src_uri in PAGES.values():
        return markdown
    return _linked(markdown, posixpath.join("docs", posixpath.dirname(page.file.src_uri)))


def _linked(markdown: str, folder: str) -> str:
    """Links of a file in `folder` of the repository, as they are on the site."""

    def replace(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        here = posixpath.relpath(folder or ".", "docs") if folder else "."
        if path in PAGES:
            return f"[{text}]({posixpath.relpath(PAGES[path], here)}{anchor})"
        if path.startswith("docs/"):
            return f"[{text}]({posixpath.relpath(path.removeprefix('docs/'), here)}{anchor})"
        return f"{text} (`{path}`)" if path not in text else text

    return _LINK.sub(replace, markdown)
