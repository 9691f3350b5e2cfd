"""The filter of the market that a sentence asks for, in Bulgarian, English, or both: «BMW X5 дизел до 25000, 2016+».

It may import `vinops.filters`, `vinops.vehicles`, `vinops.text`, `vinops.board` and `vinops.lots.filter`. `parse` is
all that others need; it reads LONGEST characters.
"""

from __future__ import annotations

from vinops.filter_text.reading import parse
from vinops.filter_text.tokens import LONGEST
from vinops.filter_text.understood import Ambiguity, Choice, Piece, Understood

__all__ = ["LONGEST", "Ambiguity", "Choice", "Piece", "Understood", "parse"]
