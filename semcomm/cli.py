"""The commands. Each is a few lines: parse, call the library, print."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from semcomm import __version__
from semcomm.errors import ConfigurationError, SemcommError


def run(argv: Sequence[str]) -> None:
    """Run an experiment file, or the rest of it: table, figures, report."""
    parser = _parser(run)
    parser.add_argument("file", help="experiment file (YAML), or one that comes with semcomm by name: quickstart")
    parser.add_argument("set", nargs="*", metavar="KEY=VALUE", help="set a key of the file, e.g. images.limit=2")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/ and the file's name)")
    parser.add_argument("--workers", type=int, help="processes of one thread each (default: the number of cores)")
    parser.add_argument("--executor", choices=["local", "ray"], default="local", help="where the work is done")
    on_ray = parser.add_argument_group("on Ray")
    on_ray.add_argument("--address", help="of the cluster (default: $RAY_ADDRESS, else one is started here)")
    on_ray.add_argument(
        "--store", metavar="PLACE", help="folder or fsspec URL that all nodes reach (default: the run's)"
    )
    on_ray.add_argument("--package", action="append", default=[], metavar="PATH", help="of yours, sent to the nodes")
    parser.add_argument("--no-report", action="store_true", help="results only, without figures and report")
    arguments = parser.parse_intermixed_args(argv)
    from semcomm.configuration import assignment
    from semcomm.experiment.experiment import load
    from semcomm.experiment.shipped import experiment_file
    from semcomm.runs.cluster import RayCluster
    from semcomm.runs.run import default_workers
    from semcomm.runs.run import run as run_experiment
    from semcomm.terminal import note, progress, show

    cluster = None
    if arguments.executor == "ray":
        cluster = RayCluster(arguments.address, arguments.store, tuple(arguments.package), arguments.workers)
    elif arguments.address or arguments.store or arguments.package:
        raise ConfigurationError("--address, --store and --package are for --executor ray")
    file = experiment_file(arguments.file)
    _find_classes(file.resolve().parent)
    experiment = load(file, dict(assignment(text) for text in arguments.set))
    out = arguments.out or Path("runs") / file.stem
    workers = default_workers() if arguments.workers is None else arguments.workers
    with progress() as on_progress:
        results = run_experiment(experiment, out, workers, on_progress, note, cluster)
    show(results)
    if not arguments.no_report:
        _report(results)


def report(argv: Sequence[str]) -> None:
    """Draw the figures and write the report of a run, finished or not."""
    parser = _parser(report)
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument(
        "--style", type=Path, metavar="FILE", help="look of the figures, and others in their place (YAML)"
    )
    arguments = parser.parse_args(argv)
    from semcomm.runs.run import open_results
    from semcomm.terminal import note

    _find_classes()
    _report(open_results(arguments.folder, on_note=note), arguments.style)


def compare(argv: Sequence[str]) -> None:
    """Compare every curve of one run or several with those of one transceiver, image by image."""
    from semcomm.analysis.tables import FORMATS

    parser = _parser(compare)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folder of a run; several make one table")
    parser.add_argument("--to", required=True, metavar="NAME", help="transceiver to compare with")
    parser.add_argument("--x", default="snr_db", help="snr_db, or bpp or cbr for Bjøntegaard deltas")
    parser.add_argument("--metric", default="PSNR", help="column to compare")
    parser.add_argument("--each", action="store_true", help="a row for every x that both curves have")
    parser.add_argument("--format", choices=FORMATS, default="table")
    arguments = parser.parse_args(argv)
    from semcomm.analysis.compare import compare as compare_curves
    from semcomm.runs.run import open_results
    from semcomm.terminal import note, show_comparison

    _find_classes()
    results = open_results(*arguments.folders, on_note=note)
    found = compare_curves(results, arguments.to, arguments.x, arguments.metric, arguments.each)
    show_comparison(found, arguments.format, arguments.x, arguments.metric)


def reproduce(argv: Sequence[str]) -> None:
    """Run the papers' figures and judge their claims: one page that says what holds."""
    parser = _parser(reproduce)
    parser.add_argument("names", nargs="*", metavar="NAME|KEY=VALUE", help="sess, img2img/fig3, ... (default: all)")
    _add_setting(parser)
    parser.add_argument("--out", type=Path, help="folder for runs and page (default: runs/reproduce-SETTING)")
    parser.add_argument("--workers", type=int, help="processes of one thread each (default: the number of cores)")
    arguments = parser.parse_intermixed_args(argv)
    from semcomm.configuration import assignment
    from semcomm.reproduce import reproduce as reproduce_papers
    from semcomm.reproduce.summary import counts_of
    from semcomm.runs.run import default_workers
    from semcomm.terminal import note, progress, show_pairs

    _find_classes()
    names = [name for name in arguments.names if "=" not in name]
    changes = dict(assignment(text) for text in arguments.names if "=" in text)
    out = arguments.out or Path("runs") / f"reproduce-{Path(arguments.setting).stem}"
    workers = default_workers() if arguments.workers is None else arguments.workers
    with progress() as on_progress:
        found = reproduce_papers(
            names, arguments.setting, out, workers, changes, arguments.experiments, on_progress, note
        )
    show_pairs({**counts_of(found), "page": found.page})


