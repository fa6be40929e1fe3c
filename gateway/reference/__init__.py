"""Reference data: what every node must agree on before it can route or time a ticket.

Regions with their succession, the matter catalogue, units and who answers for what, the working
calendar and the service-level profiles. All of it is loaded once from files, is immutable and has
a version, so a trace can name what a decision was based on (invariant I8). Start at `data.py`.
"""
