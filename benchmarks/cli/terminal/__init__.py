"""What all commands share: options, messages, tables on a terminal, errors."""
