"""Who is this, against brute force; and how crops become a tracklet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.gallery import Filter, Gallery, Row
from edge_runtime.search import ReRanking, Rules, fuse, identify, quality, sharpness
from reid.errors import UserError
from reid.modality import Modality
from reid.rerank import ReRanked

DIM = 6
AGGREGATES = (("best", 1), ("mean", 2), ("mean", 7))


def unit(n: int, seed: int) -> Any:
    found = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "g.db", space_id="s", dim=DIM) as opened:
        yield opened


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gallery, list[Row]]]:
    """600 rows: a few people have very many, many have few, some rows are nobody's."""
    rng = np.random.default_rng(0)
    names = [None if p > 60 else f"p{p}" for p in np.minimum(rng.geometric(0.05, 600), 61)]
    people = {name: unit(1, i)[0] for i, name in enumerate(dict.fromkeys(names))}
    vectors = unit(600, 99) + np.stack([people[name] for name in names])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        Row(v.astype(np.float32), name, f"c{i % 3}", (Modality.RGB, Modality.IR)[i % 2], float(i))
        for i, (v, name) in enumerate(zip(vectors, names, strict=True))
    ]
    with Gallery.open(tmp_path_factory.mktemp("crowd") / "g.db", space_id="s", dim=DIM) as opened:
        opened.add(rows)
        yield opened, rows


def expected_people(rows: list[Row], query: Any, m: int) -> list[tuple[str | int, float]]:
    """(person, or number of the row) and the mean of their m best cosines, best first."""
    scores: dict[str | int, list[float]] = {}
    for number, row in rows if isinstance(rows[0], tuple) else enumerate(rows, 1):
        scores.setdefault(row.person_id or number, []).append(float(query @ row.embedding))
    means = {who: float(np.mean(sorted(s)[::-1][:m])) for who, s in scores.items()}
    return sorted(means.items(), key=lambda item: -item[1])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 80), st.sampled_from([("best", 1), ("mean", 2), ("mean", 7)]), st.booleans()
)
def test_people_are_ranked_as_by_brute_force_over_all_rows(
    crowd: tuple[Gallery, list[Row]], seed: int, top: int, how: tuple[str, int], filtered: bool
) -> None:
    opened, rows = crowd
    where = Filter(not_cameras=("c1",), since=100) if filtered else Filter()
    numbered: Any = list(enumerate(rows, 1))
    if filtered:
        numbered = [(n, row) for n, row in numbered if row.camera_id != "c1" and row.time >= 100]
    query = unit(1, seed)
    answer = identify(opened, query, where, Rules(top=top, aggregate=how[0], rows_of_person=how[1]))[0]
    expected = expected_people(numbered, query[0], how[1])[:top]
    assert [c.person_id or c.row_id for c in answer.candidates] == [who for who, _ in expected]
    np.testing.assert_allclose([c.score for c in answer.candidates], [score for _, score in expected], atol=1e-5)
    assert answer.person_id == answer.candidates[0].person_id


def test_below_the_threshold_nobody_is_known(gallery: Gallery) -> None:
    rows = [Row(v, name) for v, name in zip(np.eye(DIM, dtype=np.float32)[:3], ["ann", "bob", None], strict=True)]
    gallery.add(rows)
    query = np.array([[4, 3, 0, 0, 0, 0]], np.float32)
    taken, refused = (identify(gallery, query, rules=Rules(threshold=t))[0] for t in (0.79, 0.81))
    assert (taken.person_id, taken.matched, taken.score) == ("ann", True, pytest.approx(0.8))
    assert (refused.person_id, refused.matched, refused.score) == (None, False, pytest.approx(0.8))
    assert [c.person_id for c in refused.candidates] == ["ann", "bob", None]
    # Seen before, but nobody has said who it is.
    unnamed = identify(gallery, rows[2].embedding[None], rules=Rules(threshold=0.9))[0]
    assert (unnamed.person_id, unnamed.matched, unnamed.candidates[0].row_id) == (None, True, 3)
    nobody = identify(gallery, query, Filter(cameras=("nowhere",)), Rules(threshold=0.5))[0]
    assert (nobody.person_id, nobody.matched, nobody.score, nobody.candidates) == (None, False, None, ())


