"""What is said to a server: URIs, names, conditions; no server is needed."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.gallery import Filter, Row
from edge_runtime.sync import Address, record
from edge_runtime.sync.backoff import pauses
from edge_runtime.sync.client import Later, default_collection, told
from reid.errors import UserError
from reid.modality import Modality


@pytest.mark.parametrize(
    "uri", ["http://h:19530", "https://h", "tcp://1.2.3.4:1", "unix:/run/m.sock", "http://[::1]:1/db"]
)
def test_uris_of_servers_are_taken(uri: str) -> None:
    assert Address(uri).uri == uri


@pytest.mark.parametrize(
    "uri", ["", "milvus.db", "/a/b.db", "h:19530", "ftp://h", "http://", "http://h:99999", "unix:", "http://[x"]
)
def test_what_is_no_uri_of_a_server_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match=r"--to .*expected the URI of a Milvus server"):
        Address(uri)


@pytest.mark.parametrize("uri", ["https://root:s3cret@h", "http://s3cret@h:1", "root:s3cret@h"])
def test_a_password_in_the_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match="MILVUS_TOKEN") as error:
        Address(uri)
    assert "s3cret" not in str(error.value)


def test_a_token_is_never_shown() -> None:
    pytest.importorskip("pymilvus")
    from pymilvus.exceptions import MilvusException

    address = Address("http://h", "c", "root:s3cret")
    assert "s3cret" not in repr(address) + str(address)
    with pytest.raises(Later) as error, told(address):
        raise MilvusException(1, "no luck with root:s3cret, nor\nwith s3cret")
    assert str(error.value) == "http://h c: no luck with ***, nor with ***"
    with pytest.raises(UserError, match="refused"), told(address):
        raise MilvusException(65535, "auth check failure, please check username s3cret")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "ä", "a" * 256])
def test_names_that_no_collection_can_have_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="--collection"):
        Address("http://h", name)


@given(st.text(min_size=1))
def test_every_space_has_a_collection_name(space: str) -> None:
    assert Address("http://h", default_collection(space)).collection


@pytest.mark.parametrize("device", ["", "a b", "a:1", "x" * 65, "ä", "a\n"])
def test_a_device_id_must_be_plain(device: str) -> None:
    with pytest.raises(UserError, match="--device"):
        record.check_device(device)


def test_keys_and_numbers_of_rows_are_different() -> None:
    rows = [(device, i) for device in ("a", "a.1", "b") for i in (1, 2, 11, 2**62)]
    assert len({record.key_of(*row) for row in rows}) == len({record.number_of(*row) for row in rows}) == len(rows)
    assert all(0 <= record.number_of(*row) < 2**63 for row in rows)
    assert max(len(record.key_of("x" * 64, 2**63 - 1)), 0) <= record.KEY_BYTES


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), ""),
        (Filter(persons=()), None),
        (Filter(cameras=()), None),
        (Filter(not_cameras=()), ""),
        (Filter(since=-math.inf, until=math.inf), ""),
        (Filter(since=math.inf), None),
        (Filter(until=-math.inf), None),
        (Filter(since=0, until=1e21), "time >= 0.0 and time < 1e+21"),
        (Filter(known=True), 'person != ""'),
        (Filter(modalities=(Modality.IR, Modality.TEXT)), 'modality in ["ir", "text"]'),
        (Filter(persons=('a"\\\n',), not_cameras=("b",)), 'person in ["a\\"\\\\\\n"] and camera not in ["b"]'),
    ],
)
def test_conditions_as_milvus_says_them(where: Filter, expected: str | None) -> None:
    assert record.expression(where) == expected


def test_what_does_not_fit_is_refused_and_the_row_named() -> None:
    vector = np.eye(4, dtype=np.float32)[0]
    for row in (Row(vector, "é" * 600), Row(vector, camera_id="x" * 1025), Row(vector, metadata={"a": "x" * 60_000})):
        with pytest.raises(UserError, match=r"row 7: its .* bytes; a collection takes"):
            record.record_of("d", 7, 1, row)
    found = record.record_of("d", 7, 1, Row(vector, "é" * 512, metadata={"a": [1, None]}))
    assert record.row_of(found, 7).person_id == "é" * 512
    assert record.row_of(found, 7).camera_id is None
    assert record.row_of(found, 7).metadata == {"a": [1, None]}


@given(st.integers(0, 2**32))
def test_pauses_grow_to_a_minute_and_differ_between_devices(seed: int) -> None:
    found = [pause for pause, _ in zip(pauses(random.Random(seed)), range(12), strict=False)]
    assert all(2.0**i / 2 <= pause <= 2.0**i for i, pause in enumerate(found[:6]))
    assert all(30 <= pause <= 60 for pause in found[7:])
