"""Fault injection: the list of faults, and the two places that apply it.

`faults` keeps the list behind `/control/faults`, `middleware` applies it to requests, `notices` to notices. `tampering`
is the interface through which a wallet builds a response or notice that is signed as its own and wrong.
"""
