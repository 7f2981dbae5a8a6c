"""A run that several parts of one process share, without Ray."""

import itertools

from catlite.scale.leases import Limiter
from catlite.scale.sharing import make_run


def open_here(folder, *, budget=None, max_calls=None):
    """(the run, its limiter)"""
    limiters = []

    def start(file):
        limiters.append(Limiter(file, budget, max_calls))
        return limiters[0].report

    places = itertools.count()
    return make_run(folder, budget, start, lambda: f"actor {next(places)}"), limiters[0]