def data(argv: Sequence[str]) -> None:
    """Say what the papers' experiments need, where it comes from, and whether it is there."""
    parser = _parser(data)
    parser.add_argument("names", nargs="*", metavar="NAME", help="sess, img2img/fig3, ... (default: all)")
    _add_setting(parser, "paper")
    arguments = parser.parse_args(argv)
    from semcomm.reproduce.needs import describe

    for line in describe(arguments.names, arguments.setting, arguments.experiments):
        print(line)


def _add_setting(parser: argparse.ArgumentParser, default: str = "embedded") -> None:
    parser.add_argument("--setting", default=default, help=f"embedded, paper, or a file of yours (default: {default})")
    parser.add_argument(
        "--experiments", type=Path, help="folder of the papers' files (default: those that come with semcomm)"
    )


def transmit(argv: Sequence[str]) -> None:
    """Send one image through one transceiver: writes what arrives, prints what it cost and how good it is."""
    parser = _parser(transmit, allow_abbrev=False)
    parser.add_argument("image", type=Path, help="image to send")
    after = "its arguments follow it, as --{0}.{1}"
    parser.add_argument("--transceiver", metavar="CLASS", help=after.format("transceiver", "layers 4"))
    parser.add_argument("--channel", metavar="CLASS", default="AWGN", help=after.format("channel", "snr_db 12"))
    parser.add_argument("--metrics", nargs="+", default=["PSNR", "SSIM"], help="classes, as PSNR SSIM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--realisation", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("received.png"), help="where to write what arrives (PNG)")
    argv, given = _dotted(argv, ("transceiver", "channel"))
    arguments = parser.parse_args(argv)
    from semcomm.channels import Channel
    from semcomm.configuration import all_overridden, build
    from semcomm.experiment.machine import check_devices
    from semcomm.images import read_image, write_image
    from semcomm.metrics import Metric
    from semcomm.seeds import seeds_of
    from semcomm.terminal import show_pairs, steps
    from semcomm.transceivers import Link

    _find_classes()
    described = {"transceiver": arguments.transceiver or DEFAULT_TRANSCEIVER, "channel": arguments.channel}
    described = all_overridden(described, given)
    link = build(Link, described["transceiver"], "--transceiver")
    channel = build(Channel, described["channel"], "--channel")
    metrics = [build(Metric, name, "--metrics") for name in _names(arguments.metrics)]
    _check_output(arguments.out, (".png",), arguments.image)
    image = read_image(arguments.image)[None]
    seeds = seeds_of(image, arguments.seed, arguments.realisation)
    for component in (link, *metrics):  # missing weights and impossible sizes are errors now
        check_devices(component, type(component).__name__)
        component.recipe()
    for metric in metrics:
        metric.check(image, image)
    with steps():
        reception = link.transmit(image, channel, seeds)
    write_image(arguments.out, reception.images[0])
    ledger = reception.ledger
    counts = ("source_bits", "coded_bits", "channel_uses", "side_bits", "pilot_uses", "bpp", "cbr", "code_rate")
    show_pairs(
        {name: getattr(ledger, name).item() for name in counts}
        | {name: values[0] for name, values in reception.info.items()}
        | {f"{m.name} {m.unit}".strip(): m(image, reception.images).item() for m in metrics}
        | {"received": arguments.out}
    )


DEFAULT_TRANSCEIVER: dict[str, Any] = {
    "class_path": "Separate",
    "init_args": {
        "source": "JPEG2000",
        "code": "LDPC5G",
        "constellation": "adaptive",
        "channel_uses_per_pixel": 0.25,
    },
}


