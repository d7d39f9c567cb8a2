"""`reid calibrate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from reid.artifact import write_text
from reid.calibration import calibrate
from reid.cli.options import OutputFile, open_stores
from reid.dataset import find_protocol
from reid.evaluation import format_table
from reid.protocol import on_validation


@click.command("calibrate")
@click.argument("store", required=False, type=click.Path(path_type=Path))
@click.option("--protocol", "name", help="Whose queries are paired with whose gallery. Default: the store's first.")
@click.option("--val", is_flag=True, help="Pair the validation people instead of the test people.")
@click.option("--far", "rates", type=float, multiple=True, help="False-accept rate; repeatable. Default: 0.01, 0.001.")
@click.option("--plot", type=OutputFile(".png"), help="Draw the distributions as a PNG.")
@click.option("--out", type=OutputFile(".json"), help="Write the thresholds, for `edge search --threshold`.")
def calibrate_command(
    store: Path | None, name: str | None, val: bool, rates: tuple[float, ...], plot: Path | None, out: Path | None
) -> None:
    """Find the cosine from which on two observations are taken for one person, at a chosen false-accept rate.

    Choose it on people that the model was not trained on and will not be tested on: with --val.
    """
    opened = open_stores([store] if store else [])[0]
    protocol = find_protocol(opened.protocols, name, str(opened.path))
    if val:
        protocol = on_validation(protocol)
    calibration = calibrate(protocol, opened.table, opened.embeddings(), progress=True)
    points = [calibration.at(rate) for rate in rates or (0.01, 0.001)]
    rows = [
        {
            "FAR asked": f"{p.far_asked:g}",
            "threshold": f"{p.threshold:.4f}",
            "FAR": f"{p.far:.2e}",
            "TAR": f"{100 * p.tar:.2f} %",
        }
        for p in points
    ]
    click.echo(format_table(rows))
    click.echo(
        f"- protocol {protocol.name}: {calibration.genuine.sum()} pairs of one person, "
        f"{calibration.impostor.sum()} of different people; equal error rate {100 * calibration.equal_error_rate:.2f} %"
    )
    click.echo("- accept a pair if its cosine is at least the threshold")
    if plot is not None:
        calibration.plot(plot, points)
        click.echo(f"wrote {plot}")
    if out is not None:
        told = {"protocol": protocol.name, "store": str(opened.path), "points": [asdict(point) for point in points]}
        write_text(out, json.dumps(told, indent=1) + "\n")
        click.echo(f"wrote {out}")
