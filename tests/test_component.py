import json
import pickle
from pathlib import Path

import pytest

from semcomm import AWGN, QAM, Adaptive, Noiseless, Rayleigh, Separate, Uncoded
from semcomm.component import Component
from semcomm.errors import ConfigurationError


class Mine(Component):
    version = 3

    def __init__(self, inner: Component | None = None, sizes: tuple = (1, 2), folder: Path = Path("x"), device="cpu"):
        self.inner = inner


def test_recipe_is_nested_plain_and_without_the_incidental():
    recipe = Mine(AWGN(3), device="cuda").recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["version"] == 3
    assert "source" not in recipe
    assert recipe["init_args"] == {
        "inner": {
            "class_path": "semcomm.channels.AWGN",
            "version": 1,
            "init_args": {"snr_db": 3, "csi": "average", "csi_error_db": 0},
        },
        "sizes": [1, 2],
        "folder": "x",
    }


def test_equal_arguments_have_equal_recipes():
    assert AWGN(10).recipe() == AWGN(snr_db=10.0).recipe() == AWGN().recipe()
    assert AWGN(10).recipe() != AWGN(11).recipe() != Rayleigh(11).recipe()
    assert Noiseless().recipe()["init_args"] == {}


def test_replaced_and_pickled():
    channel = Rayleigh(5, coherence=7)
    assert channel.replaced(snr_db=6).recipe() == Rayleigh(6, coherence=7).recipe()
    assert pickle.loads(pickle.dumps(channel)).recipe() == channel.recipe()
    assert repr(Uncoded()) == "Uncoded()"
    assert repr(QAM("bpsk")) == "QAM(name='bpsk', demapping='exact')"


def test_misspelt_and_impossible_arguments():
    with pytest.raises(ConfigurationError, match=r"AWGN: .*'snr'; it takes snr_db, csi, csi_error_db"):
        AWGN(snr=3)
    with pytest.raises(ConfigurationError, match="missing a required argument: 'source'"):
        Separate(bpp=1)
    with pytest.raises(ConfigurationError, match="no recipe"):
        Mine(inner=object()).recipe()


def test_components_within_lists():
    assert Adaptive(("bpsk",)).recipe()["init_args"]["constellations"] == [QAM("bpsk").recipe()]