def score(argv: Sequence[str]) -> None:
    """Score reconstructions against references: two images, or two folders with the same names in them."""
    parser = _parser(score)
    parser.add_argument("reference", type=Path)
    parser.add_argument("reconstruction", type=Path)
    parser.add_argument("--metrics", nargs="+", default=["PSNR", "SSIM", "MSSSIM"], help="classes, as PSNR SSIM")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per pair")
    arguments = parser.parse_args(argv)
    from semcomm.configuration import build
    from semcomm.metrics import Metric
    from semcomm.metrics.scoring import score_files
    from semcomm.terminal import note, show_table

    _find_classes()
    metrics = [build(Metric, name, "--metrics") for name in _names(arguments.metrics)]
    table = score_files(arguments.reference, arguments.reconstruction, metrics, note)
    if arguments.json:
        print(table.to_json(orient="records", indent=2))
    else:
        show_table(table)


def thresholds(argv: Sequence[str]) -> None:
    """Measure the SNR that each constellation and code rate needs, for link adaptation."""
    parser = _parser(thresholds)
    parser.add_argument("--out", type=Path, default=Path("thresholds.json"), help="file to write, or to go on with")
    parser.add_argument("--rates", type=float, nargs="+", help="with every constellation (default: what semcomm ships)")
    parser.add_argument("--constellations", nargs="+", default=["bpsk", "qpsk", "16qam", "64qam", "256qam"])
    parser.add_argument("--payload-bits", type=int, nargs="+", default=[256, 1024, 3824, 3825, 8424])
    parser.add_argument("--errors", type=int, default=20, help="block errors to wait for at each SNR")
    arguments = parser.parse_args(argv)
    from semcomm.codecs import LDPC5G
    from semcomm.transceivers.adaptation import TABLE_RATES
    from semcomm.transceivers.measurement import COMMON_RATES, measure

    _check_output(arguments.out, (".json",))
    names = arguments.constellations
    if arguments.rates:
        modes = [(LDPC5G(rate), name) for rate in arguments.rates for name in names]
    else:
        modes = [(LDPC5G(rate), name) for name in names for rate in TABLE_RATES[name]]
        modes += [(LDPC5G(rate), name) for rate in COMMON_RATES for name in names]
    measure(modes, arguments.payload_bits, arguments.errors, arguments.out, on_row=print)


def sess(argv: Sequence[str]) -> None:
    """Explain a SeSS score (`sess explain A B`), or tune its constants on human scores (`sess tune FILE`)."""
    parser = _parser(sess)
    parts = parser.add_subparsers(dest="part", required=True)
    explaining = parts.add_parser("explain", help="draw what was matched with what, and each pair's share")
    explaining.add_argument("reference", type=Path)
    explaining.add_argument("reconstruction", type=Path)
    explaining.add_argument("--out", type=Path, default=Path("match.png"), help="figure to write")
    explaining.add_argument("--json", action="store_true", help="print the match as JSON")
    tuning = parts.add_parser("tune", help="find the constants whose scores are nearest to people's")
    tuning.add_argument("triplets", type=Path, help="CSV or JSON lines: reference, first, second and their scores")
    tuning.add_argument("--images", type=Path, metavar="DIR", help="of a file of pairs: where its images are")
    tuning.add_argument("--limit", type=int, metavar="N", help="so many rows only, drawn at random")
    tuning.add_argument("--out", type=Path, default=Path("sess-parameters.json"), help="file of parameters to write")
    tuning.add_argument("--trials", type=int, default=100)
    tuning.add_argument("--method", choices=["random", "tpe"], default="random")
    tuning.add_argument("--seed", type=int, default=0)
    for part in (explaining, tuning):
        part.add_argument("--parameters", help="paper, authors, embedded, or a file (default: the backend's)")
    arguments = parser.parse_args(argv)
    from semcomm.metrics.sess import SeSS

    if arguments.part == "explain":
        _check_output(arguments.out, (".png", ".pdf", ".svg"), arguments.reference, arguments.reconstruction)
    else:
        _check_output(arguments.out, (".json",), arguments.triplets)
    metric = SeSS(parameters=arguments.parameters)
    if arguments.part == "explain":
        _explain(metric, arguments)
    else:
        _tune(metric, arguments)


