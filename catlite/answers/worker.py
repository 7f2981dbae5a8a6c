"""Math-Verify in a child process that can be killed: both ends of the pipe, one JSON line per pair.

`main` is the child. It is run as a script, so that a notebook or a script without a main guard is not
imported again (multiprocessing does that), and it imports nothing of catlite. A line {"a", "b", "seconds"}
is answered by {"equal": …}. `ask` is the parent's end: it keeps the clock, kills on overrun, and has another
child started already. The child limits its own memory, and its processor time for when its parent is killed
while it works. Left out: Math-Verify's search for an answer inside prose.

Math-Verify's word is not taken as it comes: it is asked in both directions, since its unwrapping of equations
is one-sided ("2x + z = 5" equals "5" one way round), and numbers it calls equal must agree to six significant
digits, since it compares decimals after the point (π/10⁷ equals 0.0000001 there).
"""

import atexit
import json
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Any, BinaryIO

CHILDREN = 2  # so that one is warm while the other is replaced; two threads may compare at once
START_SECONDS = 60.0  # importing Math-Verify takes 1.5 s, more on a busy machine
MEMORY_BYTES = 2 << 30
AGREEMENT = 1e-6  # relative: six significant digits

# --- the child --------------------------------------------------------------------------------------------


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no `resource` on Windows; macOS refuses RLIMIT_AS
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_cpu(seconds: float) -> None:
    """End this process when one pair takes more than `seconds` of processor time.

    Not PR_SET_PDEATHSIG: it fires when the thread that started the child ends, not the process.
    """
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds) + 1, hard))


class _Grader:
    def __init__(self) -> None:
        import logging

        import math_verify

        logging.disable()
        self._library = math_verify
        normalization = math_verify.LatexNormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
        )
        self._config = [math_verify.LatexExtractionConfig(boxed_match_priority=-1, normalization_config=normalization)]

    def equal(self, a: str, b: str) -> bool:
        left, right = self._parse(a), self._parse(b)
        return (
            bool(left and right)
            and self._verify(left, right)
            and self._verify(right, left)
            and self._agree(left[0], right[0])
        )

    def _parse(self, answer: str) -> list[Any]:
        # parsing_timeout=None: theirs is a signal, which works in one thread and not inside C code.
        parsed: list[Any] = self._library.parse(
            f"${answer}$", self._config, fallback_mode="no_fallback", parsing_timeout=None
        )
        return parsed

    def _verify(self, gold: list[Any], given: list[Any]) -> bool:
        return bool(self._library.verify(gold, given, allow_set_relation_comp=True, timeout_seconds=None))

    def _agree(self, left: Any, right: Any) -> bool:
        try:
            x, y = complex(left), complex(right)
        except (TypeError, ValueError, AttributeError, OverflowError):
            return True
        if x == y == 0:  # too small for a float: the quotient still tells them apart
            return bool(left == right or self._quotient(left, right) == 1)
        return abs(x - y) <= AGREEMENT * max(abs(x), abs(y)) or not (abs(x) < math.inf > abs(y))

    @staticmethod
    def _quotient(left: Any, right: Any) -> Any:
        return (left.doit() / right.doit()).simplify()


