"""What can be built for a target on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.engines.tensorrt.modules import Found, Host
from export.targets import Target


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        action: "build": an engine that the target runs; "proof": one for another chip, to show that the graph parses
            and builds; "none": nothing can be built here.
        found: the TensorRT that does it.
        sms: compute capabilities that it is told; none: it builds for the GPU of this machine.
        why: in words.
    """

    action: Literal["build", "proof", "none"]
    found: Found | None
    sms: tuple[int, ...]
    why: str


def plan_for(target: Target, host: Host) -> Plan:
    """What this machine can build for a target.

    TensorRT comes before TensorRT-RTX where the target's own GPU is here, since a Jetson and a server run the former.
    """
    here = bool(host.gpus) and (target.kind == "host" or host.gpus[0] in target.sms)
    if here and host.tensorrt is not None:
        return Plan("build", host.tensorrt, (), f"{host.tensorrt} builds for the GPU here, {_chips(host.gpus[:1])}")
    if target.kind == "rtx" and host.rtx is not None:
        return Plan("build", host.rtx, target.sms, f"{host.rtx} builds ahead of time for {_chips(target.sms)}")
    if target.kind == "host" and here and host.rtx is not None:
        return Plan("build", host.rtx, (), f"{host.rtx} builds for the GPU here, {_chips(host.gpus[:1])}")
    if target.kind == "jetson" and host.rtx is not None and target.proof is not None:
        return Plan(
            "proof", host.rtx, (target.proof,),
            f"an engine for {target.name} can only be built on the device; {host.rtx} builds one for "
            f"{_chips((target.proof,))} instead, which proves that the graph parses and builds and nothing more",
        )  # fmt: skip
    return Plan("none", None, (), f"no engine for {target.name} can be built here; missing: {_missing(target, host)}")


def _missing(target: Target, host: Host) -> str:
    if target.kind == "host" and not host.gpus:
        return f"a GPU ({host.no_gpu}); name an rtx-* --target to build ahead of time, or call it on the GPU's machine"
    if host.gpus and target.sms and host.gpus[0] not in target.sms and not host.missing:
        return f"a GPU of {_chips(target.sms)} (here is {_chips(host.gpus[:1])})"
    return host.lacks()


def _chips(sms: tuple[int, ...]) -> str:
    return "SM " + " and ".join(f"{sm // 10}.{sm % 10}" for sm in sms)
