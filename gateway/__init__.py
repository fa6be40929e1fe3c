"""Lubiao (路标), the gateway of the 12345 hotlines: one room per capability, see docs/."""

import os

# Before the first import of grpc. A node starts children (noise, an embedded PostgreSQL) by fork
# and exec; gRPC's own fork handlers have nothing to save there, and have crashed such a child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
