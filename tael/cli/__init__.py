"""The command line for operators: tables by default, JSON with `--json`."""
