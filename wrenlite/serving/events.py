"""The objects that published jobs are called with, and the rows of CSV files."""

from __future__ import annotations

import csv
import inspect
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Generic, NamedTuple, TypeVar, get_origin

from wrenlite.config import Config
from wrenlite.data_objects.parts import DataObject, Source
from wrenlite.data_objects.sources import Bucket, Files
from wrenlite.errors import BadInput, ConfigError
from wrenlite.serialize.traceback_stubs import public
from wrenlite.serving import parameters
from wrenlite.serving.publication import Every, Http, Objects, Trigger
from wrenlite.storage.base import digest
from wrenlite.texts import counted, not_utf8

T = TypeVar("T")
_SEPARATORS = ",;\t"


class Rejected(NamedTuple):
    """A row that was left out."""

    line: int
    """The line of the file in which it begins, from 1."""
    field: str | None
    """Name of the column at fault; None: it is not only one."""
    error: str


class Rows(list[T], Generic[T]):
    """The usable rows of a file, in order."""

    rejected: list[Rejected]
    """The rows that were left out, in order."""


@public
@dataclass(frozen=True)
class ObjectEvent:
    """An object that came into a bucket, or a file that came into a folder."""

    bucket: str
    """Name of the bucket; on this machine the path of the folder."""
    key: str
    """Key of the object; on this machine the path of the file in the folder."""
    version: str | None
    """Its version, in a bucket that has versions."""
    etag: str
    """Its ETag; on this machine the SHA-256 digest of the file."""
    size: int
    """Bytes."""
    source: Source = field(repr=False)
    """What it is read from."""
    rejected: list[Rejected] = field(default_factory=list, repr=False, compare=False)
    """The rows that ``rows`` has left out. The status of the start shows them."""

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> ObjectEvent:
        """Return the event that a file of this machine would be, to try a function with.

        Args:
            path: of the file.

        Raises:
            NotFound: there is no such file. StoreError: it cannot be read.
        """
        folder, name = os.path.split(os.path.abspath(path))
        data = Files(folder).get(name)
        return object_event({"bucket": folder, "key": name, "etag": digest(data), "size": len(data)})

    @property
    def url(self) -> str:
        """Its address: ``s3://BUCKET/KEY``, or the path of the file."""
        return self.source.url(self.key)

    def open(self, mode: str = "rb", encoding: str = "utf-8") -> IO[Any]:
        """Return a file to read from, which fetches 8 MB at a time.

        Args:
            mode: ``"rb"`` for bytes, ``"r"`` for text.
            encoding: of the text.

        Raises:
            ConfigError: it can only be read. What reading raises is as for ``read``.
        """
        return DataObject(self.source, self.key, self.size).open(mode, encoding)

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            NotFound: it is not there any more, or was replaced: that is an event of its own.
            StoreError: it cannot be read. AccessDenied: these credentials may not read it.
        """
        return self.source.get(self.key)

    def rows(self, of: Callable[..., T] | None = None) -> Rows[Any]:
        """Return the rows of a CSV file in UTF-8 whose first line has the names of columns.

        Rows that cannot be used are left out. They are in ``.rejected`` of what is returned, each with its
        line, and in the status of the start. Empty lines do not count. The separator is that sign of comma,
        semicolon and tab which the first line has most of.

        Args:
            of: a dataclass, a named tuple, or a function with annotated parameters, which makes a row of the
                cells. They are converted to the types of its parameters, and an empty cell counts as not
                given. None: a row is a dict of texts.

        Raises:
            BadInput: the file is not UTF-8; it has no names of columns, two of one name, or others than
                ``of`` has; a quoted cell has no end; or there is no row that can be used.
            NotFound: as for ``read``.
        """
        found = read_rows(self.read(), of, self.url)
        self.rejected[:] = found.rejected
        return found


def object_event(event: Mapping[str, Any]) -> ObjectEvent:
    """Return the object of an event.

    Args:
        event: the record of it: ``bucket``, ``key``, ``version``, ``etag`` and ``size``.
    """
    bucket, key, version, etag = event["bucket"], event["key"], event.get("version"), event["etag"]
    if bucket.startswith("/"):
        return ObjectEvent(bucket, key, None, etag, event["size"], Files(bucket))
    from wrenlite.backends.aws.connect import open_data_bucket
    from wrenlite.backends.aws.data_bucket import only

    source = Bucket(open_data_bucket(Config.load(), bucket, only(version, etag)))
    return ObjectEvent(bucket, key, version, etag, event["size"], source)


def check_call(function: Callable[..., Any], on: Trigger) -> None:
    """Check that a trigger can call a function, before there is an event.

    Args:
        function: the function.
        on: what is going to start it.

    Raises:
        ConfigError: it cannot; the message says what the function must take.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{name} is a generator, and what it yields would be lost: return the values")
    try:
        found = inspect.signature(function)
    except ValueError:  # some functions in C do not say what they take
        return
    is_object = isinstance(on, Objects)
    if not is_object and any(_is_event(each.annotation) for each in found.parameters.values()):
        raise ConfigError(f"{name} takes an ObjectEvent, and {on} has none: only objects and files are one")
    if isinstance(on, Http):
        parameters.signature(function)
        return
    _check_annotation(function, found, on, name)
    try:
        found.bind(*[None] * (is_object or _takes_event(found)))
    except TypeError as error:
        wanted = "the event, which has the object" if is_object else "nothing, or the event"
        raise ConfigError(
            f"{name}{found} cannot be called by {on}: it must take {wanted}, and no more ({error})"
        ) from None


