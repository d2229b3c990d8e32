// HTTPModelTests: one file for each type of HTTPModel.
