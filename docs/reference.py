"""Write the reference of the site from the code: parameters, plug-ins, commands. MkDocs calls it (hooks in mkdocs.yml).

What a key means is the text below its field, what an option of a plug-in means the comment beside it, what a metric is
its docstring: nothing is said here a second time, and nothing is kept in a file that could be out of date.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from lethe.__main__ import parser  # noqa: E402
from lethe.params.file import Params  # noqa: E402
from lethe.params.schema import text as schema_file  # noqa: E402
from lethe.system import plugins  # noqa: E402

WRITTEN = "Written from the code when this site is built.\n\n"
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
OUTPUTS = [  # heading, file, function whose docstring says what the output holds; none: the module's
    ("scores.npz", "score.py", "scored"),
    ("comparison.json", "compare.py", None),
    ("run.json", "training/run_record.py", None),
    ("certificate.json", "deletion/certificate.py", None),
]
OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)]*)?\)")
warn = logging.getLogger("mkdocs.hooks.reference").warning


def on_files(files: Files, config: Any) -> Files:
    schema = Params.model_json_schema()
    pages = {
        "parameters.md": parameters(schema),
        "params.schema.json": schema_file(),
        "method-options.md": WRITTEN + options("objectives", "Hyper", "Options of methods", "hyper"),
        "datasets.md": WRITTEN + options("datasets", "Options", "Built-in texts", "options"),
        "perturbations.md": WRITTEN + options("perturbations", "Options", "Perturbations", "options"),
        "metrics.md": metrics(),
        "commands.md": commands(),
        "outputs.md": outputs(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to files of the repository that are no pages become plain text; a dead one is a warning."""

    def plain(link: re.Match[str]) -> str:
        target = (Path(config.docs_dir) / page.file.src_uri).parent.joinpath(link[2]).resolve()
        if target.is_relative_to(config.docs_dir):
            return link[0]
        if not target.exists():
            warn(f"{page.file.src_uri}: {link[2]} is not there")
        return link[1]

    return OUTSIDE.sub(plain, markdown)


# ---------------------------------------------------------------- parameters


def parameters(schema: dict[str, Any]) -> str:
    """A table for each section, in the order in which they are met from the top."""
    page = "# Parameters\n\n" + WRITTEN
    page += (
        "All of `params.yaml`. Required keys are **bold**. An editor that knows JSON schemas completes and checks the"
        " file with [params.schema.json](params.schema.json).\n\n"
    )
    todo, done = [("", schema)], []
    while todo:
        name, section = todo.pop(0)
        page += f"## {name or 'params.yaml'}\n\n{section.get('description', '')}\n\n" + table(section)
        for found in re.findall(r'"#/\$defs/(\w+)"', json.dumps(section.get("properties", {}))):
            if found not in done:
                done.append(found)
                todo.append((found, schema["$defs"][found]))
    return page


def table(section: dict[str, Any], notes: dict[str, str] | None = None) -> str:
    rows = []
    for key, field in section.get("properties", {}).items():
        needed = key in section.get("required", ())
        meaning = field.get("description") or (notes or {}).get(key, "")
        default = "" if "default" not in field else f"`{shown(field)}`"
        rows.append([f"**`{key}`**" if needed else f"`{key}`", kind(field), default, meaning])
    if not rows:
        return "No options.\n\n"
    head = [["key", "type", "default", "meaning"], ["---"] * 4]
    return "".join("| " + " | ".join(map(cell, row)) + " |\n" for row in head + rows) + "\n"


def shown(field: dict[str, Any]) -> str:
    """The default; of a section, whose own table has its defaults, nothing but braces."""
    return "{…}" if "$ref" in field else json.dumps(field["default"], ensure_ascii=False)


def kind(field: dict[str, Any]) -> str:
    """Type and range of a field, in words."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(kind(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {kind(field.get('items', {}))}"
    values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    if isinstance(values[0], dict):
        return f"name → {kind(values[0])}"
    limits = [f"{sign} {field[name]}" for name, sign in LIMITS.items() if name in field]
    return " ".join([WORDS.get(field.get("type", ""), "section"), ", ".join(limits)]).strip()


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ---------------------------------------------------------------- plug-ins


def options(folder: str, dataclass: str, title: str, where: str) -> str:
    """A section for each file of the folder: what it is, and its options, of the key `where`."""
    text = f"# {title}\n\nThe keys of `{where}`, of each file of `src/lethe/{folder}`.\n\n"
    for name in plugins.names_in(folder):
        source = (plugins.PACKAGE / folder / f"{name}.py").read_text()
        try:
            schema = plugins.dataclass_in(folder, name, dataclass).json_schema()
        except LookupError:  # a file that several share
            continue
        about = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
        text += f"## {name}\n\n{about}\n\n" + table(schema, comments(source, dataclass))
    return text


def comments(source: str, dataclass: str) -> dict[str, str]:
    """Field -> the comment beside it, or below its first line, in a dataclass."""
    found = {}
    (node,) = [n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == dataclass]
    lines = source.splitlines()
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.end_lineno:
            parts = [line.partition("  # ")[2] for line in lines[field.lineno - 1 : field.end_lineno]]
            found[field.target.id] = " ".join(part.strip() for part in parts if part)
    return found


def metrics() -> str:
    text = (
        "# Metrics\n\n"
        + WRITTEN
        + "Every file of `src/lethe/metrics`, and what its functions take and give.\n\n"
    )
    for name in plugins.names_in("metrics"):
        tree = ast.parse((plugins.PACKAGE / "metrics" / f"{name}.py").read_text())
        tasks = ", ".join(plugins.tasks_of("metrics", name))
        text += f"## {name}\n\n{ast.get_docstring(tree)}\n\n" + (f"Tasks: {tasks}.\n\n" if tasks else "")
        for node in tree.body:
            about = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
            if about and "Returns:" in about and isinstance(node, ast.FunctionDef):
                text += (
                    f"```text\n{node.name}({', '.join(a.arg for a in node.args.args)})\n\n{about}\n```\n\n"
                )
    return text


# ---------------------------------------------------------------- commands


def commands() -> str:
    top = parser()
    (subcommands,) = [action.choices for action in top._actions if isinstance(action.choices, dict)]
    text = "# Commands\n\n" + WRITTEN
    people = "`check`, `judge`, `tune`, `verify`, `request`, `versions` and `purge`"
    text += f"Rules of the workflow call most of these; {people} are for people.\n\n"
    for name, command in sorted(subcommands.items()):
        text += f"## lethe {name}\n\n```text\n{command.format_help()}```\n\n"
    return text


# ---------------------------------------------------------------- outputs


def outputs() -> str:
    """What lies where, as results/README.md says it, and what the files of one step hold, as its code says."""
    text = (ROOT / "results/README.md").read_text().replace("# Results", "# Outputs", 1) + "\n"
    for heading, file, name in OUTPUTS:
        tree = ast.parse((plugins.PACKAGE / file).read_text())
        nodes = (
            [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name] if name else [tree]
        )
        about = ast.get_docstring(nodes[0]) if nodes else None
        if about is None:
            warn(f"{file}: {name or 'the module'} has no docstring, which the page of outputs shows")
        text += f"## {heading}\n\n```text\n{about}\n```\n\n"
    return text
