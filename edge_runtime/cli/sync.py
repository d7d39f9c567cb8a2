"""`edge sync`."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict
from pathlib import Path

import click

from edge_runtime.cli.options import GALLERY, Speaker, json_option


@click.command("sync")
@click.argument("gallery", required=False, type=click.Path(path_type=Path))
@click.option("--to", "uri", required=True, metavar="URI", help="http://host:19530, https://host, unix:/socket.")
@click.option("--collection", help="Its name there. Default: one of the bundle's, which all its galleries share.")
@click.option("--device", help="Tells rows of several devices apart. Default: a random name that the gallery has.")
@click.option(
    "--token",
    envvar="MILVUS_TOKEN",
    show_envvar=True,
    default="",
    help="user:password or an API key. Others see options of a process: better the variable.",
)
@click.option("--once/--follow", default=True, show_default=True, help="Ship what there is, or go on with what comes.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Rows to send at once.")
@click.option("--every", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--timeout", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Of one answer, seconds.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="With --once, seconds to go on trying when the server is away.",
)
@click.option("--check", is_flag=True, help="First compare all rows there with the gallery and put right what differs.")
@click.option("--forget", is_flag=True, help="Ship nothing; stop remembering deletions for this collection.")
@json_option
def sync_command(
    gallery: Path | None, uri: str, collection: str | None, device: str | None, token: str, once: bool, batch: int,
    every: float, timeout: float, patience: float, check: bool, forget: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ship a gallery's changes to a Milvus server, exactly once in effect, deletions included.

    Crops stay here. How far it has come is kept in the gallery: stop it, kill it, pull the plug or the network at any
    moment, and it goes on from there. Who writes the gallery never waits for the server.

    \b
    edge sync gallery.db --to http://milvus:19530
    MILVUS_TOKEN=user:password edge sync gallery.db --to https://host --follow
    """
    from edge_runtime.sync import Address, Shipper
    from reid.extras import require

    say = Speaker(as_json)
    if gallery is None:
        gallery = GALLERY
        say.note(f"taking the gallery {gallery}")
    require("milvus", "edge sync", "pymilvus")
    stop = threading.Event()
    address = Address(uri, collection, token)
    with Shipper(
        gallery, address, device=device, batch=batch, seconds=timeout, say=say.note, wait=stop.wait
    ) as shipper:  # fmt: skip
        to = f"{shipper.address} as {shipper.device}"
        if forget:
            count = shipper.forget()
            say.line(f"forgot {to}: {count} watermarks")
            say.document({"to": str(shipper.address), "device": shipper.device, "forgotten": count})
            return
        # A service is stopped by SIGTERM: finish the batch, then end.
        old = signal.signal(signal.SIGTERM, lambda *_: stop.set())
        if not once:
            say.note(f"following {gallery}, to {to}")
        try:
            shipped = shipper.run(follow=not once, every=every, patience=patience, check=check)
        except KeyboardInterrupt:
            raise click.Abort from None
        finally:
            signal.signal(signal.SIGTERM, old)
        say.line(
            f"shipped {shipped.sent} rows and {shipped.deleted} deletions to {to}; {shipped.left} changes are left"
        )
        say.document({"to": str(shipper.address), "device": shipper.device, **asdict(shipped)})
