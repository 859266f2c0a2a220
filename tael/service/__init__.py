"""One function per thing a caller can ask. Intent is committed, the wallet is asked, its answer is recorded."""
