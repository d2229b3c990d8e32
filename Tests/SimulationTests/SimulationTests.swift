// SimulationTests: to come.
