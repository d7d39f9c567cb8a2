from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.batch import Profile, parse_batch
from reid.errors import UserError


@given(st.lists(st.integers(1, 4096), min_size=3, max_size=3).map(sorted))
def test_sizes_in_order_are_read_and_written_alike(sizes: list[int]) -> None:
    profile = parse_batch(",".join(map(str, sizes)))
    assert (profile.minimum, profile.optimum, profile.maximum) == tuple(sizes)
    assert parse_batch(str(profile)) == profile
    assert profile.key == "-".join(map(str, sizes))


def test_one_size_is_all_three() -> None:
    assert parse_batch(" 4 ") == Profile(4, 4, 4)


@pytest.mark.parametrize("text", ["8,1,16", "1,32,16", "0,1,2", "16,8,1"])
def test_sizes_out_of_order_are_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(UserError, match=f"--batch: sizes {text}: expected MIN,OPT,MAX"):
        parse_batch(text)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1.5,2,3", "-1,2,3", "²,3,4"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--tokens: found"):
        parse_batch(text, "--tokens")
