"""Writes the records of run.py as a page: a summary, what failed and why, and one line for each file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Record = Mapping[str, Any]

HEAD = """# Coverage

Every exported model at hand, pruned without any hint: `graphprune MODEL --ratio 0.5` with the check of
mask equivalence on. Made by `tools/zoo/run.py`; the models come from `tools/zoo/export.py` (weights
drawn at random so that every layer matters; `zoo-default`: as initialised, with equal biases and gains that
exporters store once) and from public collections. The records behind it are in `docs/coverage`, where runs on
several machines meet.

*Reached* is the share of the weights that some removable dimension runs through: with a result exactly
equal to the masked original, and in all (with the dimensions that can only be removed approximately).
*Error* is the largest difference between the pruned model and the masked original relative to the
largest output; *change* is how far masking moved the outputs, so a check with a change near zero had
nothing to see. *Analysis* is the processor time of the dependency analysis alone, in a fresh process; *total*
is the time of the whole command on a machine that had other work. The last two columns are the share of the
parameters that other pruners remove from the same network.
"""

COLUMNS = (
    ("model", "---"),
    ("nodes", "---:"),
    ("groups cut", "---:"),
    ("reached exactly / in all", "---:"),
    ("parameters removed", "---:"),
    ("MACs removed", "---:"),
    ("equivalence", "---"),
    ("error", "---:"),
    ("change", "---:"),
    ("analysis", "---:"),
    ("total", "---:"),
    ("Torch-Pruning", "---:"),
    ("onnxsim", "---:"),
)
PACKAGES = Path(__file__).with_name("packages.json")
RIVALS = ("torch-pruning", "onnxsim")
WORTH = 0.05  # a prune that removes less is none


def page(found: Mapping[str, Record]) -> str:
    """The whole page.

    Args:
        found: what run.py found out, by the name of the file, and rivals.py, by
            `<rival>/<architecture or file>`.
    """
    rivals = {name: r for name, r in found.items() if name.split("/")[0] in RIVALS}
    records = {name: r for name, r in found.items() if name not in rivals}
    parts = [HEAD, _summary(list(records.values())), _collections(records)]
    if rivals:
        parts.append(_rivals(records, rivals))
    if any(name.startswith("real/") for name in records):
        parts.append(_packages())
    if failed := {n: r for n, r in records.items() if r["status"] != "equal"}:
        parts.append(_failures(failed))
    parts += [_why_not_cut(list(records.values())), _table(records, rivals)]
    return "\n".join(parts)


def _summary(records: Sequence[Record]) -> str:
    count = Counter(r["status"] for r in records)
    exact = [r["reached"]["exact"] for r in records if "reached" in r]
    anyhow = [r["reached"]["any"] for r in records if "reached" in r]
    times = sorted(r["analyse_s"] * 1000 for r in records if r.get("analyse_s"))
    equal = [r for r in records if r["status"] == "equal"]
    seen = sum(r.get("change", 0.0) > 1e-3 for r in equal)
    lines = [
        "## Summary\n",
        f"- {len(records)} files; {len(records) - count['failed']} run to an end, {count['equal']} of them "
        f"come out equal to the masked original (in {seen} masking moved the outputs by more than 0.1 %)",
        f"- {count['different']} differ, {count['refused']} are refused with a reason, "
        f"{count['not checked']} could not be checked, {count['failed']} fail",
        f"- pruned on {_days(records)}",
    ]
    if exact and times:
        lines += [
            f"- median share of the weights reached: {median(exact):.1%} exactly, {median(anyhow):.1%} in "
            f"all; at least 90 % in {sum(v >= 0.9 for v in anyhow)} files",
            f"- analysis: median {median(times):.0f} ms, nine in ten under {_ninth(times):.0f} ms, "
            f"slowest {times[-1]:.0f} ms",
        ]
    return "\n".join(lines) + "\n"


def _days(records: Sequence[Record]) -> str:
    """When the records were made: rows of an earlier day come from an earlier version."""
    days = Counter(r["day"] for r in records if "day" in r)
    return ", ".join(f"{day} ({n} files)" for day, n in sorted(days.items())) or "days that nobody noted"


def _ninth(values: Sequence[float]) -> float:
    return quantiles(values, n=10)[-1] if len(values) > 1 else values[0]


def _collections(records: Mapping[str, Record]) -> str:
    """One line for each folder and kind of exporter."""
    found: dict[str, list[Record]] = {}
    for name, record in records.items():
        found.setdefault(_collection(name), []).append(record)
    lines = [
        "| collection | files | equal | reached exactly (median) | parameters removed (median) |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, rows in sorted(found.items()):
        exact = [r["reached"]["exact"] for r in rows if "reached" in r]
        removed = [r["params_removed"] for r in rows if "params_removed" in r]
        equal = sum(r["status"] == "equal" for r in rows)
        lines.append(
            f"| {name} | {len(rows)} | {equal} | {_median_share(exact)} | {_median_share(removed)} |"
        )
    return "\n".join(lines) + "\n"


def _collection(name: str) -> str:
    folder, *rest = name.split("/")
    exporter = next((e for e in ("torchscript", "dynamo") if rest and f".{e}." in rest[-1]), "")
    return f"{folder}, {exporter}" if exporter else folder


def _median_share(values: Sequence[float]) -> str:
    return f"{median(values):.0%}" if values else "–"


def _rival_keys(name: str) -> tuple[str, str]:
    """Where the records of the rivals for a file are."""
    file = name.rsplit("/", 1)[-1]
    return f"torch-pruning/{file.split('.')[0]}", f"onnxsim/{file}"


def _cell_of(rivals: Mapping[str, Record], key: str) -> str:
    record = rivals.get(key)
    if record is None:
        return "–"
    return f"{record['removed']:.0%}" if record["status"] == "works" else record["status"]


def _rivals(records: Mapping[str, Record], rivals: Mapping[str, Record]) -> str:
    """How many files each tool can make smaller, on the files that both were given."""
    lines = [
        "## Beside other pruners\n",
        "`tools/zoo/rivals.py` runs them over the same networks, each asked for half and given no hint,",
        "since whoever has an ONNX file has no module to annotate. Torch-Pruning prunes the torch module;",
        "its result works if it runs and its outputs keep their rank (the last layer is not protected).",
        "onnxsim prunes the exported file after its own simplification, heads and then channels; its result",
        "works if ONNX Runtime runs it and the shapes of the outputs stay. *Useful* means that it works and",
        "that more than 5 % of the parameters are gone; for graphprune, also that it equals the masked",
        "original.\n",
        "| tool | given | works | useful | parameters removed where it works (median) | graphprune: useful |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for index, rival in enumerate(RIVALS):
        by_key: dict[str, Record] = {}
        for name, record in records.items():
            by_key.setdefault(_rival_keys(name)[index], record)
        common = [key for key in rivals if key.startswith(f"{rival}/") and key in by_key]
        if not common:
            continue
        works = [rivals[key]["removed"] for key in common if rivals[key]["status"] == "works"]
        useful = sum(removed > WORTH for removed in works)
        ours = sum(_useful(by_key[key]) for key in common)
        version = next((rivals[key]["version"] for key in common if "version" in rivals[key]), "")
        lines.append(
            f"| {rival} {version} | {len(common)} | {len(works)} | {useful} | {_median_share(works)} "
            f"| {ours} of {len(common)} |"
        )
    return "\n".join(lines) + "\n\n" + _complaints(rivals)


def _useful(record: Record) -> bool:
    return record["status"] == "equal" and record.get("params_removed", 0.0) > WORTH


def _complaints(rivals: Mapping[str, Record]) -> str:
    count = Counter((key.split("/")[0], record["why"]) for key, record in rivals.items() if record.get("why"))
    silent = sum(record["status"] != "works" and not record.get("why") for record in rivals.values())
    lines = ["| tool | what goes wrong | times |", "|---|---|---:|"]
    lines += [f"| {rival} | {_cell(why)} | {n} |" for (rival, why), n in count.most_common(12)]
    if silent:
        lines.append(f"| both | not noted, in records of an earlier day | {silent} |")
    return "\n".join(lines) + "\n"


def _packages() -> str:
    """Where the trained models come from."""
    lines = [
        "## Trained models of public packages\n",
        "ONNX files that packages on PyPI carry; `real/` in the table.\n",
        "| folder | package | licence | what it does |",
        "|---|---|---|---|",
    ]
    for row in json.loads(PACKAGES.read_text()):
        lines.append(f"| {row['name']} | {row['package']} | {row['licence']} | {row['task']} |")
    return "\n".join(lines) + "\n"


def _failures(records: Mapping[str, Record]) -> str:
    lines = ["## Not equal, and why\n", "| model | outcome | reason |", "|---|---|---|"]
    order = ("failed", "different", "refused", "not checked")
    for name, r in sorted(records.items(), key=lambda item: (order.index(item[1]["status"]), item[0])):
        lines.append(f"| {name} | {r['status']} | {_cell(_reason(r))} |")
    return "\n".join(lines) + "\n"


def _reason(record: Record) -> str:
    if record["status"] == "different" and not record.get("note"):
        return f"output `{record['output']}` differs by {record['error']:.2g}"
    return str(record.get("note") or record.get("why") or "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def _why_not_cut(records: Sequence[Record]) -> str:
    """The commonest reasons over all files."""
    files: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    for record in records:
        for reason, count in record.get("not_cut", {}).items():
            files[reason] += 1
            groups[reason] += count
    told = sum("not_cut" in record for record in records)
    lines = [
        "## Why dimensions are not cut\n",
        f"In the {told} files whose records have reasons.\n",
        "| reason | files | dimensions |",
        "|---|---:|---:|",
    ]
    lines += [f"| {_cell(reason)} | {n} | {groups[reason]} |" for reason, n in files.most_common(40)]
    return "\n".join(lines) + "\n"


def _table(records: Mapping[str, Record], rivals: Mapping[str, Record]) -> str:
    heads, rules = zip(*COLUMNS, strict=True)
    lines = ["## Every file\n", f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    for name, record in sorted(records.items()):
        others = [_cell_of(rivals, key) for key in _rival_keys(name)]
        lines.append(f"| {' | '.join([*_row(name, record), *others])} |")
    return "\n".join(lines) + "\n"


def _row(name: str, r: Record) -> list[str]:
    share = r.get("reached")
    return [
        name,
        _whole(r.get("nodes")),
        _whole(r.get("cut")),
        f"{share['exact']:.0%} / {share['any']:.0%}" if share else "–",
        _percent(r.get("params_removed")),
        _percent(r.get("macs_removed")),
        r["status"],
        f"{r['error']:.1e}" if r.get("error") else "–",
        f"{r['change']:.2g}" if r.get("change") else "–",
        f"{r['analyse_s'] * 1000:.0f} ms" if r.get("analyse_s") else "–",
        f"{r['seconds']:.1f} s",
    ]


def _whole(value: int | None) -> str:
    return "–" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
