"""`edge build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.options import Speaker, bundle_options, json_option, load_embedder


@click.command("build")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@bundle_options
@json_option
def build_command(bundle: Path | None, bundle_path: Path | None, as_json: bool, **chosen: Any) -> None:
    """Verify a bundle, build its engine for this device and let the check crops decide whether it may be used.

    One that was built before is used again. Where no TensorRT engine can be had it is said why, and what serves
    instead; with --engine tensorrt that is an error.

    \b
    edge build /opt/reid/bundle
    """
    say = Speaker(as_json)
    with load_embedder(bundle or bundle_path, say, wait=True, **chosen) as embedder:
        serving = embedder.engine
        say.line(f"{embedder.bundle.folder}: {serving}")
        say.line(f"  {serving.verdict}")
        for tried in serving.tried:
            say.line(f"  not used: {tried}")
        say.document({"bundle": str(embedder.bundle.folder), "space": embedder.space_id, "engine": serving.to_dict()})
