"""The program: configuration, cycle, command line. Wires the rooms together."""
