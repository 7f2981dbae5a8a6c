"""Math-Verify in a child process that can be killed: both ends of the pipe, one JSON line per pair.

`main` is the child. It is run as a script, so that a notebook or a script without a main guard is not imported again
(multiprocessing does that), and it imports nothing of catlite. A line {"question", "a", "b", "seconds"} is answered by
{"answer": …, "seconds": …}. `ask` is the parent's end, which has another child started already. What is limited is the
child's own processor time, so that a busy machine does not change a verdict; the wall clock is only a last resort. The
child also limits its own memory. Left out: Math-Verify's search for an answer inside prose.

Math-Verify is not believed at once. Two numbers are compared by their first 30 digits, since it compares decimals after
the point (pi/10^7 equals 0.0000001 there). Anything else is asked in both directions, since its unwrapping of equations
is one-sided ("2x + z = 5" equals "5" one way round).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Any, BinaryIO

CHILDREN = 2  # one is warm while the other is replaced, and two threads may compare at once
START_SECONDS = 60.0  # importing Math-Verify takes 1.5 s, more on a busy machine
MEMORY_BYTES = 2 << 30
WALL_FACTOR, WALL_SECONDS = 10.0, 30.0  # the wall clock's limit: so much more than the processor's, and at least this
AGREEMENT = 1e-11  # relative, where a decimal is one of the two numbers
EXACTLY = 1e-25  # relative, where neither is

# --- the child --------------------------------------------------------------------------------------------


def _bound_cpu(seconds: float) -> None:
    """End this process once it has taken `seconds` more of processor time, also inside C code; 0 lifts the bound.

    Not PR_SET_PDEATHSIG for a parent that dies: it fires when the thread that started the child ends.
    """
    if hasattr(signal, "ITIMER_PROF"):  # not on Windows
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)


class _Grader:
    def __init__(self) -> None:
        import logging

        import math_verify
        import sympy  # type: ignore[import-untyped]

        logging.disable()
        self._library, self._sympy = math_verify, sympy
        normalization = math_verify.LatexNormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
        )
        self._config = [math_verify.LatexExtractionConfig(boxed_match_priority=-1, normalization_config=normalization)]

    def answer(self, question: str, a: str, b: str) -> bool:
        left, right = self._parse(a), self._parse(b)
        if not (left and right):
            return False
        if question != "same":
            ratio = self._sympy.simplify(left[0] / right[0])
            if question == "sign":
                return bool(ratio in (1, -1))
            return bool(ratio.is_number and ratio.is_finite and ratio != 0)
        numbers = self._same_number(left[0], right[0])
        return self._verify(left, right) and self._verify(right, left) if numbers is None else numbers

    def _parse(self, answer: str) -> list[Any]:
        # parsing_timeout=None: theirs is a signal, which works in one thread and not inside C code.
        parsed: list[Any] = self._library.parse(
            f"${answer}$", self._config, fallback_mode="no_fallback", parsing_timeout=None
        )
        return parsed

    def _verify(self, gold: list[Any], answer: list[Any]) -> bool:
        return bool(self._library.verify(gold, answer, allow_set_relation_comp=True, timeout_seconds=None))

    def _same_number(self, left: Any, right: Any) -> bool | None:
        """Compare two numbers; None when one of them is something else."""
        expression = self._sympy.Expr
        if not (isinstance(left, expression) and isinstance(right, expression)):
            return None
        left, right = (
            side.subs({symbol: self._sympy.I for symbol in side.free_symbols if symbol.name == "i"})
            for side in (left, right)
        )
        if left.free_symbols or right.free_symbols:
            return None
        left, right = left.doit(), right.doit()
        if left == right:
            return True
        if (left.is_Rational and right.is_Rational) or not (left.is_finite and right.is_finite):
            return False
        exact = not (left.has(self._sympy.Float) or right.has(self._sympy.Float))
        try:
            x, y = left.evalf(30), right.evalf(30)
            scale = max(abs(x), abs(y))
            return bool(abs((left - right).evalf(30)) <= scale * (EXACTLY if exact else AGREEMENT))
        except (TypeError, ValueError, AttributeError, OverflowError):
            return None


def _reply(out: BinaryIO, message: dict[str, object]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def main() -> None:
    """Answer pairs from standard input until it ends."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with suppress(ImportError, ValueError, OSError):  # no `resource` on Windows; macOS refuses RLIMIT_AS
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not speak in the replies
    try:
        grader = _Grader()
        grader.answer("same", "x+1", "1+x")  # the first parse builds the grammar, which is start-up too
    except Exception as error:
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    _reply(replies, {"ready": True})
    for line in sys.stdin.buffer:
        pair = json.loads(line)
        started = time.process_time()
        _bound_cpu(pair["seconds"])
        try:
            answer = grader.answer(pair["question"], pair["a"], pair["b"])
        except MemoryError:  # the pipe's end reads as undecided, and the next child has its memory back
            os._exit(1)
        except Exception:
            answer = False
        _bound_cpu(0)
        _reply(replies, {"answer": answer, "seconds": time.process_time() - started})


# --- the parent's end -------------------------------------------------------------------------------------


class _Child:
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

        message = self._within(START_SECONDS, b"")
        if "ready" not in message:
            silent = f"silent for {START_SECONDS:g} s" if self._overran else "it ended without a word"
            raise CatliteError(
                "answers could not be compared: the child process with Math-Verify did not start "
                f"({message.get('error', silent)}). Try `{sys.executable} -c 'import math_verify'`; reinstall "
                "math-verify[antlr4-13-2] if that fails."
            )
        self.ready = True

    def answer(self, question: str, a: str, b: str, seconds: float) -> tuple[bool | None, float]:
        """(the answer, seconds it took); None when this child ended over it."""
        request = json.dumps({"question": question, "a": a, "b": b, "seconds": seconds}).encode() + b"\n"
        # Without a limit of the child's own, on Windows, the wall clock is the limit.
        wall = max(WALL_FACTOR * seconds, WALL_SECONDS) if hasattr(signal, "ITIMER_PROF") else seconds
        reply = self._within(wall, request)
        answer = reply.get("answer")
        return (answer, float(reply["seconds"])) if isinstance(answer, bool) else (None, seconds)

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
        message: dict[str, Any] = json.loads(reply)
        return message

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

    def ask(self, question: str, a: str, b: str, seconds: float) -> tuple[bool | None, float]:
        with self._places:
            child = self._take()
            keep = False
            try:
                child.wait_until_ready()
                answer, spent = child.answer(question, a, b, seconds)
                keep = answer is not None and child.alive
                return answer, spent
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


def ask(question: str, a: str, b: str, seconds: float) -> tuple[bool | None, float]:
    """Ask a child about two expressions in LaTeX: "same", or of two equations brought to zero "multiple" or "sign".

    Returns (answer, seconds of processor time it took); the answer is None when `seconds` ran out. Raises CatliteError
    when no child starts.
    """
    return _children.ask(question, a, b, seconds)


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
