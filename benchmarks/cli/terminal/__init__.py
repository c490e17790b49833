"""Shared parts of commands: options, messages, tables on a terminal, errors."""
