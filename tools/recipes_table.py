"""Writes the tables of docs/recipes.md from the installed passes and recipes.

python tools/recipes_table.py            write them
python tools/recipes_table.py --check    say whether they are up to date (exit code 1 if not)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from graphprune_passes import PASSES, RECIPES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
KINDS = ("criterion", "reducer", "normaliser", "allocation", "compensation", "depth")
BASIS = "basis"
PLURALS = {"criterion": "Criteria", "basis": "Changes of basis", "depth": "Layers"}


def recipes() -> Iterator[str]:
    """One row for each recipe."""
    heads = ("recipe", "needs", "cuts", *KINDS, "source")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for recipe in RECIPES:
        cuts = ", ".join(recipe.structures) if recipe.structures else "all exact"
        named = {"depth": "", **dict(recipe.asked)}
        parts = " | ".join(named.get(kind, "-") for kind in KINDS)
        fidelity = "" if recipe.paper.startswith(("ours", "the baseline")) else ", adapted"
        source = recipe.paper + ("" if recipe.follows else fidelity)
        yield f"| **{recipe.name}** | {recipe.looks_at} | {cuts} | {parts} | {source} |"


def notes() -> Iterator[str]:
    """What each recipe does, in a line."""
    for recipe in RECIPES:
        yield f"- **{recipe.name}**: {recipe.summary}."


def parts() -> Iterator[str]:
    """The passes of each kind."""
    for kind in (*KINDS, BASIS):
        yield f"### {PLURALS.get(kind, kind.capitalize() + 's')} (`--{kind}`)"
        yield ""
        yield "| name | needs | what it does |"
        yield "|---|---|---|"
        for part in PASSES:
            if part.kind == kind:
                yield f"| {part.name} | {part.needs} | {part.summary} |"
        yield ""


def filled(page: str) -> str:
    """The page with its tables made again."""
    for name, rows in (("recipes", recipes), ("notes", notes), ("parts", parts)):
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = before + begin + "\n" + "\n".join(rows()).rstrip() + "\n\n" + end + after
    return page


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    page = PAGE.read_text()
    wanted = filled(page)
    if not check:
        PAGE.write_text(wanted)
    elif page != wanted:
        print("docs/recipes.md is not up to date: run python tools/recipes_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
