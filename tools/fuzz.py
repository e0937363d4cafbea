"""Prune thousands of random graphs and hold every one against the properties of tests/fuzz.

    python tools/fuzz.py --count 5000 --seed 1

Graph number `seed + k` depends on that number alone, so a finding can be repeated with `--seed N --count 1`.
Each finding is shrunk (steps are left out as long as the same property breaks) and written to --out as
`<number>.onnx` and `<number>.txt`. The exit code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fuzz"))

import onnx
from graphfuzz import Broken, Checked, Recipe, build, check, random_recipe


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one graph."""

    number: int
    checked: Checked | None
    broken: str = ""


def try_one(number: int) -> Result:
    """Build and check graph `number`."""
    return _try(random_recipe(number), number)


def _try(recipe: Recipe, number: int) -> Result:
    try:
        return Result(number, check(build(recipe), number))
    except Broken as broken:
        return Result(number, None, str(broken))


def shrink(recipe: Recipe, number: int, broken: str) -> tuple[Recipe, str]:
    """The recipe without every step that is not needed to break it in the same way."""
    kind = _kind(broken)
    changed = True
    while changed:
        changed = False
        for k in reversed(range(len(recipe.steps))):
            fewer = replace(recipe, steps=recipe.steps[:k] + recipe.steps[k + 1 :])
            found = _try(fewer, number)
            if found.broken and _kind(found.broken) == kind:
                recipe, broken, changed = fewer, found.broken, True
    return recipe, broken


def _kind(broken: str) -> str:
    """The first words: names and numbers differ from graph to graph."""
    return re.sub(r"[\d.e+-]+", "#", re.split(r" at ratio|: |;", broken)[0])


def _results(numbers: range, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(try_one, numbers)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(try_one, numbers, chunksize=4)


def _save(folder: Path, result: Result) -> str:
    recipe, broken = shrink(random_recipe(result.number), result.number, result.broken)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(recipe), folder / f"{result.number}.onnx")
    (folder / f"{result.number}.txt").write_text(f"{broken}\n\n{recipe!r}\n", encoding="utf-8")
    return f"{result.number}: {broken[:300]} (steps {', '.join(s.move for s in recipe.steps)})"


def main() -> int:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description="Prune random graphs and check that every property holds.")
    parser.add_argument("--count", type=int, default=1000, help="how many graphs")
    parser.add_argument("--seed", type=int, default=1, help="number of the first graph")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder for findings")
    arguments = parser.parse_args()
    seen: collections.Counter[str] = collections.Counter()
    start = time.monotonic()
    numbers = range(arguments.seed, arguments.seed + arguments.count)
    for done, result in enumerate(_results(numbers, arguments.jobs), 1):
        if result.checked is None:
            seen["broken"] += 1
            print("\r" + _save(arguments.out, result), flush=True)
        elif not result.checked.runnable:
            seen["rejected"] += 1
            print(f"\r{result.number} rejected: {result.checked.note[:200]}", file=sys.stderr)
        else:
            seen["clean"] += 1
            seen["uncut"] += not result.checked.groups
            seen["groups"] += result.checked.groups
            seen["seen"] += result.checked.change > 1e-3
        pace = (time.monotonic() - start) / done
        print(
            f"\r{done}/{arguments.count} clean {seen['clean']} (cut {seen['clean'] - seen['uncut']}, "
            f"moved {seen['seen']}, groups {seen['groups']}) rejected {seen['rejected']} "
            f"broken {seen['broken']} {pace:.2f} s each",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    print(f"{seen['clean']} clean, {seen['rejected']} rejected by the runtime, {seen['broken']} broken")
    return 1 if seen["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
