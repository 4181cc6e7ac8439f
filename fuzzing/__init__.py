"""Input that wants to harm: every place where bytes from a channel, a file or a stranger come in, fuzzed.

    python -m fuzzing [TARGET ...] [--seconds N] [--engine hypothesis|atheris]

`fuzzing.targets` has one target for each such place; `tests/fuzz` runs a short form of all of them, and
`docs/security.md` says what the long form found.
"""
