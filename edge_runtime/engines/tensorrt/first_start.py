"""TensorRT's first start on a device: take the engine that is there, or build one, let the check crops decide, report.

1. An engine of exactly this graph, TensorRT, chip, L4T, precision and batches that is in the cache, whole, is loaded.
2. Else one is built: under a lock, in a process of its own, with at most half of the free memory; if that fails, with
   half of that, and at last for smaller batches. The order of precisions, the least memory and what is done when a
   build fails are those of the bundle's recipe for this chip, if it has one.
3. Whatever was loaded runs the bundle's check crops. If it misses a bar, the next precision is tried.
4. `device_report.json` beside the engines says what came of it.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread, current_thread
from typing import Any

from edge_runtime.batch import Profile
from edge_runtime.bundle import Bundle, CheckSet
from edge_runtime.engines.check import Verdict, judge
from edge_runtime.engines.choose import ON_GPU, Say, Serving, Tried
from edge_runtime.engines.tensorrt.build_child import Builder, Stopped
from edge_runtime.engines.tensorrt.cache import Key, forget, look_up, place
from edge_runtime.engines.tensorrt.machine import Machine
from edge_runtime.engines.tensorrt.options import BuildOptions, graph_precision
from edge_runtime.engines.tensorrt.run import NoRoom
from edge_runtime.engines.tensorrt.serve import TensorRtEngine
from reid.artifact import write_text
from reid.errors import UserError

REPORT = "device_report.json"
LEAST_WORKSPACE_MB = 128
HALVE_WORKSPACE, HALVE_BATCH = "halve the workspace", "halve the greatest batch"
"""Of a recipe's `on_failure`: what this does when a build fails."""
_FAILED = ".failed.json"


def recipe_for(bundle: Bundle, machine: Machine) -> Mapping[str, Any]:
    """The bundle's recipe for this chip, the first that names it; {} if there is none, or it cannot be read."""
    for target in bundle.description.targets:
        try:
            recipe = bundle.recipe(target)
            if machine.sm in recipe["target"]["sms"]:
                return recipe
        except (UserError, KeyError, TypeError):
            continue
    return {}


