"""`export diff`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--data", help="KIND:ROOT or a path: people whose crops both are run on. Default: synthetic people.")
@click.option("--crops", type=click.IntRange(0), default=2, show_default=True, help="Of each modality; 0 runs nothing.")
@click.option("--all", "every", is_flag=True, help="Also layers that compute in the same type; all rows.")
@click.option("--rows", type=click.IntRange(1), default=20, show_default=True, help="Rows of the table of layers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of one operator. Default: all cores.")
def diff_command(
    a: Path, b: Path, data: str | None, crops: int, every: bool, rows: int, as_json: bool, threads: int
) -> None:
    """Show which layers of two graphs differ in precision, and by how much.

    A and B are .onnx files, or folders or unpacked bundles that hold student.*.onnx; of two folders, the graphs of one
    file name are compared. Each layer's output is compared in a typed evaluation, every tensor rounded to its declared
    type, on crops of every modality; the worst comes first.

    \b
    reid export diff runs/onnx/student.fp32.onnx runs/onnx/student.fp16.onnx
    reid export diff runs/before runs/after --json
    """
    import json

    from edge_runtime.preprocess import Preprocessing
    from export.crops import Crops, read_crops, synthetic_crops
    from export.diff.compare import diff_graphs
    from export.diff.find import alone, input_size, pairs_of, read_graph
    from reid.cli.options import read_data

    def chosen(size: tuple[int, int]) -> Crops | None:
        if not crops:
            return None
        fitting = Preprocessing(*size)
        return synthetic_crops(fitting, crops) if data is None else read_crops(read_data((data,)), fitting, crops)

    found, pairs = [], pairs_of(a, b)
    for line in alone(a, b, pairs):
        click.echo(line, err=True)
    for one, other in pairs:
        first, second = read_graph(one), read_graph(other)
        found.append(diff_graphs((one, first), (other, second), chosen(input_size(first)), threads=threads))
    if as_json:
        click.echo(json.dumps([diff.to_dict() for diff in found], indent=1))
        return
    click.echo("\n\n".join(diff.text(rows=None if every else rows, every=every) for diff in found))
