"""The environment variables that values may depend on.

Code that can read one may read any, since names of variables are often computed. So all of them count, but
for those that differ from one terminal or kernel to the next, and that programs do not compute with.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping

READS_ENVIRONMENT = frozenset(
    {
        *("environ", "environb", "getenv", "getenvb", "expandvars", "posix", "get_exec_path"),
        *("subprocess", "Popen", "popen", "system", "spawnv", "posix_spawn", "execv", "startfile"),
        *("create_subprocess_exec", "create_subprocess_shell", "expanduser", "home", "getlogin"),
    }
)
"""Code with one of these words may read environment variables, or start programs that do."""
_OF_ONE_TERMINAL = (
    *("PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES", "WINDOWID", "GPG_TTY", "STY", "PYTEST_CURRENT_TEST"),
    *("INVOCATION_ID", "JOURNAL_STREAM", "SESSION_MANAGER", "DBUS_SESSION_BUS_ADDRESS", "MANAGERPID"),
)
_OF_ONE_TERMINAL_BEGIN = (
    *("TERM", "COLORTERM", "DISPLAY", "WAYLAND_", "XAUTHORITY", "SSH_", "XDG_SESSION_", "XDG_VTNR", "TMUX"),
    *("JPY_", "VSCODE_", "KERNEL_", "KITTY_", "KONSOLE_", "GNOME_TERMINAL_", "VTE_", "ITERM_", "WEZTERM_"),
)
"""What the names of such variables begin with. One of them counts where code or a value has its name."""


def variables_that_count(
    there: Iterable[Mapping[str, str] | None], words: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield names and values of the environment variables that values may depend on.

    Args:
        there: the variables of all workers that tasks may run on; None: those of this process. These count
            in any case, since ``os.environ`` of this process may travel with the function.
        words: the words in code and values.
    """
    all_of_them = [dict(os.environ), *(each for each in there if each is not None)]
    for name in sorted(set().union(*all_of_them)):
        differs = name in _OF_ONE_TERMINAL or name.startswith(_OF_ONE_TERMINAL_BEGIN)
        if name in words or not differs:
            yield name, repr([each.get(name) for each in all_of_them])
