"""Publishing (规则发布): the life of rule packs, what is in force, and misrouted tickets."""
