"""The `catlite` command: one file per sub-command, each with `add` (its options) and what it runs."""
