"""From perf.data records to a profile of what may be shown. Pure."""
