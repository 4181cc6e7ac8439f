"""Puts what the experiments in experiments/baselines found beside published points: figures and tables for the site.

python docs/assets/baselines.py [runs/baselines]

The folder holds the runs `awgn`, `awgn_rates` and `rayleigh`; what is not there is left as it is.
"""

import sys
from pathlib import Path

import matplotlib
import pandas as pd

from semcomm import open_results
from semcomm.analysis.styles import COLOURS
from semcomm.runs.results import Results

HERE = Path(__file__).resolve().parent
PUBLISHED = HERE.parents[1] / "experiments" / "published" / "kodak_links.csv"
OURS = ("HEIF + LDPC, adaptive", "HEIF + LDPC, the published modes")
THEIRS = "BPG + 5G LDPC"
CBR, SNR_DB = 1 / 16, 10
SHOWN = {
    "awgn": (THEIRS, "WITT", "SwinJSCC w/ SA&RA", "DeepJSCC (WITT's)"),
    "awgn_rates": (THEIRS, "VTM + 5G LDPC", "BPG at capacity", "WITT", "SwinJSCC w/ SA&RA", "NTSCC", "NTSCC++"),
}


def main(folder: Path) -> None:
    """Draw and write what is in the folder."""
    (HERE / "baselines").mkdir(exist_ok=True)
    published = pd.read_csv(PUBLISHED)
    published = published[published["metric"] == "psnr_db"]
    at_rate = published[(published["cbr"] - CBR).abs() < 1e-3]
    if (run := _run(folder, "awgn")) is not None:
        _draw(run, "snr_db", "SNR (dB)", at_rate, "awgn")
        _write("awgn", _table(run, "snr_db") + "\n\n" + _beside(run, at_rate[at_rate["system"] == THEIRS]))
    if (run := _run(folder, "awgn_rates")) is not None:
        _draw(run, "cbr", "Channel bandwidth ratio", published[published["snr_db"] == SNR_DB], "awgn_rates")
        _write("awgn_rates", _table(run, "cbr"))
    if (run := _run(folder, "rayleigh")) is not None:
        _write("rayleigh", _table(run, "snr_db", by="channel"))


def _run(folder: Path, name: str) -> Results | None:
    return open_results(folder / name) if (folder / name / "results.sqlite").exists() else None


def _means(run: Results, x: str, by: str | None = None) -> pd.DataFrame:
    keys = [*([by] if by else []), "transceiver"]
    table = run.table.assign(**{x: run.table[x].round(4)})
    return table.pivot_table("PSNR", keys, x, sort=False)


def _table(run: Results, x: str, by: str | None = None) -> str:
    means = _means(run, x, by)
    means = means[sorted(means.columns)]
    unit = " dB" if x == "snr_db" else ""
    heads = [f"{value:g}{unit}" if unit else f"CBR 1/{1 / value:.0f}" for value in means.columns]
    head = ["fading", "link"] if by else ["link"]
    lines = ["| " + " | ".join([*head, *heads]) + " |", "|" + "---|" * (len(head) + len(heads))]
    for name, row in means.iterrows():
        names = list(name) if by else [name]
        lines.append("| " + " | ".join([*names, *(f"{value:.2f}" for value in row)]) + " |")
    return "\n".join(lines)


def _beside(run: Results, points: pd.DataFrame) -> str:
    means = _means(run, "snr_db")
    ours = [name for name in OURS if name in means.index]
    lines = ["| SNR | " + " | ".join([f"{THEIRS}, published", *ours]) + " |", "|---|" + "---|" * (1 + len(ours))]
    for point in points[points["snr_db"].isin(means.columns)].itertuples():
        values = [means.loc[name, point.snr_db] for name in ours]
        cells = [f"{value:.2f} ({value - point.value:+.2f})" for value in values]
        lines.append(f"| {point.snr_db:g} dB | {point.value:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _draw(run: Results, x: str, label: str, published: pd.DataFrame, name: str) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for colour, (link, row) in zip(COLOURS, _means(run, x).iterrows()):
        row = row.dropna().sort_index()
        axes.plot(row.index, row, "o-", color=colour, label=link)
    key = "cbr" if x == "cbr" else "snr_db"
    for number, system in enumerate(SHOWN[name]):
        points = published[published["system"] == system].drop_duplicates(key).sort_values(key)
        style = {"marker": "x+1234*"[number % 7], "color": f"{0.25 + 0.08 * number}", "lw": 1}
        axes.plot(points[key], points["value"], ":", label=f"{system} (published)", **style)
    axes.set_xlabel(label)
    axes.set_ylabel("PSNR (dB), mean of the 24 Kodak images")
    axes.grid(color="#dddddd", lw=0.5)
    axes.legend(fontsize=7)
    figure.savefig(HERE / "baselines" / f"{name}.png", dpi=160)
    plt.close(figure)


def _write(name: str, text: str) -> None:
    (HERE / "baselines" / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/baselines"))
