"""Tables on a narrow terminal and progress in a notebook."""

import sys
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
from small_run import link, small_run

from semcomm import curves
from semcomm.runs.notebook import NotebookBar, in_notebook
from semcomm.runs.run import Progress
from semcomm.terminal import print_table, show, show_table


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    links = {f"a transceiver with a long name, number {n}": link(channel_uses_per_pixel=1.0) for n in range(9)}
    return small_run(tmp_path_factory.mktemp("run"), transceivers=links, sweep={"channel.snr_db": [4, 20]})


def test_nothing_is_cut_off_at_80_columns(results, capsys):
    show(results)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 and "…" not in shown
    means = curves(results, "snr_db", "PSNR")["mean"]
    assert shown.count(f"{means[0]:.2f}") >= 9 and shown.count("number") == 9


def test_wide_tables_become_several(capsys):
    print_table([f"column {n}" for n in range(20)], [[f"{n}.123456" for n in range(20)]], "title")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 and all(f"{n}.123456" in shown for n in range(20))
    assert shown.count(" 0.123456") == shown.count("┏") > 1  # the first column is in each
    show_table(pd.DataFrame({"name": ["x" * 100], "value": [1.0]}))
    assert capsys.readouterr().out.count("x") == 100


def test_results_and_curves_print_what_matters(results):
    assert (len(repr(results)) < 500 and "36 of 36 rows" in repr(results)) or "72 of 72 rows" in repr(results)
    text = repr(curves(results, "snr_db", "PSNR"))
    assert "mean" in text and "..." not in text.splitlines()[0]
    assert type(curves(results, "snr_db", "PSNR").iloc[:2]) is pd.DataFrame


def test_a_notebook_sees_one_line_that_changes(monkeypatch, tmp_path):
    """IPython's interface, as far as it is used: a shell with a kernel, `display` with a handle."""
    shown = []
    handle = SimpleNamespace(update=lambda html: shown.append(html))
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.HTML, display.display = str, lambda html, display_id: shown.append(html) or handle
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert in_notebook()
    small_run(tmp_path, transceivers={"only": link(channel_uses_per_pixel=1.0)}, sweep={"channel.snr_db": [4, 20]})
    assert shown[0].endswith("0 of 8 batches done") and shown[-1].endswith("8 of 8 batches done")
    assert NotebookBar().words(Progress(0, 0)) == "nothing left to send or score"


def test_without_an_axis_each_transceiver_is_a_row(tmp_path, capsys):
    links = {"one": link(channel_uses_per_pixel=1.0), "other": link("16qam", channel_uses_per_pixel=1.0)}
    channels = {"awgn": {"class_path": "AWGN", "init_args": {"snr_db": 20}}}
    show(small_run(tmp_path, transceivers=links, channels=channels, sweep={}, realisations=1))
    rows = [line for line in capsys.readouterr().out.splitlines() if "one" in line or "other" in line]
    assert len(rows) == 2 and all(any(c.isdigit() for c in row) for row in rows)
