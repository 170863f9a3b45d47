"""What the built metadata takes from the repository's address, which pyproject.toml has once."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\]\((?!\w+:|#)([^)\s]+)\)")
PICTURES = (".png", ".jpg", ".svg", ".gif")


class RepositoryHook(MetadataHookInterface):
    """Names the project's pages, and makes the README readable away from its repository."""

    def update(self, metadata: dict) -> None:
        """Add the addresses, and the README with absolute links, to the metadata."""
        repository = self.config["repository"].rstrip("/")
        pages = f"{repository}/blob/HEAD"
        metadata["urls"] = {
            "Homepage": repository,
            "Documentation": f"{pages}/docs/index.md",
            "Source": repository,
            "Bug Tracker": f"{repository}/issues",
            "User Support": f"{repository}/issues",
            "Changelog": f"{pages}/CHANGELOG.md",
        }

        def absolute(link: re.Match) -> str:
            kind = "raw" if link[1].lower().endswith(PICTURES) else "blob"
            return f"]({repository}/{kind}/HEAD/{link[1]})"

        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": LINK.sub(absolute, readme),
        }
