from hypothesis import given
from hypothesis import strategies as st

from wrenlite.storage.lru import LruCache


def test_the_entry_that_was_used_longest_ago_is_dropped():
    cache = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a", None) == 1
    cache.put("c", 3)
    assert [cache.get(key, None) for key in "abc"] == [1, None, 3]


def test_a_default_is_told_from_a_value_that_is_none():
    cache, absent = LruCache(2), object()
    cache.put("a", None)
    assert cache.get("a", absent) is None
    assert cache.get("b", absent) is absent


def test_room_is_made_before_a_large_value():
    cache = LruCache(100)
    cache.put("a", "first", 60)
    cache.put("b", "second", 30)
    assert not cache.make_room(10)
    assert cache.make_room(50)
    assert [cache.get(key, None) for key in "ab"] == [None, "second"]


def test_an_entry_larger_than_the_limit_is_kept_alone():
    cache = LruCache(10)
    cache.put("small", 1, 5)
    cache.put("large", 2, 50)
    assert [cache.get(key, None) for key in ("small", "large")] == [None, 2]
    cache.put("small", 3, 5)
    assert [cache.get(key, None) for key in ("small", "large")] == [3, None]


def test_cleared():
    cache = LruCache(1)
    cache.put("a", 1)
    cache.clear()
    assert cache.get("a", None) is None
    assert not cache.make_room(1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), min_size=1), st.integers(1, 20))
def test_sizes_stay_within_the_limit_and_the_newest_entry_is_there(puts, limit):
    cache = LruCache(limit)
    for key, size in puts:
        cache.put(key, size, size)
        kept = {each for each, _ in puts if cache.get(each, None) is not None}
        assert key in kept
        assert len(kept) == 1 or sum(cache.get(each, None) for each in kept) <= limit
