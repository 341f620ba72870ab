"""Runs snakemake, dvc and python scripts in forks of a process that has imported them, which saves seconds each.

Reads one JSON request per line, {argv, cwd, env, output}, and answers with the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import traceback
from pathlib import Path

OURS = {"lethe", "__main__", *(file.stem for file in (Path(__file__).parents[2] / "workflow").glob("*.py"))}


def run(argv: list[str]) -> int:
    sys.argv = argv
    if argv[0] == "snakemake":
        import snakemake.cli

        snakemake.cli.main(argv[1:])
    elif argv[0] == "dvc":
        import dvc.cli

        return dvc.cli.main(argv[1:])
    else:
        sys.argv = argv[1:]
        sys.path.insert(0, str(Path(argv[1]).parent))
        runpy.run_path(argv[1], run_name="__main__")
    return 0


def become(request: dict) -> None:
    """In a forked child: do what is asked, and end."""
    status = 1
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        status = run(request["argv"])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        Path(f"{request['output']}.modules").write_text("\n".join(sys.modules))
        os._exit(status or 0)


def serve() -> None:
    warm = set()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            become(request)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if request["argv"][0] not in warm:  # import now what this command imported, for the next one
            warm.add(request["argv"][0])
            for name in Path(f"{request['output']}.modules").read_text().splitlines():
                if name.split(".")[0] not in OURS:
                    try:
                        importlib.import_module(name)
                    except Exception:  # a module that exists only inside another's start
                        continue
        answers.write(f"{status}\n")
        answers.flush()


if __name__ == "__main__":
    serve()
