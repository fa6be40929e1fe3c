-- Proposals, and how often a key is disputed again.

-- name: proposals_newest
SELECT scope, proposal, case_id, ruling, ruler, state, revision, made, changed, key, pack, base,
       rule, text, examined, moved, evidence, obstacle, version, decided_by, reason
FROM rule_proposals
WHERE scope = :scope
  AND (:state::text = '' OR state = :state)
  AND (:before_time::timestamptz IS NULL
       OR (made, proposal) < (:before_time, :before_proposal::text))
ORDER BY made DESC, proposal DESC
LIMIT :limit::bigint

-- name: proposals_waiting
SELECT scope, proposal FROM rule_proposals
WHERE state = 'preparing'
ORDER BY made, scope, proposal
LIMIT :limit::bigint
