"""catlite: Compute as Teacher (arXiv 2509.14234). Better answers and rewards from parallel rollouts.

`import catlite` costs next to nothing: a name loads its module when it is first used. The names and their homes stand
in `__init__.pyi`, which type checkers and editors read as well.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
