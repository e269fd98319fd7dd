"""A terminal for tests: a program runs in it, and the test sees its screen and presses keys."""

import os
import time

import pexpect
import pyte

_HANGS_S = 90
"""Seconds after which a program is taken to hang; a busy machine needs many for what takes one elsewhere."""


class Terminal:
    """A pseudo-terminal with a screen, whose lines are what a person would see."""

    def __init__(self, command, columns, rows=40, **options):
        env = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": ""}
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(rows, columns), env=env, **options)
        self.child.delaybeforesend = None

    @property
    def lines(self):
        """The lines on the screen without trailing spaces, down to the last one that is not empty."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n").split("\n")

    def until(self, reached, timeout=_HANGS_S):
        """Follow the program until a condition on the lines is true, and return the lines."""
        deadline = time.monotonic() + timeout
        while not reached(self.lines):
            assert time.monotonic() < deadline, "\n".join(["not reached:", *self.lines])
            try:
                self._stream.feed(self.child.read_nonblocking(4096, timeout=0.1))
            except pexpect.TIMEOUT:
                pass
            except pexpect.EOF:
                assert reached(self.lines), "\n".join(["the program has ended:", *self.lines])
        return self.lines

    def end(self):
        """Follow the program to its end, and return the lines."""
        while True:
            try:
                self._stream.feed(self.child.read_nonblocking(4096, timeout=_HANGS_S))
            except pexpect.EOF:
                self.child.close()
                return self.lines

    def close(self):
        """End the program, whatever it does."""
        self.child.close(force=True)
