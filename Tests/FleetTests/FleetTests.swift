// FleetTests: to come.
