from semcomm import caches
from semcomm.caches import Cache, cached


def test_a_cache_keeps_the_most_recently_used():
    made = []
    kept = Cache("test", most=2)
    for key in "abacaba":
        assert kept.get(key, lambda key=key: made.append(key) or key.upper()) == key.upper()
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == caches.sizes()["test"] == 2
    assert "a" in kept and "c" not in kept


def test_what_make_raises_is_not_kept():
    kept = Cache("test", most=2)
    for _ in range(2):
        try:
            kept.get("a", lambda: 1 / 0)
        except ZeroDivisionError:
            assert "a" not in kept


def test_all_are_named_and_emptied_together():
    @cached(most=3)
    def square(x):
        return x * x

    kept = Cache("test", most=2)
    kept.get(1, lambda: 1)
    assert [square(x) for x in (1, 2, 3, 4)] == [1, 4, 9, 16]
    name = next(name for name in caches.sizes() if name.endswith("square"))
    assert caches.sizes()[name] == 3
    caches.clear()
    assert not any(caches.sizes().values())
