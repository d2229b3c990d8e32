// Reactor: to come.
