"""Services of the machine for a process: devices, locks, seeds, memory, and kinds of failures."""
