// ControlAPI: to come.
