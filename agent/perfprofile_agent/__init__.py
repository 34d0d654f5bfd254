"""PerfProfile's node side: records CPU profiles with Linux perf, names their functions and delivers them as pprof.

The rooms of this package, lowest first; ARCHITECTURE.md draws the map and import-linter keeps it true:

``api``       the contract: resources, assignments, node reports (pure)
``pprof``     the profile model and its wire format (pure)
``perfdata``  the perf.data format: bytes to records (pure)
``replay``    processes, mappings and cgroups over time (pure)
``symbols``   addresses to function names (pure)
``convert``   perf.data records to a profile of what may be shown (pure)
``node``      this machine: perf, /proc, cgroups, files, capabilities
``sinks``     delivery of finished profiles
``agent``     the program: configuration, cycle, command line
"""

__version__ = "0.1.0"
