"""What to do now: sentences that follow from a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Report = Mapping[str, Any]
_GOOD_TOP1, _GOOD_COSINE = 0.95, 0.99
_FAST_ENOUGH = 0.6  # share of the speed-up that the multiply-adds promise
_JUDGED_ONLY = "the calibration inputs, which nothing was learnt from"
_MUCH = 0.2  # share of the weights


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence about what was found, one about what to do, and options that do it."""

    found: str
    do: str
    options: str = ""


def advice(report: Report) -> list[Advice]:
    """What a user should do next, the most important first; never empty."""
    found = [said for rule in _RULES for said in rule(report)]
    return [*found, *_use_it(report, bool(found))]


def agreement(report: Report) -> Mapping[str, Any] | None:
    """The output that agrees least with the original."""
    rows = report.get("fidelity") or ()
    return min(rows, key=lambda r: (1.0 if r.get("top1") is None else r["top1"], r["cosine"]), default=None)


def agrees(row: Mapping[str, Any]) -> bool:
    """Whether an output is close enough to the original to be used as it is."""
    if row.get("top1") is not None:
        return bool(row["top1"] >= _GOOD_TOP1)
    return bool(row["cosine"] >= _GOOD_COSINE)


def _unverified(report: Report) -> Iterator[Advice]:
    proof = report["equivalence"]
    if proof["status"] == "equal" or report["dry_run"]:
        return
    note = proof.get("note") or "it was not asked for"
    if note == "--no-verify":
        yield Advice(
            "The result was not compared with the masked original.", "Run again without `--no-verify`."
        )
    else:
        yield Advice(
            f"The result was not compared with the masked original: {note}.",
            "Compare the outputs of both models on inputs of your own before you use it.",
        )


def _inputs(report: Report) -> Iterator[Advice]:
    calibration = report["method"]["calibration"]
    if calibration is not None and not calibration["synthetic"]:
        return
    if calibration is not None and report.get("judged_on") == _JUDGED_ONLY:
        yield Advice(
            "The recipe learns from inputs that it makes up; yours were only used to judge the result.",
            "Choose another recipe to learn from yours.",
            "--recipe auto",
        )
        return
    made_up = "were made up" if calibration is not None else "were not looked at: only weights decided"
    found = f"Inputs {made_up}, which keeps less of the accuracy."
    if str(report.get("judged_on", "")).startswith("the calibration inputs"):  # they are there already
        yield Advice(found, "Let the default recipe learn from the inputs that you give.", "--recipe auto")
        return
    if judged_at_random(report):
        found += f" Agreement was measured on {report['judged_on']}, which says little about yours."
    yield Advice(found, "Give a few hundred real inputs; no labels are needed.", "--calib inputs.npz")


def judged_at_random(report: Report) -> bool:
    """Whether agreement was measured on inputs that say little about real ones."""
    return bool(report["fidelity"]) and str(report.get("judged_on", "")).startswith(("random", "made-up"))


def _disagrees(report: Report) -> Iterator[Advice]:
    worst = agreement(report)
    if worst is None or agrees(worst) or judged_at_random(report):
        return
    share = "" if worst["top1"] is None else f", the same top-1 in {worst['top1']:.0%} of rows"
    yield Advice(
        f"“{worst['output']}” differs noticeably from the original (cosine {worst['cosine']:.3f}{share}).",
        "Cut less, or fine-tune the result.",
        _milder(report["asked"]),
    )


def _milder(asked: Mapping[str, Any]) -> str:
    """Options that cut half as much."""
    if asked.get("ratio"):
        return f"--ratio {asked['ratio'] / 2:.2g}"
    shares = [
        t.partition("=")
        for t in asked.get("targets", ())
        if t.partition("=")[2].replace(".", "", 1).isdigit()
    ]
    milder = [f"{name}={(1 + float(value)) / 2:.2g}" for name, _, value in shares if float(value) < 1]
    return f"--target {','.join(milder)}" if milder else ""


def _slow(report: Report) -> Iterator[Advice]:
    before, after = report["before"], report["after"]
    if not before.get("latency_ms") or not after.get("latency_ms"):
        return
    speed, promised = before["latency_ms"] / after["latency_ms"], before["macs"] / max(1, after["macs"])
    if speed >= 1 + _FAST_ENOUGH * (promised - 1):
        return
    found = f"It is {speed:.2f} × as fast with {promised:.2f} × fewer multiply-adds."
    if asked_to_round(report):
        yield Advice(found, "See where the time goes: `graphprune bench` profiles both models by operator.")
    else:
        yield Advice(
            found,
            "For more speed, keep widths that fill the blocks in which this machine computes.",
            "--round-to auto",
        )


def asked_to_round(report: Report) -> bool:
    """Whether widths were already kept at multiples."""
    return report["asked"].get("round_to", 1) not in (1, "1")


def _residual(report: Report) -> Iterator[Advice]:
    total = max(1, report["before"]["params"])
    rows = [
        r for r in report["not_cut"] if "--structures residual" in r["reason"] and r["params"] > _MUCH * total
    ]
    if not rows:
        return
    kinds = dict.fromkeys(g["kind"] for g in report["groups"])
    one = f"“{rows[0]['key']}” ({rows[0]['size']} slots)"
    yield Advice(
        f"{one} runs through {min(1.0, rows[0]['params'] / total):.0%} of the weights and was kept: it is "
        "normalised over, so that cutting it changes a little more than its own weights say.",
        "To make the model smaller still, allow widths that are normalised over, and look at the agreement.",
        f"--structures {','.join([*kinds, 'residual'])}",
    )


def _dry(report: Report) -> Iterator[Advice]:
    if report["dry_run"]:
        yield Advice("This was a dry run: nothing was written.", "Run the same command without `--dry-run`.")


def _use_it(report: Report, reservations: bool) -> Iterator[Advice]:
    if report["dry_run"]:
        return
    first = "After that, use" if reservations else "Use"
    where = f"“{report['output']}”" if report.get("output") else "the result"
    yield Advice(
        "The pruned file has the same inputs and outputs as the original.",
        f"{first} {where} in its place, and check it once with your own metric on data it has not seen.",
    )


_RULES: tuple[Callable[[Report], Iterator[Advice]], ...] = (
    _dry,
    _unverified,
    _disagrees,
    _inputs,
    _slow,
    _residual,
)
