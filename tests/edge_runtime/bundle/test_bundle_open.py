"""Opening a bundle: what was changed, added or forged is refused, and named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bundles import DIM, FIT, key_pair, people, small_bundle, small_contents

from edge_runtime.bundle import open_bundle
from edge_runtime.bundle.layout import unsafe
from edge_runtime.bundle.verify import checksums
from reid.artifact import parse_manifest, sha256_of
from reid.errors import UserError
from reid.modality import Modality


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    return small_bundle(tmp_path_factory.mktemp("sound"), key=keys[0])


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest and make the checksums agree, as somebody would who has no key."""
    path = folder / "manifest.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    signature = folder / "manifest.sig"
    try:
        manifest = parse_manifest(path.read_bytes(), "forged")
    except UserError:
        return folder
    given = signature.read_bytes() if signature.exists() else None
    (folder / "SHA256SUMS").write_text(checksums(sha256_of(path), manifest, given), encoding="utf-8", errors="replace")
    return folder


def test_a_bundle_gives_what_was_put_in(sound: Path, keys: tuple[Path, Path]) -> None:
    bundle, contents = open_bundle(sound, key=keys[1]), small_contents(sound.parent)
    assert (bundle.space_id, bundle.dim, bundle.preprocessing) == ("5" * 64, DIM, FIT)
    assert bundle.modalities == (Modality.RGB, Modality.IR, Modality.SKETCH)
    assert (bundle.profile.min, bundle.profile.opt, bundle.profile.max) == (1, 4, 8)
    assert bundle.file(bundle.graph("fp32").path).read_bytes() == contents.graphs["fp32"].SerializeToString()  # type: ignore[union-attr]
    check = bundle.check()
    np.testing.assert_array_equal(check.pixels, people().pixels)
    np.testing.assert_array_equal(check.reference, contents.reference)
    assert check.modalities == people().modalities
    assert bundle.subspace().rank == DIM
    assert bundle.recipe("orin-nano")["workspace_mb"] == 1024
    assert bundle.text is None
    assert bundle.unlisted == ()


def test_what_a_bundle_lacks_is_named_with_what_it_has(sound: Path) -> None:
    bundle = open_bundle(sound)
    with pytest.raises(UserError, match=r"no image graph in int8 as onnx, only fp32"):
        bundle.graph("int8")
    with pytest.raises(UserError, match=r"no recipe for 'thor'; there are: orin-nano"):
        bundle.recipe("thor")
    with pytest.raises(UserError, match=r"lists no model/x\.onnx"):
        bundle.file("model/x.onnx")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_of_any_file_is_refused_by_the_name_of_the_file(sound: Path, data: st.DataObject) -> None:
    names = sorted(path.relative_to(sound).as_posix() for path in sound.rglob("*") if path.is_file())
    name = data.draw(st.sampled_from(names))
    before = (sound / name).read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    after = bytearray(before)
    after[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        (sound / name).write_bytes(after)
        with pytest.raises(UserError) as refused:
            open_bundle(sound)
    finally:
        (sound / name).write_bytes(before)
    # A flip that changes the manifest's kind or schema is told as such.
    assert name in str(refused.value) or (name == "manifest.json" and str(sound) in str(refused.value))


def test_a_missing_and_a_cut_file_are_named(bundle: Path) -> None:
    model = bundle / "model" / "student.fp32.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model/student\.fp32\.onnx has \d+ bytes; expected"):
        open_bundle(bundle)
    model.unlink()
    with pytest.raises(UserError, match=r"model/student\.fp32\.onnx is missing"):
        open_bundle(bundle)


def test_links_and_pipes_are_refused_even_where_they_lead_to_the_right_bytes(bundle: Path, tmp_path: Path) -> None:
    model, elsewhere = bundle / "model", tmp_path / "elsewhere"
    model.rename(elsewhere)
    model.symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"student\.fp32\.onnx is a symbolic link, or lies behind one \(model\)"):
        open_bundle(bundle)
    model.unlink()
    elsewhere.rename(model)
    subspace = bundle / "subspace.safetensors"
    subspace.unlink()
    os.mkfifo(subspace)
    with pytest.raises(UserError, match=r"subspace\.safetensors is not a regular file"):
        open_bundle(bundle)


def test_a_linked_manifest_is_refused_but_a_linked_bundle_is_not(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert open_bundle(tmp_path / "current").dim == DIM
    (bundle / "manifest.json").rename(tmp_path / "m.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "m.json")
    with pytest.raises(UserError, match=r"manifest\.json is a symbolic link"):
        open_bundle(bundle)


def test_files_that_do_not_belong_are_told_and_never_read(bundle: Path) -> None:
    (bundle / "model" / "student.int8.onnx").write_text("not from the cloud")
    opened = open_bundle(bundle)
    assert opened.unlisted == ("model/student.int8.onnx",)
    assert opened.precisions == ("fp32",)
    with pytest.raises(UserError, match="lists no"):
        opened.file("model/student.int8.onnx")


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "a/../../evil", "a//b", "./a", "a/.", "", "a\\b", "C:/x", "a\nb", "..", "a/", "x" * 300],
)
def test_a_manifest_that_lists_a_path_outside_is_refused(bundle: Path, name: str) -> None:
    forge(bundle, lambda raw: raw["files"].update({name: {"sha256": "0" * 64, "bytes": 0}}))
    with pytest.raises(UserError, match=r"manifest\.json lists .* do not use this bundle"):
        open_bundle(bundle)


