"""The store: rows in a database, profiles as files beside it. Nothing here knows HTTP or Kubernetes.

Order of writes, so that a crash at any point leaves nothing wrong: a profile is written to a temporary file, synced, renamed to its final
name, the directory synced, and only then its row is committed. A file without a row is rubbish that a sweep removes; a row without a file
can't come to be. The caller is answered after the commit.
"""
