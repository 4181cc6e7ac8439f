import json

import pytest
import yaml
from small_run import experiment, link

from semcomm.errors import ConfigurationError
from semcomm.experiment.axes import axis_values
from semcomm.experiment.experiment import load
from semcomm.experiment.machine import check_devices
from semcomm.metrics import Metric


def test_points_are_every_combination_in_order():
    found = load(experiment())
    assert [(p.transceiver, p.parameters["snr_db"], p.parameters["channel_uses_per_pixel"]) for p in found.points] == [
        (name, snr, uses) for name in ("robust", "fast") for uses in (0.5, 1.0) for snr in (4, 12, 20)
    ]
    assert found.axes == {"channel_uses_per_pixel": [0.5, 1.0], "snr_db": [4, 12, 20]}
    assert found.channel_axes == {"snr_db"}
    assert len({p.recipe for p in found.points}) == 12


def test_own_axes_and_nested_arguments():
    found = load(
        experiment(
            transceivers={
                "coded": {
                    "class_path": "Separate",
                    "init_args": {"source": "JPEG2000", "code": "LDPC5G", "constellation": "qpsk", "bpp": 1},
                    "sweep": {"code.rate": [0.5, 0.75], "damage": ["prefix", "discard"]},
                },
                "plain": {
                    "class_path": "Separate",
                    "init_args": {"source": "JPEG2000", "bpp": 1, "constellation": "qpsk"},
                },
            },
            channels={"a": "AWGN", "r": {"class_path": "Rayleigh", "sweep": {"coherence": [10, "image"]}}},
            sweep={"channel.snr_db": [0]},
        )
    )
    assert len(found.points) == (4 + 1) * (1 + 2)
    rates = [p.link.code.rate for p in found.points if "code.rate" in p.parameters]
    assert sorted(set(rates)) == [0.5, 0.75]


def test_a_range_has_both_ends():
    found = load(
        experiment(sweep={"channel.snr_db": {"start": -1, "stop": 0.5, "step": 0.5}, "channel_uses_per_pixel": [1]})
    )
    assert found.axes["snr_db"] == [-1, -0.5, 0, 0.5]


def test_keys_depend_on_what_changes_results_and_nothing_else():
    def keys(**changes):
        return [p.reception_key("hash", 0, 0) for p in load(experiment(**changes)).points]

    assert keys() == keys(metrics=["PSNR"], title="other", keep="all", realisations=5)
    assert keys()[0] != keys(sweep={"channel.snr_db": [5], "channel_uses_per_pixel": [0.5]})[0]
    renamed = experiment(transceivers={"other name": link("qpsk")})
    assert [p.recipe for p in load(renamed).points] == [p.recipe for p in load(experiment()).points][:6]
    (point, *_) = load(experiment()).points
    assert len({point.reception_key(h, s, r) for h in "ab" for s in (0, 1) for r in (0, 1)}) == 8


def test_resolved_loads_to_the_same(tmp_path):
    found = load(experiment(images={"limit": 2}))
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(found.resolved(), sort_keys=False))
    again = load(path)
    assert again.resolved() == found.resolved()
    assert [p.recipe for p in again.points] == [p.recipe for p in found.points]


