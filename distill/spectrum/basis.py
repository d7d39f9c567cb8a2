"""Directions of a space: eigenvectors with a fixed sign, drawn ones, and the map of PHI-S."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def eigen(covariance: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues [D] in descending order, and eigenvectors [D, D] in the columns, of a symmetric matrix.

    Eigenvalues that rounding made negative are 0. The entry of largest magnitude of each vector is positive, so that
    the same covariance gives the same basis.
    """
    from scipy.linalg import eigh

    values, vectors = eigh(covariance)
    return np.maximum(values[::-1], 0), fix_signs(vectors[:, ::-1])


def eigenvalues(covariance: Doubles) -> Doubles:
    """[D] as of `eigen`, where the vectors are not needed."""
    from scipy.linalg import eigvalsh

    return np.asarray(np.maximum(eigvalsh(covariance)[::-1], 0))


def fix_signs(vectors: Doubles) -> Doubles:
    """Columns [D, k], each turned so that its entry of largest magnitude is positive."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors * np.where(signs == 0, 1.0, signs))


def between_basis(between: Doubles, covariance: Doubles) -> tuple[Doubles, Doubles]:
    """Directions in which people differ, and then, in what those leave over, directions of most variance.

    P people differ in P - 1 directions at most. A basis that ended there could not be compared with others beyond.

    Args:
        between: [D, D] covariance of the people's means.
        covariance: [D, D] covariance of all samples.

    Returns:
        Eigenvalues [D] of `between` in descending order, 0 beyond its rank, and an orthonormal basis [D, D].
    """
    values, vectors = eigen(between)
    filled = int(np.count_nonzero(values > values[0] * len(values) * np.finfo(np.float64).eps))
    own, rest = vectors[:, :filled], vectors[:, filled:]
    values[filled:] = 0
    if rest.shape[1]:
        # `rest` spans exactly what the first ones leave, so it is enough to turn it within itself.
        _, turned = eigen(rest.T @ covariance @ rest)
        rest = fix_signs(rest @ turned)
    return values, np.hstack([own, rest])


def random_basis(dim: int, k: int, seed: int) -> Doubles:
    """[D, k] orthonormal columns, uniformly distributed (Haar), from a seed; k <= D."""
    gaussian = np.random.default_rng(seed).standard_normal((dim, k))
    q, r = np.linalg.qr(gaussian)
    # Without these signs the distribution of Q is not uniform (Mezzadri, 2007, arXiv math-ph/0609050).
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))


def spread(dim: int) -> Doubles:
    """[D, D] orthonormal H whose entries are as equal in magnitude as we can make them.

    A Hadamard matrix / sqrt(D), where all are equal, if D = 2^a or D = m 2^a with m an order that Paley's
    constructions give from a prime (12, 20, 28, 36, ...): all common widths, such as 192, 384, 768, 1152, 1536, 2048,
    3584. For any other D the discrete Hartley transform, real and orthonormal, whose squared entries lie between 0
    and 2 / D: outputs then have about equal variance, and not exactly.
    """
    found = _hadamard(dim)
    if found is not None:
        return np.asarray(found / np.sqrt(dim))
    angle = 2 * np.pi * (np.outer(np.arange(dim), np.arange(dim)) % dim) / dim
    return np.asarray((np.cos(angle) + np.sin(angle)) / np.sqrt(dim))


def phi_s(values: Doubles, vectors: Doubles) -> Doubles:
    """[D, D] map M = U H^T / phi of PHI-S: (t - mean) @ M has equal variances of mean 1.

    phi^2 is the mean eigenvalue; U [D, D] are the eigenvectors, H `spread(D)`. Scaled by one number, so errors in the
    outputs are errors in the teacher's space. Source: Ranzinger et al., PHI-S, arXiv 2410.01680.
    """
    phi = np.sqrt(max(float(values.mean()), np.finfo(np.float64).tiny))
    return np.ascontiguousarray(vectors @ spread(len(values)).T / phi)


def _hadamard(order: int) -> Doubles | None:
    """[n, n] of +1 and -1 with orthogonal rows; None if neither construction below gives one."""
    from scipy.linalg import hadamard

    doublings = 0
    core = order
    while True:
        base = np.ones((1, 1)) if core == 1 else _paley(core)
        if base is not None:
            return np.asarray(np.kron(hadamard(2**doublings, dtype=np.float64), base))
        if core % 2:
            return None
        core, doublings = core // 2, doublings + 1


def _paley(order: int) -> Doubles | None:
    """Hadamard matrix by the first or second construction of Paley (1933), over a field of prime size."""
    q = order - 1
    if order % 4 == 0 and _is_prime(q):
        bordered = np.ones((order, order))
        bordered[0, 0], bordered[1:, 0] = 0, -1
        bordered[1:, 1:] = _residues(q)
        return bordered + np.eye(order)
    q = order // 2 - 1
    if order % 4 == 0 and q % 4 == 1 and _is_prime(q):
        bordered = np.ones((q + 1, q + 1))
        bordered[0, 0] = 0
        bordered[1:, 1:] = _residues(q)
        ones = np.array([[1, 1], [1, -1]])
        return np.kron(bordered, ones) + np.kron(np.eye(q + 1), np.array([[1, -1], [-1, -1]]))
    return None


def _residues(q: int) -> Doubles:
    """[q, q]: 1 where the difference of row and column is a square modulo the prime q, 0 on the diagonal, else -1."""
    character = -np.ones(q)
    character[np.unique(np.arange(1, q) ** 2 % q)] = 1
    character[0] = 0
    return np.asarray(character[(np.arange(q)[:, None] - np.arange(q)) % q])


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
