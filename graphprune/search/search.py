"""The search: bisection over the budget, every point a whole prune of the model that was made ready once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from graphprune.decide import Decision, Options
from graphprune.decide.budget import Target
from graphprune.errors import TargetError
from graphprune.finish import put_in_place
from graphprune.pipeline import Workbench, on_bench
from graphprune.run import Run, Settings
from graphprune.search.curve import Point, best, bracket
from graphprune.search.quality import Quality, quality_of
from graphprune.search.store import Store, question
from graphprune.search.wish import Wish

_ASIDE_FOR_AGREEMENT = 4  # a share of rows needs rows
_NOTHING = 1e-9


def search(
    what: Any, options: Options, settings: Settings, wish: Wish, tell: Callable[[str], None] = lambda _: None
) -> Run:
    """The smallest model that is good enough, verified and written like any other.

    Args:
        what: anything that `load` reads.
        options: what was asked for; its ratio and targets are not looked at.
        settings: what to do with the result.
        wish: how good it must be.
        tell: told the outcome of each point, and how long the rest will take.

    Raises:
        TargetError: nothing that is smaller is good enough; says what came nearest.
        GraphPruneError: see `graphprune.errors`.
    """
    if wish.metric is None and settings.wanted.aside > _ASIDE_FOR_AGREEMENT:
        settings = replace(settings, wanted=replace(settings.wanted, aside=_ASIDE_FOR_AGREEMENT))
    options, settings = _to(options, wish, 0.5), settings.held()
    return on_bench(
        what, options, settings, lambda bench: _Search(bench, options, settings, wish, tell).run()
    )


def _to(options: Options, wish: Wish, share: float) -> Options:
    """The options with a budget."""
    target = Target(wish.minimise, share, True, f"{wish.minimise}={share:.6g}")
    return replace(options, ratio=None, targets=(target,))


def _slots(decision: Decision) -> int:
    """How many slots are removed."""
    sizes = {g.atom: g.size for g in decision.candidates.groups}
    return sum(sizes[a] - s.count for a, s in decision.keeps.items())


class _Search:
    def __init__(
        self,
        bench: Workbench,
        options: Options,
        settings: Settings,
        wish: Wish,
        tell: Callable[[str], None],
    ) -> None:
        self._bench, self._options, self._settings = bench, options, settings
        self._wish, self._tell = wish, tell
        self._quality: Quality = quality_of(wish, bench, settings.wanted, options.seed)
        key, about = question(bench, options, settings.wanted, self._quality, wish.minimise)
        self._store = Store(wish.resume, key, about)
        if self._store.original is None:
            self._store.original = self._quality.of_original()
            self._store.add()
        self._original = self._store.original
        self._known = len(self._store.points)

    def run(self) -> Run:
        if self._known:
            self._tell(f"{self._known} points are known from {self._wish.resume}")
        least = self._least()
        self._settings.progress("search")
        self._bisect(least)
        while (point := best(self._store.points, self._good)) is not None:
            run = self._finished(point)
            if run is not None:
                return run
        raise self._infeasible()

    def _bisect(self, least: float) -> None:
        while True:
            between = bracket(self._store.points, self._good, least)
            left = between.tries(self._wish.resolution)
            if not left:
                return
            target = (between.low + between.high) / 2
            if self._is_known(target):
                continue
            point, _ = self._measured(target, self._quiet())
            self._store.add(point)
            left = bracket(self._store.points, self._good, least).tries(self._wish.resolution)
            self._tell(self._line(point, left))

    def _is_known(self, target: float) -> bool:
        """Whether the model of a budget is one that was tried: then its quality is known."""
        decision = self._bench.decide(_to(self._options, self._wish, target))
        for place, point in enumerate(self._store.points):
            if (point.macs, point.slots) == (decision.after.macs, _slots(decision)):
                share = min(point.share, target) if self._good(point) else point.share
                self._store.points[place] = replace(point, target=target, share=share)
                self._store.add()
                return True
        return False

    def _least(self) -> float:
        """The share of the original that the largest cut leaves."""
        try:
            say, options = self._settings.progress, _to(self._options, self._wish, _NOTHING)
            self._bench.decide(options, say, detail=self._settings.detail)
        except TargetError as error:
            return error.least[self._wish.minimise]
        return 0.0

    def _measured(self, target: float, settings: Settings) -> tuple[Point, Run]:
        """One pruned model and its quality."""
        start = time.perf_counter()
        run = self._bench.prune(_to(self._options, self._wish, target), settings)
        value = self._quality.of_run(run)
        before, after = run.decision.before, run.decision.after
        sizes = {
            "macs": after.macs / max(1, before.macs),
            "params": after.params / max(1, before.params),
            "size": (run.size_bytes or 0) / max(1, run.source.size_bytes),
        }
        share = min(target, sizes[self._wish.minimise])
        seconds = round(time.perf_counter() - start, 3)
        slots = _slots(run.decision)
        return Point(target, share, after.macs, after.params, run.size_bytes, slots, value, seconds), run

    def _quiet(self) -> Settings:
        """Settings of a trial: nothing is proved, timed or written."""
        say, number = self._settings.detail, len(self._store.points) + 1
        return replace(
            self._settings,
            output=None,
            verify=False,
            benchmark=False,
            dry_run=False,
            progress=lambda stage: say(f"search point {number}: {stage}"),
            detail=lambda stage: say(f"search point {number}: {stage}"),
        )

    def _finished(self, point: Point) -> Run | None:
        """The model of a point, proved and written; None if it is not as good as it was."""
        again, run = self._measured(point.target, replace(self._settings, output=None))
        if not self._good(again):
            points = self._store.points
            points[points.index(point)] = again
            self._store.add()
            self._tell(f"{self._line(again, 0)}: it was better when it was tried")
            return None
        settings = self._settings
        run.settings = replace(run.settings, output=settings.output)
        run.quality = self._as_data(again)
        if self._quality.judged_on == "made-up inputs":
            run.warnings.append(
                "agreement was measured on made-up inputs, which real ones may be far from; give --calib"
            )
        if settings.output is not None and not settings.dry_run:
            put_in_place(run, settings.output)
        return run

    def _good(self, point: Point) -> bool:
        return self._wish.allows(self._original, point.quality)

    def _line(self, point: Point, left: int) -> str:
        new = self._store.points[self._known :]
        rest = left * sum(p.seconds for p in new) / max(1, len(new))
        verdict = "good enough" if self._good(point) else "not good enough"
        more = f"; at most {left} more, about {rest:.0f} s" if left else ""
        return (
            f"{self._wish.minimise}={point.share:.3f}: {self._quality.name} {point.quality:.4f}, "
            f"{verdict}{more}"
        )

    def _infeasible(self) -> TargetError:
        metric, points = self._wish.metric, self._store.points
        lower = metric is not None and metric.lower_is_better
        near = (min if lower else max)(points, key=lambda p: p.quality, default=None)
        asked = f"--max-drop {self._wish.text}" if metric else f"--min-fidelity {self._wish.text}"
        if near is None:
            return TargetError(f"{asked} cannot be kept: nothing can be removed")
        return TargetError(
            f"{asked} cannot be kept: of {len(points)} models that were tried the best leaves "
            f"{self._wish.minimise}={near.share:.3f} with {self._quality.name} {near.quality:.4f} "
            f"(original {self._original:.4f}); allow more, or give more calibration inputs (--calib)"
        )

    def _as_data(self, chosen: Point) -> dict[str, Any]:
        """For the report."""
        metric = self._wish.metric
        return {
            "measure": self._quality.name,
            "judged_on": self._quality.judged_on,
            "lower_is_better": metric is not None and metric.lower_is_better,
            "asked": f"max-drop {self._wish.text}" if metric else f"min-fidelity {self._wish.text}",
            "minimised": self._wish.minimise,
            "original": self._original,
            "pruned": chosen.quality,
            "curve": [
                {**asdict(p), "good": self._good(p)}
                for p in sorted(self._store.points, key=lambda p: p.share)
            ],
        }