def test_overrides():
    found = load(experiment(), {"images.limit": 1, "sweep.channel.snr_db": [7], "seed": 3})
    assert (found.images.limit, found.axes["snr_db"], found.seed) == (1, [7], 3)
    found = load(experiment(), {"transceivers.robust.init_args.constellation": "bpsk"})
    assert found.points[0].link.constellation.name == "bpsk"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrik": []}, "no such key: 'metrik'; did you mean 'metrics'?"),
        ({"images": {"limt": 3}}, "'images.limt'; did you mean 'images.limit'?"),
        ({"seed": "ten"}, "experiment.seed: expected int, got 'ten'"),
        (
            {"metrics": ["PSNRR"]},
            "experiment.metrics: there is no such class: .PSNRR.*did you mean 'PSNR'",
        ),
        ({"metrics": ["PSNR", "PSNR"]}, "two metrics have the same column"),
        (
            {"transceivers": {"a": {"class_path": "Seperate"}}},
            r"transceivers\.a: there is no such class: .Seperate.; did you mean .Separate",
        ),
        ({"transceivers": {"a": {"class_path": "no.such.Thing"}}}, r"transceivers\.a: there is no such class"),
        (
            {"transceivers": {"a": {**link(), "swep": {}}}},
            r"transceivers\.a: no such key: 'swep'; did you mean 'sweep'",
        ),
        ({"transceivers": {"a": link(fil="grey")}}, "Separate has no argument 'fil'; did you mean 'fill'"),
        ({"transceivers": {"a": {"class_path": "Separate"}}}, "Separate needs source"),
        ({"transceivers": {"a": link("8qam")}}, "constellation: expected 'bpsk', .*'256qam' or 'adaptive', got '8qam'"),
        ({"transceivers": {"a": link(bpp=1)}}, r"transceivers\.a: Separate takes a budget"),
        ({"transceivers": {}}, "at least one transceiver"),
        ({"transceivers": {"a": 3}}, r"transceivers"),
        ({"channels": {"c": {"class_path": "AWGN", "init_args": {"snr": 3}}}}, r"channels\.c: .*'snr'.*'snr_db'"),
        ({"sweep": {"channel.snr_db": "ten"}}, r"sweep\.channel\.snr_db: expected a list of values"),
        ({"sweep": {"channel.snr_db": ["ten"], "channel_uses_per_pixel": [1]}}, r"snr_db: expected float, got 'ten'"),
        ({"sweep": {"channel.snr_db": [], "channel_uses_per_pixel": [1]}}, "or start, stop and step, got \\[\\]"),
        ({"sweep": {"chanel_uses_per_pixel": [1]}}, "'chanel_uses_per_pixel'; did you mean 'channel_uses_per_pixel'"),
        ({"sweep": {"bpp": [1], "code.rate.deep": [1]}}, "'rate.deep' cannot be set"),
        ({"sweep": {"channel.snr_db": {"start": 3, "stop": 1, "step": 1}}}, "start, stop and step"),
        ({"realisations": 0}, "realisations is 0"),
        ({"images": {"crop": -1}}, r"images\.crop is -1"),
    ],
)
def test_mistakes_are_one_clear_line(changes, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(experiment(**changes))
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 1")
    for name, reason in {
        "none.yaml": "no such file",
        "bad.yaml": "as YAML",
        "list.yaml": "expected keys",
    }.items():
        with pytest.raises(ConfigurationError, match=rf"{name}: .*{reason}"):
            load(tmp_path / name)


def test_yaml_cannot_run_code_by_itself(tmp_path):
    (tmp_path / "evil.yaml").write_text("transceivers: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigurationError, match="cannot be read as YAML"):
        load(tmp_path / "evil.yaml")


def test_what_is_handed_in_is_left_as_it_was():
    data, changes = experiment(), {"metrics": ["PSNR"]}
    before = json.dumps([data, changes])
    load(data, changes)
    assert json.dumps([data, changes]) == before


def names(data, overrides=None):
    return [(p.transceiver, p.channel, p.parameters) for p in load(data, overrides).points]


def test_a_name_is_text_as_it_is_written(tmp_path):
    (tmp_path / "it.yaml").write_text(
        "transceivers: {no: {class_path: AtCapacity, init_args: {source: JPEG2000, channel_uses_per_pixel: 0.5}},\n"
        "  802.11: {class_path: AtCapacity, init_args: {source: JPEG2000, channel_uses_per_pixel: 0.25}}}\n"
        "channels: {on: AWGN}\nsweep: {channel.snr_db: [1e1, -1e0]}\n"
    )
    assert names(tmp_path / "it.yaml") == [(n, "on", {"snr_db": s}) for n in ("no", "802.11") for s in (10.0, -1.0)]
    with pytest.raises(ConfigurationError, match=r"1\.5 is no name: the names of transceivers and channels are text"):
        load(experiment(transceivers={1.5: link()}))


@pytest.mark.parametrize("name", ["PSNR", "psnr", "Psnr", ["psnr"], {"class_path": "psnr"}, "semcomm.metrics.PSNR"])
def test_metrics_are_named_in_any_case(name):
    assert [m.name for m in load(experiment(metrics=name)).metrics] == ["PSNR"]


def test_metrics_are_named_by_their_column_too_and_so_are_figures():
    found = load(
        experiment(
            metrics="ssim, MS-SSIM, sess",
            figures=[
                {"x": "channel.snr_db", "y": "msssim"},
                {"x": "snr_db", "y": "SESS", "where": {"channel.snr_db": 4}},
            ],
        )
    )
    assert [m.name for m in found.metrics] == ["SSIM", "MS-SSIM", "SeSS (embedded)"]
    assert [(f.x, f.y) for f in found.figures] == [("snr_db", "MS-SSIM"), ("snr_db", "SeSS (embedded)")]
    assert found.figures[1].where == {"snr_db": 4}
    assert found.column("Ms-Ssim") == "MS-SSIM"
    assert found.column("bler") == "bler"


def test_classes_and_choices_are_named_in_any_case():
    robust = {
        "class_path": "separate",
        "init_args": {"source": "jpeg-2000", "code": "ldpc5g", "constellation": "16-QAM", "bpp": 1},
    }
    (point,) = load({"transceivers": {"a": robust}, "channels": {"b": "awgn"}}).points
    assert repr(point.link).startswith("Separate(source=JPEG2000(layers=3, header='own'), code=LDPC5G(rate=0.5")
    assert point.link.constellation.name == "16qam"
    (other,) = load(
        {"transceivers": {"a": link("16qam", bpp=1, channel_uses_per_pixel=None)}, "channels": {"b": "AWGN"}}
    ).points
    assert other.over.recipe() == point.over.recipe()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"channels.awgn": "Rayleigh", "channels.awgn.snr_db": 3}, "Rayleigh(snr_db=3"),
        ({"channels.awgn.snr_db": 3}, "AWGN(snr_db=3"),
        ({"channels.awgn.init_args.csi": "none"}, "csi='none'"),
        ({"channels.awgn.snr_db": 3, "channels.awgn.class_path": "Rician"}, "Rician(snr_db=3"),
        ({"channels.awgn.class_path": "BinarySymmetric"}, "BinarySymmetric(crossover=0.0"),
    ],
)
def test_a_class_on_the_line_takes_none_of_the_arguments_before(changes, expected):
    start = {"class_path": "AWGN", "init_args": {"csi_error_db": 1.0}}
    found = load(experiment(channels={"awgn": start}, sweep={"channel_uses_per_pixel": [0.5]}), changes)
    assert expected in repr(found.points[0].over)
    other = not repr(found.points[0].over).startswith("AWGN")
    assert other == ("csi_error_db=1" not in repr(found.points[0].over))


