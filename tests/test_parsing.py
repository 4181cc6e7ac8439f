import json
import math

import pytest
import yaml

from semcomm.parsing import dump_yaml, parse_json, parse_yaml


@pytest.mark.parametrize("text", ["1e-5", "1e-3", "-1e1", "+1E3", ".5", "5.", "1.0e-2", "-0.25", "3.0", "1e+07"])
def test_numbers_are_read_as_python_writes_them(text):
    assert parse_yaml(f"a: [{text}]") == {"a": [float(text)]}
    assert type(parse_yaml(text)) is float


def test_whole_numbers_and_those_that_are_none():
    assert parse_yaml("[12, -3, +4, 0x1F, 0o17, 010, 10_000]") == [12, -3, 4, 31, 15, 10, 10_000]
    infinite, lowest, undefined = parse_yaml("[.inf, -.Inf, .NaN]")
    assert (infinite, lowest, math.isnan(undefined)) == (math.inf, -math.inf, True)
    assert parse_yaml("[true, False, null, ~]") == [True, False, None, None]


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "Y", "12:30:05", "2024-01-01", "1.5.2", "3-4", "1e5x", "e5"]
)
def test_what_is_no_number_to_people_is_text(text):
    assert parse_yaml(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("key", ["no", "on", "1", "1.50", "802.11", "1e-5", "null", "true", "2024-01-01", "0x10"])
def test_a_key_is_text_as_written(key):
    assert parse_yaml(f"{{{key}: 1}}") == {key: 1}


def test_a_merge_key_may_be_overruled_and_a_repeated_key_may_not():
    assert parse_yaml("base: &b {x: 1, y: 2}\nit: {<<: *b, y: 3}")["it"] == {"x": 1, "y": 3}
    with pytest.raises(ValueError, match="the key 'qpsk' stands twice, in lines 2 and 4"):
        parse_yaml("a:\n  qpsk: 1\n  bpsk: 2\n  qpsk: 3\n")
    with pytest.raises(ValueError, match="'1' stands twice"):
        parse_yaml("{1: a, '1': b}")
    with pytest.raises(ValueError, match="line 1: a key must be text"):
        parse_yaml("? [1, 2]\n: 3")
    with pytest.raises(ValueError, match="the key 'a' stands twice"):
        parse_json('{"b": {"a": 1, "a": 2}}')


def test_what_is_written_is_read_back_by_us_and_by_others():
    data = {"1e-5": ["1e-5", "no", "012", "0o7", "2024-01-01", "12:30", "~", "", "x: y"], "no": [1e-5, 1, None, True]}
    text = dump_yaml(data)
    assert parse_yaml(text) == data
    assert yaml.safe_load(text) == data
    assert json.loads(json.dumps(parse_yaml(text))) == data
