"""Optional dependencies: asked for where they are needed, named in one line where they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from reid.errors import UserError

EXTRAS: dict[str, tuple[str, ...]] = {
    "data": ("h5py", "matplotlib", "pyarrow", "scipy"),
    "cloud": (
        "torch",
        "transformers",
        "peft",
        "accelerate",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "pydantic",
        "yaml",
        "sklearn",
        "tensorboard",
        "cryptography",
        "zstandard",
    ),
    "edge": ("cryptography", "faiss", "onnxruntime", "tokenizers", "zstandard"),
    "milvus": ("pymilvus",),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt_rtx_bindings", "tensorrt_rtx_libs"),
}
"""Extra -> the modules that it brings."""


def require(extra: str, what: str, *modules: str) -> None:
    """Make sure that `modules` (all of the extra's, if none is named) can be imported.

    Args:
        extra: the extra that brings them.
        what: the command or feature that needs them, for the message.

    Raises:
        UserError: one is missing; the line says what to install.
    """
    missing = [module for module in modules or EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise UserError(f"{what} needs {', '.join(missing)}; install it with: pip install 'reid-distill[{extra}]'")