def test_each_unknown_row_stands_for_itself(gallery: Gallery) -> None:
    gallery.add([Row(v) for v in unit(5, 0)])
    answer = identify(gallery, unit(1, 1), rules=Rules(aggregate="mean"))[0]
    assert sorted(c.row_id for c in answer.candidates) == [1, 2, 3, 4, 5]
    assert all(len(c.hits) == 1 for c in answer.candidates)


def test_bad_queries_and_rules_are_named(gallery: Gallery) -> None:
    gallery.add([Row(v, "ann") for v in unit(3, 0)])
    bad = unit(3, 1)
    bad[2, 0] = np.nan
    with pytest.raises(UserError, match="query 2"):
        identify(gallery, bad)
    with pytest.raises(UserError, match=r"expected \[queries, 6\]"):
        identify(gallery, np.ones(6, np.float32))
    assert identify(gallery, np.empty((0, DIM), np.float32)) == []
    for rules, message in (
        ({"aggregate": "median"}, "--aggregate median"),
        ({"top": 0}, "--top 0"),
        ({"threshold": 1.5}, "--threshold 1.5"),
        ({"threshold": float("nan")}, "--threshold nan"),
        ({"rerank": ReRanking(rows=1)}, "--rerank 1"),
    ):
        with pytest.raises(UserError, match=message):
            Rules(**rules)


