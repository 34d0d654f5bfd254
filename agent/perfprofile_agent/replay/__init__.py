"""What processes, mappings and cgroups looked like when a sample was taken. Pure."""
