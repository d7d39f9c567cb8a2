"""Unpacking: an archive cannot write outside, grow beyond what it announces, or leave anything half-done."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bundles import key_pair, small_bundle

from edge_runtime.bundle import open_bundle
from edge_runtime.bundle.unpack import unpack
from reid.artifact import read_manifest
from reid.errors import UserError

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    return small_bundle(tmp_path_factory.mktemp("packed"), "b.tar.zst", key=keys[0])


def members_of(archive: Path) -> Members:
    data = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def repack(members: Members, out: Path, *, form: int = tarfile.USTAR_FORMAT, tail: bytes = b"") -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    raw = stream.getvalue() + tail
    out.write_bytes(zstandard.compress(raw) if out.name.endswith(".zst") else raw)
    return out


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data if kind == tarfile.REGTYPE else b""


def refused(archive: Path, work: Path, words: str) -> None:
    """Opening says these words and leaves nothing, neither in `work` nor beside it."""
    work.mkdir()
    before = sorted(work.parent.rglob("*"))
    with pytest.raises(UserError, match=words) as error:
        open_bundle(archive, work=work)
    assert "\n" not in str(error.value)
    assert sorted(work.parent.rglob("*")) == before


def test_an_archive_holds_the_same_bundle_as_a_folder(packed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    folder = small_bundle(tmp_path, key=keys[0])
    opened = open_bundle(packed, key=keys[1], work=tmp_path / "work")
    assert opened.manifest == read_manifest(folder)
    assert opened.folder.parent == tmp_path / "work"
    ours = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert ours == {p.relative_to(opened.folder): p.read_bytes() for p in opened.folder.rglob("*") if p.is_file()}


def test_a_second_opening_takes_what_is_unpacked_and_verifies_it(packed: Path, tmp_path: Path) -> None:
    first = open_bundle(packed, work=tmp_path).folder
    marker = first / "model" / "student.fp32.onnx"
    when = marker.stat().st_mtime_ns
    assert open_bundle(packed, work=tmp_path).folder == first
    assert marker.stat().st_mtime_ns == when
    assert list(tmp_path.iterdir()) == [first]
    marker.write_bytes(bytes(marker.stat().st_size))
    with pytest.raises(UserError, match=r"model/student\.fp32\.onnx has changed .*remove what was unpacked"):
        open_bundle(packed, work=tmp_path)


def test_four_at_once_unpack_one_folder(packed: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: open_bundle(packed, work=tmp_path).folder, range(4)))
    assert list(tmp_path.iterdir()) == list(folders)


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (member("../evil"), "'../evil', which leaves the bundle"),
        (member("/tmp/evil"), "which is not a relative path"),
        (member("bundle/../../evil"), "which leaves the bundle"),
        (member("other/evil"), r"'other/evil' outside 'bundle/'"),
        (member("bundle/evil"), "'evil' that its manifest does not list"),
        (member("bundle/subspace.safetensors"), "twice|has 1 bytes; expected"),
        (member("bundle/link", kind=tarfile.SYMTYPE, link="/etc/passwd"), "is a symbolic link"),
        (member("bundle/link", kind=tarfile.LNKTYPE, link="bundle/manifest.json"), "is a hard link"),
        (member("bundle/dev", kind=tarfile.CHRTYPE), "is a device"),
        (member("bundle/pipe", kind=tarfile.FIFOTYPE), "is a pipe"),
        (member("bundle/model", kind=tarfile.DIRTYPE), "is a folder"),
        (member("bundle/sparse", kind=tarfile.GNUTYPE_SPARSE), "not a regular file"),
    ],
    ids=lambda value: value[0].name if isinstance(value, tuple) else "",
)
def test_a_member_that_does_not_belong_is_refused_wherever_it_stands(
    packed: Path, tmp_path: Path, evil: tuple[tarfile.TarInfo, bytes], words: str
) -> None:
    members = members_of(packed)
    for number, place in enumerate((2, len(members))):
        archive = repack([*members[:place], evil, *members[place:]], tmp_path / f"evil{number}.tar.zst")
        refused(archive, tmp_path / f"work{number}", words)


def test_a_link_under_the_name_of_a_listed_file_is_refused(packed: Path, tmp_path: Path) -> None:
    members = members_of(packed)
    members[-1] = member(members[-1][0].name, kind=tarfile.SYMTYPE, link="/etc/passwd")
    refused(repack(members, tmp_path / "link.tar"), tmp_path / "work", "is a symbolic link")


@pytest.mark.parametrize("name", ["SHA256SUMS", "manifest.sig"])
def test_a_file_that_no_manifest_lists_is_verified_before_the_folder_is_put_in_place(
    packed: Path, tmp_path: Path, name: str
) -> None:
    """Else an archive that is copied again would find the broken folder of the first time."""
    members = [
        (info, data[:-2] + b"!\n" if info.name == f"bundle/{name}" else data) for info, data in members_of(packed)
    ]
    refused(repack(members, tmp_path / "d.tar"), tmp_path / "work", f"{name} .*changed since it was written")


def test_extended_headers_whose_size_an_archive_chooses_are_refused(packed: Path, tmp_path: Path) -> None:
    members = members_of(packed)
    members[3][0].pax_headers = {"comment": "x" * 2000}
    refused(repack(members, tmp_path / "pax.tar", form=tarfile.PAX_FORMAT), tmp_path / "work", "not a regular file")


def test_a_missing_member_a_changed_one_and_another_order_are_named(packed: Path, tmp_path: Path) -> None:
    members = members_of(packed)
    refused(repack(members[:-1], tmp_path / "a.tar"), tmp_path / "wa", r"subspace\.safetensors is missing")
    changed = [*members[:-1], (members[-1][0], bytes(len(members[-1][1])))]
    refused(repack(changed, tmp_path / "b.tar"), tmp_path / "wb", r"subspace\.safetensors has changed")
    refused(repack(members[::-1], tmp_path / "c.tar"), tmp_path / "wc", r"expected manifest\.json first")
    refused(repack([], tmp_path / "d.tar"), tmp_path / "wd", "begins with nothing")


def bomb(out: Path, head: bytes, zeros: int) -> Path:
    """An archive that goes on with zeros, of which a few bytes make gigabytes."""
    with out.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as writer:
        writer.write(head)
        for _ in range(zeros >> 20):
            writer.write(bytes(1 << 20))
    return out


def read_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts what is decompressed from here on."""
    from edge_runtime.bundle.tar import TarReader

    read, total = TarReader._some, [0]

    def counted(self: TarReader, count: int) -> bytes:
        data = read(self, count)
        total[0] += len(data)
        return data

    monkeypatch.setattr(TarReader, "_some", counted)
    return lambda: total[0]


