// ResourceStore: where resources lie, and what changed when.
