"""Whether git keeps a file: what is removed from it later stays in the history."""

from __future__ import annotations

import subprocess
from pathlib import Path

SECONDS = 30


def is_kept(path: str | Path) -> bool:
    """Whether a file, or one in a folder, is tracked by git or would be with the next `git add -A`; without git, no."""
    path = Path(path).absolute()
    command = ["git", "-C", str(path.parent), "ls-files", "--cached", "--others", "--exclude-standard", "--"]
    try:
        done = subprocess.run(
            [*command, f":(literal){path.name}"], capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(done.stdout)


def kept_warning(key: str, path: str | Path) -> str:
    return (
        f"{key}: {path} is in git, or would be with `git add -A`: what is removed from it stays in the history."
        " If it is private, keep it in data/raw, which git ignores, and add it with `dvc add`"
    )
