"""Gathering over processes where there is one: nothing is copied, and gradients pass as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from teacher.training.gather import gather_embeddings, gather_labels, is_distributed


@pytest.fixture(params=["no group", "group of one"])
def one_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without torch.distributed, and with a group in which this process is alone."""
    if request.param == "no group":
        yield
        return
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_one_process_is_not_distributed() -> None:
    assert not is_distributed()


@pytest.mark.usefixtures("one_process")
def test_labels_stay_as_they_are() -> None:
    labels = torch.tensor([3, 1, 2])
    assert gather_labels(labels).tolist() == [3, 1, 2]
    assert gather_labels(labels).dtype == torch.int64


@pytest.mark.usefixtures("one_process")
def test_embeddings_stay_as_they_are_and_pass_their_gradient() -> None:
    embeddings = torch.arange(6.0).reshape(3, 2).requires_grad_()
    gathered = gather_embeddings(embeddings)
    assert torch.equal(gathered, embeddings)
    weights = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 7.0]])
    (gathered * weights).sum().backward()
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, weights)
