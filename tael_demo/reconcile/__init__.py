"""`make reconcile-demo`: a month of simulated trade with planted errors, each of which the reconciliation must find."""
