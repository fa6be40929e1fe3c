-- Who sees which copies: staff of the authority all of them (platform is null); a platform those it
-- handed in and those with a standing assignment to one of its units. States of an assignment:
-- 2 assigned, 3 signed, 4 contacted, 5 done. Final ticket states: 6, 7, 8, 9.

-- name: ticket_is_visible
SELECT authority, number FROM ticket_copies c
WHERE authority = :authority AND number = :number
  AND (:platform::text IS NULL OR platform = :platform OR EXISTS (
    SELECT 1 FROM assignments a
    WHERE a.authority = c.authority AND a.ticket = c.number
      AND a.platform = :platform AND a.state BETWEEN 2 AND 5))

-- name: tickets_newest
SELECT authority, number FROM ticket_copies c
WHERE authority = :authority
  AND (:platform::text IS NULL OR platform = :platform OR EXISTS (
    SELECT 1 FROM assignments a
    WHERE a.authority = c.authority AND a.ticket = c.number
      AND a.platform = :platform AND a.state BETWEEN 2 AND 5))
  AND (:before_time::timestamptz IS NULL
       OR (create_time, number) < (:before_time, :before_number::text))
  AND (:state::bigint IS NULL OR state = :state)
  AND (:matter::text IS NULL OR matter = :matter)
  AND (:urgency::bigint IS NULL OR urgency = :urgency)
  AND (:followed::boolean IS NULL OR followed = :followed)
  AND (:external_id::text IS NULL OR external_id = :external_id)
  AND (:in_case::boolean IS NULL OR (case_id <> '') = :in_case)
  AND (:overdue::boolean IS NULL OR :overdue = (
    state NOT IN (4, 6, 7, 8, 9)
    AND (:now::timestamptz > due_time
         OR (first_dispatch_time IS NULL AND :now > dispatch_due_time))))
  AND (:unit::text IS NULL OR EXISTS (
    SELECT 1 FROM assignments a
    WHERE a.authority = c.authority AND a.ticket = c.number
      AND a.unit = :unit AND a.state BETWEEN 2 AND 5))
ORDER BY create_time DESC, number DESC
LIMIT :limit::bigint

-- name: events_of_ticket
SELECT position, txid, authority, ticket, kind, actor, role, basis, event_time, state, facts
FROM ticket_events
WHERE authority = :authority AND ticket = :ticket AND position > :position::bigint
ORDER BY position
LIMIT :limit::bigint

-- name: events_after
-- A unit that lost its assignment still hears of it, so here every assignment counts.
SELECT position, txid, authority, ticket, kind, actor, role, basis, event_time, state, facts
FROM ticket_events e
WHERE authority = :authority
  AND txid < :horizon AND (txid, position) > (:txid::bigint, :position::bigint)
  AND (:platform::text IS NULL
       OR EXISTS (SELECT 1 FROM ticket_copies c
                  WHERE c.authority = e.authority AND c.number = e.ticket
                    AND c.platform = :platform)
       OR EXISTS (SELECT 1 FROM assignments a
                  WHERE a.authority = e.authority AND a.ticket = e.ticket
                    AND a.platform = :platform))
ORDER BY txid, position
LIMIT :limit::bigint

-- name: tickets_provisional
-- Held copies whose due time counted an unpublished year, and that are not settled.
SELECT authority, number FROM ticket_copies
WHERE due_provisional AND NOT followed AND state NOT IN (4, 6, 7, 8, 9)
  AND (authority, number) > (:authority::text, :number::text)
ORDER BY authority, number
LIMIT :limit::bigint

-- name: unit_loads
-- Roles: 1 lead. States of an assignment: 2 assigned, 3 signed, 4 contacted; of a ticket: 4 resolved,
-- 6 to 9 final.
SELECT a.unit, count(*) AS open, count(*) FILTER (WHERE :now::timestamptz > c.due_time) AS overdue
FROM assignments a
JOIN ticket_copies c ON c.authority = a.authority AND c.number = a.ticket
WHERE a.authority = :authority AND a.role = 1 AND a.state BETWEEN 2 AND 4
  AND NOT c.followed AND c.state NOT IN (4, 6, 7, 8, 9)
GROUP BY a.unit
ORDER BY a.unit
