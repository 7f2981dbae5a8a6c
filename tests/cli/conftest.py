"""The command, run in this process against the local server."""

import pytest

from catlite.cli.main import main


@pytest.fixture
def run(server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    def run(*arguments):
        try:
            code = main(arguments)
        except SystemExit as exit_:  # argparse's own way out
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err

    return run
