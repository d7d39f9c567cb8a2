"""Stochastic depth as its words say: in training a block is skipped or made up for, otherwise nothing changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reid.errors import UserError
from student.build import build_student
from student.depth import add_stochastic_depth


class Adds(nn.Module):
    def forward(self, x: Tensor, amount: float = 1.0) -> Tensor:
        return x + amount


def blocks(highest: float, count: int = 3) -> nn.ModuleList:
    made = nn.ModuleList(Adds() for _ in range(count))
    add_stochastic_depth(made, highest)
    return made


def test_rates_grow_from_nothing_to_the_highest() -> None:
    torch.manual_seed(0)
    rates = [float((block(torch.zeros(4000, 1)) == 0).float().mean()) for block in blocks(0.4)]
    assert rates == pytest.approx([0.0, 0.2, 0.4], abs=0.03)


def test_a_sample_is_skipped_as_a_whole_or_made_up_for() -> None:
    torch.manual_seed(0)
    change = blocks(0.4)[2](torch.zeros(200, 3, 2))
    assert change.flatten().unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert bool((change == change[:, :1, :1]).all())


def test_outside_training_and_without_a_rate_it_is_the_block() -> None:
    made = blocks(0.9).train(False)
    assert all(torch.equal(block(torch.zeros(9, 2)), torch.ones(9, 2)) for block in made)
    assert list(blocks(0.9).state_dict()) == list(nn.ModuleList(Adds() for _ in range(3)).state_dict())


@pytest.mark.parametrize("name", ["small-vit", "small-deit", "small-dinov2", "small-dinov2-reg", "small-convnextv2"])
def test_a_student_has_it_in_training_alone(name: str) -> None:
    side = 56 if "dinov2" in name else 64
    model = build_student(name, 4, height=side, width=side, drop_path=0.9)
    pixels = torch.randn(1, 3, side, side).expand(16, -1, -1, -1)
    with torch.no_grad():
        calm, trained = model(pixels), model.train()(pixels)
    torch.testing.assert_close(calm, calm[:1].expand(16, -1))
    assert float(trained.std(0).max()) > 1e-4


def test_mobilevit_has_none() -> None:
    with pytest.raises(UserError, match="small-mobilevit has no stochastic depth"):
        build_student("small-mobilevit", 4, height=64, width=64, drop_path=0.1)
