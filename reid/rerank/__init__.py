"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), sparse: memory and time in proportion to the number of images."""

from __future__ import annotations

from reid.rerank.scores import ReRanked

__all__ = ["ReRanked"]
