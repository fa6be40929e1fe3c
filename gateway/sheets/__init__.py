"""决策表: rule packs as decision tables for people who know no YAML (docs/sheets.md)."""
