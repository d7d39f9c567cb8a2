"""`export check`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("check")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="A public key (PEM) that must have signed it.")
@click.option("--data", help="KIND:ROOT or a path: check the precisions on these images, too.")
@click.option(
    "--data-set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the data set's loader."
)
def check_command(bundle: Path, key: Path | None, data: str | None, settings: tuple[str, ...]) -> None:
    """Check a bundle (a folder, a .tar.zst or a .tar).

    Hashes, signature, graphs, what they say of themselves, and parity: every precision is run on the crops in the
    bundle and held against what the student answered before it was converted. Exit code 2 if anything does not hold.

    \b
    reid export check bundle.tar.zst --key release.pub
    """
    from export.bundle.check import check_bundle
    from reid.cli.options import read_data
    from reid.errors import UserError

    dataset = None if data is None else read_data((data,), settings)
    outcomes = []
    for outcome in check_bundle(bundle, key=key, dataset=dataset):
        outcomes.append(outcome)
        for line in outcome.lines():
            click.echo(line)
    failed = [outcome for outcome in outcomes if outcome.failures]
    if failed:
        first = failed[0]
        raise UserError(f"{bundle}: {len(failed)} of {len(outcomes)} checks failed, first {first.name}; do not use it")
    click.echo(f"{bundle}: all {len(outcomes)} checks hold")
