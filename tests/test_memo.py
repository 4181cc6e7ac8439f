import pytest

from semcomm.errors import RunError
from semcomm.files import write_whole
from semcomm.memo import Memo, key_of


class Counter:
    def __init__(self, value=b"value"):
        self.calls = 0
        self.value = value

    def __call__(self):
        self.calls += 1
        return self.value


def test_computed_once_in_memory_and_on_disk(tmp_path):
    compute = Counter()
    memo = Memo(tmp_path)
    for _ in range(3):
        assert memo.get({"a": 1, "b": [2]}, compute) == b"value"
    assert Memo(tmp_path).get({"b": [2], "a": 1}, compute) == b"value"
    assert compute.calls == 1
    assert Memo(tmp_path).get({"a": 2, "b": [2]}, compute) == b"value"
    assert compute.calls == 2


def test_a_damaged_file_is_computed_again(tmp_path):
    compute = Counter()
    Memo(tmp_path).get({"a": 1}, compute)
    (file,) = (p for p in tmp_path.rglob("*") if p.is_file())
    for damaged in (file.read_bytes()[:-1], b"", bytes(len(file.read_bytes()))):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged"):
            assert Memo(tmp_path).get({"a": 1}, compute) == b"value"
    assert compute.calls == 4


def test_an_error_is_not_kept(tmp_path):
    memo = Memo(tmp_path)

    def fail():
        raise ValueError

    with pytest.raises(ValueError):
        memo.get({"a": 1}, fail)
    assert memo.get({"a": 1}, Counter()) == b"value"


def test_memory_is_bounded():
    memo = Memo(memory_bytes=1000)
    for n in range(100):
        memo.get({"n": n}, Counter(bytes(100)))
    assert memo._held <= 1000
    assert sum(map(len, memo._recent.values())) == memo._held


def test_key_ignores_order_only():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 2, "b": 1})


def test_a_refusing_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        write_whole(tmp_path / "file" / "inside", b"x")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file"]
