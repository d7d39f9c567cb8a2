"""The model card: `README.md` of a student, with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from distill.evaluation.result import StudentReport
from distill.evaluation.scores import Direction
from distill.report.facts import described, is_ordered, origins, size_of, teacher_name, trained_on
from distill.report.plots import NAMES
from distill.training.run import Run
from reid.modality import Modality
from teacher.evaluation.tables import cell

CARD = "README.md"
LIBRARY = "reid-distill"

_IMAGE = """\
from pathlib import Path
import torch
from reid.images import read_rgb
from student.checkpoint import load_student

student = load_student(Path("."))
pixels = student.preprocessing.fit(read_rgb(Path("person.png")))[None]
coordinates = student(torch.from_numpy(student.preprocessing.normalise(pixels)){modalities})
"""
_TEACHER = """\
from pathlib import Path
from reid.subspace import Subspace
from reid.modality import Modality

subspace = Subspace.load(Path("subspace.safetensors"))
coordinates = subspace.project(embeddings, [Modality.TEXT] * len(embeddings))
"""
_PRIVACY = (
    "`report.html` and `pictures/` show people of the data set. Where the data may not go, pass on `config.json` and "
    "`model.safetensors` alone; they load with `student.model.StudentModel.from_pretrained`."
)
_LIMITS = (
    "The scores hold for the people, cameras and modalities that were scored; other cameras, light or clothes can give "
    "other ones. Check on your own data before you rely on it.",
    "It ranks by likeness and does not identify: who is first is not thereby the person asked for, and somebody who is "
    "not in the gallery finds somebody all the same.",
    "Finding people again is subject to law in most places, and to the consent of those who are looked for.",
)


def model_card(run: Run, evaluated: StudentReport | None, folder: Path) -> str:
    """The card's text.

    Args:
        run: finished. evaluated: its scores; None if nobody could be scored. folder: of the artifact.
    """
    known = described(run, folder)
    title = f"{run.name}, distilled from {teacher_name(run)}"
    told = ("size", "text student", "coordinates", "trained on", "recipe", "steps")
    parts = [
        f"---\n{yaml.safe_dump(_front(run), sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        _what(run),
        "\n".join(f"- {name}: {known[name]}" for name in told),
        "## Use",
        f"In this folder, with {LIBRARY} installed:",
        _fenced(_IMAGE.format(modalities=_modalities(run))),
        f"`coordinates` is float32 [1, {run.subspace.rank}]; people are compared by the cosine. What the teacher "
        "embeds, such as a sentence, is put into the same coordinates:",
        _fenced(_TEACHER),
        "## Training data",
        f"{trained_on(run)}.",
        "## Scores",
        _scores(run, evaluated),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*_LIMITS, _PRIVACY)),
        "## Made from",
        _markdown([{**origin.row(), "sha256": f"`{origin.sha256}`"} for origin in origins(run, folder)], words=True)
        or "Nothing that has a manifest.",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _front(run: Run) -> dict[str, object]:
    """What the hub sorts by. No licence: that of the weights depends on the data and the teacher."""
    config = run.module.student.config
    backbone = (config.backbone or {}).get("model_type", "")
    front: dict[str, object] = {
        "library_name": LIBRARY,
        "pipeline_tag": "image-feature-extraction",
        "tags": [
            "person-re-identification", "cross-modal-retrieval", "knowledge-distillation", LIBRARY, str(backbone),
        ],
        "metrics": ["mAP", "rank-1", "mINP"],
    }  # fmt: skip
    if config.init and not Path(config.init).exists():
        front["base_model"] = config.init
    return front


def _what(run: Run) -> str:
    seen = [NAMES[m] for m in Modality if m.is_image and any(s.modality is m for s in run.samples)]
    size = size_of(run)
    return (
        f"A {run.name} of {size.parameters / 1e6:.3g} million weights that turns an image of a person "
        f"({', '.join(seen)}) into {run.subspace.rank} coordinates of the embedding space of its teacher, "
        f"{teacher_name(run)} ({run.subspace.dim} dimensions)."
        + (" They are ordered by importance: a prefix of them is an embedding too." if is_ordered(run) else "")
    )


def _scores(run: Run, evaluated: StudentReport | None) -> str:
    if evaluated is None:
        return "Nobody was scored: the data has no test people."
    scores = evaluated.scores
    rows = []
    for query, gallery in scores.pairs:
        pair = query, gallery
        deployed = scores.deployed(pair)
        cloud = deployed is not None and scores.at(Direction.EDGE_TO_EDGE, pair) is None
        kept = scores.kept(pair)
        rows.append(
            {
                "query to gallery": f"{NAMES[query]} to {NAMES[gallery]}",
                "student": cell(deployed) + (" (query by the teacher)" if cloud else ""),
                "teacher": cell(scores.at(Direction.TEACHER, pair)),
                "kept of mAP": "-" if kept != kept else f"{100 * kept:.1f} %",
            }
        )
    validated = (
        f" The checkpoint was chosen by validation mAP, {run.scores['mAP']:.1f} %." if "mAP" in run.scores else ""
    )
    return (
        f"{evaluated.people:,} {evaluated.who}, {evaluated.samples:,} samples; mAP / rank-1 / mINP in per cent."
        f"{validated}\n\n{_markdown(rows)}"
    )


def _modalities(run: Run) -> str:
    """Only a student with a stem for each modality has to be told which one it sees."""
    return ", torch.tensor([0])" if run.module.student.config.stems == "modality" else ""


def _fenced(code: str) -> str:
    return f"```python\n{code}```"


def _markdown(rows: Sequence[Mapping[str, str]], *, words: bool = False) -> str:
    """Rows with equal keys as a table: the first column to the left, the others, unless `words`, to the right."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [
        [*names],
        [":---", *[":---" if words else "---:"] * (len(names) - 1)],
        *([row[name] for name in names] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