def _check_annotation(function: Any, found: inspect.Signature, on: Trigger, name: str) -> None:
    """Check that the first parameter of a function may be what an event passes, by its annotation."""
    first = next(iter(found.parameters.values()), None)
    if first is None:
        return
    try:
        kind = parameters.signature(function).parameters[first.name].annotation
    except ConfigError:  # ``ObjectEvent``, or another type that is not one of JSON
        kind = first.annotation
    if isinstance(kind, str) or kind in (first.empty, Any, object):
        return
    if isinstance(on, Objects) and not _is_event(kind):
        raise ConfigError(f"{name} takes {_named(kind)}, and {on} gives it an event: annotate ObjectEvent")
    of = get_origin(kind) or kind
    if isinstance(on, Every) and _takes_event(found) and isinstance(of, type) and not issubclass(of, Mapping):
        raise ConfigError(f"{name} takes {_named(kind)}, and {on} gives it nothing, or a dict with the time")


def _named(kind: Any) -> str:
    return kind.__name__ if type(kind) is type else str(kind)


def _is_event(annotation: Any) -> bool:
    """Return whether an annotation, which may be a text, is ``ObjectEvent``."""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return bool(name.rpartition(".")[2] == ObjectEvent.__name__)


def _takes_event(found: inspect.Signature) -> bool:
    try:
        found.bind()
    except TypeError:
        return True
    return False


def read_rows(data: bytes, of: Callable[..., Any] | None, source: str) -> Rows[Any]:
    """Return the rows of a CSV file.

    Args:
        data: the file.
        of: as for ``ObjectEvent.rows``.
        source: address of the file, for messages.

    Raises:
        BadInput: as for ``ObjectEvent.rows``.
    """
    text = _decode(data, source)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_separator(text), skipinitialspace=True, strict=True
    )
    found: Rows[Any] = Rows()
    found.rejected = []
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if columns is None:
                    columns = _columns(cells, of, line, source)
                else:
                    _add(found, cells, columns, of, line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"{source}: line {line}: {error}", line=line) from None
    if columns is None:
        raise BadInput(f"{source} is empty; its first line must have the names of columns", line=1)
    if not found:
        raise BadInput(_no_rows(found.rejected, source))
    return found


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text, line = not_utf8(error, data, source)
        raise BadInput(text, line=line) from None


def _separator(text: str) -> str:
    """Return the sign between cells: that of which the first line that is not empty has most."""
    first = text.lstrip("\r\n \t").partition("\n")[0]
    return max(_SEPARATORS, key=first.count)


def _columns(cells: list[str], of: Callable[..., Any] | None, line: int, source: str) -> list[str]:
    """Return the names of columns, once they were checked."""
    names = [cell.strip() for cell in cells]
    begin = f"{source}: line {line}"
    if not all(names):
        raise BadInput(f"{begin}: column {names.index('') + 1} has no name", line=line)
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{begin}: two columns have the name {name!r}", field=name, line=line)
    if of is None:
        return names
    found = parameters.signature(of)
    try:
        parameters.check_names(found, names)
    except BadInput as error:
        text = str(error).replace("there is no parameter", "there can be no column")
        raise BadInput(f"{begin}: {text}", field=error.field, line=line) from None
    for each in found.parameters.values():
        if parameters.is_needed(each) and each.name not in names:
            raise BadInput(f"{begin}: there is no column {each.name!r}", field=each.name, line=line)
    return names


def _add(
    found: Rows[Any], cells: list[str], columns: list[str], of: Callable[..., Any] | None, line: int
) -> None:
    """Add a row, or the reason why it is left out."""
    if len(cells) != len(columns):
        error = f"it has {counted(len(cells), 'cell')}, and the first line has {len(columns)}"
        found.rejected.append(Rejected(line, None, error))
        return
    row = dict(zip(columns, cells, strict=True))
    try:
        found.append(row if of is None else parameters.build(of, row, texts=True))
    except BadInput as error:
        found.rejected.append(Rejected(line, error.field, str(error)))


def _no_rows(rejected: list[Rejected], source: str) -> str:
    if not rejected:
        return f"{source} has no rows below the names of columns"
    first = rejected[0]
    return f"{source} has no row that can be used; the first, in line {first.line}: {first.error}"
