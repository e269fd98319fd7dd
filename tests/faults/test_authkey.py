"""Proxies of a ``multiprocessing`` manager in tasks: they connect by the key of the caller's program."""

import subprocess
import sys

import wrenlite

SCRIPT = """
    import sys
    import wrenlite

    executor = wrenlite.Executor.local(2, progress=False)


    def is_loaded(_):
        return "multiprocessing.process" in sys.modules


    def add(number, total, lock, queue):
        with lock:
            total["sum"] = total.get("sum", 0) + number
        queue.put(number)


    def key(_):
        import multiprocessing

        return bytes(multiprocessing.current_process().authkey)


    def visible(_):
        with open("/proc/self/environ", "rb") as environ, open("/proc/self/cmdline", "rb") as command:
            return environ.read() + command.read()


    if __name__ == "__main__":
        print(is_loaded(0), executor.map(is_loaded, range(2)).results())  # so workers run already
        import multiprocessing

        with multiprocessing.Manager() as manager:
            print(executor.map(is_loaded, range(2)).results())
            total, lock, queue = manager.dict(), manager.Lock(), manager.Queue()
            executor.map(add, range(10), args=(total, lock, queue)).results()
            executor.map(lambda x: add(x, total, lock, queue), [10]).results()  # closed over
            executor.starmap(add, [(11, total, lock, queue)]).results()
            executor.submit(add, 12, total, lock=lock, queue=queue).result()
            print(total["sum"], sorted(queue.get() for _ in range(13)) == list(range(13)))
        own = multiprocessing.current_process()
        print(executor.submit(key, 0).result() == own.authkey)
        print(bytes(own.authkey) in executor.submit(visible, 0).result())
        own.authkey = b"another key"
        print(executor.submit(key, 0).result())
        executor.shutdown()
    """


def test_queues_dicts_and_locks_of_a_manager_work_in_tasks(script):
    ended = script(SCRIPT)
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "False [False, False]",
        "[False, False]",
        "78 True",
        "True",
        "False",
        "b'another key'",
    ]


def test_an_initializer_gets_a_queue_too(script):
    ended = script("""
        import multiprocessing
        import wrenlite

        def load(queue):
            queue.put("ready")

        if __name__ == "__main__":
            with multiprocessing.Manager() as manager:
                queue = manager.Queue()
                with wrenlite.Executor.local(1, initializer=load, initargs=(queue,)) as executor:
                    executor.submit(abs, 1).result()
                print(queue.get())
        """)
    assert (ended.stderr, ended.stdout) == ("", "ready\n")


def test_the_client_does_not_import_multiprocessing():
    code = (
        "import sys, wrenlite\n"
        "with wrenlite.Executor.local(1) as executor: executor.submit(abs, 1).result()\n"
        "print('multiprocessing' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_program_that_uses_the_key_in_a_forked_worker_of_its_own(pool):
    def key_of_child(_):
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(1) as children:
            return children.apply(_key)

    import multiprocessing

    assert pool.submit(key_of_child, 0).result() == bytes(multiprocessing.current_process().authkey)
    assert wrenlite.Executor.inline().submit(_key).result() == multiprocessing.current_process().authkey


def _key():
    import multiprocessing

    return bytes(multiprocessing.current_process().authkey)
