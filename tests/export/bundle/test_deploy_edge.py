"""The service and the containers that run `edge`: every command in them is one that the runtime has."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from small_bundles import small_bundle

from edge_runtime.cli import command
from export.bundle.deploy.edge import BOXES
from export.targets import TARGETS

JETSONS = tuple(target.name for target in TARGETS.values() if target.kind == "jetson")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("edge"), metadata=False, targets=tuple(TARGETS))


def understood(words: list[str]) -> dict[str, object]:
    """What `edge` reads in these words; it fails where it would refuse them."""
    found = command.get_command(click.Context(command), words[0])
    assert found is not None, words
    return dict(found.make_context("edge", words[1:]).params)


def with_edge(bundle: Path) -> list[Path]:
    return [folder for name in JETSONS if (folder := bundle / "deploy" / name / "reid-edge.service").exists()]


def test_jetsons_whose_python_is_new_enough_get_the_service_and_the_container(bundle: Path) -> None:
    for name in TARGETS:
        folder = bundle / "deploy" / name
        able = [jetpack for jetpack in TARGETS[name].jetpacks if jetpack.python != "3.8"] if name in JETSONS else []
        assert (folder / "reid-edge.service").exists() == bool(able)
        assert {path.name for path in folder.glob("Dockerfile.edge.*")} == {
            f"Dockerfile.edge.jp{jetpack.name}" for jetpack in able
        }
    assert len(with_edge(bundle)) >= 5


def test_the_service_starts_a_command_that_edge_understands(bundle: Path) -> None:
    for unit in with_edge(bundle):
        joined = re.sub(r"\\\n\s*", "", unit.read_text())
        started = re.search(r"^ExecStart=(.*)$", joined, re.MULTILINE)
        assert started
        shell, flag, script = shlex.split(started[1])
        assert (shell, flag) == ("/bin/sh", "-c")
        words = shlex.split(script.replace(f"0<>{BOXES}", ""))
        assert words[:2] == ["exec", "/opt/reid/venv/bin/edge"]
        params = understood(words[2:])
        assert params["words"] == ("/var/lib/reid/people.db",)
        assert str(params["boxes"]) == "-"
        assert params["bundle_path"] == Path("/opt/reid/bundle")


def test_compose_and_containers_start_edge(bundle: Path) -> None:
    for unit in with_edge(bundle):
        service = yaml.safe_load((unit.parent / "compose.yaml").read_text())["services"]["edge"]
        params = understood(service["command"])
        assert (params["words"], params["tracklets"], params["bundle_path"]) == (("people.db",), True, Path("/bundle"))
        default = re.search(r":-([^}]+)}", service["build"]["dockerfile"])
        assert default
        text = (unit.parent / default[1]).read_text()
        entry = re.search(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
        asked = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
        assert entry
        assert asked
        assert json.loads(entry[1]) == ["/opt/venv/bin/edge"]
        understood(json.loads(asked[1]))


def test_the_pipe_of_the_service_does_not_end_when_a_detector_does(bundle: Path, tmp_path: Path) -> None:
    """The unit's own shell line, with a reader in the place of `edge` that stops at the word that it is told."""
    joined = re.sub(r"\\\n\s*", "", with_edge(bundle)[0].read_text())
    pre = re.search(r"^ExecStartPre=(.*)$", joined, re.MULTILINE)
    started = re.search(r"^ExecStart=(.*)$", joined, re.MULTILINE)
    assert pre
    assert started
    pipe = tmp_path / "boxes"
    subprocess.run(shlex.split(pre[1].replace(BOXES, str(pipe))), check=True)
    reader = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\n    if line == 'end\\n': break"
    script = shlex.split(started[1])[2]
    script = f"exec {sys.executable} -c {shlex.quote(reader)} 0<>{script.partition('0<>')[2]}"
    child = subprocess.Popen(
        ["/bin/sh", "-c", script.replace(BOXES, str(pipe))], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdout is not None
    for line in ("one\n", "two\n", "end\n"):
        # Each time another writer, which closes the pipe.
        with pipe.open("w") as writer:
            writer.write(line)
        assert child.stdout.readline() == line
    assert child.wait(60) == 0
    child.stdout.close()
