"""`reid info`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from reid.artifact import check_files, read_manifest
from reid.embeddings import KIND as STORE_KIND
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.lineage import lineage


@click.command("info")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read every byte and compare with the manifest; check a store's rows.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def info(artifact: Path, verify: bool, as_json: bool) -> None:
    """What an artifact holds, what wrote it and where it comes from."""
    manifest = read_manifest(artifact)
    if as_json:
        if verify:
            raise UserError("--json prints the manifest alone; use --verify without it")
        click.echo(manifest.to_json(), nl=False)
        return
    size = sum(entry.bytes for entry in manifest.files.values())
    click.echo(f"{artifact}: {manifest.kind}")
    click.echo(f"  manifest  {manifest.sha256}")
    click.echo(f"  files     {len(manifest.files)}, {size / 2**20:.1f} MiB")
    _print("writer", manifest.writer)
    _print("details", manifest.details)
    for ancestor in lineage(artifact, manifest):
        state = "" if ancestor.state == "ok" else f" ({ancestor.state})"
        indent = "  " * ancestor.depth
        click.echo(
            f"{indent}from {ancestor.parent.kind} {ancestor.parent.manifest_sha256[:12]} {ancestor.folder}{state}"
        )
    if verify:
        _verify(artifact)


def _print(title: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"  {title:<8}  {name}: {text if len(text) <= 160 else text[:157] + '...'}")


def _verify(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    # Bytes first: a shard that has changed need not be readable.
    problems = check_files(artifact, manifest)
    if not problems and manifest.kind == STORE_KIND:
        problems = EmbeddingStore.open(artifact).verify()
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{artifact}: {problems[0]}{more}; make or copy it again")
    click.echo(f"  verified  all {len(manifest.files)} files are as they were written")
