"""`semcomm ratings`: make a study, serve it, and say what came of it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from semcomm.errors import ConfigurationError


def main(
    argv: Sequence[str],
    parser: argparse.ArgumentParser,
    on_note: Callable[[str], None],
    on_table: Callable[[Any], None],
) -> None:
    """Run one of the sub-commands.

    Args:
        argv: what comes after `semcomm ratings`.
        parser: to add them to.
        on_note: called with what the user should know.
        on_table: given the table of a report.
    """
    parts = parser.add_subparsers(dest="part", required=True)
    for name, help_, options, act in PARTS:
        one = parts.add_parser(name, help=help_)
        one.set_defaults(act=act)
        options(one)
    arguments = parser.parse_args(argv)
    arguments.act(arguments, on_note, on_table)


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, help="folder of the study: a new one")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, action="append", metavar="DIR", help="folder of a run; may be repeated")
    source.add_argument("--list", type=Path, metavar="CSV", help="columns reference, first and (but for pairs) second")
    source.add_argument("--folder", type=Path, metavar="DIR", help="holds a folder `original`, and one for each link")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML with any settings of a study")
    parser.add_argument("--kind", choices=["triplets", "pairs", "choices"], help="what is asked (default: triplets)")
    parser.add_argument(
        "--items", type=int, default=100, help="how many are chosen from runs or folders (default: 100)"
    )
    parser.add_argument("--raters", type=int, help="links to make (default: as many as the items need)")


def _new(arguments: argparse.Namespace, note: Callable, show_table: Callable) -> None:
    from semcomm.ratings.settings import Settings, load_settings
    from semcomm.ratings.sources import from_folders, from_list, from_runs
    from semcomm.ratings.study import Study

    for name in ("items", "raters"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise ConfigurationError(f"--{name} is {getattr(arguments, name)}; it must be at least 1")
    changes = {"kind": arguments.kind} if arguments.kind else {}
    settings = load_settings(arguments.settings, **changes) if arguments.settings else Settings(**changes)
    count = arguments.items + settings.training
    if arguments.run:
        items = from_runs(arguments.run, count, settings.kind, settings.seed)
    elif arguments.list:
        items = from_list(arguments.list)
    else:
        items = from_folders(arguments.folder, count, settings.kind, settings.seed)
    study = Study.make(arguments.study, settings, items, arguments.raters)
    raters, real = study.database.raters(), [item for item in study.database.items() if not item.practice]
    study.close()
    print(
        f"{arguments.study}: {len(real)} items and {len(items) - len(real)} for practice; {len(raters)} raters of "
        f"{study.settings.items_per_rater} items each.\nRead {arguments.study}/study.yaml before the first rater "
        f"begins, then: semcomm ratings serve {arguments.study}"
    )


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one (default: 8765)")
    parser.add_argument("--address", metavar="URL", help="by which raters reach it, where that is another")


def _serve(arguments: argparse.Namespace, note: Callable, show_table: Callable) -> None:
    from semcomm.ratings.server import LOOPBACK, serve
    from semcomm.ratings.study import Study

    study = Study(arguments.study)

    def ready(address: str) -> None:
        print(f"administration and links: {address}/admin/{study.links.administrator}", flush=True)
        if arguments.host not in LOOPBACK and not address.startswith("https:"):
            note("links and answers travel unencrypted; put an HTTPS proxy before it, and name it with --address")

    serve(study, arguments.host, arguments.port, arguments.address, ready)


def _links_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("--add", type=int, default=0, metavar="N", help="make so many more first")
    parser.add_argument("--address", metavar="URL", default="http://127.0.0.1:8765", help="where they begin")


def _links(arguments: argparse.Namespace, note: Callable, show_table: Callable) -> None:
    from semcomm.ratings.study import Study

    study = Study(arguments.study)
    if not 0 <= arguments.add <= 10_000:
        raise ConfigurationError(f"--add is {arguments.add}; it must be from 0 to 10000")
    study.database.add_raters(arguments.add)
    for rater in study.database.raters():
        print(f"{rater.code}  {arguments.address.rstrip('/')}/r/{study.links.rater(rater.code)}")


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY|FILE", help="a study, or a file of people's scores")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for page and tables (default: report in STUDY)")
    parser.add_argument("--metrics", nargs="+", help="classes (default: those of the study)")
    parser.add_argument("--parameters", metavar="FILE", help="constants that `sess tune` found: SeSS with them too")
    parser.add_argument("--half", choices=["a", "b"], help="every other original only, such as those not tuned on")
    parser.add_argument("--resamples", type=int, help="of the bootstrap (default: 1000; 200 beyond 3000 pairs)")
    _of_files(parser)


def _of_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of a file of scores")
    group.add_argument("--images", type=Path, metavar="DIR", help="where its images are (default: beside it)")
    group.add_argument(
        "--scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="ends of its scores (default: 0 1)"
    )
    group.add_argument("--limit", type=int, metavar="N", help="so many of its rows only, drawn at random")


def _report(arguments: argparse.Namespace, note: Callable, show_table: Callable) -> None:
    from semcomm.configuration import build
    from semcomm.metrics import Metric
    from semcomm.metrics.sess import SeSS
    from semcomm.ratings.files import write_ratings
    from semcomm.ratings.opinions import opinions_of
    from semcomm.ratings.report import write_report
    from semcomm.ratings.settings import Settings
    from semcomm.ratings.statistics import half_of
    from semcomm.ratings.study import Study

    study = None
    if arguments.study.is_dir():
        study = Study(arguments.study)
        opinions, settings, out = opinions_of(study), study.settings, arguments.study / "report"
    else:
        opinions, settings = _opinions_of_file(arguments, note), Settings()
        out = arguments.study.with_suffix("").with_name(f"{arguments.study.stem}-report")
    metrics = [build(Metric, spec, "metrics") for spec in arguments.metrics or settings.metrics]
    if arguments.parameters:
        metrics.append(SeSS(parameters=arguments.parameters))
    out = arguments.out or out
    opinions = half_of(opinions, arguments.half) if arguments.half else opinions
    table = write_report(opinions, metrics, out, study and study.database, arguments.resamples, note)
    if study:
        write_ratings(study, out / "ratings.csv")
    show_table(table)
    print(f"report: {out / 'report.html'}")


def _opinions_of_file(arguments: argparse.Namespace, on_note: Callable[[str], None]) -> Any:
    from semcomm.metrics.sess.human import read_human
    from semcomm.ratings.files import opinions_of_file

    scale = tuple(arguments.scale) if arguments.scale else None
    rows = read_human(arguments.study, arguments.images, scale, arguments.limit, on_note)
    return opinions_of_file(rows, arguments.study.name)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="CSV for `semcomm sess tune`")
    parser.add_argument("--half", choices=["a", "b"], help="every other original only, to judge on the others")


def _export(arguments: argparse.Namespace, note: Callable, show_table: Callable) -> None:
    from semcomm.ratings.files import write_triplets
    from semcomm.ratings.opinions import opinions_of
    from semcomm.ratings.statistics import half_of
    from semcomm.ratings.study import Study

    study = Study(arguments.study)
    opinions = opinions_of(study)
    count = write_triplets(half_of(opinions, arguments.half) if arguments.half else opinions, study, arguments.to)
    print(f"{arguments.to}: {count} {'triplets' if study.settings.kind == 'triplets' else 'pairs'}")


PARTS = (
    ("new", "make a study of runs, a list of images, or folders", _new_options, _new),
    ("serve", "serve its web page", _serve_options, _serve),
    ("links", "print the raters' links, or make more", _links_options, _links),
    ("report", "say how raters agree, and how metrics agree with them", _report_options, _report),
    ("export", "write the mean scores for `semcomm sess tune`", _export_options, _export),
)
