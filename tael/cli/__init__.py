"""The operator's commands. Tables for people, `--json` for programs."""