def test_arguments_and_axes_that_the_file_has_not():
    bare = {"transceivers": {"a": link(source="JPEG2000", code=False)}, "channels": {"b": "AWGN"}}
    changes = {"transceivers.a.code": "LDPC5G", "transceivers.a.code.rate": 0.75, "transceivers.a.bpp": 1}
    found = load(
        bare,
        {**changes, "sweep.channel.snr_db.start": 0, "sweep.channel.snr_db.stop": 10, "sweep.channel.snr_db.step": 5},
    )
    assert found.axes == {"snr_db": [0, 5, 10]}
    assert found.points[0].link.code.rate == 0.75
    found = load(
        bare, {"transceivers.a.sweep.bpp": [0.5, 1], "channels.b.sweep.channel.snr_db": [1, 2], "metrics": "PSNR"}
    )
    assert found.axes == {"bpp": [0.5, 1], "snr_db": [1, 2]}
    assert found.channel_axes == {"snr_db"}
    assert load(bare, {"images": "kodak", "images.limit": 2, "transceivers.a.bpp": 1}).images.limit == 2
    listed = experiment(figures=[{"x": "snr_db", "y": "PSNR"}], metrics=["PSNR", "SSIM"])
    assert load(listed, {"figures.0.log_y": True, "metrics.1": "MSE"}).figures[0].log_y is True


