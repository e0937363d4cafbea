"""What a report says about the machine and the software that a measurement was made with."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from types import MappingProxyType
from typing import Any

_STACK = (
    "graphprune",
    "onnx",
    "onnx-ir",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx-graphsurgeon",
    "torch",
)
# Instruction sets that decide which channel counts are fast.
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_tile", "asimd")


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a measurement was made.

    Attributes:
        python: version of the interpreter.
        system: operating system and architecture.
        cpu: name of the processor.
        cores: processor cores that this process may use.
        flags: instruction sets that matter for speed, of those the system reports.
        packages: installed version of each package of the stack; missing ones are left out.
        warnings: sentences about what is wrong with the installation.
    """

    python: str
    system: str
    cpu: str
    cores: int
    flags: tuple[str, ...]
    packages: Mapping[str, str]
    warnings: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """The same as plain data for reports."""
        return {
            "python": self.python,
            "system": self.system,
            "cpu": self.cpu,
            "cores": self.cores,
            "packages": dict(self.packages),
            "warnings": list(self.warnings),
        }

    def lines(self) -> tuple[str, ...]:
        """The same for people to read, one fact per line."""
        stack = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        return (f"{self.cpu}, {self.cores} cores{flags}", f"{self.system}, Python {self.python}", stack)


def environment() -> Environment:
    """The machine and software at hand; imports none of the packages it names."""
    info = _cpu_info()
    flags = set(info.get("flags", info.get("Features", "")).split())
    packages = {name: version for name in _STACK if (version := _version(name)) is not None}
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=info.get("model name") or platform.processor() or platform.machine() or "unknown processor",
        cores=_usable_cores(),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in flags),
        packages=MappingProxyType(packages),
        warnings=_warnings(packages),
    )


def _warnings(packages: Mapping[str, str]) -> tuple[str, ...]:
    if "onnxruntime" in packages and "onnxruntime-gpu" in packages:
        return (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: "
            "uninstall both, then install the one you want",
        )
    return ()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _usable_cores() -> int:
    """Cores that this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where there is no such file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return _first_block(lines.read())
    except OSError:
        return {}


def _first_block(text: str) -> dict[str, str]:
    r"""The entries up to the first empty line.

    >>> _first_block("model name : Fast\n\nmodel name : Slow\n")
    {'model name': 'Fast'}
    """
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
