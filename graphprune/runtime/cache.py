"""What is measured once for a machine, in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Where this user's caches go: `$XDG_CACHE_HOME/graphprune`, or the system's own place for them."""
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"]) / "graphprune"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "graphprune" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "graphprune"
    return Path.home() / ".cache" / "graphprune"


def cached(name: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was stored under a name for exactly this key; None if nothing that can be read."""
    try:
        found = json.loads(_place(name, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["value"] if isinstance(found, dict) and found.get("key") == dict(key) else None


def store(name: str, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    """Store a value whole; where nothing can be written it is measured again next time."""
    place = _place(name, key)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"key": dict(key), "value": dict(value)}, file, indent=1)
        os.replace(draft, place)


def _place(name: str, key: Mapping[str, Any]) -> Path:
    text = json.dumps(dict(key), sort_keys=True)
    return cache_folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
