"""The optimisation profile: the shapes that an engine takes."""

from __future__ import annotations

from typing import Any

from edge_runtime.engines.tensorrt.options import BuildOptions
from reid.errors import UserError


def add_profile(builder: Any, network: Any, config: Any, options: BuildOptions, name: str) -> list[str]:
    """One profile for every input of the network: axis 0 is the batch, axis 1 of a sentence's inputs its tokens.

    Returns:
        Notes: the graph has a batch of its own.

    Raises:
        UserError: another axis has no size, or a sentence's length was not given.
    """
    profile = builder.create_optimization_profile()
    notes = []
    dynamic = False
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            notes.append(f"input '{tensor.name}' has the fixed shape {list(shape)}; --batch says nothing to it")
            continue
        dynamic = True
        profile.set_shape(tensor.name, *_shapes(shape, tensor.name, options, name))
    if dynamic and config.add_optimization_profile(profile) < 0:
        raise UserError(f"{name}: TensorRT does not take the batch sizes {options.profile}; choose others with --batch")
    return notes


def _shapes(shape: tuple[int, ...], tensor: str, options: BuildOptions, name: str) -> list[tuple[int, ...]]:
    """The least, the best and the greatest shape of an input."""
    sizes = {0: options.profile}
    if len(shape) == 2 and shape[1] == -1:
        if options.tokens is None:
            raise UserError(f"{name}: the length of input '{tensor}' is open; give --tokens MIN,OPT,MAX")
        sizes[1] = options.tokens
    open_axes = [axis for axis, size in enumerate(shape) if size == -1]
    unknown = [axis for axis in open_axes if axis not in sizes]
    if unknown:
        raise UserError(f"{name}: axis {unknown[0]} of input '{tensor}' has no size; only the batch may be open")
    return [
        tuple(getattr(sizes[axis], end) if size == -1 else size for axis, size in enumerate(shape))
        for end in ("minimum", "optimum", "maximum")
    ]
