"""Writes docs/operators.md from the rule table: what graphprune knows of each operator.

python tools/operators_table.py            write it
python tools/operators_table.py --check    say whether it is up to date (exit code 1 if not)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx

from graphprune.report.operators import BODIES, how, zero_of
from graphprune.rules import Rule
from graphprune.rules.barriers import BARRIERS, DOMAINS
from graphprune.rules.table import BY_DOMAIN, RULES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operators.md"
HEAD = """\
# Operators

Written by `python tools/operators_table.py` from the rules themselves; a test compares.

*Axes* is the rule: one line of the notation explained in [rules/README.md](../graphprune/rules/README.md), or
what the rule's function does. *Removed slots hold* says what an output holds where all weights of a slot are
zero; it decides whether a removal is exact (see [architecture.md](architecture.md#exactness)).
"""
TAIL = """\
## With a body

{bodies} are followed into their bodies: what goes in and what comes out is one dimension with its twin
inside.

## Declared barriers

Dimensions that reach these are frozen, with this reason:

{barriers}

Whole domains:

{domains}

## Without a rule

An operator of any other domain is a barrier too: everything it reads and makes is frozen, and the model can
still be pruned elsewhere. {missing}
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for domain, family in ((d, f) for d, families in BY_DOMAIN.items() for f in families):
        title = (f"{domain}: " if domain else "") + family.__name__.rpartition(".")[2]
        about = _escaped((family.__doc__ or "").strip().partition("\n")[0])
        parts.append(f"## {title}\n\n{about}\n\n| operator | axes | removed slots hold |\n|---|---|---|")
        parts[-1] += (
            "".join(f"\n| {names} | {how} | {zero} |" for names, how, zero in _rows(family.RULES)) + "\n"
        )
    parts.append(
        TAIL.format(
            bodies=", ".join(BODIES),
            barriers="\n".join(_reasons()),
            domains="\n".join(f"- `{domain}`: {why}" for domain, why in sorted(DOMAINS.items())),
            missing=_missing(),
        )
    )
    return "\n".join(parts)


def _rows(rules: dict[str, Rule]) -> Iterator[tuple[str, str, str]]:
    """Operators that are alike share a row."""
    alike: dict[tuple[str, str], list[str]] = {}
    for op, rule in rules.items():
        alike.setdefault((_how(rule), zero_of(rule)), []).append(op)
    for (axes, zero), ops in alike.items():
        yield ", ".join(f"`{op}`" for op in ops), axes, zero


def _how(rule: Rule) -> str:
    return f"`{how(rule)}`" if isinstance(rule.relate, str) else _escaped(how(rule))


def _escaped(text: str) -> str:
    """Stars outside of code are no emphasis."""
    return "`".join(p if k % 2 else p.replace("*", r"\*") for k, p in enumerate(text.split("`"))).replace(
        "|", r"\|"
    )


def _reasons() -> Iterator[str]:
    """Operators with the same reason share a line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for (domain, op), why in sorted(BARRIERS.items()):
        alike.setdefault((domain, why), []).append(op)
    for (domain, why), ops in alike.items():
        yield f"- {f'{domain}: ' if domain else ''}{', '.join(f'`{op}`' for op in ops)}: {why}"


def _missing() -> str:
    """Operators of the installed ONNX that nothing is said of."""
    known = {op for domain, op in (*RULES, *BARRIERS) if not domain} | set(BODIES)
    names = sorted({s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated} - known)
    of = f"ONNX {onnx.__version__.rpartition('.')[0]}"
    if not names:
        return f"No operator of {of} is without a rule or a reason."
    return f"So are these of {of}: {', '.join(f'`{n}`' for n in names)}"


def _known_part(text: str) -> str:
    """Without the list that depends on the installed ONNX."""
    return text.partition("## Without a rule")[0]


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if _known_part(PAGE.read_text(encoding="utf-8")) == _known_part(page()):
        return 0
    print(f"docs/{PAGE.name} is out of date: run python tools/operators_table.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