class FirstStart:
    """TensorRT for one bundle on one machine.

    Args:
        bundle: opened. check: its check crops. machine: this one.
        precision: the only one that will do; None: `ON_GPU`, those that the bundle has.
        cache: folder of engines (see `cache.place`). say: takes lines of progress.

    Attributes:
        possible: whether an engine may still be had. tried: what was not taken, and why.
        folder: where engines are kept; None: nowhere, as there is no TensorRT.
    """

    def __init__(
        self, bundle: Bundle, check: CheckSet, machine: Machine, precision: str | None, cache: Path | None, say: Say
    ) -> None:
        self._bundle, self._check, self._machine, self._say = bundle, check, machine, say
        self.tried: tuple[Tried, ...] = ()
        self.folder: Path | None = None
        self._recipe = recipe_for(bundle, machine)
        least = self._recipe.get("least_workspace_mb")
        self._least = least if isinstance(least, int) and least > 0 else LEAST_WORKSPACE_MB
        self._precisions: list[str] = []
        self._thread: Thread | None = None
        self._builder: Builder | None = None
        if machine.why_not:
            self._refuse("tensorrt", machine.why_not)
            return
        self._precisions = self._usable(precision)
        if not self._precisions:
            asked = precision or "any precision"
            self._refuse("tensorrt", f"the bundle has no graph that TensorRT {machine.version} takes for {asked}")
            return
        try:
            self.folder = place(bundle.folder, cache)
        except UserError as error:
            self._refuse("tensorrt", str(error))
            self._precisions = []
            return
        self._builder = Builder(self.folder, say)

    @property
    def possible(self) -> bool:
        """Whether an engine may still be had."""
        return bool(self._precisions)

    @property
    def building(self) -> bool:
        """Whether one is being built in the background."""
        return self._thread is not None and self._thread.is_alive()

    def ready(self) -> Serving | None:
        """The engine that is in the cache, if it is the one that is wanted; None: none is, or it has to be built."""
        if self.folder is None:
            return None
        for precision in list(self._precisions):
            serving, why = self._cached(precision)
            if serving is not None:
                return serving
            if precision in self._precisions:
                failure = self._failure(precision)
                if failure is None:
                    self._say(f"tensorrt {precision}: {why}")
                    return None
                self._drop(precision, f"it was not built before: {failure}")
        return None

    def build(self) -> Serving | None:
        """Build what is wanted, and load it; None: nothing passes, see `tried`.

        Raises:
            Stopped: it was given up.
        """
        assert self._builder is not None
        for precision in list(self._precisions):
            try:
                about = self._built(precision)
            except UserError as error:
                self._drop(precision, str(error))
                continue
            serving, why = self._cached(precision)
            if serving is not None:
                self._report(serving, about)
                return serving
            if precision in self._precisions:
                self._drop(precision, f"the engine was built but cannot be used: {why}")
        self._report(None, {})
        return None

    def in_background(self, take: Callable[[Serving], None]) -> None:
        """Build while others serve; `take` gets the engine, in the thread that built it."""

        def work() -> None:
            try:
                serving = self.build()
            except Stopped:
                return
            finally:
                atexit.unregister(self.stop)
            if serving is None:
                self._say("tensorrt: cannot be had here; the engine that serves goes on serving")
            elif self._builder is not None and self._builder.stopped:
                serving.engine.close()
            else:
                take(serving)

        atexit.register(self.stop)
        self._thread = Thread(target=work, name="tensorrt-build", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the background; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.building

    def stop(self) -> None:
        """Give a build up; it has ended when this returns."""
        if self._builder is not None:
            self._builder.stop()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    def _usable(self, precision: str | None) -> list[str]:
        """Precisions whose graph this TensorRT takes and the bundle has, in the order to try them."""
        order = [name for name in self._recipe.get("precisions", ()) if name in ON_GPU]
        # What the recipe does not name comes after it.
        order += [name for name in ON_GPU if name not in order]
        asked = tuple(name for name in order if precision in (None, name))
        source = {name: graph_precision(self._machine.trt, BuildOptions(name)) for name in asked}
        # Where types do not come from the graph, every precision is made of the fp32 one.
        return [name for name in asked if source[name] in self._bundle.precisions and self._wanted(name, precision)]

    def _wanted(self, name: str, asked: str | None) -> bool:
        return asked is not None or name in self._bundle.precisions

    def _key(self, precision: str, profile: Profile) -> Key:
        graph = self._bundle.graph(graph_precision(self._machine.trt, BuildOptions(precision)))
        digest = self._bundle.manifest.files[graph.path].sha256
        device = self._machine.device
        return Key(digest, self._machine.version, self._machine.sm, device.l4t, precision, profile)

    def _cached(self, precision: str) -> tuple[Serving | None, str]:
        """An engine of the cache that loads and passes, or None and why."""
        assert self.folder is not None
        first = ""
        for profile in self._profiles():
            key = self._key(precision, profile)
            cached = look_up(self.folder, key)
            first = first or cached.why
            if cached.plan is None:
                continue
            try:
                engine, verdict = self._judged(cached.plan, precision)
            except NoRoom as error:
                # Nothing is wrong with the engine: it stays for a start that has more memory.
                self._drop(precision, str(error))
                return None, str(error)
            except UserError as error:
                forget(self.folder, key)
                return None, f"{error}; building again"
            if verdict.missed:
                engine.close()
                why = f"does not answer the check crops as the student did ({'; '.join(verdict.missed)})"
                self._drop(precision, why)
                return None, why
            return Serving(engine, precision, self._why(profile), verdict, self.tried), ""
        return None, f"{first}; building one, which takes minutes on a small device"

    def _judged(self, plan: bytes, precision: str) -> tuple[TensorRtEngine, Verdict]:
        """An engine that runs, and what it does with the check crops. Raises what `TensorRtEngine` raises."""
        engine = TensorRtEngine(self._machine, plan)
        try:
            return engine, judge(engine, self._check, precision, self._bundle.description.gates)
        except UserError:
            engine.close()
            raise

    def _built(self, precision: str) -> dict[str, Any]:
        """Build an engine into the cache; what is to be known of it.

        Raises:
            UserError: it cannot be built, by any way. Stopped: it was given up.
        """
        assert self._builder is not None
        assert self.folder is not None
        with self._builder.alone() as lock:
            key = self._key(precision, self._profiles()[0])
            if look_up(self.folder, key).plan is not None:
                return {}  # by another process, while this one waited
            why = ""
            for profile, workspace in self._ways():
                key = self._key(precision, profile)
                what = f"tensorrt {precision}"
                self._say(f"{what}: building for batches {profile} with a workspace of {workspace} MiB")
                outcome = self._builder.build(self._request(key, workspace), what, lock)
                if outcome.built is not None:
                    self._say(f"{what}: built in {outcome.built['seconds']} s")
                    return {"key": key.name, **outcome.built}
                why = outcome.why
                self._say(f"{what}: not built: {why}")
                if not outcome.again:
                    break
            failed = self.folder / f"{self._key(precision, self._profiles()[0]).name}{_FAILED}"
            write_text(failed, json.dumps({"why": why}, indent=1) + "\n")
            raise UserError(why)

    def _ways(self) -> Iterator[tuple[Profile, int]]:
        """Batches and MiB to try, one after the other."""
        full, *smaller = self._profiles()
        workspace = most = self._machine.workspace(self._bundle.description.workspace_mb, self._least)
        steps = self._recipe.get("on_failure", (HALVE_WORKSPACE, HALVE_BATCH))
        while workspace >= self._least:
            yield full, workspace
            workspace //= 2
            if HALVE_WORKSPACE not in steps:
                break
        for profile in smaller if HALVE_BATCH in steps else ():
            yield profile, most

    def _profiles(self) -> list[Profile]:
        """The bundle's batches, and the same with half as many at most, down to its least."""
        least, best, most = self._bundle.profile.min, self._bundle.profile.opt, self._bundle.profile.max
        found = [Profile(least, best, most)]
        while most // 2 >= least and most > 1:
            most //= 2
            found.append(Profile(least, min(best, most), most))
        return found

    def _request(self, key: Key, workspace: int) -> dict[str, Any]:
        assert self.folder is not None
        graph = self._bundle.graph(graph_precision(self._machine.trt, BuildOptions(key.precision)))
        about = self._bundle.manifest.details.get("precision", {}).get(key.precision, {})
        return {
            "module": self._machine.module,
            "graph": str(self._bundle.file(graph.path).resolve()),
            "folder": str(self.folder.resolve()),
            "key": key.to_dict(),
            "workspace": workspace,
            "fp32_nodes": list(about.get("kept_fp32", ())),
            # Of this TensorRT on this chip; it makes the next build quicker.
            "timing_cache": str(self.folder.resolve() / f"timing.trt{key.trt}.sm{key.sm}.cache"),
        }

    def _failure(self, precision: str) -> str | None:
        """Why this was not built at an earlier start; None: it was not tried."""
        assert self.folder is not None
        path = self.folder / f"{self._key(precision, self._profiles()[0]).name}{_FAILED}"
        try:
            return f"{json.loads(path.read_text(encoding='utf-8'))['why']} (remove {path} to try again)"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _why(self, profile: Profile) -> str:
        smaller = "" if profile == self._profiles()[0] else f", for batches {profile} only, as more do not fit"
        return f"the fastest that runs here: an engine built on this device{smaller}"

    def _drop(self, precision: str, why: str) -> None:
        self._precisions.remove(precision)
        self._refuse(f"tensorrt {precision}", why)

    def _refuse(self, engine: str, why: str) -> None:
        self.tried = (*self.tried, Tried(engine, why))
        self._say(f"{engine}: not used: {why}")

    def _report(self, serving: Serving | None, about: dict[str, Any]) -> None:
        """Write what came of it, for whoever looks after many devices."""
        assert self.folder is not None
        profile = self._bundle.profile
        said: dict[str, Any] = {
            "schema": 1,
            "bundle": {"manifest_sha256": self._bundle.manifest.sha256, "space_id": self._bundle.space_id},
            "device": self._machine.device.to_dict(),
            "tensorrt": self._machine.version,
            "tried": [str(tried) for tried in self.tried],
            "engine": None,
        }
        if serving is not None and isinstance(serving.engine, TensorRtEngine):
            latencies = serving.engine.latencies((profile.min, profile.opt, profile.max))
            said["engine"] = {
                "precision": serving.precision, "build": about, "check": serving.verdict.to_dict(),
                "latency_ms": [{"batch": found.batch, "p50": found.median, "p99": found.p99} for found in latencies],
            }  # fmt: skip
        try:
            write_text(self.folder / REPORT, json.dumps(said, indent=1, sort_keys=True) + "\n")
        except UserError as error:
            # Nobody's embeddings hang on it.
            self._say(str(error))
