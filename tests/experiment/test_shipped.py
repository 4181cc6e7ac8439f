"""Experiments that come with semcomm are found by name, in a checkout and in an installed wheel."""

import tomllib
from pathlib import Path

import pytest

from semcomm.errors import ConfigurationError
from semcomm.experiment import shipped
from semcomm.experiment.shipped import experiment_file, shipped_experiments

ROOT = Path(__file__).resolve().parents[2]


def test_names_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart", "sess/fig10_11", "experiments/sess/fig10_11.yaml", "sess/fig10_11.yaml"):
        assert experiment_file(name).is_file()
    (tmp_path / "quickstart").write_text("mine")
    assert experiment_file("quickstart") == Path("quickstart")  # what is there is what was meant
    with pytest.raises(ConfigurationError, match="no experiment file 'quikstart'; did you mean 'quickstart'"):
        experiment_file("quikstart")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml: there is no such file"):
        experiment_file("mine.yaml")
    for name in ("sess/claims", "settings/paper", "train/encoder"):
        with pytest.raises(ConfigurationError):
            experiment_file(name)


def test_an_installed_wheel_has_them_within(tmp_path, monkeypatch):
    """In a wheel they stand in the package, where `pyproject.toml` has them put."""
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert included["force-include"] == {"experiments": "semcomm/experiments"}
    package = tmp_path / "site-packages" / "semcomm"
    (package / "experiments" / "settings").mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "experiment" / "shipped.py"))
    monkeypatch.chdir(tmp_path)
    assert shipped_experiments() == package / "experiments"
    (package / "experiments" / "settings").rmdir()
    with pytest.raises(ConfigurationError, match="install it again"):
        shipped_experiments()
