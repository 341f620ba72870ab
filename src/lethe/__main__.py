"""The command line: one subcommand per rule of the workflow, with the same names."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic_core import ValidationError

from lethe.params.tree import DEPTH, check_tree
from lethe.system import gpus, plugins, workers
from lethe.system.errors import InputError

LISTS = {
    "methods": "the methods",
    "metrics": "the metrics",
    "datasets": "the data sets that come with it",
    "perturbations": "the tests whether what was forgotten comes back",
    "tasks": "what models may be for",
}
ON_GPUS = ("train", "unlearn", "score", "judge")  # steps that use a GPU where there is one
KEYS = {  # what the parameters of a step must hold
    "prepare": ("task", "dataset", "seed"),
    "forget": ("task", "forget"),
    "train": ("task", "model", "train"),
    "unlearn": ("task", "model", "method"),
    "score": ("task", "model", "score"),
    "measure": ("measure",),
    "blind": ("measure",),
    "judge": (),
    "compare": ("task", "seeds", "runs", "methods", "measure"),
    "report": ("studies",),
}


class Version(argparse.Action):
    """Prints the version, which is looked up for this alone; of sources that are not installed it is not known."""

    def __call__(self, parser, *_) -> None:
        try:
            print(f"lethe {version('lethe')}")
        except PackageNotFoundError:
            print("lethe, run from its sources")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lethe", description="Unlearning for language models, step by step.")
    top.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if KEYS.get(name):
            keys = ", ".join(KEYS[name])
            sub.add_argument(
                "--cfg", required=True, help=f"parameters of this step: a JSON object of {keys}, or its file"
            )
        return sub

    check = command("check", "check a parameter file and list its runs")
    check.add_argument("file", nargs="?", default="params.yaml")
    for name, text in LISTS.items():
        sub = command(name, f"list {text}, with tasks, sources and settings")
        sub.add_argument(
            "file", nargs="?", default="params.yaml", type=Path, help="names plug-ins of one's own"
        )

    verify = command("verify", "compute every digest anew: of all outputs, or of what a certificate is about")
    verify.add_argument("certificate", nargs="?", type=Path, help="certificate.json; default: all outputs")
    verify.add_argument(
        "--signers", type=Path, help="allowed signers, as ssh-keygen(1) has them, or a public key of minisign"
    )
    verify.add_argument("--request", type=Path, help="file of the request, whose digest is computed, too")
    verify.add_argument(
        "--trust-scores",
        action="store_true",
        help="take the scores as certified, by their digests, and score no model again",
    )
    verify.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="how far numbers of a model that is scored again may be from those certified; default: 0.001",
    )
    command("versions", "list the versions of the model that deletion requests have made")
    schema = command("schema", "print a JSON schema, for editors and readers")
    schema.add_argument(
        "of",
        nargs="?",
        choices=("params", "certificate"),
        default="params",
        help="params.yaml, certificate.json",
    )

    tune = command(
        "tune", "search for settings: equally many trials of every method, on seeds that are not reported"
    )
    tune.add_argument("file", nargs="?", default="params.yaml", type=Path)
    tune.add_argument(
        "--study", action="append", default=[], help="a study to search; default: all with `tune`"
    )
    tune.add_argument("--out", default=Path("tuning"), type=Path, help="folder for the trials")
    tune.add_argument(
        "--log", default=Path("docs/tuning"), type=Path, help="folder for STUDY.json and STUDY.yaml"
    )
    tune.add_argument(
        "--snakemake", default=[], nargs=argparse.REMAINDER, help="more arguments for Snakemake"
    )

    request = command("request", "serve a deletion request: a new version of the model and its certificate")
    request.add_argument("file", type=Path, help="request, .csv or .jsonl; see data/requests/README.md")
    request.add_argument("--study", help="study whose model forgets; default: the one that has `requests`")
    request.add_argument(
        "--plan", action="store_true", help="answer its lines and compare the methods; nothing is made"
    )
    request.add_argument(
        "--key", type=Path, help="private key of OpenSSH or minisign that signs the certificate"
    )
    request.add_argument(
        "--snakemake", default=[], nargs=argparse.REMAINDER, help="more arguments for Snakemake"
    )

    purge = command(
        "purge", "list where the texts of a deletion request still lie, and delete what lethe made"
    )
    purge.add_argument("--request", required=True, type=Path, help="file of the request")
    purge.add_argument("--study", help="study whose model forgot; default: the one that has `requests`")
    purge.add_argument(
        "--yes", action="store_true", help="delete what lethe made; what is yours is only named"
    )

    prepare = command("prepare", "load, clean and split a data set")
    prepare.add_argument(
        "--out", required=True, type=Path, help="folder for examples.parquet and prepared.json"
    )

    forget = command("forget", "choose what is forgotten and pair it with analogues")
    forget.add_argument("--seed", required=True, type=int)
    forget.add_argument("--prepared", required=True, type=Path, help="folder of `lethe prepare`")
    forget.add_argument("--out", required=True, type=Path, help="folder for sets.parquet and pairs.parquet")

    train = command("train", "train a reference: base, original or retrain")
    train.add_argument("--forget", type=Path, help="folder of `lethe forget`; not for base")
    train.add_argument("--base", type=Path, help="model folder fine-tuning starts from; not for base")
    unlearn = command("unlearn", "let a model forget")
    unlearn.add_argument("--forget", required=True, type=Path, help="folder of `lethe forget`")
    unlearn.add_argument(
        "--model", required=True, help="the model that must forget: its folder, or a Hub id, also ID@REVISION"
    )
    unlearn.add_argument(
        "--base", type=Path, help="model folder it was trained from; where a method needs it"
    )
    for sub in (train, unlearn):
        sub.add_argument("--seed", required=True, type=int)
        sub.add_argument("--run", required=True, help="name of the run")
        sub.add_argument("--prepared", required=True, type=Path, help="folder of `lethe prepare`")
        sub.add_argument(
            "--out",
            required=True,
            type=Path,
            help="folder for model, trace.csv, epochs.csv, cost.json, run.json",
        )
        sub.add_argument(
            "--checkpoint", type=Path, help="file to resume from; default: OUT with checkpoints/ before"
        )
        sub.add_argument("--live", type=Path, help="folder for DVCLive's plots")

    score = command("score", "everything metrics need of a model, as arrays")
    score.add_argument("--prepared", required=True, type=Path, help="folder of `lethe prepare`")
    score.add_argument("--forget", required=True, type=Path, help="folder of `lethe forget`")
    score.add_argument("--model", required=True, help="model folder, or a Hub id, also ID@REVISION")
    score.add_argument("--out", required=True, type=Path, help="file scores.npz")

    measure = command("measure", "metrics of a run from its arrays")
    measure.add_argument("--seed", required=True, type=int)
    measure.add_argument("--scores", required=True, type=Path, help="file of `lethe score`")
    measure.add_argument(
        "--reference",
        nargs="*",
        type=Path,
        default=[],
        help="scores of a model that reference_loss compares with",
    )
    measure.add_argument(
        "--original", nargs="*", type=Path, default=[], help="scores of the original, where texts say facts"
    )
    measure.add_argument(
        "--shadow",
        nargs="*",
        type=Path,
        default=[],
        help="scores of shadow models, for LiRA and RMIA; or their folder, with seedN/scores.npz of every seed",
    )
    measure.add_argument(
        "--unlearned-by",
        nargs="*",
        type=Path,
        default=[],
        help="folders METHOD of the scores of models that methods let forget, for U-LiRA",
    )
    blind = command(
        "blind", "the control of membership inference: an attack that sees the texts and no model"
    )
    blind.add_argument("--prepared", required=True, type=Path, help="folder of `lethe prepare`")
    blind.add_argument(
        "--scores", required=True, type=Path, help="of any run of the seed: which texts are read, and how far"
    )
    for sub in (measure, blind):
        sub.add_argument(
            "--out", required=True, type=Path, help="folder for metrics.json and metrics.parquet"
        )
    blind.add_argument("--seed", required=True, type=int)
    add_judge(command("judge", "judge any model on texts of one's own, without training anything"))

    compare = command("compare", "what the metrics of all runs of a study say beside retrain")
    compare.add_argument("--measured", required=True, type=Path, help="folder of the study's metrics")
    compare.add_argument(
        "--scores",
        required=True,
        type=Path,
        help="folder of its scores; read where the study has a single seed",
    )
    compare.add_argument("--out", required=True, type=Path, help="folder for comparison.json")

    report = command("report", "tables, figures and the page, from all metrics")
    report.add_argument(
        "--out", required=True, type=Path, help="folder for metrics.json, tables, figures, report.html"
    )

    board = command("leaderboard", "methods by suites, from the numbers of reports, as Markdown")
    board.add_argument(
        "folders",
        nargs="*",
        type=Path,
        default=[Path("results/report")],
        help="reports, also of other repositories",
    )

    readme = command("readme", "renew the result table of a README, between its two markers")
    readme.add_argument("file", nargs="?", default=Path("README.md"), type=Path)
    readme.add_argument(
        "--summary", default=Path("results/report/summary.md"), type=Path, help="table of `lethe report`"
    )
    return top


def add_judge(judge: argparse.ArgumentParser) -> None:
    judge.add_argument(
        "--model", required=True, help="folder or Hub id, ID or ID@REVISION, of the model that is judged"
    )
    judge.add_argument(
        "--suite",
        help="tofu, muse, wmdp, or a study of presets/: its texts and settings, in place of texts of one's own",
    )
    judge.add_argument(
        "--data", help="with --suite: folder in the Hub's layout, or Hub id, in place of its own"
    )
    judge.add_argument("--task", help="what the model does; default: to write text")
    for name, text in (
        ("forget", "what it should not know"),
        ("holdout", "like it, never seen: on these the attack on a classifier learns"),
        ("test", "like it, never seen: against these forget is judged"),
    ):
        judge.add_argument(
            f"--{name}",
            help=f"texts, .csv, .jsonl, or a folder or Hub id as ID:CONFIG:SPLIT: {text}",
        )
    judge.add_argument(
        "--retain", help="texts that it may know; needed for balanced accuracy and fitted attacks"
    )
    judge.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="further texts that are scored, too",
    )
    judge.add_argument(
        "--retrain",
        help="a model that never saw forget, or its scores.npz: gaps are shown; or a log of open-unlearning (.json)",
    )
    judge.add_argument("--reference", help="a model, or its scores.npz, that reference_loss compares with")
    judge.add_argument("--revision", default="main", help="of models on the Hub that are given without one")
    judge.add_argument("--text", default="text", help="column of the text")
    judge.add_argument(
        "--prompt", help="column of what is asked; the text is then the answer, which is judged"
    )
    judge.add_argument(
        "--template", choices=("auto", "chat", "plain"), default="auto", help="how it is asked: by the model's chat"
        " template, by --opening, or by the template where there is one"
    )  # fmt: skip
    judge.add_argument(
        "--opening", default="{prompt}", help="plain: text before the answer, which holds {prompt}"
    )
    judge.add_argument("--system", help="chat: the system message")
    judge.add_argument("--date", default="2025-01-01", help="chat: the day that templates print as today")
    judge.add_argument("--label", help="column of the class, by name or index, or of tags; default: label")
    judge.add_argument("--id", help="column of the record id; default: the row number")
    judge.add_argument("--subject", help="column of the person a record is about")
    judge.add_argument(
        "--max-length", type=int, default=512, help="tokens that the model reads of a text at once"
    )
    judge.add_argument(
        "--long", choices=("windows", "cut"), help="of longer texts all windows are judged, or they are cut; default:"
        " windows of what is written, cut of what is classified"
    )  # fmt: skip
    judge.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    judge.add_argument(
        "--cfg", default="{}", help="JSON object of score, measure, or its file: settings as in a study"
    )
    judge.add_argument(
        "--export",
        choices=("open-unlearning",),
        help="write the numbers under another framework's names, too",
    )
    judge.add_argument(
        "--out", type=Path, help="folder for scores.npz, metrics.json, metrics.parquet, table.json"
    )


def check_out(args: argparse.Namespace) -> None:
    """Raise InputError where the path of the output is no text, which Parquet and safetensors need."""
    path = str(getattr(args, "out", None))
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise InputError(f"--out: {path!a}: is not UTF-8; name another")


def check_sets(args: argparse.Namespace, files: dict[str, str]) -> None:
    """Raise InputError unless a model is judged by a suite, or by all sets that are needed."""
    needed = ("forget", "holdout", "test")
    missing = [f"--{name}" for name in needed if name not in files]
    if missing and not args.suite:
        raise InputError(f"{', '.join(missing)}: missing; needed are texts of these sets, or --suite")
    if args.data and not args.suite:
        raise InputError(f"--data: {args.data}; is for --suite")


def parameters(given: str, command: str) -> dict[str, Any]:
    """The parameters of a step: a JSON object, or the name of a file that holds one.

    Raises:
        InputError: there is no such file, it is not JSON, not an object, or lacks a key.
    """
    is_json = given.strip()[:1] in ("", "{", "[", '"')
    where = "--cfg" if is_json else f"--cfg: {given}"
    try:
        cfg = json.loads(given if is_json else Path(given).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; needed is a JSON object or the file of one") from None
    except RecursionError:
        raise InputError(f"{where}: more than {DEPTH} levels") from None
    except ValueError as error:  # of the text or of its encoding
        raise InputError(f"{where}: is not JSON: {error}") from None
    try:
        check_tree(cfg)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    needed = ", ".join(KEYS[command])
    if not isinstance(cfg, dict):
        raise InputError(f"{where}: is a {type(cfg).__name__}; needed is a JSON object of {needed}")
    for key in KEYS[command]:
        if key not in cfg:
            raise InputError(f"{where}: {key} is missing; needed: {needed}")
    if type(cfg.get("seed", 0)) is not int:
        raise InputError(f"{where}: seed: {json.dumps(cfg['seed'])[:80]}; allowed are whole numbers")
    return cfg


def known_task(args: argparse.Namespace) -> str | None:
    """The task of a step, where it has one, which for a model that is judged is by default to write text.

    Raises:
        InputError: there is no such task.
    """
    known = plugins.names_in("tasks")
    where, task = "--cfg: task", args.cfg.get("task")
    if args.command == "judge":
        where, task = "--task", args.task or next(task for task in known if plugins.gives(task, "text"))
    if task is not None and task not in known:
        raise InputError(f"{where}: {task}; allowed are {', '.join(known)}")
    return task


def job_of(args: argparse.Namespace):
    from lethe.training.job import Job

    checkpoint = args.checkpoint or Path("checkpoints") / args.out / "state.safetensors"
    live = args.live if workers.rank() == 0 else None
    return Job(args.cfg, args.seed, args.run, args.out, checkpoint, live)


def processes(args: argparse.Namespace) -> int:
    """How many processes train together, by the recipe of the step."""
    from lethe.params.training import Method, References

    if args.command == "unlearn":
        return Method.model_validate(args.cfg["method"]).training.processes
    recipes = References.model_validate(args.cfg["train"])
    recipe = recipes.pretrain if args.run == "base" else recipes.finetune
    return recipe.processes if recipe else 1


def started(args: argparse.Namespace, argv: list[str]) -> int | None:
    """Give a step its GPUs, and start the processes of one that needs several; their status, or None if it is one."""
    count = processes(args) if args.command in ("train", "unlearn") else 1
    if count == 1:
        workers.be_alone()
    if workers.is_member():
        if workers.MEMBER in os.environ:
            workers.end_with_starter()
        return None
    gpus.claim(count)
    return workers.launch([sys.executable, "-m", "lethe", *argv], count) if count > 1 else None


def execute(args: argparse.Namespace) -> int:
    """Do what a subcommand says; its status."""
    match args.command:
        case "check":
            from lethe.params.file import load_params

            for name, study in load_params(args.file).studies.items():
                print(f"{name}: {study.task}, seeds {study.seeds}, runs {', '.join(study.runs)}")
        case "verify":
            if args.certificate is not None:
                from lethe.verify_certificate import Check, verify_certificate

                return verify_certificate(
                    Check(args.certificate, args.signers, args.request, args.trust_scores, args.tolerance)
                )
            from lethe.verify import verify

            return verify()
        case "purge":
            from lethe.purge import purge

            return purge(args.request, args.study, args.yes)
        case "versions":
            from lethe.request import versions

            print("\n".join(versions()))
        case "schema":
            from lethe.params.schema import text

            if args.of == "certificate":
                from lethe.deletion.certificate import schema_text as text
            print(text(), end="")
        case name if name in LISTS:
            from lethe.params.plug_in_list import plug_in_list

            print("\n".join(plug_in_list(name, args.file)))
        case "tune":
            from lethe.tune import tune

            tune(args.file, args.study, args.out, args.log, args.snakemake)
        case "request":
            from lethe.request import Order, look, serve

            if args.plan:
                print(look(args.file, args.study), end="")
                return 0
            return serve(Order(args.file, args.study, args.key, args.snakemake))
        case "prepare":
            from lethe.prepare import prepare

            prepare(args.cfg, args.out)
        case "forget":
            from lethe.forget import forget

            forget(args.cfg, args.seed, args.prepared, args.out)
        case "train":
            from lethe.train import train

            train(job_of(args), args.prepared, args.forget, args.base)
        case "unlearn":
            from lethe.unlearn import unlearn

            unlearn(job_of(args), args.prepared, args.forget, args.model, args.base)
        case "score":
            from lethe.score import score

            score(args.cfg, args.prepared, args.forget, args.model, args.out)
        case "measure":
            from lethe.measure import measure

            for name in ("reference", "original"):
                if len(given := getattr(args, name)) > 1:
                    raise InputError(f"--{name}: {len(given)} files; at most one is allowed")
            others = [files[0] if files else None for files in (args.reference, args.original)]
            measure(
                args.cfg,
                args.seed,
                args.scores,
                args.out,
                others[0],
                args.shadow,
                others[1],
                args.unlearned_by,
            )
        case "blind":
            from lethe.measure import measure_texts

            measure_texts(args.cfg, args.seed, args.prepared, args.scores, args.out)
        case "judge":
            from lethe.judge import SETS, JudgeRequest, Texts, judge, judge_by_suite, probes, prompting_of

            files = {name: getattr(args, name) for name in SETS if getattr(args, name)} | probes(args.probe)
            check_sets(args, files)
            texts = Texts(files, args.text, args.prompt, args.label, args.id, args.subject)
            prompting = prompting_of(
                template=args.template, opening=args.opening, system=args.system, date=args.date
            )
            request = JudgeRequest(
                args.task, args.model, args.retrain, args.reference, args.revision, args.max_length, prompting,
                args.cfg, args.export, args.long,
            )  # fmt: skip
            if args.suite:
                print(judge_by_suite(args.suite, request, args.data, files, args.seed, args.out), end="")
            else:
                print(judge(request, texts, args.seed, args.out), end="")
        case "compare":
            from lethe.compare import compare

            compare(args.cfg, args.measured, args.scores, args.out)
        case "report":
            from lethe.report.report import report

            report(args.cfg, args.out)
        case "leaderboard":
            from lethe.report.leaderboard import leaderboard

            print(leaderboard(args.folders), end="")
        case "readme":
            from lethe.report.readme import readme

            readme(args.file, args.summary)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; bad input ends with one line on standard error and status 2."""
    argv = sys.argv[1:] if argv is None else argv
    make_writable(sys.stdout)
    args = parser().parse_args(argv)
    level = logging.WARNING if workers.rank() else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    for client in ("httpx", "httpx2"):  # of the Hub's client, by its version
        logging.getLogger(client).setLevel(logging.WARNING)
    try:
        check_out(args)
        if args.command in KEYS:
            args.cfg = parameters(args.cfg, args.command)
            plugins.use_those_of(args.cfg, "--cfg")
            args.task = known_task(args)
            if args.command != "report":  # which reads the whole of params.yaml
                args.cfg.pop("plugins", None)
        status = started(args, argv) if args.command in ON_GPUS else None
        if status is None:
            status = execute(args)
            sys.stdout.flush()
    except ValidationError as error:
        from lethe.params.faults import one_line

        return failed(args, f"--cfg: {error.title}.{one_line(error)}")
    except (InputError, OSError, FloatingPointError) as error:
        forget_unwritten(sys.stdout)
        return failed(args, str(error))
    return status


def make_writable(stream: Any) -> None:
    """Let a stream take every character: a locale of ASCII alone is taken for UTF-8, others escape what they lack."""
    if isinstance(stream, io.TextIOWrapper):
        if codecs.lookup(stream.encoding).name == "ascii":
            stream.reconfigure(encoding="utf-8")
        stream.reconfigure(errors="backslashreplace")


def forget_unwritten(stream: Any) -> None:
    """Keep the interpreter from trying at its end what failed: to write to a full disk, or to a reader that is gone."""
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())


def failed(args: argparse.Namespace, message: str) -> int:
    print(f"lethe {args.command}: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