@pytest.mark.parametrize(
    ("swept", "expected"),
    [
        ({"start": 1e-5, "stop": 3e-5, "step": 1e-5}, [1e-5, 2e-5, 3e-5]),
        ({"start": 0, "stop": 0.3, "step": 0.1}, [0.0, 0.1, 0.2, 0.3]),
        ({"start": -1e1, "stop": 10, "step": 10}, [-10.0, 0.0, 10.0]),
        ({"start": 1e-12, "stop": 3e-12, "step": 1e-12}, [1e-12, 2e-12, 3e-12]),
        (range(0, 3), [0, 1, 2]),
        ((1, 2), [1, 2]),
    ],
)
def test_ranges(swept, expected):
    found = axis_values("it", swept)
    assert found == expected
    assert all(type(a) is type(b) for a, b in zip(found, expected))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep": {"channel.snr_db": [5, 10, 5.0]}}, r"sweep\.channel\.snr_db: the value 5.0 stands twice"),
        ({"sweep": {"snr_db": [5]}}, r"no argument 'snr_db'.*an argument of the channels is swept as channel\.snr_db"),
        (
            {"transceivers": {"a": link(bpp=1)}, "sweep": {"channel.bpp": [5]}},
            r"channels\.awgn: .*no argument 'bpp'.*of the transceivers is swept as bpp",
        ),
        (
            {"transceivers": {"a": {**link(), "sweep": {"channel.snr_db": [1]}}}},
            "is of the channels, not of a transceiver",
        ),
        ({"transceivers": {"a": "AWGN"}}, r"transceivers\.a: AWGN is a channel, and a transceiver is needed here"),
        ({"channels": {"a": "PSNR"}}, "PSNR is a metric, and a channel is needed here"),
        ({"transceivers": {"a": "semcomm.Transceiver"}}, "only the base of its kind"),
        ({"transceivers": {"a": {"init_args": {}}}}, r"transceivers\.a: names no class"),
        ({"transceivers": {"a": {"class_path": "LSCI", "layers": 2}}}, "arguments of the class stand under init_args"),
        ({"metrics": ["PNSR"]}, r"metrics: there is no such class: 'PNSR'; did you mean 'PSNR'"),
        ({"channels": {"a": "AGWN"}}, r"channels\.a: .*did you mean 'AWGN'"),
        ({"transceivers": {"a": link(source="JPG2000")}}, r"a\.source: .*'JPG2000'; did you mean 'JPEG2000'"),
        ({"keep": -1}, "keep is -1"),
        ({"metrics": ["test_experiment.Clashing"]}, "the metric 'bpp' has the name of another column"),
    ],
)
def test_more_mistakes_are_one_clear_line(changes, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(experiment(**changes))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400  # never a list of sixty


class Clashing(Metric):
    name = "bpp"

    def score(self, prepared, reconstruction):
        raise AssertionError


def test_an_import_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_broken.py").write_text("x = 1\n\nraise OSError('no licence server')\n")
    (tmp_path / "lab_needy.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "lab_typo.py").write_text("import semcomm as sc\nclass Mine(sc.AWGN):\n    pass\n")
    cases = {
        "lab_absent.Mine": "there is no such class: 'lab_absent' is no module beside the file",
        "lab_broken.Mine": r"lab_broken.Mine cannot be imported: OSError: no licence server \(.*, line 3\)",
        "lab_needy.Mine": "cannot be imported: ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
        "lab_typo.Mien": "there is no such class: 'Mien'; did you mean 'Mine'",
    }
    for path, reason in cases.items():
        with pytest.raises(ConfigurationError, match=reason) as caught:
            load(experiment(channels={"a": path}))
        assert "\n" not in str(caught.value)
    assert type(load(experiment(channels={"a": "lab_typo.Mine"})).points[0].over).__name__ == "Mine"


def test_every_default_is_spelt_out():
    (robust, _) = load(experiment()).resolved()["transceivers"].values()
    assert robust["class_path"] == "semcomm.transceivers.Separate"
    assert robust["init_args"]["damage"] == "prefix"
    plain = load(
        experiment(transceivers={"a": {"class_path": "lsci", "init_args": {"layers": 2}}}, sweep={})
    ).resolved()
    assert plain["transceivers"]["a"]["init_args"]["assumed_snr_db"] == 10
    assert plain["channels"]["awgn"]["init_args"] == {"snr_db": 10, "csi": "average", "csi_error_db": 0}


def test_devices_that_are_not_there():
    for device, reason in {
        "gpu": "say auto, cpu",
        "cuda:9": "finds no such device",
        "meta": "computes nothing",
    }.items():
        lsci = load(
            experiment(
                transceivers={"a": {"class_path": "LSCI", "init_args": {"layers": 2, "device": device}}}, sweep={}
            )
        )
        with pytest.raises(ConfigurationError, match=f"it: device is '{device}'.*{reason}"):
            check_devices(lsci.points[0].link, "it")
    check_devices(load(experiment()).points[0].link, "it")