def _explain(metric: Any, arguments: argparse.Namespace) -> None:
    import json

    from semcomm.images import read_image
    from semcomm.metrics.sess.explain import draw_match, explain

    images = read_image(arguments.reference), read_image(arguments.reconstruction)
    data, scenes, _ = explain(metric, *images)
    draw_match(data, scenes, images, arguments.out)
    if arguments.json:
        print(json.dumps(data, indent=2))
    else:
        print(f"{data['metric']} {data['score']:.4f}: {len(data['pairs'])} pairs, drawn in {arguments.out}")


def _tune(metric: Any, arguments: argparse.Namespace) -> None:
    from semcomm.metrics.sess.human import read_human
    from semcomm.metrics.sess.tuning import draw_distributions, rate, tune
    from semcomm.terminal import note, show_pairs

    rows = read_human(arguments.triplets, arguments.images, limit=arguments.limit, on_note=note)
    rated = rate(rows, metric.backend, metric.parameters.crop)
    predicates = metric.backend.predicate_similarity()
    tuned = tune(rated, predicates, metric.parameters, arguments.trials, arguments.method, arguments.seed)
    tuned.parameters.save(arguments.out)
    draw_distributions(tuned, arguments.out.with_suffix(".png"))
    for name, values in (("before", tuned.before), ("after", tuned.after)):
        show_pairs({f"{name}: {key} on held-out triplets": value for key, value in values.items()})
    print(f"parameters: {arguments.out}\ndistributions: {arguments.out.with_suffix('.png')}")


def ratings(argv: Sequence[str]) -> None:
    """Ask people how alike images are, and say how metrics agree with them."""
    from semcomm.ratings.command import main as ratings_main
    from semcomm.terminal import note, show_table

    ratings_main(argv, _parser(ratings), note, show_table)


def models(argv: Sequence[str]) -> None:
    """List the models that can be used, fetch one, check a local folder, or ask one what it is known to answer."""
    parser = _parser(models)
    actions = parser.add_subparsers(dest="action", metavar="{list,fetch,check,verify}")
    actions.add_parser("list", help="what there is, and what is present (the default)")
    fetching = actions.add_parser("fetch", help="download a model")
    fetching.add_argument("name", help="short name from the list, or a hub id")
    fetching.add_argument("--to", type=Path, metavar="DIR", help="folder for it (default: where its name finds it)")
    fetching.add_argument("--trust-pickle", action="store_true", help="take weights that are published as a pickle")
    checking = actions.add_parser("check", help="say whether a folder or file is complete and of the right kind")
    checking.add_argument("folder", type=Path, metavar="DIR")
    verifying = actions.add_parser("verify", help="ask a model what it is known to answer: is it read rightly?")
    verifying.add_argument("name", help="short name, hub id or folder of a CLIP, BLIP, SAM or classifier; lpips-alex")
    verifying.add_argument("--images", type=Path, metavar="DIR", help="where LPIPS's example images are")
    verifying.add_argument("--trust-pickle", action="store_true", help="read weights that are a pickle")
    arguments = parser.parse_args(argv)
    if arguments.action == "fetch":
        from semcomm.models.fetching import fetch

        print(fetch(arguments.name, arguments.to, arguments.trust_pickle))
    elif arguments.action == "check":
        from semcomm.models.checking import check

        found = check(arguments.folder)
        print(
            f"{arguments.folder}: a complete {found.kind}, {found.tensors} tensors in {found.files} files of weights, "
            f"{found.megabytes:.0f} MB"
        )
    elif arguments.action == "verify":
        from semcomm.errors import ModelError
        from semcomm.metrics.verifying import verify

        answers = verify(arguments.name, arguments.images, arguments.trust_pickle)
        for answer in answers:
            print(f"{'as expected' if answer.holds else 'OTHERWISE':<13}{answer.question}")
            print(f"{'':<13}expected: {answer.expected}\n{'':<13}got:      {answer.got}")
        if wrong := sum(not answer.holds for answer in answers):
            raise ModelError(f"{arguments.name}: {wrong} of {len(answers)} answers are other than expected")
    else:
        from semcomm.models import CARDS, is_present

        width = max(map(len, CARDS)) + 2
        for card in CARDS.values():
            state = "present" if is_present(card) else "absent"
            print(
                f"{card.name:<{width}}{state:<9}{card.size:<15}{card.licence:<25}{card.source or 'comes with semcomm'}"
            )
            print(f"{'':<{width}}for {card.purpose}; {card.attribution}")


