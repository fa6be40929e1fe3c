-- Final states of a ticket: 6, 7, 8, 9; 4 is resolved. In flight: neither.

-- name: decisions_between
SELECT position, authority, ticket, decide_time, setting, facts, states,
       action, target, rule, pack, trace_digest
FROM route_decisions
WHERE authority = :authority AND decide_time < :before
  AND (decide_time, position) > (:after_time, :after_position::bigint)
ORDER BY decide_time, position
LIMIT :limit::bigint

-- name: decisions_counted
SELECT count(*) AS number FROM (
  SELECT 1 FROM route_decisions
  WHERE authority = :authority AND decide_time >= :start AND decide_time < :before
  LIMIT :limit::bigint) d

-- name: decisions_in_flight
-- The newest decision about each ticket that this authority holds and has not settled.
SELECT d.position, d.authority, d.ticket, d.decide_time, d.setting, d.facts, d.states,
       d.action, d.target, d.rule, d.pack, d.trace_digest
FROM ticket_copies c
CROSS JOIN LATERAL (
  SELECT * FROM route_decisions r
  WHERE r.authority = c.authority AND r.ticket = c.number
  ORDER BY r.position DESC LIMIT 1) d
WHERE c.authority = :authority AND c.number > :ticket
  AND NOT c.followed AND c.state NOT IN (4, 6, 7, 8, 9)
ORDER BY c.number
LIMIT :limit::bigint

-- name: flights_counted
SELECT count(*) AS number FROM (
  SELECT 1 FROM ticket_copies
  WHERE authority = :authority AND NOT followed AND state NOT IN (4, 6, 7, 8, 9)
  LIMIT :limit::bigint) c

-- name: decisions_of_ticket
SELECT position, authority, ticket, decide_time, setting, facts, states,
       action, target, rule, pack, trace_digest
FROM route_decisions
WHERE authority = :authority AND ticket = :ticket
ORDER BY position DESC
LIMIT :limit::bigint
