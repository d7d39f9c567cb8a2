"""`export`: graphs, engines and bundles."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, ExtraGroup, run, version_option

_COMMANDS = {
    "onnx": ("export.cli.onnx:onnx_command", "a student as ONNX graphs, each precision proved against the student"),
    "trt": ("export.cli.trt:trt_command", "a student as a TensorRT engine, where one can be built, and its bundle"),
    "torch-trt": ("export.cli.torch_trt:torch_trt_command", "the same through Torch-TensorRT"),
    "bundle": ("export.cli.bundle:bundle_command", "everything that a device needs, in one folder or archive"),
    "check": ("export.cli.check:check_command", "verify a bundle: hashes, signature, graphs, parity"),
    "bench": ("export.cli.bench:bench_command", "latency of graphs and engines, with torch as the reference"),
    "diff": ("export.cli.diff:diff_command", "which layers of two graphs differ in precision, and by how much"),
}


@click.group("export", cls=ExtraGroup, extra="cloud", lazy=_COMMANDS, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Turn a student into ONNX graphs, TensorRT engines and a bundle for the device.

    `export` is also a builtin of every shell: call `reid export ...` or `python -m export ...`.
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "export")
