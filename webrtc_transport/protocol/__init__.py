"""Sans-IO protocol parts: no await, no clock, no socket, no logger. Time is an argument."""
