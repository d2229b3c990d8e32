// ControlAPITests: to come.
