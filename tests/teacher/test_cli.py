"""The command as a process: what it says where it fails, and what its help needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from reid.dataset import Dataset
from teacher.cli.init import SIZES

BaseOf = Callable[..., Path]


def test_a_process_says_one_line_and_no_more(people: Dataset, base_of: BaseOf, how: Path, tmp_path: Path) -> None:
    """Nor do the libraries say anything when they are imported or fail."""
    base = Path(shutil.copytree(base_of(), tmp_path / "base"))
    (base / "model.safetensors").unlink()
    words = ["embed", people.root, "--base", base, "--recipe", how, "--out", tmp_path / "out", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "teacher", *words], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {base}: its weights do not load")
    assert len(done.stderr.splitlines()) == 1


def test_help_needs_nothing_that_takes_long_to_import() -> None:
    """Nor what may be missing on the machine where it is read."""
    script = (
        "import sys\nfrom teacher.cli import command\n"
        "for words in ([], *([name] for name in command.lazy)):\n"
        "    command.main([*words, '--help'], standalone_mode=False)\n"
        "print(*sorted({'torch', 'transformers', 'pydantic', 'yaml', 'pyarrow', 'sklearn'} & set(sys.modules)))"
    )
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.count("Usage: ") == 8
    assert done.stdout.splitlines()[-1] == ""


def test_the_help_of_init_knows_the_sizes() -> None:
    from teacher.tiny.architecture import SIZES as KNOWN

    assert tuple(KNOWN) == SIZES
