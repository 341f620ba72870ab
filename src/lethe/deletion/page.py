"""The page of a request: what was asked, resolved, done, verified, and what remains and why. It holds no text."""

from __future__ import annotations

from pathlib import Path

from lethe.deletion.certificate import Certificate
from lethe.deletion.resolving import said
from lethe.system.files import replacing
from lethe.system.templates import template

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def page(certificate: Certificate) -> str:
    lines = [said(answer) for answer in certificate.asked.answers]
    return template(TEMPLATE, shown=shown).render(of=certificate, lines=lines)


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def write_page(file: Path, certificate: Certificate) -> None:
    with replacing(file) as temporary:
        temporary.write_text(page(certificate), encoding="utf-8")
