"""From a store and settings to the subspace that a student is distilled into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.settings import FULL_BASES, Spectrum
from distill.spectrum.analysis import Analysis
from distill.spectrum.basis import between_basis, eigen, eigenvalues, phi_s, random_basis
from distill.spectrum.ceiling import Bounds, Ceiling, ceiling, validators, whole_ceiling
from distill.spectrum.measure import Spectra, measure, training_rows
from distill.spectrum.rank import by_energy, round_up
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.subspace import Subspace

Doubles = NDArray[np.float64]

FALLBACK_SHARE = 0.95
"""Share of the variance that is kept where there is nobody to validate on."""


@dataclass(frozen=True)
class _Choice:
    rank: int
    reason: str
    ceiling: Ceiling | None
    warning: str | None = None


def make_subspace(
    store: EmbeddingStore, settings: Spectrum, *, rows: NDArray[np.int64] | None = None, processes: int = 1
) -> tuple[Subspace, Analysis]:
    """The subspace of a store, and how it came about.

    Args:
        store: the teacher's embeddings. settings: rank, basis, centre and bounds.
        rows: what is measured; the training samples (all, if there are none) by default.
        processes: how many share the pass over the store.

    Raises:
        UserError: the rank is above the width of the embeddings or the number of samples; there is nothing to measure;
            an embedding is not usable.
    """
    wanted = training_rows(store) if rows is None else np.asarray(rows, dtype=np.int64)
    _refuse_impossible(settings, store, len(wanted))
    between = settings.basis == "between"
    spectra = measure(store, wanted, normalise=settings.normalise, people=between, processes=processes)
    whole = _all_coordinates(store, settings, spectra)
    choice = _choose(store, settings, whole, min(store.dim, spectra.total.count))
    subspace = whole.truncated(choice.rank)
    analysis = Analysis(
        rank=choice.rank,
        reason=choice.reason,
        basis=settings.basis,
        samples={modality: part.count for modality, part in spectra.moments.items()},
        energy=float(subspace.variances.sum() / max(whole.variances.sum(), np.finfo(np.float64).tiny)),
        spectrum=whole.spectrum,
        by_modality={modality: eigenvalues(part.covariance()) for modality, part in spectra.moments.items()},
        ceiling=choice.ceiling,
        warnings=[text for text in (_one_modality(store, spectra), choice.warning) if text],
    )
    return subspace, analysis


def _refuse_impossible(settings: Spectrum, store: EmbeddingStore, samples: int) -> None:
    """What can be known before the store is read."""
    rank = settings.rank
    if not isinstance(rank, int):
        return
    if rank > store.dim:
        raise UserError(
            f"rank {rank}: the embeddings of {store.path} have {store.dim} dimensions; ask for fewer, or for auto"
        )
    if rank > samples:
        raise UserError(
            f"rank {rank}: {store.path} has {samples} samples to measure, and they span no more; ask for fewer, "
            "or embed more"
        )


def _all_coordinates(store: EmbeddingStore, settings: Spectrum, spectra: Spectra) -> Subspace:
    """The subspace with as many coordinates as the embeddings have dimensions."""
    covariance, mean = _centred(settings, spectra)
    spectrum, basis = eigen(covariance)
    if settings.basis == "between":
        spectrum, basis = between_basis(spectra.between_people(), covariance)
    elif settings.basis == "random":
        basis = random_basis(spectra.dim, spectra.dim, settings.seed)
    elif settings.basis == "phi-s":
        basis = phi_s(spectrum, basis)
    elif settings.basis == "full":
        basis = np.eye(spectra.dim)
    variances = np.maximum(np.einsum("ij,ij->j", basis, covariance @ basis), 0)
    identity = store.manifest.sha256
    return Subspace(settings.basis, mean, basis, variances, spectrum, settings.normalise, identity)


def _centred(settings: Spectrum, spectra: Spectra) -> tuple[Doubles, Doubles]:
    """The covariance [D, D] about the chosen centre, and the centre: [1, D], or a row per modality."""
    total = spectra.total
    if settings.centre == "none":
        return total.second_moment(), np.zeros((1, spectra.dim))
    if settings.centre == "shared":
        return total.covariance(), total.mean[None]
    # A modality that was never seen has the mean of all.
    means = [spectra.moments[m].mean if m in spectra.moments else total.mean for m in Modality]
    return spectra.within_modalities(), np.stack(means)


def _choose(store: EmbeddingStore, settings: Spectrum, whole: Subspace, limit: int) -> _Choice:
    people = validators(store)
    if settings.basis in FULL_BASES:
        found = None if people is None else whole_ceiling(people, whole, settings.tolerance)
        return _Choice(whole.rank, f"basis {settings.basis} has all dimensions", found)
    high = min(settings.max_rank, limit)
    bounds = Bounds(min(settings.min_rank, high), high, settings.multiple)
    rank, reason = _by_setting(settings, whole, bounds)
    found = None if people is None else ceiling(people, whole, bounds, settings.tolerance, also=rank)
    if settings.rank != "auto":
        return _Choice(rank, reason, found)
    if found is not None:
        return _Choice(*_by_retrieval(found), found)
    warning = f"{store.path}: no validation people (split val) to choose the rank by, so it is chosen by variance"
    return _Choice(rank, reason, None, warning)


def _by_setting(settings: Spectrum, whole: Subspace, bounds: Bounds) -> tuple[int, str]:
    """The rank that does not need anybody to be asked for."""
    if isinstance(settings.rank, int):
        return settings.rank, "as asked"
    share = FALLBACK_SHARE if settings.rank == "auto" else float(settings.rank.partition(":")[2])
    needed = by_energy(whole.spectrum, share)
    what = "the variance between people" if settings.basis == "between" else "the variance"
    rank = round_up(needed, bounds.multiple, bounds.low, bounds.high)
    return rank, f"{needed} hold {100 * share:g} % of {what}; bounds {bounds.low} to {bounds.high}"


def _by_retrieval(found: Ceiling) -> tuple[int, str]:
    if found.kept is not None:
        return found.kept, (
            f"the smallest that keeps the teacher's mAP of {found.mean():.2f} within {found.tolerance:g}: "
            f"{found.mean(found.kept):.2f}"
        )
    return found.settled, (
        f"none keeps the teacher's mAP of {found.mean():.2f} within {found.tolerance:g}; this is the smallest of those "
        f"that come nearest: {found.mean(found.settled):.2f}"
    )


def _one_modality(store: EmbeddingStore, spectra: Spectra) -> str | None:
    if len(spectra.moments) > 1:
        return None
    only = next(iter(spectra.moments))
    lost = ", ".join(str(modality) for modality in Modality if modality is not only)
    return (
        f"{store.path}: {only} only: the subspace is blind to what tells people apart in {lost}, and retrieval across "
        "modalities cannot be measured"
    )
