-- Who sees which cases: the arbiter all of its scope, a party those that it is named in.

-- name: case_visible
SELECT scope, case_id FROM cases
WHERE case_id = :case_id
  AND (scope = :authority OR parties @> jsonb_build_array(:authority::text))
ORDER BY (scope = :authority) DESC, scope
LIMIT 1

-- name: cases_newest
SELECT scope, case_id, filed FROM cases
WHERE (scope = :authority OR parties @> jsonb_build_array(:authority::text))
  AND (:before_time::timestamptz IS NULL
       OR (filed, scope, case_id) < (:before_time, :before_scope::text, :before_case::text))
  AND (:state::bigint IS NULL OR state = :state)
  AND (:overdue::boolean IS NULL OR :overdue = (due IS NOT NULL AND :now::timestamptz > due))
  AND (:level::bigint IS NULL OR level = :level)
  AND (:units::text[] IS NULL OR EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(parties) AS party
        WHERE party = ANY(:units::text[])))
ORDER BY filed DESC, scope DESC, case_id DESC
LIMIT :limit::bigint

-- name: case_of_ruling
SELECT r.scope, r.case_id FROM case_rulings r
JOIN cases c ON c.scope = r.scope AND c.case_id = r.case_id
WHERE c.scope = :scope AND c.ticket = :ticket AND c.chain = :chain AND r.number = :number
ORDER BY r.case_id
LIMIT 1

-- name: case_open_on
SELECT scope, case_id FROM cases
WHERE scope = :scope AND ticket = :ticket AND chain = :chain AND state IN (1, 2, 3)
ORDER BY filed, case_id
LIMIT 1

-- name: cases_on
SELECT scope, case_id FROM cases
WHERE scope = :scope AND ticket = :ticket AND chain = :chain
ORDER BY filed, case_id

-- name: rulings_of_case
SELECT scope, case_id, number, kind, target, legal_basis, offers_allowed, mandates, ruler, issued,
       taken, reasons, form, parts, merge_into
FROM case_rulings
WHERE scope = :scope AND case_id = :case_id
ORDER BY number

-- name: case_copy_named
SELECT authority, scope, case_id FROM case_copies
WHERE authority = :authority AND case_id = :case_id
ORDER BY scope
LIMIT 1

-- name: case_copies_newest
SELECT authority, scope, case_id FROM case_copies
WHERE authority = :authority
  AND (:before_time::timestamptz IS NULL
       OR (filed, scope, case_id) < (:before_time, :before_scope::text, :before_case::text))
  AND (:state::bigint IS NULL OR state = :state)
  AND (:overdue::boolean IS NULL OR :overdue = (due IS NOT NULL AND :now::timestamptz > due))
ORDER BY filed DESC, scope DESC, case_id DESC
LIMIT :limit::bigint
