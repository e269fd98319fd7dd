"""The arrivals of an open job: what any thread adds and one thread takes."""

import threading

from wrenlite.scheduler.arrivals import Arrivals


def test_items_are_numbered_in_their_order():
    arrivals = Arrivals()
    assert [arrivals.add(item) for item in "abc"] == [0, 1, 2]
    assert (len(arrivals), arrivals.take(), len(arrivals)) == (3, ["a", "b", "c"], 3)
    assert arrivals.add("d") == 3
    assert arrivals.take() == ["d"]
    assert arrivals.take() == []
    assert not arrivals.ended


def test_after_closing_nothing_is_added():
    arrivals = Arrivals()
    arrivals.add("a")
    arrivals.close()
    arrivals.close()
    assert arrivals.add("b") is None
    assert len(arrivals) == 1
    assert arrivals.take() == ["a"]
    assert arrivals.ended
    assert (len(arrivals), arrivals.take(), arrivals.add("c")) == (1, [], None)


def test_forgetting_keeps_the_numbers():
    arrivals = Arrivals()
    taken = []
    for number in range(100):
        assert arrivals.add(number) == number
        if number % 7 == 0:
            arrivals.forget_taken()
        if number % 5 == 0:
            taken += arrivals.take()
        assert len(arrivals) == number + 1
    arrivals.close()
    assert taken + arrivals.take() == list(range(100))
    assert arrivals.add(100) is None
    assert (len(arrivals), arrivals.ended) == (100, True)


def test_whatever_was_added_before_the_end_is_taken_and_nothing_else():
    for _ in range(20):
        arrivals, numbers, start = Arrivals(), [], threading.Barrier(5)

        def add(arrivals=arrivals, numbers=numbers, start=start):
            start.wait()
            for _ in range(5_000):  # or else threads that have the processor add millions
                if (number := arrivals.add(threading.get_ident())) is None:
                    return
                numbers.append((number, threading.get_ident()))

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        start.wait()
        taken = []
        while len(taken) < 500:
            taken += arrivals.take()
        arrivals.close()
        for thread in threads:
            thread.join()
        taken += arrivals.take()
        assert sorted(numbers) == list(enumerate(taken))
        assert len(arrivals) == len(taken)
