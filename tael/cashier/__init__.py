"""Pages for payers. All assets are inline; the content security policy allows nothing else."""
