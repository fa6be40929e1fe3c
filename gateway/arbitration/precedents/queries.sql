-- Precedents of a scope.

-- name: precedents_newest
SELECT scope, case_id, ruling, matter, type, relation, levels, role, legal_basis, state, since,
       expires, applied, ended, ended_by, facts, form, parts
FROM precedents
WHERE scope = :scope
ORDER BY since DESC, case_id DESC
LIMIT :limit::bigint

-- name: case_keys_between
SELECT scope, case_id, filed, matter, type, relation, levels, facts, precedent
FROM case_keys
WHERE scope = :scope AND filed < :before::timestamptz
  AND (filed, case_id) > (:after_time::timestamptz, :after_case::text)
ORDER BY filed, case_id
LIMIT :limit::bigint
