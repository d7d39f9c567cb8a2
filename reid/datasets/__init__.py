"""The public data sets by name, one small file each, and `open_dataset`, which reads any of them."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import parse_qsl

from reid.dataset import Dataset
from reid.datasets import (
    cuhk03,
    cuhk_pedes,
    dukemtmc,
    icfg_pedes,
    llcm,
    manifest,
    market1501,
    market_sketch,
    msmt17,
    orbench,
    pku_reid,
    pku_sketch,
    regdb,
    rstp_reid,
    sysu,
)
from reid.datasets.kind import Kind
from reid.errors import UserError

KINDS: dict[str, Kind] = {
    "market1501": market1501.KIND,
    "msmt17": msmt17.KIND,
    "cuhk03": cuhk03.KIND,
    "dukemtmc": dukemtmc.KIND,
    "sysu": sysu.KIND,
    "regdb": regdb.KIND,
    "llcm": llcm.KIND,
    "cuhk-pedes": cuhk_pedes.KIND,
    "icfg-pedes": icfg_pedes.KIND,
    "rstp-reid": rstp_reid.KIND,
    "tri-cuhk-pedes": cuhk_pedes.TRI,
    "tri-icfg-pedes": icfg_pedes.TRI,
    "tri-rstp-reid": rstp_reid.TRI,
    "quad-cuhk-pedes": cuhk_pedes.QUAD,
    "quad-icfg-pedes": icfg_pedes.QUAD,
    "quad-rstp-reid": rstp_reid.QUAD,
    "pku-sketch": pku_sketch.KIND,
    "market-sketch-1k": market_sketch.KIND,
    "orbench": orbench.KIND,
    "pku-reid": pku_reid.KIND,
    "manifest": manifest.KIND,
}


def find_kind(name: str) -> Kind:
    """The loader called `name`.

    Raises:
        UserError: there is none; the nearest names are given.
    """
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known kinds: {', '.join(KINDS)}"
        raise UserError(f"'{name}' is not a kind of data set; {hint}")
    return KINDS[name]


def load_dataset(kind: str, root: Path, options: dict[str, str] | None = None) -> Dataset:
    """Read the data set of this kind at `root` with the loader's options.

    Raises:
        UserError: unknown kind or option, missing folder, wrong layout.
    """
    if not root.exists():
        raise UserError(f"{root}: no such file or folder; expected a '{kind}' data set there")
    return find_kind(kind).open(root, options or {})


def open_dataset(spec: str, options: dict[str, str] | None = None) -> Dataset:
    """Read a data set from `KIND:ROOT`, `KIND:ROOT?option=value&...` or just the path of a manifest or its folder.

    Raises:
        UserError: as `load_dataset`; or a plain path that holds no manifest.
    """
    head, colon, rest = spec.partition(":")
    if not colon or head not in KINDS:
        if colon and not Path(spec).exists():
            find_kind(head)
        return load_dataset("manifest", Path(spec), options)
    root, _, query = rest.partition("?")
    return load_dataset(head, Path(root), {**dict(parse_qsl(query, keep_blank_values=True)), **(options or {})})
