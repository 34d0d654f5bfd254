"""Tables of the store, in SQLAlchemy Core's portable types, so that PostgreSQL can take SQLite's place.

::

    runs ──< node_windows    one row for each window on each node: what its agent last said
      └────< profiles        one row for each profile file that is held
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table

VERSION: Final = 1
"""Version of the tables; kept in the table `versions`, refused when newer than this program."""

metadata = MetaData()

versions = Table("versions", metadata, Column("version", Integer, primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("first_seen", Double, nullable=False),  # seconds since the epoch
    Column("missing_since", Double),  # when Kubernetes was first found not to know the run any more
)

node_windows = Table(
    "node_windows",
    metadata,
    Column("run_uid", String(64), primary_key=True),
    Column("node", String(253), primary_key=True),
    Column("window", Integer, primary_key=True),
    Column("state", String(16), nullable=False),  # Assigned, or a NodeState
    Column("report", LargeBinary),  # JSON of the NodeReport; absent while only assigned
    Column("lease_until", Double, nullable=False),  # the node's recording slot is held until then, in seconds since the epoch
    Column("updated_at", Double, nullable=False),
    Index("node_windows_of_node", "node", "state"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("run_uid", String(64), primary_key=True),
    Column("node", String(253), primary_key=True),
    Column("window", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes, gzipped
    Column("path", String(512), nullable=False),  # relative to the directory of profiles
    Column("stored_at", Double, nullable=False),
)
