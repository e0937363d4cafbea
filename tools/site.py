"""Hook of mkdocs: the site has the folders of the repository, so that one link works in both."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
_PAGES = (
    "*.md",
    "docs/*.md",
    "docs/*.json",
    "docs/accuracy/*.svg",
    "graphprune/rules/README.md",
    "passes/README.md",
)
_MORE = ("models/README.md", "models/frameworks/README.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of the repository by their own paths; what the theme brings stays."""
    pages = sorted({p for pattern in (*_PAGES, *_MORE) for p in ROOT.glob(pattern)})
    mine = [
        File(p.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls)
        for p in pages
    ]
    docs = Path(config.docs_dir)
    return Files(
        [*mine, *(f for f in files if not f.abs_src_path or docs not in Path(f.abs_src_path).parents)]
    )
