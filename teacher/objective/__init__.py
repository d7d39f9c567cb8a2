"""The objective: a weighted sum of named terms, one small file each."""

from __future__ import annotations

from teacher.objective.neck import Neck
from teacher.objective.objective import Telling, TermContext, evaluate_terms

__all__ = ["Neck", "Telling", "TermContext", "evaluate_terms"]
