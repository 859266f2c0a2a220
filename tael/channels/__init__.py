"""Level 2: one folder per wire protocol, each behind `base.Channel`."""
