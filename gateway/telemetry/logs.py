"""Structured logs: one JSON object a line, events and not prose, redacted before they are written.

    log = structlog.get_logger()
    log.info("transfer.accepted", transfer=name, epoch="0.1")

`configure_logs` is called once, by the process. Our own events go from the redaction to the stream
directly: a node writes a line for every call. What libraries log through `logging` passes the
same redaction. In development a person reads coloured lines instead; the redaction is the same.
Logs go to standard error: standard output belongs to the command.
"""

from __future__ import annotations

import logging
import sys
from enum import Enum
from typing import TYPE_CHECKING, TextIO

import structlog

from gateway.telemetry.redaction import redact, safe
from gateway.telemetry.throttle import Throttle

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

# Their information is noise at our `info`, and aiohttp's access log holds addresses.
_QUIET = ("aiohttp.access", "asyncio", "grpc", "grpc._cython.cygrpc")


class LogFormat(Enum):
    """How lines look."""

    JSON = "json"
    CONSOLE = "console"


def configure_logs(
    *, level: str = "info", form: LogFormat = LogFormat.JSON, stream: TextIO | None = None
) -> None:
    """Send the logs of this process to `stream` (standard error) in one form.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: JSON lines, or coloured text for a person.
        stream: where to write.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        describe_exception,
        redact_event,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    renderer = _renderer(form, handler.stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[Throttle(), *shared, renderer],
        logger_factory=lambda *_: _Lines(handler.stream),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )


class _Lines:
    """Writes finished lines; one that cannot be written is lost and stops nobody's work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except UnicodeEncodeError:  # half a character, which somebody sent
            self._stream.write(ascii(line) + "\n")
        except (OSError, ValueError):  # the disk is full, or the stream closed at the end
            return

    debug = info = warning = error = critical = exception = msg


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact a log event; keys that begin with an underscore belong to structlog."""
    if "_record" not in event:  # no library's
        return redact(event)
    inner = {key: value for key, value in event.items() if key.startswith("_")}
    return redact({key: event[key] for key in event if key not in inner}) | inner


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace a traceback by the types and places of its errors; never values or texts."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        leaf = leaves_of(error)[0]  # of a task group the first failure ended the others
        event["exception"] = safe(leaf)
        event["places"] = places_of(error) + (places_of(leaf) if leaf is not error else [])
    return event


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the errors inside a group of errors, or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in leaves_of(each)]


def places_of(error: BaseException) -> list[str]:
    """Return where an error passed, outermost first: `module:line`, the last ten."""
    found: list[str] = []
    step = error.__traceback__
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__", "?")
        found.append(f"{module}:{step.tb_lineno}")
        step = step.tb_next
    return found[-10:]


def _renderer(form: LogFormat, stream: TextIO) -> Processor:
    if form is LogFormat.CONSOLE:
        return structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False)