def train(argv: Sequence[str]) -> None:
    """Train what a training file describes, or go on where its folder left off."""
    parser = _parser(train)
    parser.add_argument("file", type=Path, help="training file (YAML)")
    parser.add_argument("set", nargs="*", metavar="KEY=VALUE", help="set a key of the file, e.g. steps=2000")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training: checkpoints, logs, weights")
    parser.add_argument("--export", action="store_true", help="train no further; write the last checkpoint's weights")
    arguments = parser.parse_intermixed_args(argv)
    from semcomm.configuration import assignment
    from semcomm.terminal import note
    from semcomm.training.configuration import portable_command, read
    from semcomm.training.loop import train as train_task
    from semcomm.training.settings import EXCLUDED_FROM_RECIPE

    _find_classes(arguments.file.resolve().parent)
    task, settings = read(arguments.file, [assignment(text) for text in arguments.set])
    command = portable_command(arguments.file, arguments.set, EXCLUDED_FROM_RECIPE | task.excluded_from_recipe)
    path = train_task(task, settings, arguments.out, note, command, arguments.export)
    if path is not None:
        print(f"weights: {path}\ncard: {path.with_suffix('.md')}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    command.__name__: command
    for command in (run, report, compare, reproduce, data, transmit, score, sess, ratings, train, models, thresholds)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for an error, 2 for wrong usage, 130 when stopped."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["--version"]:
        print(__version__)
        return 0
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if argv[0] not in COMMANDS:
        close = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"semcomm: there is no command {argv[0]!r}{hint}\n\n{_usage()}", file=sys.stderr)
        return 2
    try:
        COMMANDS[argv[0]](_joined(argv[1:]))
    except SemcommError as error:
        print(f"semcomm: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("semcomm: stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 1
    return 0


def _usage() -> str:
    lines = [f"  {name:<12}{command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: semcomm COMMAND ...",
            "",
            "Simulate semantic communication: send images over noisy channels and judge what arrives by its meaning.",
            "",
            *lines,
            "",
            "semcomm COMMAND --help says more. semcomm --version prints the version.",
        ]
    )


def _parser(command: Callable, **options: Any) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"semcomm {command.__name__}", description=command.__doc__, **options)


def _joined(argv: Sequence[str]) -> list[str]:
    """Return arguments with negative numbers joined to their option: argparse takes -1e1 for one."""
    found: list[str] = []
    for text in argv:
        if re.fullmatch(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) and found and re.match(r"--[^=]+$", found[-1]):
            found[-1] += f"={text}"
        else:
            found.append(text)
    return found


def _dotted(argv: Sequence[str], names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return arguments without those of the form `--NAME.KEY VALUE`, and these: key -> value, read as YAML."""
    from semcomm.parsing import parse_yaml

    left, given, texts = [], {}, iter(argv)
    for text in texts:
        key, equals, value = text.removeprefix("--").partition("=")
        if not (text.startswith("--") and key.partition(".")[0] in names and "." in key):
            left.append(text)
            continue
        value = value if equals else next(texts, None)
        if value is None:
            raise ConfigurationError(f"{text}: a value is missing")
        try:
            given[key] = parse_yaml(value)
        except ValueError:
            given[key] = value
    return left, given


def _names(texts: Sequence[str]) -> list[str]:
    """Return the names in `PSNR SSIM`, `PSNR,SSIM` or `[PSNR, SSIM]`."""
    return re.findall(r"[^\s,\[\]]+", " ".join(texts))


def _find_classes(*folders: Path) -> None:
    """Let classes of the user's own be imported from the working directory, and from beside a file."""
    sys.path[:0] = [str(folder) for folder in (*folders, Path.cwd())]


def _check_output(path: Path, suffixes: Sequence[str], *inputs: Path) -> None:
    """Refuse a file that could not be written when the work is done; its folder is made if need be."""
    import tempfile

    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(f"--out {path}: is written as {' or '.join(suffixes)}; end its name so")
    if any(path.exists() and one.exists() and path.samefile(one) for one in inputs):
        raise ConfigurationError(f"--out {path}: is an input, which would be overwritten; name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
    except OSError as error:
        raise ConfigurationError(f"--out {path}: cannot be written ({error.strerror or error})") from None


def _report(results: Any, style: Path | None = None) -> None:
    from semcomm.analysis.figures import draw
    from semcomm.analysis.report import write_report
    from semcomm.experiment.figure import read_style
    from semcomm.terminal import note

    look, figures = read_style(style) if style else ({}, [])
    draw(results, results.folder / "figures", look, figures, note)
    print(f"report: {write_report(results, results.folder / 'report.html')}")
