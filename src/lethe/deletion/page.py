"""The page of a request: what was asked, resolved, done, verified, and what remains and why. It holds no text."""

from __future__ import annotations

from pathlib import Path

import jinja2

from lethe.deletion.certificate import Certificate
from lethe.deletion.resolving import said
from lethe.system.files import replacing


def page(certificate: Certificate) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["shown"] = lambda value: "–" if value is None else f"{value:.4g}"
    lines = [said(answer) for answer in certificate.asked.answers]
    return environment.get_template("page.html.jinja").render(of=certificate, lines=lines)


def write_page(file: Path, certificate: Certificate) -> None:
    with replacing(file) as temporary:
        temporary.write_text(page(certificate), encoding="utf-8")