@pytest.mark.parametrize("rows", [2, 10, 50, 10_000])
def test_re_ranking_orders_the_top_rows_and_leaves_the_decision_to_the_cosine(
    crowd: tuple[Gallery, list[Row]], rows: int
) -> None:
    opened, all_rows = crowd
    query = unit(1, 5)
    how = ReRanking(rows=rows, k1=8, k2=3)
    answer = identify(opened, query, rules=Rules(top=10_000, rerank=how))[0]
    vectors = np.stack([row.embedding for row in all_rows])
    nearest = np.argsort(-(vectors @ query[0]), kind="stable")[:rows]
    scores = next(ReRanked(query, vectors[nearest], k1=8, k2=3).blocks())[1][0]
    best: dict[str | int, float] = {}
    for place, score in zip(nearest.tolist(), scores.tolist(), strict=True):
        who = all_rows[place].person_id or place + 1
        best[who] = max(best.get(who, -np.inf), score)
    found = {c.person_id or c.row_id: c.rank_score for c in answer.candidates}
    assert found.keys() == best.keys()
    assert [found[who] for who in best] == pytest.approx(list(best.values()), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    first = answer.candidates[0]
    theirs = [float(query[0] @ row.embedding) for row in all_rows if row.person_id == first.person_id]
    assert first.person_id is not None
    assert first.score == pytest.approx(max(theirs), abs=1e-5)


def test_centring_takes_away_what_a_modality_has_in_common(gallery: Gallery) -> None:
    """All infrared rows lean towards one direction so much that the plain cosine sees nothing else."""
    rng = np.random.default_rng(3)
    people = unit(8, 1)
    lean = np.zeros(DIM, np.float32)
    lean[0] = 4

    def seen(modality: Modality) -> Any:
        found = people + 0.05 * rng.standard_normal(people.shape) + (lean if modality is Modality.IR else -lean)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    rows = [Row(v, f"p{i}", modality=m) for m in (Modality.RGB, Modality.IR) for i, v in enumerate(seen(m))]
    gallery.add(rows)
    means = gallery.means()
    queries = seen(Modality.IR)
    for rerank in (None, ReRanking(rows=8, k1=2, k2=1)):
        rules = Rules(centre=(Modality.IR, means), rerank=rerank)
        answers = identify(gallery, queries, Filter(modalities=(Modality.RGB,)), rules)
        assert [a.person_id for a in answers] == [f"p{i}" for i in range(8)]
        assert min(a.score or 0 for a in answers) > 0.5
    plain = identify(gallery, queries, Filter(modalities=(Modality.RGB,)))
    assert max(a.score or 0 for a in plain) < 0


def test_a_candidate_that_is_deleted_meanwhile_is_passed_over(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = gallery.add([Row(v, name) for v, name in zip(unit(40, 0), ["ann", "bob"] * 20, strict=True)])
    search = gallery.search
    calls: list[int] = []

    def interrupted(queries: Any, k: int, where: Filter, **options: Any) -> Any:
        found = search(queries, k, where, **options)
        if not calls:
            gallery.delete(person="ann")
        calls.append(k)
        return found

    monkeypatch.setattr(gallery, "search", interrupted)
    answer = identify(gallery, unit(1, 1), rules=Rules(top=1, aggregate="mean", rows_of_person=20))[0]
    assert answer.person_id in ("ann", "bob")
    assert gallery.count == len(ids) - 20


# ------------------------------------------------------------------------------------------------------- tracklets


def checks(height: int, width: int) -> Any:
    return np.broadcast_to((np.indices((height, width)).sum(0) % 2 * 255)[..., None], (height, width, 3)).astype(
        np.uint8
    )


def test_sharpness_is_the_variance_of_a_convolution() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    grey = crop.astype(float) @ [0.299, 0.587, 0.114]
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    found = [(grey[i : i + 3, j : j + 3] * kernel).sum() for i in range(7) for j in range(5)]
    assert sharpness(crop) == pytest.approx(np.var(found), rel=1e-4)
    assert sharpness(crop[..., 0]) > 0
    assert sharpness(np.full((50, 50, 3), 90, np.uint8)) == pytest.approx(0, abs=1e-3)


def test_blurred_and_small_crops_weigh_less() -> None:
    from PIL import Image, ImageFilter

    sharp = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    assert 0 < quality(blurred) < 0.5 < quality(sharp) < 1
    assert quality(sharp[:32, :16]) == pytest.approx(quality(sharp) / 16, rel=0.1)
    assert quality(checks(1, 1)) == quality(checks(2, 300)) == 0


def test_a_tracklet_is_the_weighted_mean() -> None:
    vectors, weights = unit(4, 0), [0.5, 0, 2, 1]
    expected = np.average(vectors, axis=0, weights=weights)
    np.testing.assert_allclose(fuse(vectors, weights), expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_allclose(fuse(vectors * 3, [0, 0, 0, 0]), fuse(vectors), atol=1e-6)
    np.testing.assert_allclose(fuse(vectors[:1]), vectors[0], atol=1e-6)
    np.testing.assert_allclose(fuse(vectors, [1e-300, 0, 0, 0]), vectors[0], atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "weights", "message"),
    [
        (np.empty((0, 6)), None, "with a crop at least"),
        (np.ones((2, 6)), [1.0], "as many weights"),
        (np.ones((2, 6)), [1.0, -1.0], "as many weights"),
        (np.ones((2, 6)), [1.0, float("nan")], "as many weights"),
        (np.array([[1.0, 0], [-1, 0]]), None, "cancel out"),
        (np.array([[1.0, 0], [np.nan, 0]]), None, "crop 1"),
    ],
)
def test_what_is_no_tracklet_is_refused(vectors: Any, weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fuse(vectors, weights)


def test_answers_do_not_depend_on_the_length_of_a_query(gallery: Gallery) -> None:
    gallery.add([replace(Row(v), person_id=f"p{i}") for i, v in enumerate(unit(9, 0))])
    one, two = (identify(gallery, factor * unit(2, 4)) for factor in (1, 1e20))
    assert [a.person_id for a in one] == [a.person_id for a in two]
