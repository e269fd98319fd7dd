"""A notebook in a browser, used as a person uses it: commands, the stop button, and visible outputs."""

from collections.abc import Sequence
from pathlib import Path

import nbformat
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.lab import Lab

SCREENSHOTS = Path(__file__).with_name("screenshots")
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"

_STARTED = "() => window.jupyterapp?.restored.then(() => { window.restored = true; }) && window.restored"
_OPEN = """path => { window.jupyterapp.commands.execute("docmanager:open", { path }); }"""
_READY = """path => {
    const session = window.jupyterapp.shell.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    if (!kernel || session.path !== path) return false;
    kernel.info.then(() => { window.answered = kernel.id; });
    return session.isReady && window.answered === kernel.id && kernel.status === "idle";
}"""
"""True once the kernel has answered. A command that is sent before is lost."""

_RUN = """cell => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = cell;
    notebook.deselectAll();
    (window.ended ??= {})[cell] = false;
    window.jupyterapp.commands.execute("notebook:run-cell").finally(() => { window.ended[cell] = true; });
}"""
_ENDED = "cell => window.ended[cell]"
_RESTART = """() => {
    window.restarted = false;
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.restart().then(() => kernel.requestKernelInfo()).then(() => { window.restarted = true; });
}"""
_RESTARTED = "() => window.restarted"
_SAVE = """() => { window.jupyterapp.commands.execute("docmanager:save"); }"""
_SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
_HIDE_FILES = """() => { window.jupyterapp.shell.collapseLeft(); }"""
_CLOSE = "() => window.jupyterapp.shell.currentWidget.dispose()"
_THEME = """theme => { window.jupyterapp.commands.execute("apputils:change-theme", { theme }); }"""
_THEMED = """theme => document.body.dataset.jpThemeName === theme
    && !document.getElementById("jupyterlab-splash")"""
# Braces around a command drop its promise: `evaluate` would wait for the promise without a time limit, and
# `wait_for_function` would take the promise for a true value.

_OF_JUPYTERLAB = ("Failed to execute 'removeChild'",)
"""Errors of JupyterLab's list of cells (its issue 15415): now and then it removes a cell that is not drawn.
They cannot be wrenlite's: its only JavaScript in notebooks, that of the explorer, does not call it."""


class Notebook:
    """The one open notebook. Cells are counted from 0; times are in seconds.

    All tests of a module share a page, since JupyterLab needs seconds to load.
    """

    def __init__(
        self, lab: Lab, context: BrowserContext, name: str, sources: Sequence[str], kernel: str = "python3"
    ) -> None:
        self.name = name
        self.expected_errors: tuple[str, ...] = ()
        """Errors in the page's console that are not the notebook's fault: parts of their text."""
        self.file = lab.notebooks / f"{name}.ipynb"
        self._lab = lab
        self._context = context
        self._cells = len(sources)
        written = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        )
        nbformat.write(written, self.file)
        self._open()

    # Actions of a person

    def start(self, cell: int) -> None:
        """Run a cell without waiting for its end."""
        self.page.evaluate(_RUN, cell)

    def wait_for_end(self, cell: int, timeout: float = 30) -> None:
        """Wait until a started cell has ended, so that the prompt is back."""
        self.page.wait_for_function(_ENDED, arg=cell, timeout=timeout * 1000)

    def run(self, *cells: int, timeout: float = 30) -> None:
        """Run the given cells, or all if none is given, each to its end."""
        for cell in cells or range(self._cells):
            self.start(cell)
            self.wait_for_end(cell, timeout)

    def interrupt(self) -> None:
        """Press the stop button."""
        self._shown.locator("[data-command='notebook:interrupt-kernel']").click()

    def restart_kernel(self) -> None:
        """Restart the kernel, and wait until the new one answers."""
        self.page.evaluate(_RESTART)
        self.page.wait_for_function(_RESTARTED, timeout=60_000)

    def save(self) -> None:
        """Save the notebook, and wait until the file is written."""
        self.page.evaluate(_SAVE)
        self.page.wait_for_function(_SAVED)

    def wait_until_idle(self) -> None:
        """Wait until the kernel answers."""
        self.page.wait_for_function(_READY, arg=self.file.name, timeout=60_000)

    def close(self) -> None:
        """Close the notebook without saving, and shut its kernel down."""
        self.page.evaluate(_CLOSE)
        self._lab.shut_kernels_down()

    def close_page(self) -> None:
        """Close the page, and shut the kernel down. The next notebook loads a new page."""
        self.page.close()
        self._lab.shut_kernels_down()

    def reopen(self, *, same_kernel: bool = False) -> None:
        """Close the page, and open the saved notebook, with a new kernel unless ``same_kernel``."""
        if same_kernel:
            self.page.close()
        else:
            self.close_page()
        self._open(ready=not same_kernel)

    def hide_files(self) -> None:
        """Close the list of files at the left."""
        self.page.evaluate(_HIDE_FILES)

    def theme(self, name: str) -> None:
        """Switch to ``LIGHT`` or ``DARK``, and wait until JupyterLab's splash screen has disappeared.

        The next notebook is opened in ``LIGHT`` again.
        """
        self.page.evaluate(_THEME, name)
        self.page.wait_for_function(_THEMED, arg=name)

    # What a person sees on the page

    def cell(self, cell: int) -> Locator:
        return self._shown.locator(".jp-Notebook .jp-Cell").nth(cell)

    def outputs(self, cell: int, selector: str = "") -> Locator:
        """Return the outputs of a cell, or the elements in them that the selector finds."""
        return self.cell(cell).locator(f".jp-OutputArea-output {selector}".strip())

    def text(self, cell: int) -> str:
        """Return the visible text of a cell's outputs, of which long ones are drawn in steps."""
        return "\n".join(text.rstrip() for text in self.outputs(cell).all_inner_texts())

    def wait_for_text(self, cell: int, text: str, timeout: float = 30) -> None:
        """Wait until a cell's outputs contain a text; any run of white space equals one space."""
        area = self.cell(cell).locator(".jp-Cell-outputArea")
        expect(area).to_contain_text(text, use_inner_text=True, timeout=timeout * 1000)

    def wait_for(self, cell: int, selector: str, timeout: float = 30) -> Locator:
        """Wait until the selector finds a visible element in a cell's outputs; return the first one."""
        found = self.outputs(cell, selector).first
        expect(found).to_be_visible(timeout=timeout * 1000)
        return found

    def screenshot(self, name: str = "") -> Path:
        """Save a picture of the page in the folder of screenshots, named after the test and ``name``."""
        file = SCREENSHOTS / f"{'-'.join(filter(None, (self.name, name)))}.png"
        self.page.screenshot(path=file)
        return file

    def errors(self) -> list[str]:
        """Return the errors in the page's console, and its uncaught exceptions."""
        written = [each for each in self.page.console_messages() if each.type == "error"]
        errors = [
            *(f"{each.text} ({each.location['url']})" for each in written),
            *(str(each) for each in self.page.page_errors()),
        ]
        expected = (*_OF_JUPYTERLAB, *self.expected_errors)
        return [each for each in errors if not any(part in each for part in expected)]

    @property
    def _shown(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def _open(self, *, ready: bool = True) -> None:
        if self._context.pages:
            [self.page] = self._context.pages
            self.page.clear_console_messages()
            self.page.clear_page_errors()
        else:
            self.page = self._context.new_page()
            self.page.goto(self._lab.address)
            self.page.wait_for_function(_STARTED, timeout=60_000)
        self.theme(LIGHT)
        self.page.evaluate(_OPEN, self.file.name)
        if ready:
            self.wait_until_idle()
