// ResourceStore: to come.
