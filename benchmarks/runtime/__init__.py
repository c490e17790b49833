"""What a process needs from its machine: devices, locks, seeds, memory, and the names of failures."""
