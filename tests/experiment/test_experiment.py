import json

import pytest
import yaml
from small_run import experiment, link

from semcomm.errors import ConfigurationError
from semcomm.experiment.experiment import load


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
