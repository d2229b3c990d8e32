// HTTPModelTests: to come.
