-- What is in force, versions in pages, misroutes by time and by rule.

-- name: hold_rules
SELECT generation FROM hold_rules() AS rule_generation (generation)

-- name: take_rules
SELECT generation FROM take_rules() AS rule_generation (generation)

-- name: activations_since
(SELECT DISTINCT ON (pack) pack, sequence, version, kind, effective, withdrawn
 FROM rule_activations
 WHERE NOT withdrawn AND effective <= :since::timestamptz
 ORDER BY pack, effective DESC, sequence DESC)
UNION ALL
(SELECT pack, sequence, version, kind, effective, withdrawn
 FROM rule_activations
 WHERE NOT withdrawn AND effective > :since::timestamptz)
ORDER BY pack, effective, sequence

-- name: activation_numbers
SELECT coalesce(max(sequence), 0) AS sequence, coalesce(max(issued), 0) AS issued
FROM rule_activations
WHERE pack = :pack

-- name: activations_past
SELECT pack, sequence, version, kind, effective, withdrawn
FROM rule_activations
WHERE NOT withdrawn AND pack = :pack AND effective <= :now::timestamptz
  AND version <> '' AND starts_with(version, :prefix)
ORDER BY effective DESC, sequence DESC
LIMIT :limit::bigint

-- name: versions_newest
SELECT pack, version, owner, title, rule_count, state, revision, editor, approver, created, changed,
       effective, reason, founding, finding_count
FROM rule_versions
WHERE (:pack::text = '' OR pack = :pack)
  AND (:before_time::timestamptz IS NULL
       OR (created, pack, version) < (:before_time, :before_pack::text, :before_version::text))
ORDER BY created DESC, pack DESC, version DESC
LIMIT :limit::bigint

-- name: versions_by_prefix
SELECT pack, version, owner, title, rule_count, state, revision, editor, approver, created, changed,
       effective, reason, founding, finding_count
FROM rule_versions
WHERE pack = :pack AND starts_with(version, :prefix)
ORDER BY version
LIMIT 2

-- name: versions_in_state
SELECT pack, version, owner, title, rule_count, state, revision, editor, approver, created, changed,
       effective, reason, founding, finding_count
FROM rule_versions
WHERE pack = :pack AND state = :state::bigint
ORDER BY version

-- name: summaries_all
SELECT pack, part, owner, version, sequence, parts, statement, key_id, signature, received
FROM pack_summaries
ORDER BY pack, part

-- name: misroutes_oldest
SELECT authority, misroute, reporter, owner, pack, version, rule, ticket, reason, proposed_target,
       occurrences, state, resolution, resolution_version, reported, due, escalated, answered, answerer
FROM misroutes
WHERE authority = :authority AND (reported, misroute) > (:after_time::timestamptz, :after_misroute::text)
  AND (:answered::boolean OR state = 1)
  AND (NOT :overdue::boolean OR (state = 1 AND due < :now::timestamptz))
ORDER BY reported, misroute
LIMIT :limit::bigint

-- name: misroute_counts
SELECT pack, rule,
       sum(greatest(occurrences, 1))::bigint AS reported,
       (count(*) FILTER (WHERE state = 1))::bigint AS open,
       (count(*) FILTER (WHERE state = 1 AND due < :now::timestamptz))::bigint AS overdue,
       (count(*) FILTER (WHERE resolution IN (1, 2)))::bigint AS rule_changed
FROM misroutes
WHERE authority = :authority AND owner = :authority
GROUP BY pack, rule
ORDER BY reported DESC, pack, rule
LIMIT :limit::bigint

-- name: misroutes_waiting
SELECT (count(*) FILTER (WHERE due >= :now::timestamptz))::bigint AS open,
       (count(*) FILTER (WHERE due < :now::timestamptz))::bigint AS overdue
FROM misroutes
WHERE state = 1 AND authority = owner

-- name: failures_unreported
SELECT pack, version, rule, authority, error, occurrences, reported, first_seen, last_seen
FROM rule_failures
WHERE occurrences > reported
ORDER BY pack, version, rule, authority
LIMIT :limit::bigint
