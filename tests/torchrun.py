"""Start a script of the tests as several ranks, each of which writes what it saw into a file of its own."""

import faulthandler
import json
import os
import sys
from pathlib import Path

import children

LIMIT_SECONDS = 500.0  # of a rank; on two cores without other work it takes half a minute
TESTS = Path(__file__).parent


def torchrun(script, ranks, folder, *arguments):
    """(the exit code, what each rank has noted by name), once all processes have ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    command += [str(TESTS / script), str(folder), *map(str, arguments)]
    done = children.run(command, env=environment, timeout=LIMIT_SECONDS + 200, capture_output=True, text=True)
    notes = [folder / f"rank-{rank}.json" for rank in range(ranks)]
    assert all(note.exists() for note in notes), done.stderr
    return done.returncode, [json.loads(note.read_text()) for note in notes]


class Notes:
    """What a rank has seen, by name; the rank itself ends when it takes too long, whatever became of torchrun."""

    def __init__(self):
        faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)
        self.file = Path(sys.argv[1]) / f"rank-{os.environ['RANK']}.json"
        self.seen = {}

    def note(self, name, work):
        """Note what `work` returns, or the kind and the text of its error."""
        try:
            self.seen[name] = work()
        except Exception as error:
            self.seen[name] = f"{type(error).__name__}: {error}"
        self.file.write_text(json.dumps(self.seen))
