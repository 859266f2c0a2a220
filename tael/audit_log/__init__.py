"""The audit log: who changed what. Written in the commit of each change."""
