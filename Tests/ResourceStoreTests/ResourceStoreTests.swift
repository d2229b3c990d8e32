// ResourceStoreTests: to come.
