// SystemTests: to come.