def test_bombs_are_refused_before_they_go_off(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members, read = members_of(packed), read_bytes(monkeypatch)
    large = tarfile.TarInfo("bundle/manifest.json")
    large.size = 200 << 20
    refused(bomb(tmp_path / "m.tar.zst", large.tobuf(tarfile.USTAR_FORMAT), 200 << 20), tmp_path / "wm", "at most")
    plain = repack(members, tmp_path / "plain.tar").read_bytes()
    refused(bomb(tmp_path / "tail.tar.zst", plain, 200 << 20), tmp_path / "wt", "does not end as an archive does")
    assert read() < 1 << 20
    with pytest.raises(UserError, match=r"would unpack to \d+ bytes, more than the 1000 that are allowed"):
        unpack(packed, tmp_path / "limit", None, limit=1000)
    assert not (tmp_path / "limit").exists()


def test_a_size_that_no_disk_has_is_refused_before_anything_is_written(packed: Path, tmp_path: Path) -> None:
    members = members_of(packed)
    raw = json.loads(members[0][1])
    raw["files"]["subspace.safetensors"]["bytes"] = 1 << 60
    text = json.dumps(raw).encode()
    members[0] = member("bundle/manifest.json", text)
    refused(repack(members, tmp_path / "a.tar"), tmp_path / "work", "would unpack to")
    with pytest.raises(UserError, match=r"MiB free; .* needs"):
        unpack(tmp_path / "a.tar", tmp_path / "work", None, limit=1 << 62)


def test_a_window_that_would_take_all_memory_is_refused(packed: Path, tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    plain = repack(members_of(packed), tmp_path / "plain.tar").read_bytes()
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with (tmp_path / "w.tar.zst").open("wb") as file, compressor.stream_writer(file) as writer:
        writer.write(plain)
    refused(tmp_path / "w.tar.zst", tmp_path / "work", "does not decompress")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["cut", "flip"]), st.sampled_from([".tar", ".tar.zst"]))
