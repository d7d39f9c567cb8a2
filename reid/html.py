"""Pages without a script or an address of somewhere else: they open offline."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

_CSS = """
:root { color-scheme: light dark; --ink: #1a202c; --faint: #5f6b7a; --paper: #ffffff; --card: #f5f6f8;
  --line: #dfe3e8; --accent: #1f5f99; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --faint: #9aa5b4; --paper: #14171c; --card: #1d2229; --line: #323943; --accent: #7ab3ea; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 32px 24px 64px; max-width: 1048px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
h1 { margin: 0 0 4px; font-size: 27px; line-height: 1.25; }
h2 { margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 19px; }
h3 { margin: 22px 0 6px; font-size: 15px; }
p { margin: 8px 0; max-width: 760px; }
.faint, figcaption { color: var(--faint); }
.notice { margin: 14px 0; padding: 8px 12px; max-width: none; border-left: 3px solid var(--accent);
  background: var(--card); }
nav { margin: 14px 0 0; font-size: 14px; }
nav a { margin-right: 16px; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 12px; margin: 20px 0; }
.tile { padding: 12px 14px; border-radius: 8px; background: var(--card); }
.tile b { display: block; font-size: 25px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 13px; color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
th { color: var(--faint); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
.words td, .words th { text-align: left; }
.facts td, .facts th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.facts th { width: 170px; white-space: nowrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 16px; }
figure { margin: 14px 0; }
figure img { display: block; width: 100%; height: auto; padding: 6px; border-radius: 6px;
  background: #ffffff; }
figcaption { margin-top: 4px; font-size: 13px; }
pre { margin: 10px 0; padding: 12px 14px; overflow-x: auto; border-radius: 8px; background: var(--card);
  font: 13px/1.45 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
pre.columns { columns: 3 240px; }
ul { margin: 8px 0; padding-left: 20px; font-size: 14px; }
details { margin: 10px 0; }
summary { color: var(--accent); cursor: pointer; font-size: 14px; }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page. `name` is its anchor; `body` is HTML."""

    name: str
    title: str
    body: str


def page(title: str, below: str, head: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Args:
        title, below: of the page, as text. head: HTML between them and the first section. sections: in order.
    """
    links = "\n".join(f'<a href="#{escape(s.name)}">{escape(s.title)}</a>' for s in sections)
    parts = [f'<section id="{escape(s.name)}">\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>' for s in sections]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>",
            f'<header>\n<h1>{escape(title)}</h1>\n<div class="faint">{escape(below)}</div>\n<nav>{links}</nav>',
            f"{head}\n</header>\n<main>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def paragraph(text: str, kind: str = "") -> str:
    """Text as a paragraph; `kind` is a class of the style sheet."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def heading(text: str) -> str:
    """Of a part of a section."""
    return f"<h3>{escape(text)}</h3>"


def items(lines: Sequence[str]) -> str:
    """Texts as a list; nothing, if there are none."""
    return f'<ul class="faint">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>' if lines else ""


def table(rows: Sequence[Mapping[str, str]], *, words: bool = False) -> str:
    """Rows with equal keys: the first column to the left, the others to the right unless they are `words`."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    lines = ["".join(f"<td>{escape(row[name])}</td>" for name in rows[0]) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    kind = _class("words") if words else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(known: Mapping[str, str]) -> str:
    """Names and what is known of them."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in known.items())
    return f'<table class="facts"><tbody>{lines}</tbody></table>'


def tiles(shown: Sequence[tuple[str, str, str]]) -> str:
    """Few numbers that are seen first: (above, number, below)."""
    each = (
        f'<div class="tile"><span>{escape(above)}</span><b>{escape(number)}</b><span>{escape(below)}</span></div>'
        for above, number, below in shown
    )
    return f'<div class="tiles">{"".join(each)}</div>'


def code(text: str, *, columns: bool = True) -> str:
    """As it is; in columns if it is text of many short lines."""
    kind = _class("columns" if columns else "")
    return f"<pre{kind}>{escape(text)}</pre>"


def figure(picture: Path, alt: str, caption: str = "") -> str:
    """A PNG, inside the page. `alt` says what it shows to who does not see it."""
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return _figure(f"data:image/png;base64,{data}", alt, escape(caption))


def linked_figure(address: str, alt: str) -> str:
    """A picture that lies beside the page, at a relative address; a click opens it."""
    return _figure(quote(address), alt, link(address, alt))


def link(address: str, text: str) -> str:
    """To what lies beside the page, at a relative address."""
    return f'<a href="{quote(address)}">{escape(text)}</a>'


def _figure(source: str, alt: str, below: str) -> str:
    caption = f"<figcaption>{below}</figcaption>" if below else ""
    return f'<figure><img src="{source}" alt="{escape(alt)}" loading="lazy">{caption}</figure>'


def folded(summary: str, body: str) -> str:
    """HTML that is shown when its summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def side_by_side(*parts: str) -> str:
    """Figures beside each other where there is room."""
    return f'<div class="pair">{"".join(part for part in parts if part)}</div>'


def _class(kind: str) -> str:
    return f' class="{escape(kind)}"' if kind else ""