@given(st.text(max_size=30))
def test_a_name_that_is_not_unsafe_stays_inside(name: str) -> None:
    if unsafe(name) is None:
        inside = os.path.normpath(f"/bundle/{name}")
        assert inside == f"/bundle/{name}"
        assert name == Path(name).as_posix()


def test_a_newer_major_version_is_refused_by_name_and_a_newer_minor_one_is_read(bundle: Path) -> None:
    forge(bundle, lambda raw: raw["details"].update(schema="1.7", novelty=3))
    assert open_bundle(bundle).dim == DIM
    forge(bundle, lambda raw: raw["details"].update(schema="2.0"))
    with pytest.raises(UserError, match=r"bundle schema 2\.0; reid-distill \S+ reads 1\.x; install a newer version"):
        open_bundle(bundle)
    forge(bundle, lambda raw: raw["details"].update(schema="next"))
    with pytest.raises(UserError, match="schema 'next'; expected a version"):
        open_bundle(bundle)
    forge(bundle, lambda raw: raw.update(format_version=2))
    with pytest.raises(UserError, match="format version 2"):
        open_bundle(bundle)


def test_what_is_no_bundle_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        open_bundle(tmp_path / "none")
    with pytest.raises(UserError, match="is an artifact of kind 'student'; expected 'bundle'"):
        open_bundle(forge(bundle, lambda raw: raw.update(kind="student")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no manifest\.json; expected a bundle"):
        open_bundle(tmp_path / "empty")
    (tmp_path / "b.partial").mkdir()
    with pytest.raises(UserError, match="was not finished"):
        open_bundle(tmp_path / "b.partial")
    (tmp_path / "x.zip").write_text("x")
    with pytest.raises(UserError, match=r"expected a bundle's folder, or an archive of it \(\.tar\.zst, \.tar\)"):
        open_bundle(tmp_path / "x.zip")


_JUNK = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=3), st.just([]), st.just({}),
                  st.just([{}]), st.just([1]))  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_details_that_do_not_fit_are_an_error_in_one_line_and_never_a_crash(sound: Path, data: st.DataObject) -> None:
    before = {name: (sound / name).read_bytes() for name in ("manifest.json", "SHA256SUMS")}

    def change(raw: dict[str, Any]) -> None:
        place = raw["details"]
        key = data.draw(st.sampled_from(sorted(place)))
        inner = place[key]
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            inner = inner[0]
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            place, key = inner, data.draw(st.sampled_from(sorted(inner)))
        if data.draw(st.booleans()):
            place[key] = data.draw(_JUNK)
        else:
            del place[key]

    told = ""
    try:
        forge(sound, change)
        open_bundle(sound).check()
    except UserError as error:
        told = str(error)
    finally:
        for name, content in before.items():
            (sound / name).write_bytes(content)
    assert "\n" not in told


def test_only_who_has_the_key_can_make_a_bundle(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    mark = open_bundle(bundle, key=keys[1]).signer
    assert mark == open_bundle(bundle, key=keys[1].read_bytes()).signer
    _, other = key_pair(tmp_path, "other")
    with pytest.raises(UserError, match=r"its signature is not by key [0-9a-f]{16}, or manifest\.json has changed"):
        open_bundle(bundle, key=other)
    forge(bundle, lambda raw: raw["writer"].update(command="forged"))
    assert open_bundle(bundle).signer is None
    with pytest.raises(UserError, match=f"not by key {mark}"):
        open_bundle(bundle, key=keys[1])
    (bundle / "manifest.sig").unlink()
    with pytest.raises(UserError, match=f"is not signed, and key {mark} is pinned"):
        open_bundle(bundle, key=keys[1])


def test_the_signature_is_checked_before_the_manifest_is_understood(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / "manifest.json").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match="not a manifest"):
        open_bundle(bundle)
    with pytest.raises(UserError, match="its signature is not by key"):
        open_bundle(bundle, key=keys[1])


def test_what_is_no_public_key_is_said(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"this is a private key; make the public one with: openssl pkey .* -pubout"):
        open_bundle(bundle, key=keys[0])
    with pytest.raises(UserError, match="the key: not a public key in PEM form"):
        open_bundle(bundle, key=b"nothing of the kind")
    with pytest.raises(UserError, match=r"none\.pub: cannot be read"):
        open_bundle(bundle, key=tmp_path / "none.pub")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UserError, match=r"RSA\w*; expected Ed25519"):
        open_bundle(bundle, key=pem)


def test_a_pinned_key_without_cryptography_is_an_error_and_no_silent_pass(
    bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(UserError, match="pip install cryptography"):
        open_bundle(bundle, key=keys[1])
    assert open_bundle(bundle).signer is None


def test_openssl_agrees_on_the_signature(sound: Path, keys: tuple[Path, Path]) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin", "-in",
               str(sound / "manifest.json"), "-sigfile", str(sound / "manifest.sig")]  # fmt: skip
    assert b"Success" in subprocess.run(command, check=True, capture_output=True).stdout
