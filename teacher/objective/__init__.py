"""The objective: a weighted sum of named terms, one small file each."""

from __future__ import annotations

from teacher.objective.neck import Neck
from teacher.objective.objective import TermContext, evaluate_terms

__all__ = ["Neck", "TermContext", "evaluate_terms"]
