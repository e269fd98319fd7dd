"""Where a panel is shown: in the outputs of a cell, in an ``Output`` widget, or in marimo.

A surface takes the panel as a bundle of texts by media type, again and again. The panel is a display that
is updated, not a widget: what is saved while it is shown, or opened in another tab, is the panel as it was,
and a converter needs no state of widgets. Only the button that cancels the jobs is a widget, which is removed
when the jobs have ended.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

Bundle: TypeAlias = Mapping[str, str]
"""Content to display, by media type."""

_WIDGET = "application/vnd.jupyter.widget-view+json"
_NOTHING: Bundle = {"text/html": "", "text/plain": ""}
"""An output that takes no room. nbconvert warns of one without any type."""


class Surface(Protocol):
    """A place in which a panel is shown."""

    takes_more: bool
    """Whether jobs that come after an end can be shown here, too."""

    def reserve(self) -> None:
        """Keep a place for a panel that appears after the end of the cell."""

    def show(self, bundle: Bundle) -> None:
        """Show a panel, in place of the one before."""

    def offer(self, cancel: Callable[[], object]) -> None:
        """Show the button that cancels the jobs, if that is possible here and it is not shown yet."""

    def end(self, bundle: Bundle) -> None:
        """Show a panel of jobs that have all ended, without the button."""


class CellOutput:
    """The outputs of a cell."""

    takes_more = True

    def __init__(self, call: Callable[..., Any]) -> None:
        """Create a surface on which nothing is shown yet.

        Args:
            call: calls a function so that its displays are in the right cell.
        """
        self._call = call
        self._panel: Any = None
        self._button = _CancelButton(call)

    def reserve(self) -> None:
        """Keep a place: what a thread displays for the first time may appear in another cell."""
        self._panel = self._call(_display, _NOTHING)

    def show(self, bundle: Bundle) -> None:
        """Show a panel."""
        if self._panel is None:
            self._panel = self._call(_display, bundle)
        else:
            self._panel.update(bundle, raw=True)

    def offer(self, cancel: Callable[[], object]) -> None:
        """Show the button."""
        with contextlib.suppress(ImportError):
            self._button.show(cancel)

    def end(self, bundle: Bundle) -> None:
        """Show the last panel."""
        self._button.remove()
        self.show(bundle)


class InOutputWidget(CellOutput):
    """An ``Output`` widget that captures what is displayed.

    Updates of a display do not reach it (ipywidgets issue 1844). So there the panel is a widget while jobs
    run. At the end it is replaced by a display, where the ``Output`` still captures.
    """

    takes_more = False

    def __init__(self, call: Callable[..., Any], output: Any) -> None:
        """Create a surface on which nothing is shown yet.

        Args:
            call: calls a function so that its displays are captured.
            output: the ``Output``.
        """
        super().__init__(call)
        self._output, self._captured_as = output, output.msg_id
        self._html: Any = None

    def reserve(self) -> None:
        """Keep no place: this cannot be filled later without a widget."""

    def show(self, bundle: Bundle) -> None:
        """Show a panel."""
        if self._html is None:
            import ipywidgets

            self._html = ipywidgets.HTML()
            _mend_messages(self._html)
            self._call(_display, _bundle_of(self._html))
        self._html.value = bundle["text/html"]

    def end(self, bundle: Bundle) -> None:
        """Show the last panel, to which nothing can be added."""
        self._button.close()
        if self._output.msg_id != self._captured_as:
            self.show(bundle)
            return
        if self._html is not None:
            _close(self._html)
        self._call(_display, bundle)


def surface_here(call: Callable[..., Any], parent: str) -> Surface:
    """Return the surface for what is displayed now in the code that a message has started.

    Args:
        call: calls a function in that code's context.
        parent: id of the message.
    """
    widgets = sys.modules.get("ipywidgets.widgets.widget")
    if widgets is not None:
        known = list(getattr(widgets, "_instances", {}).values())
        capturing = [each for each in known if parent and getattr(each, "msg_id", "") == parent]
        if capturing:
            return InOutputWidget(call, capturing[-1])
    return CellOutput(call)


class _CancelButton:
    """A button on the page, by itself. It comes and goes in one place."""

    def __init__(self, call: Callable[..., Any]) -> None:
        """Create a button that is not shown yet.

        Args:
            call: calls a function so that its displays are in the right cell.
        """
        self._call = call
        self._widget: Any = None
        self._place: Any = None

    def show(self, cancel: Callable[[], object]) -> None:
        """Show the button, unless it is shown. Raises ImportError where there are no widgets."""
        if self._widget is not None:
            return
        import ipywidgets

        self._widget = ipywidgets.Button(description="Cancel", icon="stop", tooltip="Cancel what is running")
        self._widget.add_class("wrenlite-cancel")
        self._widget.on_click(lambda _: cancel())
        _mend_messages(self._widget)
        bundle = _bundle_of(self._widget)
        if self._place is None:
            self._place = self._call(_display, bundle)
        else:
            self._place.update(bundle, raw=True)

    def close(self) -> bool:
        """Close the widgets, which removes the button from the page. Return whether it was shown."""
        if self._widget is None:
            return False
        _close(self._widget)
        self._widget = None
        return True

    def remove(self) -> None:
        """Close the widgets, and then remove the reference to them from the outputs of the cell."""
        if self.close():
            self._place.update(_NOTHING, raw=True)


def _display(bundle: Bundle) -> Any:
    from IPython.display import display

    return display(bundle, display_id=True, raw=True)


def _bundle_of(widget: Any) -> Bundle:
    """Return what displays a widget, and is nothing where there are no widgets."""
    return {_WIDGET: widget._repr_mimebundle_()[_WIDGET], "text/plain": ""}


def _mend_messages(widget: Any) -> None:
    """Keep ipykernel 7.4 from sending the messages of a widget to a thread that the running cell blocks."""
    with contextlib.suppress(AttributeError):
        del widget.comm._reply_subshell_id


def _close(widget: Any) -> None:
    """Close a widget with its parts."""
    for each in (widget, widget.style, widget.layout):
        each.close()