def test_a_damaged_archive_is_refused_or_harmless_and_leaves_nothing(
    packed: Path, tmp_path_factory: pytest.TempPathFactory, where: float, how: str, ending: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    archive = repack(members_of(packed), folder / f"d{ending}")
    data = bytearray(archive.read_bytes())
    place = int(where * len(data))
    if how == "cut":
        del data[place:]
    else:
        data[place] ^= 0x10
    archive.write_bytes(data)
    work = folder / "work"
    work.mkdir()
    opened, told = None, ""
    try:
        opened = open_bundle(archive, work=work)
    except UserError as error:
        told = str(error)
    if opened is None:
        assert str(folder) in told
        assert list(work.iterdir()) == []
    else:
        # In the padding, or in a field of a header that nobody reads.
        assert opened.manifest.sha256 == read_manifest(opened.folder).sha256
    shutil.rmtree(folder)


def test_the_signature_of_an_archive_is_checked_before_anything_is_written(
    packed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = key_pair(tmp_path, "other")
    for archive in (packed, repack([m for m in members_of(packed) if m[0].name[-4:] != ".sig"], tmp_path / "u.tar")):
        with pytest.raises(UserError, match=r"is not by key|is not signed"):
            open_bundle(archive, key=other, work=tmp_path / "work")
    assert not (tmp_path / "work").exists()
    assert open_bundle(packed, key=keys[1], work=tmp_path / "work").signer


def test_without_zstandard_a_plain_archive_opens_and_the_other_says_what_to_install(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = repack(members_of(packed), tmp_path / "p.tar")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert open_bundle(plain, work=tmp_path / "work").precisions == ("fp32",)
    with pytest.raises(UserError, match="pip install zstandard"):
        open_bundle(packed, work=tmp_path / "work")


def test_tar_reads_our_archives_and_we_read_those_of_tar(packed: Path, tmp_path: Path) -> None:
    ours = repack(members_of(packed), tmp_path / "ours.tar")
    (tmp_path / "by-tar").mkdir()
    subprocess.run(["tar", "-xf", str(ours), "-C", str(tmp_path / "by-tar")], check=True)
    folder = tmp_path / "by-tar" / "bundle"
    assert open_bundle(folder).precisions == ("fp32",)
    names = ["manifest.json", "manifest.sig", "SHA256SUMS", *sorted(read_manifest(folder).files)]
    theirs = tmp_path / "theirs.tar"
    subprocess.run(["tar", "--format=ustar", "-cf", str(theirs), *(f"bundle/{name}" for name in names)],
                   cwd=folder.parent, check=True)  # fmt: skip
    assert open_bundle(theirs, work=tmp_path / "work").manifest == read_manifest(folder)


_CHILD = """
import os, sys
from pathlib import Path
from unittest.mock import patch
from edge_runtime.bundle import open_bundle, unpack
from reid.errors import UserError
"""


def test_a_process_that_dies_while_unpacking_leaves_no_bundle_and_the_next_one_clears_up(
    packed: Path, tmp_path: Path
) -> None:
    script = (
        _CHILD + "with patch('os.sync', lambda: os._exit(9)): open_bundle(Path(sys.argv[1]), work=Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(packed), str(tmp_path / "work")], check=False)
    assert done.returncode == 9
    left = list((tmp_path / "work").iterdir())
    assert [path.suffix for path in left] == [".partial"]
    (left[0] / "junk").write_text("of another time")
    opened = open_bundle(packed, work=tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == [opened.folder]
    assert opened.unlisted == ()


def test_a_full_disk_is_one_line_and_nothing_stays(packed: Path, tmp_path: Path) -> None:
    script = _CHILD + (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try: open_bundle(Path(sys.argv[1]), work=Path(sys.argv[2]))\n"
        "except UserError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(packed), str(tmp_path / "work")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "cannot be written (File too large); choose another place" in done.stdout
    assert list((tmp_path / "work").iterdir()) == []
