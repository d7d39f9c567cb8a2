"""The Trainer's log, sorted."""

from __future__ import annotations

from distill.report.history import history


def test_a_log_is_sorted_by_what_its_keys_say() -> None:
    log = [
        {
            "loss": 2.0,
            "term/pcm": 1.5,
            "term/triplet": 0.5,
            "lr/student": 1e-3,
            "grad_norm": 3.0,
            "idle": 0.1,
            "step": 1,
        },
        {"loss": float("nan"), "term/pcm": 1.0, "lr/student": 5e-4, "learning_rate": 5e-4, "step": 2},
        {"eval_mAP": 20.0, "eval_ir-to-rgb-val": 20.0, "epoch": 1.0, "step": 2},
        {"train_loss": 1.0, "train_runtime": 3.0, "step": 2},
    ]
    told = history(log)
    assert {n: (s.steps, s.values) for n, s in told.losses.items()} == {
        "loss": ([1], [2.0]),
        "pcm": ([1, 2], [1.5, 1.0]),
        "triplet": ([1], [0.5]),
    }
    assert {n: s.values for n, s in told.scores.items()} == {"mAP": [20.0], "ir-to-rgb-val": [20.0]}
    assert {n: s.values for n, s in told.rates.items()} == {"student": [1e-3, 5e-4]}
    assert {n: s.values for n, s in told.norms.items()} == {"grad_norm": [3.0]}
    assert told.scores["mAP"].at(2) == 20.0
    assert told.scores["mAP"].at(1) is None


def test_no_log_tells_nothing() -> None:
    told = history([])
    assert [told.losses, told.scores, told.rates, told.norms] == [{}, {}, {}, {}]
