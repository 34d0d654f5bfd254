"""The perf.data format, file and pipe mode: bytes in, records out. Pure: it never opens, reads or seeks."""
