"""Shorter tracebacks: the caller's own lines and the message, without the frames in which catlite works and waits.

`CATLITE_TRACEBACK=full` in the environment brings every frame back, and so does `%tb` in IPython.
"""

from __future__ import annotations

import asyncio
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from catlite.text import visible

_OWN = str(Path(__file__).parent) + os.sep
_WAITING = (str(Path(__file__).with_name("concurrency.py")), str(Path(asyncio.__file__).parent) + os.sep)
_LIBRARIES = tuple({str(Path(sysconfig.get_path(kind))) + os.sep for kind in ("stdlib", "purelib", "platlib")})
_RENDERED = "_catlite_rendered"  # on an error that IPython has shown once
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[39m"


def wants_all_frames() -> bool:
    """Tell whether the environment asks for whole tracebacks."""
    return os.environ.get("CATLITE_TRACEBACK", "").casefold() == "full"


def without_own_frames(error: BaseException) -> TracebackType | None:
    """Shorten the traceback of an error that came through the event loop.

    The message of an error of catlite says all, so only frames of the caller's own functions (an estimator, a reward)
    are kept. Of another error that began in such a function, that function and what it called are kept; of any other,
    all frames but those of the event loop.

    Args:
        error: as it was raised inside the loop; it is not changed.

    Returns:
        The shorter traceback, None when no frame is left.
    """
    from catlite.errors import CatliteError

    parts = list(_parts(error.__traceback__))
    if wants_all_frames():
        return error.__traceback__
    callers = [position for position, part in enumerate(parts) if _is_callers(part.tb_frame)]
    if isinstance(error, CatliteError):
        kept = [parts[position] for position in callers]
    elif callers:
        kept = parts[callers[0] :]
    else:
        kept = [part for part in parts if not _file(part).startswith(_WAITING)]
    shorter: TracebackType | None = None
    for part in reversed(kept):
        shorter = TracebackType(shorter, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return shorter


def render(error: BaseException) -> list[str]:
    """Make the lines that IPython shows for `error`: the caller's own ones, then the type and the message.

    All frames are shown, as IPython shows them, when an error is shown for the second time (`%tb`), and in the modes
    `%xmode Verbose` and `CATLITE_TRACEBACK=full`.

    Args:
        error: raised in a cell.

    Returns:
        Lines, with the colours of a terminal.
    """
    ipython = shell()
    again = vars(error).get(_RENDERED, False)
    vars(error)[_RENDERED] = True
    if ipython is not None and (again or wants_all_frames() or ipython.InteractiveTB.mode == "Verbose"):
        return list(ipython.InteractiveTB.structured_traceback(type(error), error, error.__traceback__, tb_offset=1))
    coloured = ipython is not None and str(getattr(ipython, "colors", "")).casefold() != "nocolor"
    red, green, plain = (_RED, _GREEN, _PLAIN) if coloured else ("", "", "")
    lines: list[str] = []
    for part in _parts(error.__traceback__):
        if not _is_callers(part.tb_frame):
            continue
        code = linecache.getline(_file(part), part.tb_lineno).strip()
        lines += [f"{green}{_place(part, ipython)}{plain}", f"{green}---->{plain} {code}", ""]
    return [*lines, f"{red}{type(error).__name__}{plain}: {visible(str(error))}"]


def callers_frame() -> FrameType | None:
    """Find the innermost frame of the caller's own code on this stack; None without one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe() calls
    while frame is not None and not _is_callers(frame):
        frame = frame.f_back
    return frame


def interrupted(message: str) -> KeyboardInterrupt:
    """Make a KeyboardInterrupt with `message`, which IPython shows in a few lines."""
    error = KeyboardInterrupt(message)
    error._render_traceback_ = lambda: render(error)  # type: ignore[attr-defined]
    return error


def _parts(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _file(part: TracebackType) -> str:
    return part.tb_frame.f_code.co_filename


def _is_callers(frame: FrameType) -> bool:
    """Tell whether a frame is neither catlite's nor an installed library's."""
    # What a dataclass generates has no file, but the globals of its module.
    own = str(frame.f_globals.get("__name__", "")).partition(".")[0] == "catlite"
    return not own and not frame.f_code.co_filename.startswith((_OWN, *_LIBRARIES, "<frozen "))


def _place(part: TracebackType, ipython: Any) -> str:
    """Say where a frame is: "Cell In[3], line 5", or file and function."""
    file, name = _file(part), part.tb_frame.f_code.co_name
    try:
        described = ipython.compile.format_code_name(file)  # ("Cell", "In[3]") for the code of a cell
    except AttributeError:
        described = None
    where = " ".join(described) if described is not None else f"File {file}"
    return f"{where}, line {part.tb_lineno}" + ("" if name == "<module>" else f", in {name}")


def shell() -> Any:
    """Find IPython's shell; None in plain Python."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
