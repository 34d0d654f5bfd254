"""This machine: perf, /proc, cgroups, files of containers, capabilities. The only room that runs processes."""
