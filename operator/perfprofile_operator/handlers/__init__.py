"""The rim: kopf's handlers. They say when to look again, and nothing else."""
