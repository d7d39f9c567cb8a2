"""Pictures for people to look at: contact sheets of data sets, rank lists of results. Pillow only."""

from reid.pictures.contact_sheet import contact_sheet
from reid.pictures.rank_list import RankedEntry, RankRow, rank_list

__all__ = ["RankRow", "RankedEntry", "contact_sheet", "rank_list"]
