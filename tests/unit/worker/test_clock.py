from wrenlite.worker.clock import AttentiveClock


def test_of_a_long_pause_between_two_readings_only_the_beginning_counts():
    now = 100.0
    clock = AttentiveClock(lambda: now)
    start = clock()
    for pause_s in (0.5, 2.0, 3600.0, 1.0):
        now += pause_s
        passed_s = clock() - start
    assert passed_s == 0.5 + 2.0 + 2.0 + 1.0
