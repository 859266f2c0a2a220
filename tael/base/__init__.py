"""Values and tools that every area uses: money, ids, time, errors, secrets, HTTP."""
