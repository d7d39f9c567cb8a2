"""`teacher`: the cloud side."""

from __future__ import annotations

from typing import NoReturn

import click

from reid.cli.shell import HELP_NAMES, ExtraGroup, run, version_option

_COMMANDS = {
    "init": ("teacher.cli.init:init", "make a small base of the real Qwen2-VL architecture, offline"),
    "train": ("teacher.cli.train:train_command", "fine-tune a multimodal LLM into one embedding space"),
    "embed": ("teacher.cli.embed:embed", "write what a teacher knows of a data set to an embedding store"),
    "embed-text": ("teacher.cli.embed_text:embed_text", "sentences as vectors, for a device without a text student"),
    "eval": ("teacher.cli.evaluate:evaluate_command", "score every modality against every modality, with pictures"),
    "doctor": ("teacher.cli.doctor:doctor", "does a checkpoint do what it says?"),
    "recipes": ("teacher.cli.recipes:recipes", "list the recipes, or print one in full"),
}


@click.group("teacher", cls=ExtraGroup, extra="cloud", lazy=_COMMANDS, context_settings=HELP_NAMES)
@version_option
def command() -> None:
    """Fine-tune a multimodal LLM into one embedding space for RGB, infrared, sketch and text."""


def main() -> NoReturn:
    """Entry point of the console script."""
    run(command, "teacher")
