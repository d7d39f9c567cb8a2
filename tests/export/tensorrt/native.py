"""Stand-ins for NVIDIA's libraries, compiled here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
_INTERNAL = re.compile(r"NEEDED.*\[(libnv\w+\.so[.\d]*)\]")


def compiler() -> str | None:
    """A C compiler, if there is one with what it takes to look into a library."""
    return shutil.which("gcc") if all(map(shutil.which, ("gcc", "g++", "readelf", "nm"))) else None


def fake_cudart(folder: Path) -> Path:
    """A CUDA runtime without a GPU."""
    library = folder / "libcudart.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", str(HERE / "fake_cudart.c"), "-o", str(library)], check=True)
    return library


def stub_libraries(bindings: Path, folder: Path) -> Path:
    """Compile what `tensorrt.so` of real bindings links into `folder`; gives the one that answers everything."""
    module = str(bindings / "tensorrt.so")
    needed = _INTERNAL.findall(_output("readelf", "-d", module))
    functions = [line.split()[-1] for line in _output("nm", "-D", "--undefined-only", module).splitlines()]
    functions = [name for name in functions if re.match(r"(create|get|init)[A-Z]\w*|_ZN\d+nv", name)]
    source = (HERE / "universal.cpp").read_text(encoding="utf-8")
    given = "\n".join(f"HANDS_OUT({name})" for name in functions)
    code = folder / "universal.cpp"
    code.write_text(source.replace("\nFUNCTIONS\n", f"\n{given}\n"), encoding="utf-8")
    bits = 32 if any(name.endswith(".so.8") for name in needed) else 64
    for number, name in enumerate(needed):
        # The first answers; the others only have to be there.
        content = [str(code)] if number == 0 else ["-x", "c", "/dev/null"]
        flags = ["-shared", "-fPIC", "-O1", "-w", f"-DDIMS_BITS={bits}", f"-Wl,-soname,{name}"]
        subprocess.run(["g++", *flags, *content, "-o", str(folder / name)], check=True)
    return folder / needed[0]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
