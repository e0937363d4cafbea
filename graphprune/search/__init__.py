"""The smallest model that is good enough.

wish.py     what was asked for: how much worse it may be, and by which measure
quality.py  Quality: the measure, and what the original has
curve.py    Point: one size and its quality; which size to try next
store.py    the points on disk, so that another search with the same question costs nothing
search.py   bisection over the budget
"""

from graphprune.search.curve import Point
from graphprune.search.search import search
from graphprune.search.wish import Wish, make_wish

__all__ = ["Point", "Wish", "make_wish", "search"]
