"""`reid`: the umbrella over all commands."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, LazyGroup, run, version_option

_COMMANDS = {
    "data": ("reid.cli.data:data", "make, check, derive and show data sets"),
    "baseline": ("reid.cli.baseline:baseline", "write an embedding store that needs no training, to compare with"),
    "evaluate": ("reid.cli.evaluate:evaluate_command", "score an embedding store by a protocol"),
    "calibrate": (
        "reid.cli.calibrate:calibrate_command",
        "find the similarity from which on two images are one person",
    ),
    "info": ("reid.cli.info:info", "what an artifact holds and where it comes from"),
    "doctor": ("reid.cli.doctor:doctor_command", "what works on this machine, what is missing and how to get it"),
    "run": ("reid.cli.road:road_command", "the whole road from one file; what is there already is passed"),
    "page": ("reid.cli.page:page_command", "what a road reached, its commands, pictures and reports, in one page"),
    "teacher": ("teacher.cli:command", "cloud: fine-tune a multimodal LLM into one embedding space"),
    "distill": ("distill.cli:command", "cloud: distil the teacher's space into a small ViT"),
    "export": ("export.cli:command", "ONNX, TensorRT engines and bundles"),
    "edge": ("edge_runtime.cli:command", "device: embed, enroll, search"),
}


@click.group("reid", cls=LazyGroup, lazy=_COMMANDS, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Recognise a person across RGB cameras, infrared cameras, sketches and sentences."""


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "reid")