def _reply(out: BinaryIO, message: dict[str, object]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def main() -> None:
    """Answer pairs from standard input until it ends."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    _bound_memory()
    replies = sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not speak in the replies
    try:
        grader = _Grader()
        grader.equal("x+1", "1+x")  # the first parse builds the grammar, which is start-up too
    except Exception as error:
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    _reply(replies, {"ready": True})
    for line in sys.stdin.buffer:
        pair = json.loads(line)
        _bound_cpu(pair["seconds"])
        try:
            equal = grader.equal(pair["a"], pair["b"])
        except MemoryError:  # the pipe's end reads as undecided, and the next child has its memory back
            os._exit(1)
        except Exception:
            equal = False
        _reply(replies, {"equal": equal})


# --- the parent's end -------------------------------------------------------------------------------------


class _Child:
    """One child process and its pipes."""

    def __init__(self) -> None:
        # Its own session: Ctrl-C must not end it. -P: modules beside it must not shadow anyone's.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._replies: IO[bytes] = self._process.stdout
        self.ready = False
        self._overran = False

    @property
    def alive(self) -> bool:
        return not self._overran and self._process.poll() is None

    def wait_until_ready(self) -> None:
        if self.ready:
            return
        from catlite.errors import CatliteError

        said = self._within(START_SECONDS, b"")
        if "ready" not in said:
            silent = f"silent for {START_SECONDS:g} s" if self._overran else "it ended without a word"
            raise CatliteError(
                "answers could not be compared: the child process with Math-Verify did not start "
                f"({said.get('error', silent)}). Try `{sys.executable} -c 'import math_verify'`; reinstall "
                "math-verify[antlr4-13-2] if that fails."
            )
        self.ready = True

    def equal(self, a: str, b: str, seconds: float) -> bool | None:
        request = json.dumps({"a": a, "b": b, "seconds": seconds}).encode() + b"\n"
        equal = self._within(seconds, request).get("equal")
        return equal if isinstance(equal, bool) else None

    def _within(self, seconds: float, request: bytes) -> dict[str, Any]:
        """The next reply, {} when the child was killed on overrun or died."""
        # A timer that kills works on every platform; select() on a pipe does not.
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        reply = b""
        try:
            while request:
                request = request[self._requests.write(request) :]
            while not reply.endswith(b"\n"):
                chunk = self._replies.read(4096)
                if not chunk:
                    return {}
                reply += chunk
        except OSError:
            return {}
        finally:
            timer.cancel()
            timer.join()
        said: dict[str, Any] = json.loads(reply)
        return said

    def _expire(self) -> None:
        self._overran = True
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close this process's ends of the pipes; all that a fork may do with its parent's child."""
        with suppress(OSError):
            self._requests.close()
            self._replies.close()
        self._process.returncode = self._process.returncode or 0  # quiets Popen.__del__


class _Children:
    """At most CHILDREN of them, started on the first pair; the one used last is taken first."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(CHILDREN)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self.all: set[_Child] = set()

    def ask(self, a: str, b: str, seconds: float) -> tuple[bool | None, float]:
        with self._places:
            child = self._take()
            keep = False
            try:
                child.wait_until_ready()
                started = time.monotonic()
                equal = child.equal(a, b, seconds)
                keep = equal is not None and child.alive
                return equal, time.monotonic() - started
            finally:  # also on Ctrl-C, where a reply may still be under way
                self._put_back(child, keep)

    def _take(self) -> _Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.alive:
                    return child
                self._drop(child)
            return self._start()

    def _put_back(self, child: _Child, keep: bool) -> None:
        with self._lock:
            if keep:
                self._idle.append(child)
            else:
                self._drop(child)
            if child.ready and len(self.all) < CHILDREN:
                self._idle.insert(0, self._start())

    def _start(self) -> _Child:
        child = _Child()
        self.all.add(child)
        return child

    def _drop(self, child: _Child) -> None:
        self.all.discard(child)
        child.end()

    def end(self) -> None:
        with self._lock:
            self._idle.clear()
            for child in list(self.all):
                self._drop(child)


_children = _Children()


def ask(a: str, b: str, seconds: float) -> tuple[bool | None, float]:
    """(whether Math-Verify calls two expressions equal, seconds it took); None when `seconds` ran out.

    Blocks for `seconds` at most once a child is started and free. Raises CatliteError when none starts.
    """
    return _children.ask(a, b, seconds)


def _after_fork() -> None:
    global _children
    for child in _children.all:
        child.let_go()
    _children = _Children()


@atexit.register
def _end() -> None:
    _children.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


if __name__ == "__main__":
    main()
