"""Pages from templates of Jinja that lie beside the code that fills them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2


def template(file: Path, **filters: Callable[..., Any]) -> jinja2.Template:
    """A template of HTML, with filters of its own; an unknown name is an error, and what it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(filters)
    return environment.get_template(file.name)
